//! What a plan's steps and monitors have to be allowed to do, as actions of IAM: a table, and nothing that asks.

use std::collections::{BTreeMap, BTreeSet};

use super::scripts::{all_commands, of_step};
use super::{Verdict, all_steps};
use crate::plan::record::is_late;
use crate::plan::{Action, Plan, Source, StackAction, StackChange, Step};

/// What is asked for in one simulation: the resources of one service are judged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Zones, changes and health checks.
    Route53,
    /// Stacks.
    CloudFormation,
    /// What is allowed on everything or not at all.
    Whole,
    /// What scripts call. Which resources they mean is in no table.
    Scripts,
}

/// An action that has to be allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// ARNs of what it is done to; `*` for everything.
    pub resources: BTreeSet<String>,
    /// The steps and monitors that need it, such as `step canary-10`.
    pub named_by: BTreeSet<String>,
}

/// Needs by family and action, such as `route53:GetChange`.
pub type Needs = BTreeMap<(Family, String), Need>;

/// One answer of a simulation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// The action.
    pub action: String,
    /// The ARN that it was asked for with.
    pub resource: String,
    /// `allowed`, `implicitDeny` or `explicitDeny`.
    pub decision: String,
    /// Keys of conditions whose values a simulation does not know.
    pub missing: Vec<String>,
    /// Policies of the organisation do not allow it.
    pub by_organisation: bool,
    /// The permissions boundary of the identity does not allow it.
    pub by_boundary: bool,
}

/// What a step of each kind calls on the stack that it changes.
const APPLIES: [&str; 5] = ["CreateChangeSet", "DescribeChangeSet", "DescribeStackEvents", "DescribeStacks", "ExecuteChangeSet"];
const DELETES: [&str; 3] = ["DeleteStack", "DescribeStackEvents", "DescribeStacks"];
/// What a change of records calls on its zone.
const CHANGES: [&str; 2] = ["ChangeResourceRecordSets", "ListResourceRecordSets"];
/// What an inverted health check calls on it.
const INVERTS: [&str; 2] = ["GetHealthCheck", "UpdateHealthCheck"];
/// What a monitor of metrics calls: where one says nothing, it is looked for.
const MEASURES: [&str; 2] = ["GetMetricData", "ListMetrics"];

/// Everything that a plan has to be allowed to do.
#[must_use]
pub fn needs(plan: &Plan) -> Needs {
    let mut found = Found { needs: Needs::new(), account: &plan.account };
    for monitor in &plan.monitors {
        let by = format!("monitor {}", monitor.name);
        if let (Source::Stack { .. }, Some(region)) = (&monitor.source, &monitor.region) {
            // One call for all stacks of a region, which names none of them (rule 21).
            found.stack("DescribeStacks", region, "*", &by);
        }
        if let Source::HealthCheck { id, .. } = &monitor.source {
            found.check("GetHealthCheck", id, &by);
        }
        if monitor.source.metric().is_some() {
            for action in MEASURES {
                found.metrics(action, &by);
            }
        }
    }
    if let Some(traffic) = &plan.traffic {
        found.zone("ListResourceRecordSets", &traffic.zone, "the plan's traffic");
    }
    for step in all_steps(plan) {
        let by = format!("step {}", step.id);
        match &step.action {
            Action::Restore { steps } => {
                for step in steps.iter().filter_map(|&id| plan.steps.get(id)) {
                    found.step(step, &by);
                }
            }
            _ => found.step(step, &by),
        }
        for command in of_step(step).flat_map(all_commands) {
            if let Some(action) = command.aws().and_then(|(service, operation)| of_command(service, operation)) {
                found.add(Family::Scripts, action, "*".to_owned(), &by);
            }
        }
    }
    found.needs
}

struct Found<'a> {
    needs: Needs,
    account: &'a str,
}

impl Found<'_> {
    fn add(&mut self, family: Family, action: String, resource: String, by: &str) {
        let need = self.needs.entry((family, action)).or_default();
        need.resources.insert(resource);
        need.named_by.insert(by.to_owned());
    }

    fn zone(&mut self, action: &str, zone: &str, by: &str) {
        self.add(Family::Route53, format!("route53:{action}"), format!("arn:aws:route53:::hostedzone/{zone}"), by);
    }

    fn check(&mut self, action: &str, id: &str, by: &str) {
        // Nobody knows the id of one that an earlier step makes.
        let id = if is_late(id) { "*" } else { id };
        self.add(Family::Route53, format!("route53:{action}"), format!("arn:aws:route53:::healthcheck/{id}"), by);
    }

    fn stack(&mut self, action: &str, region: &str, name: &str, by: &str) {
        let arn = format!("arn:aws:cloudformation:{region}:{}:stack/{name}/*", self.account);
        self.add(Family::CloudFormation, format!("cloudformation:{action}"), arn, by);
    }

    fn metrics(&mut self, action: &str, by: &str) {
        self.add(Family::Whole, format!("cloudwatch:{action}"), "*".to_owned(), by);
    }

    /// What a step calls itself.
    fn step(&mut self, step: &Step, by: &str) {
        let zone = match &step.action {
            Action::Shift(shift) => Some(&shift.zone),
            Action::Records(change) => Some(&change.zone),
            _ => None,
        };
        if let Some(zone) = zone {
            for action in CHANGES {
                self.zone(action, zone, by);
            }
            self.add(Family::Route53, "route53:GetChange".to_owned(), "arn:aws:route53:::change/*".to_owned(), by);
        }
        match &step.action {
            Action::Stack(StackAction { region, name, change }) => {
                let actions = if *change == StackChange::Delete { DELETES.as_slice() } else { APPLIES.as_slice() };
                for action in actions {
                    self.stack(action, region, name, by);
                }
            }
            Action::HealthCheck(check) => {
                for action in INVERTS {
                    self.check(action, &check.id, by);
                }
            }
            Action::Switch(_) => self.metrics("PutMetricData", by),
            _ => {}
        }
    }
}

/// Services of the CLI whose operations are actions of IAM by the same name, and what IAM calls the service.
const SAME: [(&str, &str); 12] = [
    ("cloudformation", "cloudformation"),
    ("cloudwatch", "cloudwatch"),
    ("comprehendmedical", "comprehendmedical"),
    ("dynamodb", "dynamodb"),
    ("kms", "kms"),
    ("lambda", "lambda"),
    ("rds", "rds"),
    ("route53", "route53"),
    ("service-quotas", "servicequotas"),
    ("ssm", "ssm"),
    ("transcribe", "transcribe"),
    ("translate", "translate"),
];

/// Verbs with which it is so: the CLI has commands of its own besides (`wait`, `deploy`), and some calls need another action.
const VERBS: [&str; 20] = [
    "add",
    "batch",
    "change",
    "copy",
    "create",
    "delete",
    "describe",
    "detect",
    "disable",
    "enable",
    "get",
    "list",
    "put",
    "query",
    "request",
    "scan",
    "schedule",
    "start",
    "translate",
    "update",
];

/// The action of a command of the CLI, where it is certain.
fn of_command(service: &str, operation: &str) -> Option<String> {
    let (_, prefix) = SAME.iter().find(|(of, _)| *of == service)?;
    let verb = operation.split('-').next()?;
    // PartiQL: what such a batch needs stands in its statements.
    if !VERBS.contains(&verb) || operation == "batch-execute-statement" {
        return None;
    }
    let word = |word: &str| match word {
        "aws" | "db" => word.to_ascii_uppercase(),
        _ => word[..1].to_ascii_uppercase() + &word[1..],
    };
    Some(format!("{prefix}:{}", operation.split('-').filter(|w| !w.is_empty()).map(word).collect::<String>()))
}

/// Whom a simulation is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// This one.
    Arn(String),
    /// A role by its name. The ARN is right where the role has no path, of which a session's ARN says nothing.
    Role(String, String),
    /// Nobody; why.
    None(&'static str),
}

/// Whose policies count for an identity, by the ARN that `GetCallerIdentity` gives it.
#[must_use]
pub fn principal(identity: &str) -> Principal {
    let parts: Vec<&str> = identity.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, name] = parts.as_slice() else {
        return Principal::None("nobody can tell from its ARN whose policies count for it");
    };
    match (*service, name.split('/').collect::<Vec<_>>().as_slice()) {
        ("sts", ["assumed-role", role, _]) => {
            Principal::Role((*role).to_owned(), format!("arn:{partition}:iam::{account}:role/{role}"))
        }
        ("iam", ["user" | "role", _, ..]) => Principal::Arn(identity.to_owned()),
        ("iam", ["root"]) => Principal::None("the account's root user has no policies that could be simulated"),
        _ => Principal::None("a simulation knows users and roles, and this identity is neither"),
    }
}

/// A need, by what a simulation answered.
#[must_use]
pub fn judge(family: Family, action: &str, need: &Need, answers: &[Evaluated]) -> (Verdict, String) {
    let on = |resource: &str| if resource == "*" { String::new() } else { format!(" on {resource}") };
    let one = |resource: &String| {
        let found = answers.iter().find(|a| a.action.eq_ignore_ascii_case(action) && a.resource == *resource);
        let Some(answer) = found else {
            return (Verdict::NotProved, format!("the simulation says nothing of {action}{}", on(resource)));
        };
        match answer.decision.as_str() {
            "allowed" => (Verdict::Proved, String::new()),
            _ if !answer.missing.is_empty() => {
                let keys = answer.missing.join(", ");
                (Verdict::NotProved, format!("{action}{} depends on {keys}, which a simulation does not know", on(resource)))
            }
            // What an organisation allows has been simulated wrongly where its policies have conditions.
            _ if answer.by_organisation => {
                let why = format!("the simulation says that the organisation does not allow {action}{}", on(resource));
                (Verdict::NotProved, why)
            }
            _ if answer.by_boundary => {
                (Verdict::Refuted, format!("the identity's permissions boundary does not allow {action}{}", on(resource)))
            }
            "explicitDeny" => (Verdict::Refuted, format!("a policy forbids {action}{}", on(resource))),
            "implicitDeny" if family == Family::Scripts => {
                let why =
                    format!("{action} is not allowed on everything; what the script does it to nobody can tell from its text");
                (Verdict::NotProved, why)
            }
            "implicitDeny" => (Verdict::Refuted, format!("no policy allows {action}{}", on(resource))),
            other => (Verdict::NotProved, format!("the simulation calls {action}{} `{other}`", on(resource))),
        }
    };
    let judged: Vec<(Verdict, String)> = need.resources.iter().map(one).collect();
    let Some(worst) = judged.iter().map(|(verdict, _)| *verdict).max().filter(|worst| *worst != Verdict::Proved) else {
        return (Verdict::Proved, "the policies of the identity allow it".to_owned());
    };
    let why: Vec<&str> = judged.iter().filter(|(verdict, _)| *verdict == worst).map(|(_, why)| why.as_str()).collect();
    (worst, why.join("; "))
}
