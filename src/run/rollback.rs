//! Which rollback applies, what it would do, and whether it is ready.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::change::{self, Place, Read};
use super::command::Reply;
use super::decide::{Ctx, Decision, traffic_place};
use super::entry::{Entry, JobRef, RollbackRef};
use super::snapshot::{Armed, Freshness, StepState, Verdict};
use super::state::{CallRun, CallState, RollbackRun, Run, action_of, step_of};
use super::watch::refused;
use super::{gate, job, local, ready};
use crate::cloud::{Call, Millis};
use crate::plan::{Action, Plan, Rollback, Source, Step, StepId, Undo, format_ms};

/// The rollback that applies now, or the one that is named.
///
/// # Errors
/// When there is none, in words for people.
pub fn choose<'a>(ctx: Ctx<'a>, name: Option<&str>) -> Result<&'a Rollback, String> {
    match name {
        Some(name) => ctx.plan.rollbacks.iter().find(|r| r.name == name).ok_or_else(|| {
            let known: Vec<&str> = ctx.plan.rollbacks.iter().map(|r| r.name.as_str()).collect();
            format!("no rollback '{name}' in this plan; it has: {}", known.join(", "))
        }),
        None => applying(ctx).ok_or_else(|| "no rollback applies: nothing that it would take back has started".into()),
    }
}

/// The first rollback of the plan that is armed. When none is, the first whose step has started and whose window is
/// open, and past every window the last one whose step has started.
#[must_use]
pub fn applying(ctx: Ctx<'_>) -> Option<&Rollback> {
    if ctx.run.finished.is_some() {
        return None;
    }
    let started: Vec<&Rollback> = ctx.plan.rollbacks.iter().filter(|r| window_start(ctx, r).is_some()).collect();
    let armed = started.iter().find(|r| ready::readiness(ctx, r) == Armed::Armed);
    let open = || started.iter().find(|r| window_left(ctx, r).is_none_or(|left| left > 0));
    armed.or_else(open).or(started.last()).copied()
}

/// Since when a rollback applies.
#[must_use]
pub fn window_start(ctx: Ctx<'_>, rollback: &Rollback) -> Option<Millis> {
    began(ctx.run, rollback)
}

/// When the step that a rollback comes after was first started, or one behind it: where that step was left out, the
/// next one has to be taken back all the same.
#[must_use]
pub fn began(run: &Run, rollback: &Rollback) -> Option<Millis> {
    match rollback.after {
        Some(step) => run.steps[step..].iter().filter_map(|s| s.first_started).min(),
        None => Some(run.started),
    }
}

/// What is left of a rollback's window in milliseconds, less than nothing when it has closed; `None` when it has none,
/// or has not begun.
#[must_use]
pub fn window_left(ctx: Ctx<'_>, rollback: &Rollback) -> Option<i64> {
    Some(window_start(ctx, rollback)?.saturating_add(rollback.until_ms?) - ctx.now)
}

/// The job that a rollback does next, with its definition if it is a step of the plan's rollback; `None` when all are done.
#[must_use]
pub fn next_job<'a>(plan: &'a Plan, active: &RollbackRun) -> Option<(JobRef, Option<&'a Step>)> {
    match &active.of {
        RollbackRef::Undo(step) => (active.steps_done == 0).then(|| (JobRef::Undo(step.clone()), None)),
        RollbackRef::Plan(name) => {
            let step = plan.rollbacks.iter().find(|r| r.name == *name)?.steps.get(active.steps_done)?;
            Some((JobRef::Rollback(name.clone(), step.id.clone()), Some(step)))
        }
    }
}

/// Begins the rollback whose conditions all hold, if the plan asks for that, it is armed and nobody is looking at one.
pub fn begin_by_itself(ctx: Ctx<'_>, decision: &mut Decision) {
    let busy = ctx.run.rollback.as_ref().is_some_and(|r| r.done.is_none() || matches!(r.of, RollbackRef::Plan(_)));
    if busy || ctx.watch.prepared.is_some() {
        return;
    }
    for rollback in ctx.plan.rollbacks.iter().filter(|r| !r.auto.is_empty() && window_start(ctx, r).is_some()) {
        let holds = gate::all(ctx.plan, ctx.watch, &rollback.auto, ctx.now) == Verdict::Pass;
        if !holds || ready::readiness(ctx, rollback) != Armed::Armed {
            continue;
        }
        let of = RollbackRef::Plan(rollback.name.clone());
        let read_since = ctx.now - ready::READ_AGE_MS;
        let Offer { calls, fingerprint: Some(fingerprint), .. } = offer(ctx, &of, read_since) else { continue };
        let evidence = gate::evidence(ctx.plan, ctx.watch, &rollback.auto);
        let lag_ms = lag(ctx, Some(rollback)).map(|lag| lag.ms);
        decision.write(Entry::RollbackConfirmed { rollback: of, fingerprint, lag_ms, read_since, calls, evidence });
        return;
    }
}

/// Whether a step can be taken back by itself.
///
/// # Errors
/// Why not, in words for people.
pub fn undoable(ctx: Ctx<'_>, step: &str) -> Result<(), String> {
    let Some(id) = ctx.plan.step_named(step) else { return Err(format!("no step '{step}' in this plan")) };
    let definition = &ctx.plan.steps[id];
    let swaps = definition.action.can_be_put_back();
    if !swaps && !matches!(definition.undo, Undo::Script(_)) {
        return Err(match &definition.undo {
            Undo::OneWay(why) => format!("'{step}' is one-way: {why}"),
            Undo::Manual(how) => format!("'{step}' is taken back by hand: {how}"),
            Undo::Auto | Undo::Nothing | Undo::Script(_) => format!("'{step}' changes nothing that could be taken back"),
        });
    }
    if ctx.run.steps[id].attempts == 0 || ctx.run.steps[id].state == StepState::Undone {
        return Err(format!("'{step}' has not changed anything"));
    }
    match changed_on_top(ctx, id) {
        Some(later) => Err(format!("take back '{}' first: it changed the same after '{step}'", ctx.plan.steps[later].id)),
        None => Ok(()),
    }
}

/// A later step that changed what this one changed, and was not taken back: it would still count as done, although what
/// it did would be gone.
fn changed_on_top(ctx: Ctx<'_>, step: StepId) -> Option<StepId> {
    let places = change::places(ctx.plan, ctx.run, &ctx.plan.steps[step].action);
    let applied = |call: &&CallRun| call.doubtful || matches!(call.state, CallState::Open | CallState::Applied(..));
    let calls = ctx.run.calls.values().filter(applied).filter(|c| places.iter().any(|place| place.is_changed_by(&c.call)));
    let later = calls.filter_map(|call| step_of(ctx.plan, &call.job)).filter(|id| *id > step);
    later.filter(|id| ctx.run.steps[*id].state != StepState::Undone).max()
}

/// What a rollback would do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Calls in order, with the state of the records they start from.
    pub calls: Vec<Call>,
    /// Steps that are no calls, in words.
    pub by_hand: Vec<String>,
    /// Hash over name and calls; `None` while something has not been read yet.
    pub fingerprint: Option<String>,
    /// What stands in the way.
    pub problem: Option<String>,
    /// What will stop a later step of it, and never the traffic: a file that somebody changed, an output that is missing.
    pub caution: Option<String>,
}

/// Computes what a rollback would do, from records read at `since` or later.
#[must_use]
pub fn offer(ctx: Ctx<'_>, of: &RollbackRef, since: Millis) -> Offer {
    let mut offer = Offer { calls: Vec::new(), by_hand: Vec::new(), fingerprint: None, problem: None, caution: None };
    let mut complete = true;
    for (job, action) in actions(ctx, of) {
        match &action {
            Action::Restore { .. } | Action::Shift(_) | Action::Records(_) | Action::HealthCheck(_) | Action::Edit(_) => {
                let mut read = Read::default();
                let places = change::places(ctx.plan, ctx.run, &action);
                let mut problem = None;
                for place in &places {
                    match ctx.watch.found(place, since) {
                        Some(Ok(answer)) => read.insert(place.clone(), answer),
                        Some(Err(failure)) => problem = Some(format!("cannot read {place}: {}", failure.message)),
                        None => {}
                    }
                }
                let all_read = read.len() == places.len();
                if all_read {
                    match change::wanted(ctx.plan, ctx.run, &action, &read) {
                        Ok(wanted) => offer.calls.extend(change::batches(&wanted, &read)),
                        Err(why) => problem = Some(why),
                    }
                }
                // Files never stand in the way of traffic: their step stops when its turn comes, and says why.
                let only_files = !places.is_empty() && places.iter().all(|p| matches!(p, Place::File { .. }));
                let of_files = matches!(of, RollbackRef::Plan(_)) && only_files;
                if of_files && problem.is_some() {
                    offer.caution = problem;
                } else {
                    complete &= all_read && problem.is_none();
                    offer.problem = problem.or(offer.problem);
                }
            }
            Action::Stack(stack) => {
                offer.calls.push(Call::DeleteStack { region: stack.region.clone(), stack: stack.name.clone() });
            }
            Action::Switch(switch) => offer.calls.push(job::put(switch)),
            Action::Shell(script) => match local::script_call(ctx, &job, script) {
                Ok(call) => offer.calls.push(call),
                Err(why) => offer.caution = Some(why),
            },
            Action::Http(request) => match local::request_call(ctx, &job, request) {
                Ok(call) => offer.calls.push(call),
                Err(why) => offer.caution = Some(why),
            },
            Action::Approve { what, .. } => offer.by_hand.push(format!("approval: {what}")),
            Action::Checklist { items } => offer.by_hand.extend(items.iter().map(|item| item.text.clone())),
            Action::Soak { for_ms, .. } => offer.by_hand.push(format!("watch for {}", format_ms(*for_ms))),
        }
    }
    if complete {
        let text = format!("{of}\n{}", serde_json::to_string(&offer.calls).unwrap_or_default());
        offer.fingerprint =
            Some(Sha256::digest(text.as_bytes()).iter().take(8).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")));
    }
    offer
}

/// The actions of a rollback, in order.
fn actions(ctx: Ctx<'_>, of: &RollbackRef) -> Vec<(JobRef, Action)> {
    match of {
        RollbackRef::Undo(step) => {
            let job = JobRef::Undo(step.clone());
            let action = action_of(ctx.plan, &job).into_owned();
            vec![(job, action)]
        }
        RollbackRef::Plan(name) => {
            let found = ctx.plan.rollbacks.iter().find(|r| r.name == *name);
            let job = |step: &Step| (JobRef::Rollback(name.clone(), step.id.clone()), step.action.clone());
            found.map(|r| r.steps.iter().map(job).collect()).unwrap_or_default()
        }
    }
}

/// The places that the rollback which is shown, or any that applies, would change; and the traffic's record.
#[must_use]
pub fn places(ctx: Ctx<'_>) -> BTreeSet<Place> {
    let mut wanted: Vec<RollbackRef> = ctx.watch.prepared.iter().map(|p| p.of.clone()).collect();
    if ctx.run.finished.is_none() && ctx.run.active_rollback().is_none() {
        let started = ctx.plan.rollbacks.iter().filter(|r| window_start(ctx, r).is_some());
        wanted.extend(started.map(|r| RollbackRef::Plan(r.name.clone())));
    }
    let mut places: BTreeSet<Place> = traffic_place(ctx.plan).into_iter().collect();
    for (_, action) in wanted.iter().flat_map(|of| actions(ctx, of)) {
        places.extend(change::places(ctx.plan, ctx.run, &action));
    }
    places
}

/// Runs the rollback that is shown, if it is still what was shown.
#[must_use]
pub fn confirm(ctx: Ctx<'_>, name: &str, fingerprint: &str, word: Option<&str>) -> Decision {
    let refuse = |why: String| Decision { reply: Some(refused(why)), ..Decision::default() };
    let Some(prepared) = ctx.watch.prepared.as_ref().filter(|p| p.of.to_string() == name) else {
        return refuse(format!("rollback '{name}' is not being shown: prepare it first"));
    };
    let offer = offer(ctx, &prepared.of, prepared.since);
    match &offer.fingerprint {
        None => return refuse(offer.problem.unwrap_or_else(|| "the records are still being read".into())),
        Some(now) if now != fingerprint => return refuse("the records have changed since this was shown: look again".into()),
        Some(_) => {}
    }
    if let Some(wanted) = confirm_word(ctx, &prepared.of)
        && word != Some(wanted.as_str())
    {
        return refuse(format!("a one-way step was passed: type {wanted} to confirm"));
    }
    let entry = Entry::RollbackConfirmed {
        rollback: prepared.of.clone(),
        fingerprint: fingerprint.to_owned(),
        lag_ms: lag_of(ctx, &prepared.of).map(|lag| lag.ms),
        read_since: prepared.since,
        calls: offer.calls,
        evidence: Vec::new(),
    };
    Decision { entries: vec![(false, entry)], reply: Some(Reply::Ok("rolling back".into())), ..Decision::default() }
}

/// The word to type before a rollback, where a one-way step was passed.
#[must_use]
pub fn confirm_word(ctx: Ctx<'_>, of: &RollbackRef) -> Option<String> {
    let RollbackRef::Plan(name) = of else { return None };
    let rollback = ctx.plan.rollbacks.iter().find(|r| r.name == *name)?;
    let after = rollback.after.unwrap_or(0);
    let passed = one_way_passed(ctx);
    passed.iter().any(|step| *step >= after).then(|| rollback.to.clone())
}

/// One-way steps that have started.
#[must_use]
pub fn one_way_passed(ctx: Ctx<'_>) -> Vec<StepId> {
    let steps = ctx.plan.steps.iter().enumerate();
    steps.filter(|(id, s)| matches!(s.undo, Undo::OneWay(_)) && ctx.run.steps[*id].attempts > 0).map(|(id, _)| id).collect()
}

/// A replication lag as it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// The lag in milliseconds.
    pub ms: i64,
    /// When it was so.
    pub at: Millis,
    /// Whether that is fresh.
    pub freshness: Freshness,
}

/// What would be lost: the largest lag of the replication that leads where a rollback leads; of all replication when
/// the rollback names none. An old value is better than none, so its time comes with it; data that nobody has seen
/// for a day is none.
#[must_use]
pub fn lag(ctx: Ctx<'_>, rollback: Option<&Rollback>) -> Option<Lag> {
    let named = rollback.map(|r| r.replication.as_slice()).unwrap_or_default();
    let counts = |id: usize| match &ctx.plan.monitors[id].source {
        Source::Metric(metric) => {
            if named.is_empty() {
                metric.replication
            } else {
                named.contains(&id)
            }
        }
        _ => false,
    };
    let newest = |id: usize| {
        let sample = ctx.watch.rings[id].samples.iter().rev().find_map(|(at, value)| value.map(|v| (*at, v)))?;
        (ctx.now - sample.0 < 86_400_000).then(|| {
            let freshness = ctx.watch.freshness(ctx.plan, id, ctx.now);
            Lag { ms: sample.1 / 1_000, at: sample.0, freshness }
        })
    };
    (0..ctx.plan.monitors.len()).filter(|id| counts(*id)).filter_map(newest).max_by_key(|lag| lag.ms)
}

/// The lag of the rollback that goes by a name, for the journal.
#[must_use]
pub fn lag_of(ctx: Ctx<'_>, of: &RollbackRef) -> Option<Lag> {
    let rollback = match of {
        RollbackRef::Plan(name) => ctx.plan.rollbacks.iter().find(|r| r.name == *name),
        RollbackRef::Undo(_) => None,
    };
    lag(ctx, rollback)
}
