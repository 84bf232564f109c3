//! What may be done now, and why the rest may not.

use super::alerts::alerts;
use crate::plan::{Action, Undo};
use crate::run::choice;
use crate::run::command::Verb;
use crate::run::decide::{Ctx, blocked};
use crate::run::entry::JobRef;
use crate::run::snapshot::StepState;
use crate::run::state::definition;
use crate::run::{job, rollback};

/// Every verb, with why it is not allowed if it is not.
pub fn verbs(ctx: Ctx<'_>, drill: bool) -> Vec<(Verb, Option<String>)> {
    let run = ctx.run;
    let ended = run.finished.is_some().then(|| "the run has ended".to_owned());
    let action = run.job.as_ref().and_then(|j| definition(ctx.plan, &j.of)).map(|s| &s.action);
    let ready = run.job.as_ref().is_some_and(|j| job::change_set(ctx, j).is_some() && j.calls.len() == 1 && !j.reviewed);
    let or = |allowed: bool, why: &str| ended.clone().or_else(|| (!allowed).then(|| why.to_owned()));
    let mut verbs = vec![
        (Verb::Hold, or(run.hold.is_none(), "held already")),
        (Verb::Continue, or(run.hold.is_some(), "nothing is held")),
        (
            Verb::Rollback,
            ended.clone().or_else(|| match run.active_rollback() {
                Some(_) => Some("a rollback is going on".into()),
                None => rollback::choose(ctx, None).err(),
            }),
        ),
        (Verb::Next, if ready && run.hold.is_none() { ended.clone() } else { blocked(ctx) }),
        (
            Verb::GoOn,
            or(run.hold.is_none() && run.active_rollback().is_none() && run.going.is_none(), "held, or going on already"),
        ),
        (Verb::Approve, or(matches!(action, Some(Action::Approve { .. })), "nothing waits for an approval")),
        (Verb::Tick, or(matches!(action, Some(Action::Checklist { .. })), "no checklist is open")),
        (Verb::Undo, {
            let step = match run.job.as_ref().map(|j| &j.of) {
                Some(JobRef::Step(id)) => Some(id.clone()),
                _ => last_changed(ctx),
            };
            ended.clone().or_else(|| match step {
                Some(step) => rollback::undoable(ctx, &step).err(),
                None => Some("nothing has been changed yet".into()),
            })
        }),
        (Verb::BackOff, {
            let ready = match (run.active_rollback(), choice::last_shift(ctx)) {
                (Some(_), _) => Some("a rollback is going on".to_owned()),
                (None, None) => Some("no stage of a ramp has been sent yet".to_owned()),
                (None, Some(_)) => None,
            };
            ended.clone().or(ready)
        }),
        (Verb::Override, ended.clone().or_else(|| choice::may_override(ctx).err())),
        (Verb::Skip, ended.clone().or_else(|| choice::may_skip(ctx).err())),
        (Verb::DoneByHand, ended.clone().or_else(|| choice::may_be_done(ctx).err())),
        (Verb::Acknowledge, alerts(ctx).iter().all(|a| a.view.acknowledged).then(|| "no alert".to_owned())),
    ];
    if drill {
        verbs.push((Verb::Drill, None));
    }
    verbs
}

/// The step that was started last and changes something.
fn last_changed(ctx: Ctx<'_>) -> Option<String> {
    let mut steps = ctx.plan.steps.iter().zip(&ctx.run.steps).rev();
    let changed = steps.find(|(step, run)| {
        step.undo != Undo::Nothing && run.attempts > 0 && !matches!(run.state, StepState::Undone | StepState::Skipped)
    });
    changed.map(|(step, _)| step.id.clone())
}
