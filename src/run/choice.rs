//! What a person may choose when the plan's own way does not go on: to start behind a shut gate or outside a window, to
//! leave a step out, to say that it was done by hand, to take a ramp back one stage. Each with a reason that stays in the journal.

use std::collections::BTreeMap;

use super::command::Reply;
use super::decide::{Ctx, Decision, barred, evidence, rolled_back, shut};
use super::entry::{Entry, JobRef};
use super::rollback;
use super::snapshot::StepState;
use super::state::CallState;
use crate::cloud::Call;
use crate::plan::window::is_open;
use crate::plan::{Action, Step, Undo};

fn given(reason: &str) -> Result<(), String> {
    if reason.trim().is_empty() { Err("say why: the reason goes into the journal".into()) } else { Ok(()) }
}

fn done(entries: Vec<Entry>, reply: &str) -> Decision {
    let entries = entries.into_iter().map(|entry| (false, entry)).collect();
    Decision { entries, reply: Some(Reply::Ok(reply.into())), ..Decision::default() }
}

/// The id on somebody's screen must be that of the step that is meant, or the screen is stale.
fn same(step: &Step, id: &str) -> Result<(), String> {
    if step.id == id { Ok(()) } else { Err(format!("the next step is '{}' now", step.id)) }
}

/// Starts a step behind its shut gate or outside its window, once as many people as the plan asks for want it.
///
/// # Errors
/// Why not, in words for people.
pub fn start_anyway(ctx: Ctx<'_>, by: &str, step: &str, reason: &str) -> Result<Decision, String> {
    given(reason)?;
    let (job, definition) = may_override(ctx)?;
    same(definition, step)?;
    if let Some(asked) = takes_more_people(ctx, by, &job, definition, reason)? {
        return Ok(asked);
    }
    let (evidence, late) = (evidence(ctx, definition), !is_open(&definition.windows, ctx.now));
    let reply = if late { "started outside its window" } else { "started behind a shut gate" };
    Ok(done(vec![Entry::Started { job, evidence, overridden: Some(reason.to_owned()) }], reply))
}

/// Notes that somebody wants a step behind its shut gate, while fewer people want it than the plan asks for; `None` when
/// it is enough now.
fn takes_more_people(ctx: Ctx<'_>, by: &str, job: &JobRef, step: &Step, reason: &str) -> Result<Option<Decision>, String> {
    let asked = ctx.run.overrides.get(job);
    let others = asked.map_or(0, |people| people.keys().filter(|who| *who != by).count());
    let missing = (step.override_people as usize).saturating_sub(others + 1);
    if missing == 0 {
        return Ok(None);
    }
    if asked.is_some_and(|people| people.contains_key(by)) {
        return Err(format!("you have asked for it already; it takes {missing} more, and another identity than yours"));
    }
    let reply = format!("asked for; it takes {missing} more, and another identity than yours");
    Ok(Some(done(vec![Entry::OverrideAsked { job: job.clone(), reason: reason.to_owned() }], &reply)))
}

/// Leaves out the step that is next or goes on, or the step of a rollback that failed.
///
/// # Errors
/// Why not, in words for people.
pub fn skip(ctx: Ctx<'_>, step: &str, reason: &str) -> Result<Decision, String> {
    given(reason)?;
    let (job, definition) = may_skip(ctx)?;
    same(definition, step)?;
    let mut entries = vec![Entry::Skipped { job, reason: reason.to_owned() }];
    if ctx.run.active_rollback().is_some() && ctx.run.hold.is_some() {
        // It was its failure that held the rollback.
        entries.push(Entry::Continued {});
    }
    Ok(done(entries, "skipped"))
}

/// A job may be left when nothing of it is still on its way.
fn may_leave(ctx: Ctx<'_>) -> Result<(), String> {
    settled(ctx, |_| true)
}

/// Whether those calls of the job that count are settled.
fn settled(ctx: Ctx<'_>, counts: impl Fn(&Call) -> bool) -> Result<(), String> {
    let calls = ctx.run.job.iter().flat_map(|job| &job.calls).filter_map(|id| ctx.run.calls.get(id));
    let mut unsettled = calls
        .filter(|call| counts(&call.call))
        .filter(|call| matches!(call.state, CallState::Open | CallState::Unknown(_) | CallState::Deferred(_)));
    match unsettled.next() {
        Some(call) => Err(format!("{} is not settled yet: wait for its outcome", call.call.operation())),
        None => Ok(()),
    }
}

/// The values that a person gives for later steps: `NAME=value` as a word of the reason, for each name that the step gives.
fn values(definition: &Step, reason: &str) -> BTreeMap<String, String> {
    let named = |name: String| {
        let value = reason.split_whitespace().find_map(|word| word.strip_prefix(name.as_str())?.strip_prefix('='))?;
        Some((name, value.to_owned()))
    };
    definition.action.gives().into_iter().filter_map(named).collect()
}

/// Takes a person's word that a step's action was done. Its verify still runs. Behind a shut gate it takes as many people
/// as an override: otherwise it would be the way around the second person.
///
/// # Errors
/// Why not, in words for people.
pub fn done_by_hand(ctx: Ctx<'_>, by: &str, step: &str, reason: &str) -> Result<Decision, String> {
    given(reason)?;
    let definition = may_be_done(ctx)?;
    same(definition, step)?;
    let job = JobRef::Step(definition.id.clone());
    let outputs = values(definition, reason);
    let missing: Vec<String> = definition.action.gives().into_iter().filter(|name| !outputs.contains_key(name)).collect();
    let mut reply = "taken as done; its verify decides".to_owned();
    if !missing.is_empty() {
        reply = format!("{reply}; later steps that need {} will fail", missing.join(" or "));
    }
    let acted = Entry::Acted { job: job.clone(), by_hand: Some(reason.to_owned()), outputs };
    if ctx.run.job.is_some() {
        return Ok(done(vec![acted], &reply));
    }
    let overridden = shut(ctx, definition).map(|_| format!("done by hand: {reason}"));
    if let Some(why) = &overridden
        && let Some(asked) = takes_more_people(ctx, by, &job, definition, why)?
    {
        return Ok(asked);
    }
    let evidence = evidence(ctx, definition);
    Ok(done(vec![Entry::Started { job, evidence, overridden }, acted], &reply))
}

/// The shift that was sent last and is not taken back.
#[must_use]
pub fn last_shift(ctx: Ctx<'_>) -> Option<String> {
    let mut steps = ctx.plan.steps.iter().zip(&ctx.run.steps).rev();
    let shift = steps.find(|(step, run)| {
        matches!(step.action, Action::Shift(_))
            && run.attempts > 0
            && !matches!(run.state, StepState::Undone | StepState::Skipped)
    });
    shift.filter(|(step, _)| step.undo == Undo::Auto).map(|(step, _)| step.id.clone())
}

/// The step that an override would start: the next one, or the one of a rollback that waits for its proof.
///
/// # Errors
/// Why there is none, in words for people.
pub fn may_override(ctx: Ctx<'_>) -> Result<(JobRef, &Step), String> {
    let (job, step) = if let Some(active) = ctx.run.active_rollback() {
        match rollback::next_job(ctx.plan, active) {
            Some((job, Some(step))) if ctx.run.job.is_none() && ctx.run.hold.is_none() => (job, step),
            _ => return Err("nothing waits for its proof".into()),
        }
    } else {
        if let Some(why) = barred(ctx) {
            return Err(why);
        }
        let step = upcoming(ctx)?;
        (JobRef::Step(step.id.clone()), step)
    };
    match shut(ctx, step) {
        None if step.windows.is_empty() => Err("its gate is open".into()),
        None => Err("its gate is open, and so is its window".into()),
        Some(_) => Ok((job, step)),
    }
}

/// The step that could be left out: the next one, or the one of a rollback that failed.
///
/// # Errors
/// Why there is none, in words for people.
pub fn may_skip(ctx: Ctx<'_>) -> Result<(JobRef, &Step), String> {
    let found = if let Some(active) = ctx.run.active_rollback() {
        match rollback::next_job(ctx.plan, active) {
            Some((job, Some(step))) => (job, step),
            _ => return Err("the rollback has no step that could be left out".into()),
        }
    } else {
        if ctx.run.finished.is_some() || rolled_back(ctx.run) {
            return Err("nothing goes forward any more".into());
        }
        let step = upcoming(ctx)?;
        (JobRef::Step(step.id.clone()), step)
    };
    // A script that goes on is ended when nobody waits for it any more, so it holds nobody up.
    settled(ctx, |call| !matches!(call, Call::RunScript { .. }))?;
    Ok(found)
}

/// The step that a person could have done by hand: the next one.
///
/// # Errors
/// Why there is none, in words for people.
pub fn may_be_done(ctx: Ctx<'_>) -> Result<&Step, String> {
    if ctx.run.active_rollback().is_some() {
        return Err("a rollback is going on: skip its step, with what was done as the reason".into());
    }
    let step = upcoming(ctx)?;
    match &ctx.run.job {
        Some(job) if job.acted.is_some() => Err("its action is done, its verify is what is missing".into()),
        Some(_) => may_leave(ctx).map(|()| step),
        None => barred(ctx).map_or(Ok(step), Err),
    }
}

fn upcoming(ctx: Ctx<'_>) -> Result<&Step, String> {
    ctx.run.next_step().map(|id| &ctx.plan.steps[id]).ok_or_else(|| "every step is done".into())
}
