//! What has to hold whatever happens: the promises of the design's page on reliability, looked at after every event.

use cutover::cloud::{Answer, Call, CallId, Effect, Millis, Query};
use cutover::plan::{Action, Plan};
use cutover::run::change::{Place, places};
use cutover::run::core::Draft;
use cutover::run::decide::moves_traffic;
use cutover::run::entry::{CallOutcome, Entry, JobRef, RollbackRef};
use cutover::run::event::Event;
use cutover::run::snapshot::{Outcome, StepState};
use cutover::run::state::{CallState, Run, definition};

use crate::ledger::Ledger;
use crate::process::Process;
use crate::records::Author;
use crate::story::{Story, WayBack};

/// An engine writes an entry.
pub fn entry(story: &mut Story, engine: usize, draft: &Draft) -> Result<(), String> {
    let plan = story.plan.clone();
    let now = story.now;
    let process = &mut story.engines[engine];
    process.book.entry(&plan, now, &draft.actor, &draft.entry)?;
    let process = &story.engines[engine];
    let shut = |conditions: &[usize]| process.readings.shut(&plan, conditions, now);
    let behind = |what: &str, why: Option<String>| match why {
        Some(why) => Err(format!("{what} '{}': {why}", draft.entry.line())),
        None => Ok(()),
    };
    match &draft.entry {
        Entry::Started { job, overridden: None, .. } => {
            let step = definition(&plan, job).filter(|s| matches!(job, JobRef::Step(_)) || !moves_traffic(&s.action));
            behind("behind a shut gate", step.and_then(|s| shut(&s.gate)))?;
            story.count("steps started");
        }
        Entry::Done { job, .. } => behind("not verified", definition(&plan, job).and_then(|s| shut(&s.verify)))?,
        Entry::Started { .. } => story.count("gates overridden"),
        Entry::Skipped { .. } => story.count("steps skipped"),
        Entry::Acted { by_hand: Some(_), .. } => story.count("done by hand"),
        Entry::Acted { job, by_hand: None, .. } => {
            let step = definition(&plan, job);
            if let Some(Action::Soak { conditions, .. }) = step.map(|s| &s.action) {
                behind("watched and did not hold", shut(conditions))?;
            }
            behind("did nothing", step.and_then(|s| not_there(story, &s.action)))?;
        }
        Entry::Outcome { id, outcome: CallOutcome::Accepted(_) | CallOutcome::Settled } => {
            let token = process.core.run.calls.get(id).map(|c| c.token.clone()).unwrap_or_default();
            let stack = !matches!(process.core.run.calls.get(id).map(|c| &c.call), Some(Call::ChangeRecords { .. }));
            // What others wrote may be just what was wanted; then the call may count as done.
            let is_there = process.core.run.calls.get(id).is_some_and(|c| story.records.is_there(&c.call));
            if !stack && !story.applied.contains_key(&token) && !is_there {
                return Err(format!("'{}', but the world never did", draft.entry.line()));
            }
            story.count(if matches!(draft.entry, Entry::Outcome { outcome: CallOutcome::Settled, .. }) {
                "settled"
            } else {
                "accepted"
            });
        }
        Entry::Outcome { outcome: CallOutcome::Refused(_), .. } => story.count("refused"),
        Entry::Outcome { outcome: CallOutcome::Unknown(_), .. } => story.count("unknown"),
        Entry::Resent { .. } => story.count("sent again"),
        Entry::Failed { job, conflict, .. } => {
            if let Some(conflict) = conflict {
                story.told.push((job.clone(), conflict.now.clone()));
                story.count("conflicts shown");
            }
            story.count("steps failed");
        }
        Entry::InSync { id } => in_sync(story, engine, *id)?,
        Entry::Finished { outcome: Outcome::Completed } => {
            behind("the records are not as the plan ends", ends_elsewhere(story, &process.core.run))?;
        }
        Entry::RollbackConfirmed { .. } => story.count("rollbacks confirmed"),
        Entry::RollbackDone { rollback } => {
            let confirmed = story.engines[engine].book.rollback.as_ref();
            if let Some(confirmed) = confirmed.filter(|r| !r.is_partial).map(|r| r.at)
                && let Some(why) = story.records.not_restored(rollback, confirmed, &process.core.run)
            {
                return Err(format!("'{}': {why}", draft.entry.line()));
            }
            story.count("rollbacks done");
        }
        _ => {}
    }
    Ok(())
}

/// What the last step that changes a record, and is done, has not left there. A step that was left out after it had
/// changed something, or that somebody did by hand, leaves nobody knows what.
fn ends_elsewhere(story: &Story, run: &Run) -> Option<String> {
    let mut last = std::collections::BTreeMap::new();
    for (step, run_of_step) in story.plan.steps.iter().zip(&run.steps) {
        let never = run_of_step.attempts == 0 || run_of_step.state == StepState::Undone;
        for place in places(&story.plan, run, &step.action).into_iter().filter(|_| !never) {
            let is_known = run_of_step.state == StepState::Done && run_of_step.by_hand.is_none();
            last.insert(place, is_known.then_some(&step.action));
        }
    }
    last.values().flatten().find_map(|action| not_there(story, action))
}

/// A change counts as in sync only when it is. One that was settled has no id to ask about.
fn in_sync(story: &mut Story, engine: usize, id: CallId) -> Result<(), String> {
    let call = story.engines[engine].core.run.calls.get(&id);
    let Some(CallState::Applied(receipt, _)) = call.map(|c| c.state.clone()) else { return Ok(()) };
    if receipt.id.is_empty() {
        return Ok(());
    }
    let (_, event) = story.world.perform(story.now, &Effect::Ask(Query::Change { id: receipt.id }));
    match event {
        Event::Answer { result: Ok(Answer::Change { in_sync: false }), .. } => Err(format!("call {id} is not in sync")),
        _ => Ok(()),
    }
}

/// Why a step that changes records has not done what it says. What others wrote is their business.
fn not_there(story: &Story, action: &Action) -> Option<String> {
    let wrong = |zone: &str, key: cutover::plan::RecordKey, wanted: &dyn Fn(Option<&cutover::plan::RecordSet>) -> bool| {
        let key = (zone.to_owned(), key);
        let there = story.records.get(&key);
        let by_others = matches!(story.records.author(&key), Author::Other(_));
        (!by_others && !wanted(there)).then(|| format!("{:?} is {there:?}", key.1))
    };
    match action {
        Action::Shift(shift) => shift.weights.iter().find_map(|(set, weight)| {
            let key = cutover::plan::RecordKey { name: shift.record.clone(), kind: shift.kind.clone(), set: Some(set.clone()) };
            wrong(&shift.zone, key, &|r| r.is_some_and(|r| r.weight == Some(*weight)))
        }),
        Action::Records(records) => {
            let put = records.put.iter().find_map(|p| {
                // What earlier steps gave, as the durable entries have it.
                match p.resolved(|step, name| story.ledger.run.output(&story.plan, step, name)) {
                    Ok(put) => wrong(&records.zone, put.key(), &|r| r == Some(&put)),
                    Err(why) => Some(why),
                }
            });
            put.or_else(|| records.remove.iter().find_map(|key| wrong(&records.zone, key.clone(), &|r| r.is_none())))
        }
        _ => None,
    }
}

/// An engine sends a call: its intent must be durable, and each sending must be.
pub fn sending(story: &mut Story, engine: usize, id: CallId, token: &str, call: &Call) -> Result<(), String> {
    let intent = story.ledger.intents.get(&id);
    let epoch = story.engines[engine].epoch;
    if intent.is_none_or(|i| i.token != token || i.call != *call) {
        return Err(format!("#{engine} sends call {id} without a durable intent"));
    }
    let sent = story.engines[engine].sent.entry(id).or_default();
    *sent += 1;
    let allowed = story.ledger.sendings.get(&(id, epoch)).copied().unwrap_or(0);
    if *sent > allowed {
        return Err(format!("#{engine} sends call {id} for the {sent}. time, and {allowed} durable entries say so"));
    }
    Ok(())
}

/// The world has taken on a change.
pub fn applied(story: &mut Story, sent: Millis, token: &str, call: &Call, author: &Author) -> Result<(), String> {
    let plan = story.plan.clone();
    let now = story.now;
    if let Author::Run(job) = author {
        if let Some(earlier) = story.applied.get(token) {
            again(story, sent, earlier, call)?;
            story.count("put back by others, and done again");
        }
        over_others(story, job, call)?;
        story.applied.entry(token.to_owned()).or_default().push(now);
    }
    story.records.applied(&plan, now, call, author)
}

/// A change may be done a second time only where somebody else has put back exactly what was there before it: no
/// compare-and-swap can tell that from never having been done (rule 10). What the run itself has put back stays so,
/// unless the change was under way already.
fn again(story: &Story, sent: Millis, earlier: &[Millis], call: &Call) -> Result<(), String> {
    let Call::ChangeRecords { zone, delete, .. } = call else { return Err(format!("{call:?} was done twice")) };
    let put_back = delete.iter().map(|r| (zone.clone(), r.key())).filter_map(|key| story.records.put_back_at(&key)).max();
    match put_back {
        Some(at) if sent > at => {
            Err(format!("a change that was done at {earlier:?} was sent again at {sent} after the run put it back"))
        }
        _ => Ok(()),
    }
}

/// What others wrote is replaced only where somebody was shown it: when the rollback was confirmed, or when the job failed
/// on it before it was started again. A step that is the first of the run to change a record takes it as it finds it.
fn over_others(story: &mut Story, job: &JobRef, call: &Call) -> Result<(), String> {
    let Call::ChangeRecords { zone, delete, .. } = call else { return Ok(()) };
    let plan = story.plan.clone();
    let confirmed = story.ledger.book.rollback.as_ref().map(|r| r.fingerprint.clone()).unwrap_or_default();
    for record in delete {
        let key = (zone.clone(), record.key());
        if !matches!(story.records.author(&key), Author::Other(_)) {
            continue;
        }
        let text = record.to_string();
        let is_step = matches!(job, JobRef::Step(_));
        let was_told = story.told.iter().any(|(of, now)| of == job && now.contains(&text));
        let was_shown = !is_step
            && story.shown.get(&confirmed).is_some_and(|calls| {
                calls.iter().any(|c| matches!(c, Call::ChangeRecords { delete, .. } if delete.contains(record)))
            });
        let run = &story.ledger.run;
        let place = Place::Records { zone: zone.clone(), name: record.name.clone() };
        let of_place = plan.steps.iter().zip(&run.steps).filter(|(s, _)| places(&plan, run, &s.action).contains(&place));
        let by_hand = of_place.filter_map(|(_, run)| run.by_hand).max();
        let how = match story.records.left(&key) {
            _ if was_told => "others' edits replaced after a conflict was shown",
            _ if was_shown => "others' edits replaced as shown before the rollback",
            Some(left) if left.as_ref() == Some(record) => "others' edits that are just what the run had left",
            _ if by_hand.is_some() => "others' edits replaced after somebody did a step by hand",
            None if is_step => "others' edits found by the first change of a record",
            _ => return Err(format!("{job} replaces '{text}', which somebody else wrote, and nobody was shown it")),
        };
        story.count(how);
    }
    Ok(())
}

/// What is durable and what is about to be give the run that the engine had in mind.
pub fn fold(plan: &Plan, ledger: &Ledger, process: &Process) -> Result<(), String> {
    let mut run = ledger.run.clone();
    for draft in process.not_durable() {
        run.apply(plan, draft.at, &draft.actor, &draft.entry);
    }
    if run == process.core.run { Ok(()) } else { Err("the engine's run is not the fold of its entries".into()) }
}

/// Everything has come to rest.
pub fn end(story: &Story) -> Result<(), String> {
    for process in story.engines.iter().filter(|e| e.is_alive && e.epoch == story.ledger.epoch) {
        fold(&story.plan, &story.ledger, process)?;
    }
    if story.ledger.book.rolled_back()
        && let Some(confirmed) = story.ledger.book.rollback.as_ref().filter(|r| !r.is_partial)
        && let Some(why) = story.records.not_restored(&confirmed.of, confirmed.at, &story.ledger.run)
    {
        return Err(format!("after everything came to rest: {why}"));
    }
    // Where nothing can be rolled back, nothing must be owed.
    if story.way_back == WayBack::None
        && let Some(rollback) =
            story.plan.rollbacks.iter().find(|r| story.records.owes(&RollbackRef::Plan(r.name.clone()), &story.ledger.run))
    {
        return Err(format!("nothing can be rolled back, but {} is owed", rollback.name));
    }
    Ok(())
}
