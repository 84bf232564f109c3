//! Which rollback applies, what it would do, and whether it is ready.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::change::{self, Place, Read};
use super::command::Reply;
use super::decide::{Ctx, Decision, traffic_place};
use super::entry::{Entry, RollbackRef};
use super::gate;
use super::snapshot::{Armed, Freshness, StepState, Verdict};
use super::state::CallState;
use super::watch::refused;
use crate::cloud::{Call, Millis, Value};
use crate::plan::{Action, Condition, Rollback, Source, State, StepId, Test, Undo, format_ms};

/// Records read longer ago than this do not arm anything, in milliseconds.
const READ_AGE_MS: i64 = 180_000;

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

/// The first rollback of the plan whose step has started and whose window is open; past every window the last one
/// whose step has started.
#[must_use]
pub fn applying(ctx: Ctx<'_>) -> Option<&Rollback> {
    if ctx.run.finished.is_some() {
        return None;
    }
    let mut started = ctx.plan.rollbacks.iter().filter(|r| window_start(ctx, r).is_some());
    let open =
        ctx.plan.rollbacks.iter().find(|r| {
            window_start(ctx, r).is_some_and(|from| r.until_ms.is_none_or(|until| ctx.now < from.saturating_add(until)))
        });
    open.or_else(|| started.next_back())
}

/// Since when a rollback applies.
#[must_use]
pub fn window_start(ctx: Ctx<'_>, rollback: &Rollback) -> Option<Millis> {
    match rollback.after {
        Some(step) => ctx.run.steps[step].first_started,
        None => Some(ctx.run.started),
    }
}

/// Whether a step can be taken back by itself.
///
/// # Errors
/// Why not, in words for people.
pub fn undoable(ctx: Ctx<'_>, step: &str) -> Result<(), String> {
    let Some(id) = ctx.plan.step_named(step) else { return Err(format!("no step '{step}' in this plan")) };
    let definition = &ctx.plan.steps[id];
    if !matches!(definition.action, Action::Shift(_) | Action::Records(_)) {
        return Err(match &definition.undo {
            Undo::OneWay(why) => format!("'{step}' is one-way: {why}"),
            Undo::Manual(how) => format!("'{step}' is taken back by hand: {how}"),
            Undo::Auto | Undo::Nothing => format!("'{step}' changes nothing that could be taken back"),
        });
    }
    if ctx.run.steps[id].attempts == 0 || ctx.run.steps[id].state == StepState::Undone {
        return Err(format!("'{step}' has not changed anything"));
    }
    Ok(())
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
}

/// Computes what a rollback would do, from records read at `since` or later.
#[must_use]
pub fn offer(ctx: Ctx<'_>, of: &RollbackRef, since: Millis) -> Offer {
    let mut offer = Offer { calls: Vec::new(), by_hand: Vec::new(), fingerprint: None, problem: None };
    let mut complete = true;
    for action in actions(ctx, of) {
        match &action {
            Action::Restore { .. } | Action::Shift(_) | Action::Records(_) => {
                let mut read = Read::new();
                let places = change::places(ctx.plan, ctx.run, &action);
                for place in &places {
                    match ctx.watch.records(place, since) {
                        Some(Ok(sets)) => {
                            read.insert(place.clone(), sets);
                        }
                        Some(Err(failure)) => offer.problem = Some(format!("cannot read {}: {}", place.name, failure.message)),
                        None => {}
                    }
                }
                if read.len() < places.len() {
                    complete = false;
                    continue;
                }
                match change::wanted(ctx.plan, ctx.run, &action, &read) {
                    Ok(wanted) => offer.calls.extend(change::batches(&wanted, &read)),
                    Err(why) => {
                        offer.problem = Some(why);
                        complete = false;
                    }
                }
            }
            Action::Stack(stack) => {
                offer.calls.push(Call::DeleteStack { region: stack.region.clone(), stack: stack.name.clone() });
            }
            Action::Approve { what, .. } => offer.by_hand.push(format!("approval: {what}")),
            Action::Checklist { items } => offer.by_hand.extend(items.iter().cloned()),
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
fn actions(ctx: Ctx<'_>, of: &RollbackRef) -> Vec<Action> {
    match of {
        RollbackRef::Undo(step) => vec![Action::Restore { steps: ctx.plan.step_named(step).into_iter().collect() }],
        RollbackRef::Plan(name) => {
            let found = ctx.plan.rollbacks.iter().find(|r| r.name == *name);
            found.map(|r| r.steps.iter().map(|s| s.action.clone()).collect()).unwrap_or_default()
        }
    }
}

/// The places that the rollback which is shown, or the one that applies, would change; and the traffic's record.
#[must_use]
pub fn places(ctx: Ctx<'_>) -> BTreeSet<Place> {
    let of = ctx.watch.prepared.as_ref().map(|p| p.of.clone());
    let of = of.or_else(|| applying(ctx).map(|r| RollbackRef::Plan(r.name.clone())));
    let mut places: BTreeSet<Place> = traffic_place(ctx.plan).into_iter().collect();
    for action in of.map(|of| actions(ctx, &of)).unwrap_or_default() {
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
        lag_ms: lag_ms(ctx),
        read_since: prepared.since,
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

/// The largest fresh replication lag in milliseconds.
#[must_use]
pub fn lag_ms(ctx: Ctx<'_>) -> Option<i64> {
    let lags = ctx.plan.monitors.iter().enumerate().filter_map(|(id, monitor)| match &monitor.source {
        Source::Metric(metric) if metric.replication && ctx.watch.freshness(ctx.plan, id, ctx.now) == Freshness::Fresh => {
            match ctx.watch.rings[id].latest.as_ref()?.value {
                Value::Number(micros) => Some(micros / 1_000),
                _ => None,
            }
        }
        _ => None,
    });
    lags.max()
}

/// Whether a rollback is ready: what it would change was read lately and is as this run left it, and the region
/// that it leads to answers by direct probe.
#[must_use]
pub fn readiness(ctx: Ctx<'_>, rollback: &Rollback) -> Armed {
    let of = RollbackRef::Plan(rollback.name.clone());
    let offer = offer(ctx, &of, ctx.now - READ_AGE_MS);
    if let Some(problem) = offer.problem {
        return Armed::NotArmed(problem);
    }
    if offer.fingerprint.is_none() {
        return Armed::NotArmed("the records have not been read lately".into());
    }
    if let Some(conflict) = conflict(ctx, rollback) {
        return Armed::NotArmed(conflict);
    }
    let label = ctx.plan.region_label(&rollback.to);
    let probes: Vec<_> = ctx
        .plan
        .monitors
        .iter()
        .enumerate()
        .filter(|(_, m)| m.region.as_ref() == Some(&rollback.to) && matches!(&m.source, Source::Http(h) if h.from == "local"))
        .collect();
    for (id, monitor) in probes {
        let condition = Condition { monitor: id, test: Test::Is(State::Healthy), over_ms: 60_000, for_ms: 0, samples: 0 };
        match ctx.watch.freshness(ctx.plan, id, ctx.now) {
            Freshness::Fresh => {}
            Freshness::Stale | Freshness::Missing => return Armed::NotArmed(format!("no fresh probe of {label}")),
        }
        let mut tracker = gate::Tracker::default();
        tracker.reading(&condition, &ctx.watch.rings[id], monitor, ctx.now, false, false);
        if let Some(Verdict::Fail(why)) = tracker.why {
            return Armed::NotArmed(format!("{label} is not healthy: {why}"));
        }
    }
    Armed::Armed
}

/// A record that is not as this run left it. While a change of this run's own is on its way there is nothing to tell.
fn conflict(ctx: Ctx<'_>, rollback: &Rollback) -> Option<String> {
    for action in rollback.steps.iter().map(|s| &s.action) {
        for place in change::places(ctx.plan, ctx.run, action) {
            let newest = ctx.run.calls.values().rev().find_map(|call| match &call.call {
                Call::ChangeRecords { zone, create, .. }
                    if *zone == place.zone
                        && !matches!(call.state, CallState::Refused(_))
                        && create.iter().any(|r| r.name == place.name) =>
                {
                    Some((&call.state, call.changed, create))
                }
                _ => None,
            });
            let Some((CallState::Applied(_, Some(_)), changed, create)) = newest else { continue };
            let Some(Ok(sets)) = ctx.watch.records(&place, changed) else { continue };
            if let Some(other) = create.iter().filter(|r| r.name == place.name).find(|r| !sets.contains(r)) {
                let now = sets.iter().find(|r| r.key() == other.key()).map_or_else(|| "gone".to_owned(), ToString::to_string);
                return Some(format!("somebody else changed it: this run left '{other}', now it is '{now}'"));
            }
        }
    }
    None
}
