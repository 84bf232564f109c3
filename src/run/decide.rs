//! What happens next: a pure function of plan, run, watch, time and event.
//!
//! Deciding is level-triggered: whatever the event was, [`advance`] looks at the whole state and says what is
//! missing. That is why a crash, a lost event or a repeated one cannot make it lose its place.

use sha2::{Digest, Sha256};

use super::change::Place;
use super::command::{Command, DrillCommand, Reply};
use super::entry::{CallOutcome, Entry, JobRef, RollbackRef};
use super::event::Event;
use super::snapshot::{Outcome, StepState, Verdict};
use super::state::{CallState, Job, Run, definition};
use super::watch::{Prepared, Watch, refused};
use super::{choice, gate, job, local, outage, rollback, stacks, window};
use crate::cloud::{Call, CallId, Effect, Failure, FailureKind, Millis, Query, Receipt};
use crate::plan::{Action, ConditionId, Plan, Step, StepId, Undo};

/// A run that goes on by itself gives up waiting for a gate after this long, in milliseconds.
const GOING_PATIENCE_MS: i64 = 1_800_000;
/// After this many failures in a row the run holds.
const FAILURES_TO_HOLD: u32 = 3;
/// How often the traffic's record is read when nothing else wants it, in milliseconds.
pub(super) const BACKGROUND_READ_MS: i64 = 60_000;
/// How often the records are read that a rollback on the screen would change, in milliseconds.
pub(super) const PREPARED_READ_MS: i64 = 5_000;
/// How often it is looked how long the credentials are valid, in milliseconds.
const CREDENTIALS_MS: i64 = 300_000;
/// A rollback is over at the latest this long after its last step, even if users still fail.
const ROLLBACK_WATCH_MS: i64 = 3_600_000;

/// Everything a decision looks at.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The run, a fold of its journal.
    pub run: &'a Run,
    /// What is observed.
    pub watch: &'a Watch,
    /// What time it is.
    pub now: Millis,
}

/// What was decided.
#[derive(Debug, Default)]
pub struct Decision {
    /// Entries to write, in order; `true` when they are the engine's own and not the commander's.
    pub entries: Vec<(bool, Entry)>,
    /// Effects to perform once the entries are durable.
    pub effects: Vec<Effect>,
    /// What to tell whoever asked.
    pub reply: Option<Reply>,
    /// When to look again if nothing happens.
    pub wake: Option<Millis>,
    /// Show this rollback from now on.
    pub prepare: Option<Prepared>,
    /// Silence the alerts that stand now.
    pub acknowledge: bool,
    /// The records that a rollback would change were looked after.
    pub looked_after: bool,
}

impl Decision {
    /// Writes an entry of the engine's own.
    pub fn write(&mut self, entry: Entry) {
        self.entries.push((true, entry));
    }

    /// Asks to be called again at this time.
    pub fn wake_at(&mut self, at: Millis) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    /// Asks a query, at most once at a time and not before `interval_ms` after the last time.
    pub fn ask(&mut self, ctx: Ctx<'_>, query: Query, interval_ms: i64) {
        match ctx.watch.may_ask(&query, interval_ms) {
            None => {}
            Some(at) if at > ctx.now => self.wake_at(at),
            Some(_) if self.effects.iter().any(|e| matches!(e, Effect::Ask(q) if *q == query)) => {}
            Some(_) => self.effects.push(Effect::Ask(query)),
        }
    }

    /// Says no, and why.
    pub fn refuse(why: impl Into<String>) -> Decision {
        Decision { reply: Some(refused(why)), ..Decision::default() }
    }

    fn by_command(entry: Entry, reply: &str) -> Decision {
        Decision { entries: vec![(false, entry)], reply: Some(Reply::Ok(reply.into())), ..Decision::default() }
    }
}

/// Decides on one event.
#[must_use]
pub fn decide(ctx: Ctx<'_>, event: Event) -> Decision {
    match event {
        Event::Command { by, command } => command_given(ctx, &by, command),
        Event::Sent { id, sending, result } => call_answered(ctx, id, sending, result),
        Event::Answer { .. } | Event::Tick => advance(ctx),
    }
}

/// Notes what came of a call that is under way. What an earlier sending was answered says nothing about the one that is
/// under way now, unless it was applied: that it is, whatever the later ones will be answered.
fn call_answered(ctx: Ctx<'_>, id: CallId, sending: u32, result: Result<Receipt, Failure>) -> Decision {
    let mut decision = Decision::default();
    let open = ctx.run.calls.get(&id).filter(|c| matches!(c.state, CallState::Open));
    if !open.is_some_and(|call| sending == call.sendings || result.is_ok()) {
        return decision;
    }
    let outcome = match result {
        Ok(receipt) => CallOutcome::Accepted(receipt),
        Err(failure) => match failure.kind {
            FailureKind::Refused => CallOutcome::Refused(failure.message),
            FailureKind::Throttled | FailureKind::Credentials | FailureKind::Unreachable => {
                CallOutcome::Deferred(failure.message)
            }
            FailureKind::Unknown => CallOutcome::Unknown(failure.message),
        },
    };
    decision.write(Entry::Outcome { id, outcome });
    decision
}

fn command_given(ctx: Ctx<'_>, by: &str, command: Command) -> Decision {
    let run = ctx.run;
    if run.finished.is_some() && !matches!(command, Command::Note { .. } | Command::Drill { .. } | Command::Acknowledge) {
        return Decision::refuse("the run has ended");
    }
    match command {
        Command::Start { step } => match blocked(ctx) {
            Some(why) => Decision::refuse(why),
            None => match run.next_step().map(|id| &ctx.plan.steps[id]) {
                Some(next) if next.id == step => Decision::by_command(started(ctx, next), "started"),
                Some(next) => Decision::refuse(format!("the next step is '{}' now", next.id)),
                None => Decision::refuse("every step is done"),
            },
        },
        Command::Override { step, reason } => or_refuse(choice::start_anyway(ctx, by, &step, &reason)),
        Command::Skip { step, reason } => or_refuse(choice::skip(ctx, &step, &reason)),
        Command::DoneByHand { step, reason } => or_refuse(choice::done_by_hand(ctx, by, &step, &reason)),
        Command::GoOn if run.hold.is_some() => Decision::refuse("the run is held: continue first"),
        Command::GoOn if run.active_rollback().is_some() || rolled_back(run) => Decision::refuse("a rollback is going on"),
        Command::GoOn => Decision::by_command(Entry::GoOn { on: true, why: String::new() }, "going on until something needs you"),
        Command::Execute { step, word } => execute(ctx, &step, word.as_deref()),
        Command::Hold { .. } if run.hold.is_some() => {
            Decision { reply: Some(Reply::Ok("held already".into())), ..Decision::default() }
        }
        Command::Hold { reason } => Decision::by_command(Entry::Held { reason }, "held: nothing new starts"),
        Command::Continue if run.hold.is_none() => Decision::refuse("nothing is held"),
        Command::Continue => Decision::by_command(Entry::Continued {}, "continued"),
        Command::Approve { step } => match current(ctx, &step) {
            Some((job, Action::Approve { .. })) => Decision::by_command(Entry::Approved { job: job.of.clone() }, "approved"),
            _ => Decision::refuse(format!("'{step}' is not waiting for an approval")),
        },
        Command::Tick { step, item, done } => match current(ctx, &step) {
            Some((job, Action::Checklist { items })) if item < items.len() => {
                if !done && !items[item].is_by_hand() {
                    return Decision::refuse("this item ticks itself: it cannot be unticked");
                }
                let entry = Entry::Ticked { job: job.of.clone(), item, done, evidence: Vec::new() };
                Decision::by_command(entry, if done { "ticked" } else { "unticked" })
            }
            _ => Decision::refuse(format!("'{step}' has no such item to tick now")),
        },
        Command::PrepareRollback { .. } | Command::PrepareUndo { .. } | Command::PrepareBackOff
            if run.active_rollback().is_some() || rolled_back(run) =>
        {
            Decision::refuse("a rollback is going on")
        }
        Command::PrepareRollback { name } => match rollback::choose(ctx, name.as_deref()) {
            Ok(rollback) => freeze(ctx, RollbackRef::Plan(rollback.name.clone())),
            Err(why) => Decision::refuse(why),
        },
        Command::PrepareUndo { step } => match rollback::undoable(ctx, &step) {
            Ok(()) => freeze(ctx, RollbackRef::Undo(step)),
            Err(why) => Decision::refuse(why),
        },
        Command::PrepareBackOff => match choice::last_shift(ctx).map(|step| (rollback::undoable(ctx, &step), step)) {
            Some((Ok(()), step)) => freeze(ctx, RollbackRef::Undo(step)),
            Some((Err(why), _)) => Decision::refuse(why),
            None => Decision::refuse("no stage of a ramp has been sent yet"),
        },
        Command::ConfirmRollback { name, offer, word } => rollback::confirm(ctx, &name, &offer, word.as_deref()),
        Command::CancelRollback => {
            Decision { reply: Some(Reply::Ok("put away; the run is still held".into())), ..Decision::default() }
        }
        // The engine knows what can be written; the core only hears of it when there is nothing to go without.
        Command::WithoutJournal { .. } => Decision::refuse("the journal can be written"),
        Command::Acknowledge => {
            Decision { reply: Some(Reply::Ok("acknowledged".into())), acknowledge: true, ..Decision::default() }
        }
        Command::Note { text } => Decision::by_command(Entry::Note { text }, "noted"),
        Command::Drill { what: DrillCommand::Inject(fault) } => Decision::by_command(Entry::Injected { fault }, "injected"),
        Command::Drill { .. } => Decision { reply: Some(Reply::Ok(String::new())), ..Decision::default() },
    }
}

fn or_refuse(chosen: Result<Decision, String>) -> Decision {
    chosen.unwrap_or_else(Decision::refuse)
}

/// Freezes forward progress and shows a rollback.
fn freeze(ctx: Ctx<'_>, of: RollbackRef) -> Decision {
    let mut decision =
        Decision { reply: Some(Reply::Ok(format!("frozen; reading what '{of}' would change"))), ..Decision::default() };
    if ctx.run.hold.is_none() {
        decision.entries.push((false, Entry::Held { reason: format!("looking at rollback {of}") }));
    }
    decision.prepare = Some(Prepared { of, since: ctx.now });
    decision
}

fn execute(ctx: Ctx<'_>, step: &str, word: Option<&str>) -> Decision {
    let Some((running, Action::Stack(action))) = current(ctx, step) else {
        return Decision::refuse(format!("'{step}' has no change set to execute"));
    };
    let Some(info) = job::change_set(ctx, running) else { return Decision::refuse("the change set is not ready yet") };
    if ctx.run.hold.is_some() {
        return Decision::refuse("the run is held: continue first");
    }
    if job::is_destructive(info) && word != Some(action.region.as_str()) {
        return Decision::refuse(format!("this change set replaces or removes something: type {} to execute it", action.region));
    }
    Decision::by_command(Entry::Reviewed { job: running.of.clone() }, "executing the change set")
}

/// The current job with its action, if it goes by that name.
fn current<'a>(ctx: Ctx<'a>, name: &str) -> Option<(&'a Job, &'a Action)> {
    let job = ctx.run.job.as_ref()?;
    let step = definition(ctx.plan, &job.of)?;
    (step.id == name || job.of.to_string() == name).then_some((job, &step.action))
}

/// Why the next step cannot be started now; `None` when it can.
#[must_use]
pub fn blocked(ctx: Ctx<'_>) -> Option<String> {
    barred(ctx).or_else(|| {
        let step = &ctx.plan.steps[ctx.run.next_step()?];
        shut(ctx, step)
    })
}

/// What a step waits for before it may start: its window first, then its gate. `None` when both are open.
#[must_use]
pub fn shut(ctx: Ctx<'_>, step: &Step) -> Option<String> {
    window::shut(step, ctx.now).or_else(|| match gate::all(ctx.plan, ctx.watch, &step.gate, ctx.now) {
        Verdict::Pass => None,
        Verdict::Fail(why) => Some(why),
        Verdict::Unknown(why) => Some(format!("UNKNOWN {why}")),
    })
}

/// What the journal keeps of that when a step is started.
#[must_use]
pub fn evidence(ctx: Ctx<'_>, step: &Step) -> Vec<String> {
    let window = window::evidence(step, ctx.now).into_iter();
    window.chain(gate::evidence(ctx.plan, ctx.watch, &step.gate)).collect()
}

/// Why the next step could not even be started if its gate were open.
#[must_use]
pub fn barred(ctx: Ctx<'_>) -> Option<String> {
    let run = ctx.run;
    if let Some((outcome, _)) = &run.finished {
        return Some(format!("the run has ended: {}", outcome.word()));
    }
    if let Some(rollback) = run.active_rollback() {
        return Some(format!("rollback {} is going on", rollback.of));
    }
    if rolled_back(run) {
        return Some("rolled back; waiting until users are served again".into());
    }
    if let Some(hold) = &run.hold {
        return Some(format!("held: {}", hold.reason));
    }
    if let Some(job) = &run.job {
        return Some(format!("{} is going on", job.of));
    }
    let Some(next) = run.next_step() else { return Some("every step is done".into()) };
    let step = &ctx.plan.steps[next];
    let missing = step.needs.iter().find(|id| !run.steps[**id].state.is_over());
    missing.map(|id| format!("needs '{}' first", ctx.plan.steps[*id].id))
}

/// True when a rollback of the plan has done all its steps: nothing goes forward any more.
#[must_use]
pub fn rolled_back(run: &Run) -> bool {
    run.rollback.as_ref().is_some_and(|r| r.done.is_some() && matches!(r.of, RollbackRef::Plan(_)))
}

fn started(ctx: Ctx<'_>, step: &Step) -> Entry {
    Entry::Started { job: JobRef::Step(step.id.clone()), evidence: evidence(ctx, step), overridden: None }
}

/// Looks at everything and says what is missing.
#[must_use]
pub fn advance(ctx: Ctx<'_>) -> Decision {
    let mut decision = Decision::default();
    let (due, wake) = ctx.watch.due(ctx.now);
    decision.effects.extend(due.into_iter().map(|group| Effect::Ask(Query::Poll(group))));
    decision.wake_at(wake);
    send_open_calls(ctx, &mut decision);
    if ctx.run.finished.is_some() || ctx.run.entries == 0 {
        return decision;
    }
    outage::track(ctx, &mut decision);
    background_reads(ctx, &mut decision);
    stacks::follow(ctx, &mut decision);
    hold_on_failures(ctx, &mut decision);
    hold_on_breach(ctx, &mut decision);
    if decision.entries.is_empty() {
        rollback::begin_by_itself(ctx, &mut decision);
    }
    if !decision.entries.is_empty() {
        return decision;
    }
    if let Some(running) = &ctx.run.job {
        job::advance(ctx, running, &mut decision);
    } else if let Some(active) = ctx.run.active_rollback() {
        next_rollback_step(ctx, active, &mut decision);
    } else if let Some(rollback) = ctx.run.rollback.as_ref().filter(|r| matches!(r.of, RollbackRef::Plan(_))) {
        let over = rollback.done.is_some_and(|done| ctx.now - done >= ROLLBACK_WATCH_MS);
        if ctx.run.open_outage().is_none() || over {
            decision.write(Entry::Finished { outcome: Outcome::RolledBack });
        } else if let Some(done) = rollback.done {
            decision.wake_at(done + ROLLBACK_WATCH_MS);
        }
    } else if ctx.run.next_step().is_none() {
        decision.write(Entry::Finished { outcome: Outcome::Completed });
    } else if let (Some(since), Some(next)) = (ctx.run.going, ctx.run.next_step()) {
        go_on(ctx, since, next, &mut decision);
    }
    decision
}

/// Hands out every call that is intended and not under way.
fn send_open_calls(ctx: Ctx<'_>, decision: &mut Decision) {
    for (id, call) in &ctx.run.calls {
        if matches!(call.state, CallState::Open) && !ctx.watch.is_sent(*id) {
            let text = match (&call.call, definition(ctx.plan, &call.job).map(|s| &s.action)) {
                (Call::CreateChangeSet { .. }, Some(Action::Stack(action))) => job::template(action),
                (Call::RunScript { .. }, _) => local::text(ctx.plan, &call.job),
                _ => None,
            };
            let (sending, token, call) = (call.sendings, call.token.clone(), call.call.clone());
            decision.effects.push(Effect::Send { id: *id, sending, token, call, text });
        }
        // A script that nobody waits for any more, because its step was left or a rollback began, is ended.
        let runs = matches!((&call.call, &call.state), (Call::RunScript { .. }, CallState::Open)) && ctx.watch.is_sent(*id);
        let awaited = ctx.run.job.as_ref().is_some_and(|job| job.calls.contains(id));
        if runs && !awaited && !ctx.watch.is_stopped(*id) {
            decision.effects.push(Effect::Stop { id: *id, sending: call.sendings });
        }
    }
}

/// Keeps the records that a rollback would change read, so that it is shown and proved without waiting.
///
/// Finding out which ones costs more than everything else an event does, so without a rollback on the screen it is
/// done every few seconds only.
fn background_reads(ctx: Ctx<'_>, decision: &mut Decision) {
    if ctx.watch.prepared.is_none() && ctx.now < ctx.watch.look_after {
        decision.wake_at(ctx.watch.look_after);
        return;
    }
    decision.looked_after = true;
    decision.ask(ctx, Query::Credentials, CREDENTIALS_MS);
    for place in rollback::places(ctx) {
        let query = place.query();
        match &ctx.watch.prepared {
            Some(prepared) if ctx.watch.answer(&query, prepared.since).is_none() => decision.ask(ctx, query, 1_000),
            Some(_) => decision.ask(ctx, query, PREPARED_READ_MS),
            None => decision.ask(ctx, query, BACKGROUND_READ_MS),
        }
    }
}

/// The place that carries the users' traffic.
#[must_use]
pub fn traffic_place(plan: &Plan) -> Option<Place> {
    plan.traffic.as_ref().map(|t| Place::Records { zone: t.zone.clone(), name: t.record.clone() })
}

fn hold_on_failures(ctx: Ctx<'_>, decision: &mut Decision) {
    let working = ctx.run.job.is_some() && ctx.run.active_rollback().is_none() && ctx.run.hold.is_none();
    let Some(failure) = ctx.watch.failure.as_ref().filter(|_| working && ctx.watch.failures > 0) else { return };
    if failure.kind == FailureKind::Credentials {
        decision.write(Entry::Held { reason: format!("credentials: {}", failure.message) });
    } else if ctx.watch.failures >= FAILURES_TO_HOLD {
        decision.write(Entry::Held { reason: format!("{} failures in a row: {}", ctx.watch.failures, failure.message) });
    }
}

/// A monitor whose breach holds the run was within its limit and is not any more. What was breached when somebody
/// continued is known to them.
fn hold_on_breach(ctx: Ctx<'_>, decision: &mut Decision) {
    let run = ctx.run;
    let forward = run.job.is_some() || run.going.is_some();
    if !forward || run.hold.is_some() || run.active_rollback().is_some() || !decision.entries.is_empty() {
        return;
    }
    let news = |since: Millis| since > run.continued.unwrap_or(Millis::MIN);
    for (monitor, ring) in ctx.plan.monitors.iter().zip(&ctx.watch.rings) {
        if let (Some(_), Some(limit)) = (ring.breached.filter(|since| news(*since)), &monitor.limit) {
            let value = gate::limited(monitor, ring).map_or_else(String::new, |value| gate::show(monitor, limit.stat, value));
            let stat = gate::stat_name(limit.stat);
            decision.write(Entry::Held { reason: format!("{} {stat} is {value}, limit {}", monitor.title, limit.above) });
            return;
        }
    }
}

fn next_rollback_step(ctx: Ctx<'_>, active: &super::state::RollbackRun, decision: &mut Decision) {
    if ctx.run.hold.is_some() {
        return;
    }
    if let Some((job, step)) = rollback::next_job(ctx.plan, active) {
        // Moving traffic in a rollback is never gated; anything else needs its proof.
        let proof = step.filter(|s| !moves_traffic(&s.action)).map(|s| s.gate.as_slice()).unwrap_or_default();
        if gate::all(ctx.plan, ctx.watch, proof, ctx.now) == Verdict::Pass {
            let evidence = gate::evidence(ctx.plan, ctx.watch, proof);
            decision.write(Entry::Started { job, evidence, overridden: None });
        }
        return;
    }
    decision.write(Entry::RollbackDone { rollback: active.of.clone() });
    if let RollbackRef::Undo(step) = &active.of {
        decision.write(Entry::Held { reason: format!("{step} was taken back") });
    }
}

/// True for an action that moves users' traffic and deletes nothing.
#[must_use]
pub fn moves_traffic(action: &Action) -> bool {
    matches!(action, Action::Restore { .. } | Action::Shift(_) | Action::Records(_) | Action::HealthCheck(_) | Action::Switch(_))
}

fn go_on(ctx: Ctx<'_>, since: Millis, next: StepId, decision: &mut Decision) {
    let step = &ctx.plan.steps[next];
    if matches!(ctx.run.steps[next].state, StepState::Failed) {
        decision.write(Entry::GoOn { on: false, why: format!("{} failed", step.id) });
    } else if let Undo::OneWay(_) = step.undo {
        decision.write(Entry::GoOn { on: false, why: format!("{} is one-way: start it by hand", step.id) });
    } else if let Some(why) = blocked(ctx) {
        // What opens soon is waited for like a gate; nobody watches a run that would begin again days later.
        let opens = window::opens(step, ctx.now);
        if let Some(opens) = opens {
            decision.wake_at(opens);
        }
        if window::shut(step, ctx.now).is_some() && opens.is_none_or(|opens| opens - ctx.now > GOING_PATIENCE_MS) {
            decision.write(Entry::GoOn { on: false, why: format!("{}: {why}", step.id) });
            return;
        }
        let waiting_since = ctx.run.steps.iter().filter_map(|s| s.ended).max().unwrap_or(since).max(since);
        if ctx.now - waiting_since >= GOING_PATIENCE_MS {
            decision.write(Entry::GoOn { on: false, why: format!("waited 30m for the gate of {}: {why}", step.id) });
        } else {
            decision.wake_at(waiting_since + GOING_PATIENCE_MS);
        }
    } else {
        decision.write(started(ctx, step));
    }
}

/// The conditions that matter now: those of the job that is going on, or the gate of what comes next, and those on
/// which a rollback begins by itself.
#[must_use]
pub fn attention(plan: &Plan, run: &Run) -> Vec<ConditionId> {
    if run.finished.is_some() {
        return Vec::new();
    }
    let mut conditions = work_conditions(plan, run);
    // What has to be true in the end is judged when the end is near: before, it would only cost readings.
    let last = plan.phases.len().saturating_sub(1);
    if run.next_step().is_none_or(|step| plan.steps[step].phase == last) {
        conditions.extend(plan.about.success.iter().flat_map(|criterion| &criterion.when));
    }
    if run.active_rollback().is_none() {
        let begun = |r: &&crate::plan::Rollback| rollback::began(run, r).is_some();
        conditions.extend(plan.rollbacks.iter().filter(begun).flat_map(|r| &r.auto));
    }
    conditions
}

fn work_conditions(plan: &Plan, run: &Run) -> Vec<ConditionId> {
    if let Some(job) = &run.job {
        return match definition(plan, &job.of) {
            Some(step) if job.acted.is_some() => step.verify.clone(),
            Some(Step { action: Action::Soak { conditions, .. }, .. }) => conditions.clone(),
            Some(Step { action: Action::Checklist { items }, .. }) => items.iter().flat_map(|i| i.when.clone()).collect(),
            _ => Vec::new(),
        };
    }
    if let Some(active) = run.active_rollback() {
        return rollback::next_job(plan, active).and_then(|(_, step)| step).map_or_else(Vec::new, |s| s.gate.clone());
    }
    run.next_step().map_or_else(Vec::new, |id| plan.steps[id].gate.clone())
}

/// The idempotency token of a job's next call: a hash of run, job, attempt and ordinal.
#[must_use]
pub fn token(run: &Run, job: &Job) -> String {
    let text = format!("{}\n{}\n{}\n{}", run.token_base, job.of, job.attempt, job.calls.len());
    Sha256::digest(text.as_bytes()).iter().take(16).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
