//! What the checks look at, and what they find.

use std::collections::{BTreeMap, BTreeSet};

use super::Lint;
use crate::plan::load::{At, Places, ROLLBACK_ACTIONS as ACTIONS, Spot};
use crate::plan::{Action, Condition, Monitor, Plan, RecordSet, Rollback, Scenario, Source, StackChange, Step};

/// A plan without errors, and where in its files everything is.
pub struct Subject<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The scenarios beside it.
    pub scenarios: &'a [Scenario],
    /// Where everything is.
    pub places: &'a Places<'a>,
}

/// Where a finding is.
pub enum Where {
    /// In one of the plan's own files.
    Plan(At),
    /// In a file that the plan names: its path, its text, and the bytes that the finding is about.
    File(String, String, usize, usize),
}

/// One finding.
pub struct Finding {
    /// The lint.
    pub lint: &'static Lint,
    /// Where it is.
    pub place: Where,
    /// What was found, without the lint's name.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// What the lints find.
#[derive(Default)]
pub struct Found {
    lint: Option<&'static Lint>,
    /// In the order of the catalogue.
    pub findings: Vec<Finding>,
}

/// Most findings of one lint: whoever has more has one habit, not many mistakes.
const FINDINGS_MAX: usize = 50;

impl Found {
    /// From here on findings are this lint's.
    pub fn begin(&mut self, lint: &'static Lint) {
        self.lint = Some(lint);
    }

    /// Something in the plan's own files.
    pub fn at(&mut self, spot: Spot<'_>, message: impl Into<String>, help: impl Into<String>) {
        self.add(Where::Plan(spot.at()), message.into(), help.into());
    }

    /// Something in a file that the plan names.
    pub fn in_file(&mut self, path: &str, text: &str, at: (usize, usize), message: impl Into<String>, help: impl Into<String>) {
        self.add(Where::File(path.to_owned(), text.to_owned(), at.0, at.1), message.into(), help.into());
    }

    fn add(&mut self, place: Where, message: String, help: String) {
        let Some(lint) = self.lint else { return };
        if self.findings.iter().rev().take_while(|f| std::ptr::eq(f.lint, lint)).take(FINDINGS_MAX).count() < FINDINGS_MAX {
            self.findings.push(Finding { lint, place, message, help: Some(help).filter(|h| !h.is_empty()) });
        }
    }
}

impl<'a> Subject<'a> {
    /// Where a step is.
    pub fn spot(&self, step: &Step) -> Spot<'a> {
        self.places.step_of(&step.id)
    }

    /// Where a step's action is.
    pub fn action(&self, step: &Step) -> Spot<'a> {
        let spot = self.spot(step);
        ACTIONS.iter().find_map(|key| spot.entry(key)).unwrap_or(spot)
    }

    /// The steps of the phases, in running order, then those of the rollbacks, each with the rollback it belongs to.
    pub fn every_step(&self) -> impl Iterator<Item = (&'a Step, Option<&'a Rollback>)> {
        let plan = self.plan;
        let own = plan.steps.iter().map(|step| (step, None));
        own.chain(plan.rollbacks.iter().flat_map(|rollback| rollback.steps.iter().map(move |step| (step, Some(rollback)))))
    }

    /// Every record that the plan writes, or that a drill begins with: the zone, the record, where it is.
    pub fn records(&self) -> Vec<(&'a str, &'a RecordSet, Spot<'a>)> {
        let mut out = Vec::new();
        for (step, _) in self.every_step() {
            if let Action::Records(change) = &step.action {
                let put = self.action(step).key("put");
                out.extend(change.put.iter().zip(put.items()).map(|(record, spot)| (change.zone.as_str(), record, spot)));
            }
        }
        let world = self.places.section("drill").key("records").entries().flat_map(|(_, zone)| zone.items());
        out.extend(self.plan.drill.records.iter().zip(world).map(|((zone, record), spot)| (zone.as_str(), record, spot)));
        out
    }

    /// Every stack that is made or changed: the step, the region, the name, the template's path and text.
    pub fn templates(&self) -> Vec<Applied<'a>> {
        let mut out: Vec<Applied<'a>> = Vec::new();
        for (step, _) in self.every_step() {
            let Action::Stack(stack) = &step.action else { continue };
            let StackChange::Apply { template, template_path, parameters, .. } = &stack.change else { continue };
            let parameters = parameters.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
            out.push(Applied { region: &stack.region, name: &stack.name, path: template_path, text: template, parameters });
        }
        out
    }

    /// The region that a set of the traffic's record leads to; none of any other record, and none of a set that is not
    /// among the targets.
    pub fn leads_to(&self, zone: &str, name: &str, kind: &str, set: &str) -> Option<&'a str> {
        let traffic = self.plan.traffic.as_ref().filter(|t| t.zone == zone && t.record == name && t.kind == kind)?;
        traffic.targets.iter().find(|(of, _)| of == set).map(|(_, region)| region.as_str())
    }

    /// The conditions with these numbers, each with its monitor.
    pub fn conditions(&self, ids: &'a [usize]) -> impl Iterator<Item = (&'a Condition, &'a Monitor)> {
        let plan = self.plan;
        ids.iter().filter_map(move |id| {
            let condition = plan.conditions.get(*id)?;
            Some((condition, plan.monitors.get(condition.monitor)?))
        })
    }

    /// The pairs of buckets that the monitors of replications are about, each with the first monitor that reads it.
    pub fn replications(&self) -> Vec<(&'a str, &'a str, &'a Monitor)> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for monitor in &self.plan.monitors {
            let Source::Metric(source) = &monitor.source else { continue };
            for (_, metric) in source.metrics().filter(|(_, metric)| metric.namespace == "AWS/S3") {
                let bucket = |name: &str| metric.dimensions.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
                if let (Some(from), Some(to)) = (bucket("SourceBucket"), bucket("DestinationBucket"))
                    && seen.insert((from, to))
                {
                    out.push((from, to, monitor));
                }
            }
        }
        out
    }

    /// Everything that a step says in words for people, each with its place.
    pub fn words(&self, step: &'a Step) -> Vec<(&'a str, Spot<'a>)> {
        let spot = self.spot(step);
        let mut out = vec![(step.title.as_str(), spot.key("title")), (step.note.as_str(), spot.key("note"))];
        match &step.action {
            Action::Checklist { items } => {
                let spots = self.action(step).key("items");
                let at = |i: usize| spots.item(i).entry("item").unwrap_or_else(|| spots.item(i));
                out.extend(items.iter().enumerate().map(|(i, item)| (item.text.as_str(), at(i))));
            }
            Action::Approve { what, .. } => out.push((what.as_str(), self.action(step).key("what"))),
            _ => {}
        }
        out
    }
}

/// A stack that is made or changed.
#[derive(Clone)]
pub struct Applied<'a> {
    /// Region.
    pub region: &'a str,
    /// Stack name.
    pub name: &'a str,
    /// The template's path.
    pub path: &'a str,
    /// The template's text.
    pub text: &'a str,
    /// Parameter → value, as it stands in the plan.
    pub parameters: BTreeMap<String, String>,
}
