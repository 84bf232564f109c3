//! Plan, run and watch put together: events go in, entries and effects come out.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::command::Reply;
use super::decide::{Ctx, Decision, advance, attention, decide};
use super::entry::Entry;
use super::event::Event;
use super::history::History;
use super::minute::Minute;
use super::ready;
use super::snapshot::{JOURNAL_TAIL, JournalLine};
use super::state::Run;
use super::view;
use super::watch::Watch;
use crate::cloud::{CallId, Effect, Millis};
use crate::plan::{MonitorId, Plan, StepId};
use crate::run::entry::CallOutcome;
use crate::run::state::step_of;

/// Rounds of deciding that one event may cause; more would be a loop.
const ROUNDS: usize = 100;

/// How often the records that a rollback would change are looked after, in milliseconds.
const LOOK_AFTER_MS: i64 = 60_000;

/// A run with everything that is needed to go on with it.
#[derive(Debug, Clone)]
pub struct Core {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The run.
    pub run: Run,
    /// What is observed.
    pub watch: Watch,
    /// What was observed before now, for charts, by monitor.
    pub history: Vec<Arc<History>>,
    /// The newest entries, for the screen.
    pub tail: VecDeque<JournalLine>,
}

/// An entry to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
    /// What.
    pub entry: Entry,
}

/// What came of an event.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Entries to make durable; they are applied already.
    pub drafts: Vec<Draft>,
    /// Effects to perform once the entries are durable.
    pub effects: Vec<Effect>,
    /// What to tell whoever asked.
    pub reply: Option<Reply>,
    /// When to call again if nothing happens.
    pub wake: Millis,
    /// Steps that made their first accepted change, or started and make none: a drill's faults count from there.
    pub reached: Vec<StepId>,
    /// What monitors gave in minutes that are over, each minute once.
    pub minutes: Vec<(MonitorId, Minute)>,
}

impl Core {
    /// A core before its first entry.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Core {
        let history = plan.monitors.iter().map(|_| Arc::default()).collect();
        Core { run: Run::new(&plan), watch: Watch::new(&plan), history, tail: VecDeque::new(), plan }
    }

    /// Takes in what earlier engines of this run observed, in order of time, before the first event: charts and the error
    /// budget go on where they were. No gate looks at it: after a restart every gate is unknown, and every `for:` starts again.
    pub fn recall(&mut self, minutes: &[(MonitorId, Minute)], samples: &[(MonitorId, Millis, Option<i64>)]) {
        self.remember(minutes);
        for (monitor, at, number) in samples {
            Arc::make_mut(&mut self.history[*monitor]).recall((*at, *number));
        }
    }

    fn remember(&mut self, minutes: &[(MonitorId, Minute)]) {
        if self.run.entries > 0 {
            self.watch.downtime.begin(self.run.started);
        }
        for (monitor, minute) in minutes {
            Arc::make_mut(&mut self.history[*monitor]).add(minute);
            self.watch.downtime.minute(*monitor, minute);
        }
    }

    /// Minutes that are over, each once. `all`: also those that are not, because nothing more will be observed.
    pub fn take_minutes(&mut self, all: bool) -> Vec<(MonitorId, Minute)> {
        if all {
            self.watch.end_minutes();
        }
        let minutes = mem::take(&mut self.watch.closed);
        self.remember(&minutes);
        minutes
    }

    /// What decisions and views look at.
    #[must_use]
    pub fn ctx(&self, now: Millis) -> Ctx<'_> {
        Ctx { plan: &self.plan, run: &self.run, watch: &self.watch, now }
    }

    /// Folds a stored entry, as when a run is read back.
    pub fn replay(&mut self, at: Millis, actor: &str, entry: &Entry) {
        self.run.apply(&self.plan, at, actor, entry);
        let seq = self.run.entries;
        let (kind, _) = entry.to_parts();
        self.tail.push_back(JournalLine { seq, at, kind, text: entry.line() });
        if self.tail.len() > JOURNAL_TAIL {
            self.tail.pop_front();
        }
    }

    /// Begins a run, or takes it over: entries that are there before any event.
    pub fn open(&mut self, now: Millis, actor: &str, first: Vec<Entry>) -> Outcome {
        let mut outcome = Outcome::default();
        for entry in first {
            self.write(now, actor.to_owned(), entry, &mut outcome);
        }
        self.attend(now);
        self.settle(now, &mut outcome);
        outcome
    }

    /// The calls that had no outcome when the last engine stopped.
    #[must_use]
    pub fn unsettled(&self) -> Vec<CallId> {
        self.run.open_calls()
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Millis, event: Event) -> Outcome {
        let mut outcome = Outcome::default();
        let actor = match &event {
            Event::Command { by, .. } => by.clone(),
            _ => "engine".to_owned(),
        };
        self.watch.observe(&self.plan, now, &event);
        outcome.minutes = self.take_minutes(false);
        self.watch.downtime.pass(now);
        if matches!(event, Event::Command { .. } | Event::Sent { .. }) {
            let decision = decide(self.ctx(now), event);
            self.take(now, &actor, decision, &mut outcome);
        }
        self.settle(now, &mut outcome);
        outcome
    }

    /// Decides until there is nothing more to write.
    fn settle(&mut self, now: Millis, outcome: &mut Outcome) {
        for _ in 0..ROUNDS {
            let decision = advance(self.ctx(now));
            outcome.wake = decision.wake.unwrap_or(now + 60_000);
            let wrote = !decision.entries.is_empty();
            self.take(now, "engine", decision, outcome);
            if !wrote {
                break;
            }
        }
    }

    fn take(&mut self, now: Millis, actor: &str, decision: Decision, outcome: &mut Outcome) {
        for effect in decision.effects {
            self.watch.released(now, &effect);
            outcome.effects.push(effect);
        }
        let wrote = !decision.entries.is_empty();
        for (own, entry) in decision.entries {
            let actor = if own { "engine" } else { actor };
            self.write(now, actor.to_owned(), entry, outcome);
        }
        if let Some(prepared) = decision.prepare {
            self.watch.prepared = Some(prepared);
        }
        if decision.looked_after {
            self.watch.look_after = now + LOOK_AFTER_MS;
        }
        if decision.acknowledge {
            let texts = view::alerts::alerts(self.ctx(now)).into_iter().map(|a| a.key).collect();
            self.watch.acknowledged = texts;
        }
        if decision.reply.is_some() {
            outcome.reply = decision.reply;
        }
        if wrote {
            self.attend(now);
        }
    }

    fn attend(&mut self, now: Millis) {
        let conditions = attention(&self.plan, &self.run);
        let proofs = ready::monitors(&self.plan, &self.run);
        self.watch.rolling_back = self.run.active_rollback().is_some();
        self.watch.attend(&self.plan, now, &conditions, proofs);
    }

    fn write(&mut self, now: Millis, actor: String, entry: Entry, outcome: &mut Outcome) {
        if let Entry::RollbackConfirmed { .. } = entry {
            self.watch.prepared = None;
        }
        self.replay(now, &actor, &entry);
        // Whatever was written may have changed what a rollback would do.
        self.watch.look_after = now;
        match &entry {
            Entry::Outcome { id, outcome: CallOutcome::Accepted(_) } => {
                let job = self.run.calls.get(id).map(|c| &c.job);
                outcome.reached.extend(job.and_then(|j| step_of(&self.plan, j)));
            }
            Entry::Acted { job, .. } => outcome.reached.extend(step_of(&self.plan, job)),
            _ => {}
        }
        outcome.drafts.push(Draft { at: now, actor, entry });
    }
}
