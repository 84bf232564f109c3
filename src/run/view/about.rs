//! What the plan says beside its steps, as it stands now.

use super::super::decide::Ctx;
use super::super::gate;
use super::super::snapshot::{AboutView, CostView, CriterionView, EscalationView, PartView, RiskView, StepState, Verdict};
use crate::cloud::Millis;
use crate::plan::StepId;
use crate::plan::about::{Criterion, percent};

/// Everything that the plan says beside its steps.
#[must_use]
pub fn about(ctx: Ctx<'_>, run: &str) -> AboutView {
    let about = &ctx.plan.about;
    let part = |(number, (id, title)): (usize, &(String, String))| {
        let belongs = |step: &StepId| ctx.plan.steps[*step].parts.contains(&number);
        let steps: Vec<StepId> = (0..ctx.plan.steps.len()).filter(belongs).collect();
        PartView { id: id.clone(), title: title.clone(), steps: states(ctx, &steps) }
    };
    let risk = |risk: &crate::plan::about::Risk| RiskView {
        title: risk.title.clone(),
        likelihood: risk.likelihood.word().into(),
        impact: risk.impact.word().into(),
        phase: risk.phase,
        mitigation: risk.mitigation.clone(),
        steps: states(ctx, &risk.steps),
        monitors: risk.monitors.iter().map(|id| ctx.plan.monitors[*id].title.clone()).collect(),
    };
    let criterion = |criterion: &Criterion| CriterionView {
        title: criterion.title.clone(),
        business: criterion.business,
        verdict: verdict(ctx, criterion),
    };
    AboutView {
        parts: about.parts.iter().enumerate().map(part).collect(),
        risks: about.risks.iter().map(risk).collect(),
        success: about.success.iter().map(criterion).collect(),
        cost: about.cost.as_ref().map(|cost| CostView {
            currency: cost.currency.clone(),
            items: cost.items.iter().map(|i| (i.name.clone(), i.group.clone(), i.before, i.after)).collect(),
            sums: cost.sums().into_iter().map(|s| (s.group, s.before, s.after, percent(s.change_ppm), s.good)).collect(),
            limit_ppm: cost.limit_ppm,
        }),
        escalation: about.escalation.as_ref().map(|escalation| EscalationView {
            levels: escalation
                .levels
                .iter()
                .map(|l| (l.id.clone(), l.title.clone(), l.response_ms, l.contacts.clone()))
                .collect(),
            since: ctx.run.open_outage().map(|outage| outage.began),
            support_case: escalation
                .support_case
                .as_ref()
                .map(|(subject, body)| (subject.clone(), format!("{}\n\n{}", body.trim_end(), facts(ctx, run)))),
        }),
    }
}

fn states(ctx: Ctx<'_>, steps: &[StepId]) -> Vec<(String, StepState)> {
    steps.iter().map(|id| (ctx.plan.steps[*id].id.clone(), ctx.run.steps[*id].state)).collect()
}

/// What steps and monitors say of a criterion; `None` when neither says anything.
fn verdict(ctx: Ctx<'_>, criterion: &Criterion) -> Option<Verdict> {
    if criterion.when.is_empty() && criterion.done.is_empty() {
        return None;
    }
    let open = criterion.done.iter().find(|step| ctx.run.steps[**step].state != StepState::Done);
    if let Some(step) = open {
        let (id, state) = (&ctx.plan.steps[*step].id, ctx.run.steps[*step].state);
        let why = format!("{id} is {}", state.word());
        return Some(if state == StepState::Pending { Verdict::Unknown(why) } else { Verdict::Fail(why) });
    }
    let judged = criterion.when.iter().all(|id| ctx.watch.trackers.contains_key(id));
    if !judged {
        return Some(Verdict::Unknown("judged in the plan's last phase".into()));
    }
    Some(gate::all(ctx.plan, ctx.watch, &criterion.when, ctx.now))
}

/// What a support case needs to know of the run.
fn facts(ctx: Ctx<'_>, run: &str) -> String {
    let mut out = vec![format!("Run {run} of {}, {}", ctx.plan.name, time(ctx.now))];
    if let Some(outage) = ctx.run.outages.last() {
        let until = outage.ended.map_or_else(|| "going on".to_owned(), |ended| format!("until {}", time(ended)));
        out.push(format!("Users failed from {}, {until}", time(outage.began)));
    }
    if let Some(job) = &ctx.run.job {
        out.push(format!("Going on: {} since {}", job.of, time(job.started)));
    }
    for call in ctx.run.calls.values().rev().take(5) {
        out.push(format!("{} {} {} {}", time(call.changed), call.job, call.call.operation(), call.call.region()));
    }
    out.join("\n")
}

fn time(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}
