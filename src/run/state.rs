//! The state of a run, as a fold of its journal. Only [`Run::apply`] changes it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::change::Found;
use super::entry::{CallOutcome, Entry, JobRef, RollbackRef};
use super::snapshot::{Conflict, Outcome, StepState};
use crate::cloud::{Call, CallId, Millis, Receipt};
use crate::plan::{Action, Plan, Step, StepId, Undo};

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Run {
    /// Time of the genesis entry.
    pub started: Millis,
    /// Which date day 1 of the plan is, where somebody said it.
    pub day_one: Option<jiff::civil::Date>,
    /// What tokens are made from.
    pub token_base: String,
    /// The steps, by number.
    pub steps: Vec<StepRun>,
    /// The piece of work that is going on: one at a time.
    pub job: Option<Job>,
    /// Every call ever intended, by number.
    pub calls: BTreeMap<CallId, CallRun>,
    /// Approvals and ticks by job.
    pub papers: BTreeMap<JobRef, Papers>,
    /// Nothing new starts.
    pub hold: Option<Hold>,
    /// It goes on by itself, since then.
    pub going: Option<Millis>,
    /// When a hold was last ended by a person: what was breached before is known to them.
    pub continued: Option<Millis>,
    /// Who asked for a step to be started behind its shut gate, and why.
    pub overrides: BTreeMap<JobRef, BTreeMap<String, String>>,
    /// What somebody else had changed where a job failed because of it, until it goes through.
    pub conflicts: BTreeMap<JobRef, Conflict>,
    /// The rollback that was confirmed last.
    pub rollback: Option<RollbackRun>,
    /// Outages seen so far; the last one may be going on.
    pub outages: Vec<Outage>,
    /// How it ended, and when.
    pub finished: Option<(Outcome, Millis)>,
    /// Number of entries applied.
    pub entries: u64,
    /// What the calls so far have changed, worked out when it is first asked for after an entry.
    pub found: Memo<Found>,
}

/// Something that follows from the rest of a value and is kept because working it out takes time: it makes no difference
/// to whether two values are equal.
#[derive(Debug, Clone)]
pub struct Memo<T>(OnceLock<T>);

impl<T> Memo<T> {
    /// What is kept, worked out now if it is not.
    pub fn get_or_init(&self, work_out: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(work_out)
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Memo(OnceLock::new())
    }
}

impl<T> PartialEq for Memo<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Memo<T> {}

/// State of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRun {
    /// State.
    pub state: StepState,
    /// How often it was started.
    pub attempts: u32,
    /// When it was started first; windows of rollbacks count from here.
    pub first_started: Option<Millis>,
    /// When it was started last.
    pub started: Option<Millis>,
    /// When it was done, failed, interrupted or taken back.
    pub ended: Option<Millis>,
    /// Why it failed or was skipped; else empty.
    pub reason: String,
    /// When a person last did its action by hand: what the places then held is no surprise.
    pub by_hand: Option<Millis>,
    /// What it gave for later steps.
    pub outputs: BTreeMap<String, String>,
}

/// A piece of work: a step, a step of a rollback, or an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which.
    pub of: JobRef,
    /// How often it was started, counting this time.
    pub attempt: u32,
    /// When.
    pub started: Millis,
    /// Records read at or after this time are fresh enough for its first call.
    pub read_since: Millis,
    /// Its calls, in order.
    pub calls: Vec<CallId>,
    /// Somebody let its change set be executed.
    pub reviewed: bool,
    /// When its action was done; then it is verifying.
    pub acted: Option<Millis>,
}

/// A call and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRun {
    /// Job it belongs to.
    pub job: JobRef,
    /// Idempotency token.
    pub token: String,
    /// The call.
    pub call: Call,
    /// How often it was sent.
    pub sendings: u32,
    /// True if the outcome of some sending was never learnt.
    pub doubtful: bool,
    /// When something was last learnt of it.
    pub changed: Millis,
    /// What is known.
    pub state: CallState,
}

/// What is known of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallState {
    /// Intended, perhaps sent: no outcome.
    Open,
    /// Applied; since when it is in sync, if it is.
    Applied(Receipt, Option<Millis>),
    /// Certainly not applied; may be sent again.
    Deferred(String),
    /// Certainly not applied by the last sending; will not be sent again.
    Refused(String),
    /// May have been applied.
    Unknown(String),
}

/// Signatures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Papers {
    /// Who approved.
    pub approvals: Vec<String>,
    /// Which items are ticked.
    pub ticks: BTreeMap<usize, bool>,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Millis,
}

/// A rollback that was confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRun {
    /// Which.
    pub of: RollbackRef,
    /// When.
    pub confirmed: Millis,
    /// Replication lag at that moment in milliseconds.
    pub lag_ms: Option<i64>,
    /// Records read since then are as shown.
    pub read_since: Millis,
    /// The calls that were shown.
    pub shown: Vec<Call>,
    /// One of its steps was started.
    pub begun: bool,
    /// Steps of it that are done.
    pub steps_done: usize,
    /// When its last call was in sync.
    pub in_sync: Option<Millis>,
    /// When it was done.
    pub done: Option<Millis>,
}

/// An outage as the service monitor saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// First bad sample.
    pub began: Millis,
    /// When it was noticed.
    pub detected: Millis,
    /// First good sample after the last bad one.
    pub ended: Option<Millis>,
}

impl Run {
    /// A run before its first entry.
    #[must_use]
    pub fn new(plan: &Plan) -> Run {
        let pending = StepRun {
            state: StepState::Pending,
            attempts: 0,
            first_started: None,
            started: None,
            ended: None,
            reason: String::new(),
            by_hand: None,
            outputs: BTreeMap::new(),
        };
        Run { steps: vec![pending; plan.steps.len()], ..Run::default() }
    }

    /// Folds one entry into the state.
    ///
    /// An entry that does not fit (a step that the plan no longer has) changes nothing: a journal must stay
    /// readable, and whoever writes entries has checked them before.
    #[allow(clippy::too_many_lines, reason = "one arm per kind of entry, read top to bottom")]
    pub fn apply(&mut self, plan: &Plan, at: Millis, actor: &str, entry: &Entry) {
        self.entries += 1;
        self.found = Memo::default();
        match entry {
            Entry::Genesis { token_base, .. } => {
                self.started = at;
                self.token_base.clone_from(token_base);
            }
            // Whoever wrote it has checked it; a date that is none leaves the calendar as it was.
            Entry::DayOne { date } => self.day_one = date.parse().ok().or(self.day_one),
            Entry::EngineStarted { open, .. } => {
                // Whatever was in flight when the last engine died may or may not have arrived.
                for id in open {
                    if let Some(call) = self.calls.get_mut(id) {
                        call.state = CallState::Unknown("the engine stopped before the answer came".into());
                        call.doubtful = true;
                        call.changed = at;
                    }
                }
                self.going = None;
            }
            Entry::Started { job, .. } => self.start(plan, at, job),
            Entry::Intent { id, job, token, call } => {
                let call = CallRun {
                    job: job.clone(),
                    token: token.clone(),
                    call: call.clone(),
                    sendings: 1,
                    doubtful: false,
                    changed: at,
                    state: CallState::Open,
                };
                self.calls.insert(*id, call);
                if let Some(job) = &mut self.job {
                    job.calls.push(*id);
                }
            }
            Entry::Resent { id, .. } => {
                if let Some(call) = self.calls.get_mut(id) {
                    call.sendings += 1;
                    call.state = CallState::Open;
                    call.changed = at;
                }
            }
            Entry::Outcome { id, outcome } => {
                if let Some(call) = self.calls.get_mut(id) {
                    call.changed = at;
                    if matches!(outcome, CallOutcome::Accepted(_) | CallOutcome::Settled) {
                        self.conflicts.remove(&call.job);
                    }
                    if let (CallOutcome::Accepted(receipt), Some(step)) = (outcome, step_of(plan, &call.job)) {
                        self.steps[step].outputs.extend(receipt.outputs.clone());
                    }
                    call.state = match outcome {
                        CallOutcome::Accepted(receipt) => CallState::Applied(receipt.clone(), None),
                        CallOutcome::Settled => CallState::Applied(Receipt::default(), None),
                        CallOutcome::Deferred(why) => CallState::Deferred(why.clone()),
                        CallOutcome::Refused(why) => CallState::Refused(why.clone()),
                        CallOutcome::Unknown(why) => {
                            call.doubtful = true;
                            CallState::Unknown(why.clone())
                        }
                    };
                }
            }
            Entry::InSync { id } => {
                if let Some(call) = self.calls.get_mut(id) {
                    if let CallState::Applied(_, in_sync) = &mut call.state {
                        *in_sync = Some(at);
                    }
                    call.changed = at;
                    if !matches!(call.job, JobRef::Step(_))
                        && call.call.moves_traffic()
                        && let Some(rollback) = &mut self.rollback
                    {
                        rollback.in_sync = Some(at);
                    }
                }
            }
            Entry::Reviewed { .. } => {
                if let Some(job) = &mut self.job {
                    job.reviewed = true;
                }
            }
            Entry::Acted { by_hand, outputs, .. } => {
                let step = self.job.as_mut().and_then(|job| {
                    job.acted = Some(at);
                    step_of(plan, &job.of)
                });
                if let Some(step) = step {
                    let run = &mut self.steps[step];
                    run.state = StepState::Verifying;
                    run.by_hand = by_hand.as_ref().map(|_| at).or(run.by_hand);
                    run.outputs.extend(outputs.clone());
                }
            }
            Entry::Skipped { job, reason } => {
                self.overrides.remove(job);
                self.conflicts.remove(job);
                self.job.take_if(|j| j.of == *job);
                match (step_of(plan, job), &mut self.rollback) {
                    (Some(step), _) => self.close(step, StepState::Skipped, at, reason),
                    (None, Some(rollback)) => rollback.steps_done += 1,
                    (None, None) => {}
                }
            }
            Entry::OverrideAsked { job, reason } => {
                self.overrides.entry(job.clone()).or_default().insert(actor.to_owned(), reason.clone());
            }
            Entry::Done { job, .. } => self.done(plan, at, job),
            Entry::Failed { job, reason, conflict } => {
                self.job = None;
                self.going = None;
                if let Some(conflict) = conflict {
                    self.conflicts.insert(job.clone(), conflict.clone());
                }
                if let Some(step) = step_of(plan, job) {
                    self.close(step, StepState::Failed, at, reason);
                } else {
                    self.hold = Some(Hold { reason: format!("{job} failed: {reason}"), by: "engine".into(), since: at });
                }
            }
            Entry::Approved { job } => {
                let approvals = &mut self.papers.entry(job.clone()).or_default().approvals;
                if !approvals.iter().any(|a| a == actor) {
                    approvals.push(actor.to_owned());
                }
            }
            Entry::Ticked { job, item, done, .. } => {
                self.papers.entry(job.clone()).or_default().ticks.insert(*item, *done);
            }
            Entry::GoOn { on, .. } => self.going = on.then_some(at),
            Entry::Held { reason } => {
                self.hold = Some(Hold { reason: reason.clone(), by: actor.to_owned(), since: at });
                self.going = None;
            }
            Entry::Continued {} => {
                self.hold = None;
                self.continued = Some(at);
            }
            Entry::RollbackConfirmed { rollback, lag_ms, read_since, calls, .. } => {
                if let Some(step) = self.job.take().and_then(|job| step_of(plan, &job.of)) {
                    self.close(step, StepState::Interrupted, at, &format!("rollback {rollback}"));
                }
                self.hold = None;
                self.going = None;
                // From here on, what is shown is what the rollback would replace.
                self.conflicts.clear();
                self.rollback = Some(RollbackRun {
                    of: rollback.clone(),
                    confirmed: at,
                    lag_ms: *lag_ms,
                    read_since: *read_since,
                    shown: calls.clone(),
                    begun: false,
                    steps_done: 0,
                    in_sync: None,
                    done: None,
                });
            }
            Entry::RollbackDone { .. } => {
                if let Some(rollback) = &mut self.rollback {
                    rollback.done = Some(at);
                }
            }
            Entry::OutageBegan { began } => self.outages.push(Outage { began: *began, detected: at, ended: None }),
            Entry::OutageEnded { ended } => {
                if let Some(outage) = self.outages.last_mut() {
                    outage.ended = Some(*ended);
                }
            }
            Entry::Injected { .. } | Entry::Note { .. } => {}
            Entry::Finished { outcome } => self.finished = Some((*outcome, at)),
        }
    }

    fn start(&mut self, plan: &Plan, at: Millis, job: &JobRef) {
        let mut attempt = 1;
        if let Some(step) = step_of(plan, job) {
            let run = &mut self.steps[step];
            run.attempts += 1;
            run.state = StepState::Running;
            run.first_started.get_or_insert(at);
            run.started = Some(at);
            run.ended = None;
            run.reason.clear();
            attempt = run.attempts;
            // Starting again means asking again: old signatures do not count.
            self.papers.remove(job);
            self.overrides.remove(job);
        } else {
            attempt += u32::try_from(self.calls.values().filter(|c| c.job == *job).count()).unwrap_or(u32::MAX - 1);
        }
        let mut read_since = at;
        if let Some(rollback) = self.rollback.as_mut().filter(|r| r.done.is_none()) {
            // What was read for the screen serves the first call; whoever tries again wants to know how it is now.
            if !rollback.begun {
                read_since = rollback.read_since;
            }
            rollback.begun = true;
        }
        self.job =
            Some(Job { of: job.clone(), attempt, started: at, read_since, calls: Vec::new(), reviewed: false, acted: None });
    }

    fn done(&mut self, plan: &Plan, at: Millis, job: &JobRef) {
        self.job = None;
        self.conflicts.remove(job);
        if let Some(step) = step_of(plan, job) {
            self.close(step, StepState::Done, at, "");
            return;
        }
        for step in restored_by(plan, job) {
            if self.steps[step].attempts > 0 {
                self.close(step, StepState::Undone, at, &job.to_string());
            }
        }
        if let Some(rollback) = &mut self.rollback {
            rollback.steps_done += 1;
        }
    }

    fn close(&mut self, step: StepId, state: StepState, at: Millis, reason: &str) {
        let run = &mut self.steps[step];
        run.state = state;
        run.ended = Some(at);
        reason.clone_into(&mut run.reason);
    }

    /// What a step gave for later steps under a name.
    #[must_use]
    pub fn output(&self, plan: &Plan, step: &str, name: &str) -> Option<&str> {
        self.steps.get(plan.step_named(step)?)?.outputs.get(name).map(String::as_str)
    }

    /// The rollback that is going on.
    #[must_use]
    pub fn active_rollback(&self) -> Option<&RollbackRun> {
        self.rollback.as_ref().filter(|r| r.done.is_none())
    }

    /// The first step that is neither done nor skipped.
    #[must_use]
    pub fn next_step(&self) -> Option<StepId> {
        self.steps.iter().position(|s| !s.state.is_over())
    }

    /// Calls whose outcome is not known.
    #[must_use]
    pub fn open_calls(&self) -> Vec<CallId> {
        self.calls.iter().filter(|(_, c)| matches!(c.state, CallState::Open)).map(|(id, _)| *id).collect()
    }

    /// The outage that is going on.
    #[must_use]
    pub fn open_outage(&self) -> Option<&Outage> {
        self.outages.last().filter(|o| o.ended.is_none())
    }

    /// Downtime up to `now`, in milliseconds.
    #[must_use]
    pub fn downtime_ms(&self, now: Millis) -> i64 {
        self.outages.iter().map(|o| o.ended.unwrap_or(now) - o.began).sum()
    }
}

/// The plan's step behind a job, if it is one.
#[must_use]
pub fn step_of(plan: &Plan, job: &JobRef) -> Option<StepId> {
    match job {
        JobRef::Step(id) => plan.step_named(id),
        JobRef::Rollback(..) | JobRef::Undo(_) => None,
    }
}

/// The definition of a job: the step of the plan or of a rollback. `None` for undos, which have none.
#[must_use]
pub fn definition<'a>(plan: &'a Plan, job: &JobRef) -> Option<&'a Step> {
    match job {
        JobRef::Step(id) => plan.steps.iter().find(|s| s.id == *id),
        JobRef::Rollback(name, id) => plan.rollbacks.iter().find(|r| r.name == *name)?.steps.iter().find(|s| s.id == *id),
        JobRef::Undo(_) => None,
    }
}

/// What a job does: the action of its step; for an undo, the step's own script, or putting back what it changed.
#[must_use]
pub fn action_of<'a>(plan: &'a Plan, job: &JobRef) -> Cow<'a, Action> {
    if let Some(step) = definition(plan, job) {
        return Cow::Borrowed(&step.action);
    }
    let undone = match job {
        JobRef::Undo(id) => plan.steps.iter().find(|s| s.id == *id),
        _ => None,
    };
    match undone.map(|step| &step.undo) {
        Some(Undo::Script(undo)) => Cow::Borrowed(&undo.action),
        _ => Cow::Owned(Action::Restore { steps: restored_by(plan, job) }),
    }
}

/// The steps that a job takes back.
#[must_use]
pub fn restored_by(plan: &Plan, job: &JobRef) -> Vec<StepId> {
    match job {
        JobRef::Undo(id) => plan.step_named(id).into_iter().collect(),
        _ => match definition(plan, job).map(|s| &s.action) {
            Some(Action::Restore { steps }) => steps.clone(),
            _ => Vec::new(),
        },
    }
}
