//! How one piece of work goes on: its action, then its verify.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{self, Place, Read, is_there};
use super::conflict;
use super::decide::{Ctx, Decision, token};
use super::entry::{CallOutcome, Entry, JobRef};
use super::gate::{self, is_usable};
use super::local;
use super::snapshot::{Conflict, StepState, Verdict};
use super::stacks::{self, Cause};
use super::state::{CallRun, CallState, Job, action_of, definition};
use crate::cloud::{Call, CallId, ChangeSetInfo, Millis, Query, StackInfo};
use crate::plan::{Action, Item, StackAction, StackChange, Switch, sha256_hex};

/// How often a change in progress is looked at, in milliseconds.
pub(super) const POLL_MS: i64 = 2_000;
/// How often the events of a step's own stack are read while it changes, in milliseconds.
const EVENTS_MS: i64 = 5_000;
/// A settled record change has no change id to ask about: it is taken to be in sync after this long (rule 7).
const SETTLED_SYNC_MS: i64 = 60_000;
/// A call whose answer was lost may still arrive for so long, in milliseconds. The client gives up after seconds.
const ARRIVES_MS: i64 = 60_000;
/// A job plans again at most this often when late calls of its own run change the records under it.
const REPLANS: usize = 5;

/// Takes the current job one step further.
pub fn advance(ctx: Ctx<'_>, job: &Job, decision: &mut Decision) {
    let action = action_of(ctx.plan, &job.of);
    let verify = definition(ctx.plan, &job.of).map(|step| step.verify.as_slice()).unwrap_or_default();
    if job.acted.is_some() {
        if gate::all(ctx.plan, ctx.watch, verify, ctx.now) == Verdict::Pass {
            decision.write(Entry::Done { job: job.of.clone(), evidence: gate::evidence(ctx.plan, ctx.watch, verify) });
        }
        return;
    }
    let papers = ctx.run.papers.get(&job.of);
    match action.as_ref() {
        action @ (Action::Shift(_) | Action::Records(_) | Action::HealthCheck(_) | Action::Edit(_) | Action::Restore { .. }) => {
            swap(ctx, job, action, decision);
        }
        Action::Shell(script) => local::run_script(ctx, job, script, decision),
        Action::Http(request) => local::make_request(ctx, job, request, decision),
        Action::Switch(switch) => flip(ctx, job, switch, decision),
        Action::Stack(stack) => match &stack.change {
            StackChange::Apply { .. } => apply_stack(ctx, job, stack, decision),
            StackChange::Delete => delete_stack(ctx, job, stack, decision),
        },
        Action::Soak { conditions, for_ms } => {
            let until = job.started + for_ms;
            if ctx.now < until {
                decision.wake_at(until);
            } else if gate::all(ctx.plan, ctx.watch, conditions, ctx.now) == Verdict::Pass {
                acted(job, decision);
            }
        }
        Action::Approve { count, .. } => {
            if papers.is_some_and(|p| p.approvals.len() >= *count as usize) {
                acted(job, decision);
            }
        }
        Action::Checklist { items } => {
            tick(ctx, job, items, decision);
            if papers.is_some_and(|p| (0..items.len()).all(|i| p.ticks.get(&i) == Some(&true))) {
                acted(job, decision);
            }
        }
    }
}

/// Ticks what ticks itself. It stays ticked: the journal says what was seen, and when.
fn tick(ctx: Ctx<'_>, job: &Job, items: &[Item], decision: &mut Decision) {
    let ticks = ctx.run.papers.get(&job.of).map(|papers| &papers.ticks);
    for (item, of) in items.iter().enumerate().filter(|(_, item)| !item.is_by_hand()) {
        let done = of.done.iter().all(|step| ctx.run.steps[*step].state == StepState::Done);
        let open = ticks.is_none_or(|ticks| ticks.get(&item) != Some(&true));
        if open && done && gate::all(ctx.plan, ctx.watch, &of.when, ctx.now) == Verdict::Pass {
            let steps = of.done.iter().map(|step| format!("{} is done", ctx.plan.steps[*step].id));
            let evidence = steps.chain(gate::evidence(ctx.plan, ctx.watch, &of.when)).collect();
            decision.write(Entry::Ticked { job: job.of.clone(), item, done: true, evidence });
        }
    }
}

pub(super) fn intend(ctx: Ctx<'_>, job: &Job, call: Call, decision: &mut Decision) {
    let id = ctx.run.calls.keys().next_back().map_or(1, |id| id + 1);
    decision.write(Entry::Intent { id, job: job.of.clone(), token: token(ctx.run, job), call });
}

pub(super) fn acted(job: &Job, decision: &mut Decision) {
    decision.write(Entry::Acted { job: job.of.clone(), by_hand: None, outputs: BTreeMap::new() });
}

/// A stack is as it shall be. Its outputs become values for later steps, if its template has any.
fn built(job: &Job, action: &StackAction, info: &StackInfo, decision: &mut Decision) {
    let StackChange::Apply { outputs: named, .. } = &action.change else { return acted(job, decision) };
    let given = info.outputs.iter().filter(|(name, _)| named.contains(name)).cloned();
    decision.write(Entry::Acted { job: job.of.clone(), by_hand: None, outputs: given.collect() });
}

pub(super) fn fail(job: &Job, reason: impl Into<String>, decision: &mut Decision) {
    decision.write(Entry::Failed { job: job.of.clone(), reason: reason.into(), conflict: None });
}

/// Stops before somebody else's change. Whoever starts the job again has seen it, and replaces it.
fn ask_about(job: &Job, conflict: Conflict, decision: &mut Decision) {
    let Conflict { before, now, .. } = &conflict;
    let reason = format!("conflict: somebody else changed it: it was '{before}', now it is '{now}'");
    decision.write(Entry::Failed { job: job.of.clone(), reason, conflict: Some(conflict) });
}

/// Sends a call once more after a pause that doubles: 1, 2, 4 … 30 seconds.
pub(super) fn resend(ctx: Ctx<'_>, id: CallId, call: &CallRun, why: &str, decision: &mut Decision) {
    let pause = (500_i64 << call.sendings.min(6)).min(30_000);
    if ctx.now < call.changed + pause {
        decision.wake_at(call.changed + pause);
    } else {
        decision.write(Entry::Resent { id, why: why.to_owned() });
    }
}

/// Changes of records and health checks: read, compare-and-swap, wait until in sync, read back.
fn swap(ctx: Ctx<'_>, job: &Job, action: &Action, decision: &mut Decision) {
    let restoring = !matches!(job.of, JobRef::Step(_));
    let frozen = ctx.run.hold.is_some();
    let mut since = job.read_since;
    let last = job.calls.last().and_then(|id| ctx.run.calls.get(id).map(|call| (*id, call)));
    let mut refusal = None;
    if let Some((id, call)) = last {
        since = call.changed;
        match &call.state {
            CallState::Open => return,
            CallState::Deferred(_) | CallState::Unknown(_) if frozen => return,
            CallState::Deferred(why) => return resend(ctx, id, call, why, decision),
            // A lost answer cannot be settled by reading alone: the change may land after the read. The identical
            // compare-and-swap can be sent again: it is refused if the first one was applied.
            CallState::Unknown(_) => {
                return resend(ctx, id, call, "its outcome is not known; the same compare-and-swap settles it", decision);
            }
            CallState::Applied(receipt, None) if matches!(call.call, Call::ChangeRecords { .. }) => {
                return await_sync(ctx, id, call, &receipt.id, decision);
            }
            // A health check's new version counts from the answer on; the checkers follow within seconds.
            CallState::Applied(_, None) => return decision.write(Entry::InSync { id }),
            CallState::Applied(_, Some(_)) => {}
            CallState::Refused(why) => refusal = Some((id, call, why)),
        }
    }
    let places = change::places(ctx.plan, ctx.run, action);
    let mut read = Read::default();
    for place in &places {
        match ctx.watch.found(place, since) {
            Some(Ok(answer)) => read.insert(place.clone(), answer),
            Some(Err(failure)) if failure.kind == crate::cloud::FailureKind::Refused => {
                return fail(job, failure.message.clone(), decision);
            }
            Some(Err(_)) => decision.ask(ctx, place.query(), POLL_MS),
            None => decision.ask(ctx, place.query(), 0),
        }
    }
    if read.len() < places.len() {
        return;
    }
    if let Some((id, call, _)) = refusal
        && call.doubtful
        && is_there(&call.call, &read)
    {
        decision.write(Entry::Outcome { id, outcome: CallOutcome::Settled });
        return;
    }
    match change::wanted(ctx.plan, ctx.run, action, &read) {
        Err(why) => fail(job, why, decision),
        Ok(wanted) => match change::batches(&wanted, &read).into_iter().next() {
            None if restoring => nothing_left(ctx, job, &places, &read, decision),
            None => acted(job, decision),
            Some(_) if frozen => {}
            Some(call) => match (conflict::in_the_way(ctx, job, &call, &read), refusal) {
                (Some(conflict), _) => ask_about(job, conflict, decision),
                (None, Some((_, refused, why))) if refused.call == call => fail(job, why.clone(), decision),
                (None, _) if job.calls.len() >= REPLANS => fail(job, "what this run sent late keeps coming back", decision),
                (None, _) => intend(ctx, job, call, decision),
            },
        },
    }
}

/// A rollback that finds nothing to put back is done only when nothing can undo that any more: a step's change that is
/// under way, or whose answer was lost, may arrive after the read. It is waited for and read again.
fn nothing_left(ctx: Ctx<'_>, job: &Job, places: &BTreeSet<Place>, read: &Read<'_>, decision: &mut Decision) {
    let calls = ctx.run.calls.values().filter(|c| c.job != job.of && places.iter().any(|place| place.is_changed_by(&c.call)));
    let mut quiet = Millis::MIN;
    for call in calls {
        match &call.state {
            // Its answer, or that there is none, will be told.
            CallState::Open => return,
            _ if call.doubtful && change::may_land(&call.call, read) => quiet = quiet.max(call.changed + ARRIVES_MS),
            CallState::Applied(..) => quiet = quiet.max(call.changed),
            _ => {}
        }
    }
    if quiet > ctx.now {
        return decision.wake_at(quiet);
    }
    let mut unread = places.iter().filter(|place| ctx.watch.found(place, quiet).is_none()).peekable();
    if unread.peek().is_none() {
        acted(job, decision);
    }
    for place in unread {
        decision.ask(ctx, place.query(), 0);
    }
}

/// The data-plane switch. Nothing is read first: it must work when the control planes do not answer. The same value
/// again changes nothing, so whatever was lost is sent again.
fn flip(ctx: Ctx<'_>, job: &Job, switch: &Switch, decision: &mut Decision) {
    let last = job.calls.last().and_then(|id| ctx.run.calls.get(id).map(|call| (*id, call)));
    let frozen = ctx.run.hold.is_some();
    match last.map(|(id, call)| (id, call, &call.state)) {
        None if !frozen => intend(ctx, job, put(switch), decision),
        None | Some((_, _, CallState::Open)) => {}
        // A hold stops the next sending too.
        Some((_, _, CallState::Deferred(_) | CallState::Unknown(_))) if frozen => {}
        Some((id, call, CallState::Deferred(why) | CallState::Unknown(why))) => resend(ctx, id, call, why, decision),
        Some((_, _, CallState::Refused(why))) => fail(job, why.clone(), decision),
        Some((id, _, CallState::Applied(_, None))) => decision.write(Entry::InSync { id }),
        Some((_, _, CallState::Applied(_, Some(_)))) => acted(job, decision),
    }
}

/// The call that flips a switch.
#[must_use]
pub fn put(switch: &Switch) -> Call {
    Call::PutMetric {
        region: switch.region.clone(),
        namespace: switch.namespace.clone(),
        metric: switch.metric.clone(),
        dimensions: switch.dimensions.clone(),
        value: switch.value,
    }
}

fn await_sync(ctx: Ctx<'_>, id: CallId, call: &CallRun, change: &str, decision: &mut Decision) {
    if change.is_empty() {
        if ctx.now - call.changed >= SETTLED_SYNC_MS {
            decision.write(Entry::InSync { id });
        } else {
            decision.wake_at(call.changed + SETTLED_SYNC_MS);
        }
        return;
    }
    let query = Query::Change { id: change.to_owned() };
    let answered = ctx.watch.answer(&query, call.changed).map(|a| &a.result);
    match answered {
        Some(Ok(crate::cloud::Answer::Change { in_sync: true })) => decision.write(Entry::InSync { id }),
        _ => decision.ask(ctx, query, POLL_MS),
    }
}

/// The template text of a stack action.
#[must_use]
pub fn template(action: &StackAction) -> Option<String> {
    match &action.change {
        StackChange::Apply { template, .. } => Some(template.clone()),
        StackChange::Delete => None,
    }
}

/// The query for a job's change set.
fn change_set_query(ctx: Ctx<'_>, job: &Job) -> Option<(Query, Millis)> {
    let call = ctx.run.calls.get(job.calls.first()?)?;
    let Call::CreateChangeSet { region, stack, change_set, .. } = &call.call else { return None };
    let query = Query::ChangeSet { region: region.clone(), stack: stack.clone(), change_set: change_set.clone() };
    Some((query, call.changed))
}

/// The change set of a job, once it can be executed.
#[must_use]
pub fn change_set<'a>(ctx: Ctx<'a>, job: &Job) -> Option<&'a ChangeSetInfo> {
    let (query, since) = change_set_query(ctx, job)?;
    ctx.watch.change_set(&query, since)?.filter(|info| info.executable)
}

/// True when a change set replaces or removes something (rule 18).
#[must_use]
pub fn is_destructive(info: &ChangeSetInfo) -> bool {
    info.changes.iter().any(|c| c.replacement == "True" || c.replacement == "Conditional" || c.action == "Remove")
}

/// Create or update a stack: change set, review, execution.
fn apply_stack(ctx: Ctx<'_>, job: &Job, action: &StackAction, decision: &mut Decision) {
    let frozen = ctx.run.hold.is_some();
    let mut calls = job.calls.iter().filter_map(|id| ctx.run.calls.get(id).map(|call| (*id, call)));
    let Some((id, created)) = calls.next() else { return prepare_change_set(ctx, job, action, frozen, decision) };
    match &created.state {
        CallState::Open => return,
        CallState::Refused(why) => return fail(job, why.clone(), decision),
        CallState::Deferred(why) | CallState::Unknown(why) => {
            // The same token and name make it safe to ask again.
            if !frozen {
                resend(ctx, id, created, why, decision);
            }
            return;
        }
        CallState::Applied(..) => {}
    }
    let Some((id, executed)) = calls.next() else { return review(ctx, job, action, frozen, decision) };
    match &executed.state {
        CallState::Open => {}
        CallState::Deferred(why) | CallState::Unknown(why) => {
            if !frozen {
                resend(ctx, id, executed, why, decision);
            }
        }
        CallState::Refused(why) => match look(ctx, action, executed.changed, decision) {
            // It was executed by a sending whose answer was lost.
            Some(Some(info)) if executed.doubtful && !info.status.starts_with("REVIEW") => {
                decision.write(Entry::Outcome { id, outcome: CallOutcome::Settled });
            }
            Some(_) => fail(job, why.clone(), decision),
            None => {}
        },
        CallState::Applied(..) => {
            events(ctx, action, decision);
            match look(ctx, action, executed.changed, decision).flatten() {
                Some(info) if is_usable(&info.status) => built(job, action, info, decision),
                Some(info) if is_over(&info.status) => fail_with_cause(ctx, job, action, info, decision),
                _ => decision.ask(ctx, stack_query(action), POLL_MS),
            }
        }
    }
}

fn prepare_change_set(ctx: Ctx<'_>, job: &Job, action: &StackAction, frozen: bool, decision: &mut Decision) {
    let StackChange::Apply { template, parameters, capabilities, .. } = &action.change else { return };
    let Some(info) = look(ctx, action, job.started, decision) else { return };
    let create = match info.map(|i| i.status.as_str()) {
        None | Some("REVIEW_IN_PROGRESS" | "DELETE_COMPLETE") => true,
        Some("ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED") => {
            return fail(job, "a failed creation is in the way: the stack can only be deleted", decision);
        }
        Some(status) if status.ends_with("_IN_PROGRESS") => return decision.ask(ctx, stack_query(action), POLL_MS),
        Some(_) => false,
    };
    if frozen {
        return;
    }
    let value = |(name, text): (&String, &crate::plan::Text)| {
        Ok((name.clone(), text.value(|step, output| ctx.run.output(ctx.plan, step, output))?))
    };
    let parameters = match parameters.iter().map(value).collect::<Result<Vec<_>, String>>() {
        Ok(parameters) => parameters,
        Err(why) => return fail(job, why, decision),
    };
    let call = Call::CreateChangeSet {
        region: action.region.clone(),
        stack: action.name.clone(),
        change_set: format!("cutover-{}", token(ctx.run, job).get(..12).unwrap_or_default()),
        create,
        template_sha256: sha256_hex(template),
        parameters,
        capabilities: capabilities.clone(),
    };
    intend(ctx, job, call, decision);
}

fn review(ctx: Ctx<'_>, job: &Job, action: &StackAction, frozen: bool, decision: &mut Decision) {
    let Some((query, since)) = change_set_query(ctx, job) else { return };
    let Query::ChangeSet { change_set, .. } = &query else { return };
    match ctx.watch.change_set(&query, since).flatten() {
        Some(info) if info.no_changes => {
            if let Some(Some(stack)) = look(ctx, action, since, decision) {
                built(job, action, stack, decision);
            }
        }
        Some(info) if info.status == "FAILED" => fail(job, format!("change set failed: {}", info.reason), decision),
        Some(info) if info.executable => {
            let lets_go = job.reviewed || (ctx.run.going.is_some() && !is_destructive(info));
            if lets_go && !frozen {
                let call = Call::ExecuteChangeSet {
                    region: action.region.clone(),
                    stack: action.name.clone(),
                    change_set: change_set.clone(),
                };
                intend(ctx, job, call, decision);
            }
        }
        _ => decision.ask(ctx, query, POLL_MS),
    }
}

fn delete_stack(ctx: Ctx<'_>, job: &Job, action: &StackAction, decision: &mut Decision) {
    let last = job.calls.last().and_then(|id| ctx.run.calls.get(id).map(|call| (*id, call)));
    let since = last.map_or(job.started, |(_, call)| call.changed);
    let frozen = ctx.run.hold.is_some();
    match last.map(|(id, call)| (id, call, &call.state)) {
        Some((_, _, CallState::Open)) => {}
        Some((_, _, CallState::Refused(why))) => fail(job, why.clone(), decision),
        Some((id, call, CallState::Deferred(why) | CallState::Unknown(why))) => {
            if !frozen {
                resend(ctx, id, call, why, decision);
            }
        }
        Some((_, _, CallState::Applied(..))) => {
            events(ctx, action, decision);
            match look(ctx, action, since, decision) {
                Some(None) => acted(job, decision),
                Some(Some(info)) if info.status == "DELETE_COMPLETE" => acted(job, decision),
                Some(Some(info)) if info.status == "DELETE_FAILED" => fail_with_cause(ctx, job, action, info, decision),
                Some(Some(_)) => decision.ask(ctx, stack_query(action), POLL_MS),
                None => {}
            }
        }
        None => match look(ctx, action, since, decision) {
            Some(None) => acted(job, decision),
            Some(Some(_)) if !frozen => {
                let call = Call::DeleteStack { region: action.region.clone(), stack: action.name.clone() };
                intend(ctx, job, call, decision);
            }
            _ => {}
        },
    }
}

fn stack_query(action: &StackAction) -> Query {
    Query::Stack { region: action.region.clone(), stack: action.name.clone() }
}

/// The stack as seen at `since` or later; asks for it when it was not.
#[expect(clippy::option_option, reason = "not looked yet, and looked but not there, are different things")]
fn look<'a>(ctx: Ctx<'a>, action: &StackAction, since: Millis, decision: &mut Decision) -> Option<Option<&'a StackInfo>> {
    let seen = ctx.watch.stack(&action.region, &action.name, since);
    if seen.is_none() {
        decision.ask(ctx, stack_query(action), if ctx.watch.failures > 0 { POLL_MS } else { 0 });
    }
    seen
}

fn events(ctx: Ctx<'_>, action: &StackAction, decision: &mut Decision) {
    stacks::ask_events(ctx, &action.region, &action.name, EVENTS_MS, decision);
}

/// True for a status that will not change by itself.
fn is_over(status: &str) -> bool {
    !status.ends_with("_IN_PROGRESS")
}

/// Fails a job with what failed first in its stack, once that is known.
fn fail_with_cause(ctx: Ctx<'_>, job: &Job, action: &StackAction, info: &StackInfo, decision: &mut Decision) {
    let seen = ctx.watch.answer(&stack_query(action), job.started).map_or(ctx.now, |answered| answered.asked);
    match ctx.watch.stacks.cause(&action.region, &action.name, seen) {
        Cause::Unread(stack) => stacks::ask_events(ctx, &action.region, stack, 0, decision),
        Cause::Found { within, event } => {
            fail(job, format!("{}: {}", info.status, stacks::in_words(&within, event)), decision);
        }
        Cause::Nothing => fail(job, format!("{}: {}", info.status, info.reason), decision),
    }
}
