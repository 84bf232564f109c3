//! An engine: the core and the order of its entries and calls are the real ones; disk and network are the story's.

use std::collections::BTreeMap;

use cutover::cloud::{Answer, CallId, Effect, FailureKind, Millis, PollKind, Query};
use cutover::engine::order::Order;
use cutover::run::core::{Core, Draft, Outcome};
use cutover::run::entry::Entry;
use cutover::run::event::Event;
use cutover::sim::{Deed, RULES_VERSION};

use crate::book::Book;
use crate::check;
use crate::gates::Readings;
use crate::records::Author;
use crate::seam::{OfCall, OfQuestion, TIMEOUT_MS, failure};
use crate::story::{Moment, Story, What};

/// One engine's time.
#[derive(Debug)]
pub struct Process {
    pub core: Core,
    pub order: Order,
    pub epoch: u64,
    pub is_alive: bool,
    /// Its disk refused it, because somebody else has the lease.
    fenced: bool,
    /// Handed to the disk, and not durable yet.
    taken: Vec<Draft>,
    /// To be handed over next.
    queue: Vec<Draft>,
    /// When it wants to be called again.
    pub wake: Millis,
    /// When it was called last.
    pub handled: Millis,
    /// How often it sent each call.
    pub sent: BTreeMap<CallId, u32>,
    pub book: Book,
    pub readings: Readings,
}

impl Story {
    /// Starts an engine with a new lease. One that still runs does not know yet, and goes on for a while.
    pub fn take_over(&mut self) -> Result<(), String> {
        if let Some(old) = self.newest() {
            let at = self.now + self.dice.between(0, 60_000);
            self.schedule(at, What::Ends { engine: old });
        }
        self.ledger.epoch += 1;
        let core = self.ledger.fold();
        if core.run != self.ledger.run {
            return Err("a run that was read back is another one than the journal's entries give".into());
        }
        let number = self.engines.len();
        let mut first = Vec::new();
        let resumed = self.ledger.seq() > 0;
        if !resumed {
            first.push(Entry::Genesis {
                plan: self.plan.name.clone(),
                plan_hash: self.plan.manifest.hash.clone(),
                scenario: None,
                scenario_hash: None,
                seed: None,
                rules: Some(RULES_VERSION),
                token_base: "simulation".into(),
            });
        }
        first.push(Entry::EngineStarted { resumed, open: core.unsettled() });
        self.note(|| format!("#{number} starts, {} calls are open", core.unsettled().len()));
        self.engines.push(Process {
            core,
            order: Order::new(self.ledger.seq()),
            epoch: self.ledger.epoch,
            is_alive: true,
            fenced: false,
            taken: Vec::new(),
            queue: Vec::new(),
            wake: self.now,
            handled: self.now,
            sent: BTreeMap::new(),
            book: self.ledger.book.clone(),
            readings: Readings::new(&self.plan),
        });
        let outcome = self.engines[number].core.open(self.now, "auto", first);
        self.take(number, outcome)
    }

    pub fn reaches(&mut self, engine: usize, event: Event) -> Result<(), String> {
        if !self.engines[engine].is_alive {
            return Ok(());
        }
        if let Event::Sent { .. } = event {
            self.note(|| format!("#{engine} is told: {event:?}"));
            if self.moment(engine, Moment::AnsweredNotNoted)? {
                return Ok(());
            }
        }
        self.handle(engine, event)
    }

    /// Lets an engine take in an event.
    pub fn handle(&mut self, engine: usize, event: Event) -> Result<(), String> {
        let process = &mut self.engines[engine];
        if let Event::Answer { query: Query::Poll(_), result: Ok(Answer::Readings(readings) | Answer::Stacks(readings, _)) } =
            &event
        {
            for (monitor, reading) in readings {
                process.readings.came(self.now, *monitor, reading);
            }
        }
        process.handled = self.now;
        let outcome = process.core.handle(self.now, event);
        self.take(engine, outcome)
    }

    fn take(&mut self, engine: usize, outcome: Outcome) -> Result<(), String> {
        self.engines[engine].wake = outcome.wake;
        for step in &outcome.reached {
            self.world.step_reached(*step, self.now);
        }
        if let Some(reply) = &outcome.reply {
            self.replied(engine, reply);
        }
        let mut intends = false;
        for draft in &outcome.drafts {
            self.note(|| format!("#{engine} writes: {} ({})", draft.entry.line(), draft.actor));
            check::entry(self, engine, draft)?;
            intends |= is_intent(draft);
        }
        let process = &mut self.engines[engine];
        process.queue.extend(outcome.drafts.iter().cloned());
        let effects = process.order.take(process.core.run.entries, outcome.drafts, outcome.effects);
        self.write(engine);
        if intends && self.moment(engine, Moment::IntentNotDurable)? {
            return Ok(());
        }
        self.perform(engine, effects)
    }

    /// Hands everything that waits to the disk, if that is idle: one group at a time, as the journal's thread does.
    fn write(&mut self, engine: usize) {
        let slow = self.dice.chance(self.temper.slow_disk);
        let after = if slow { self.dice.between(100, 8_000) } else { self.dice.between(1, 15) };
        let process = &mut self.engines[engine];
        if process.taken.is_empty() && !process.queue.is_empty() && !process.fenced {
            process.taken = std::mem::take(&mut process.queue);
            self.schedule(self.now + after, What::Written { engine });
        }
    }

    pub fn written(&mut self, engine: usize) -> Result<(), String> {
        let process = &mut self.engines[engine];
        if !process.is_alive {
            return Ok(());
        }
        let group = std::mem::take(&mut process.taken);
        let epoch = process.epoch;
        if !self.ledger.append(epoch, &group)? {
            self.engines[engine].fenced = true;
            self.count("refused by the lease");
            self.note(|| format!("#{engine} has lost the lease: its entries are refused"));
            let at = self.now + self.dice.between(0, 5_000);
            self.schedule(at, What::Ends { engine });
            return Ok(());
        }
        self.write(engine);
        if group.iter().any(is_intent) && self.moment(engine, Moment::DurableNotSent)? {
            return Ok(());
        }
        let seq = self.ledger.seq();
        let slow = self.dice.chance(self.temper.slow_disk);
        let after = if slow { self.dice.between(1, 2_000) } else { 0 };
        self.schedule(self.now + after, What::Acknowledged { engine, seq });
        Ok(())
    }

    /// An engine may die or lose its lease in a moment in which that matters. True if it has died.
    pub fn moment(&mut self, engine: usize, moment: Moment) -> Result<bool, String> {
        if !self.engines[engine].is_alive || !self.dice.chance(self.temper.moments) || self.newest() != Some(engine) {
            return Ok(false);
        }
        self.fault(match moment {
            Moment::IntentNotDurable => "killed before the intent was durable",
            Moment::DurableNotSent => "killed before the call was sent",
            Moment::SentNotAnswered => "killed before the answer",
            Moment::AnsweredNotNoted => "killed before the outcome",
        });
        self.note(|| format!("{moment:?}"));
        if self.dice.chance(300) {
            self.take_over()?;
            return Ok(false);
        }
        self.dies(engine)?;
        Ok(true)
    }

    /// The end of an engine. What was durable has to give the run that it had in mind.
    pub fn dies(&mut self, engine: usize) -> Result<(), String> {
        let process = &mut self.engines[engine];
        process.is_alive = false;
        if process.epoch == self.ledger.epoch {
            // What the disk has begun to write it may have written.
            if self.dice.chance(500) {
                let group = std::mem::take(&mut process.taken);
                self.ledger.append(process.epoch, &group)?;
            }
            check::fold(&self.plan, &self.ledger, &self.engines[engine])?;
            let at =
                self.now + if self.dice.chance(500) { self.dice.between(10, 3_000) } else { self.dice.between(3_000, 90_000) };
            self.schedule(at, What::Restart);
        }
        Ok(())
    }

    /// Performs effects as a network does.
    pub fn perform(&mut self, engine: usize, effects: Vec<Effect>) -> Result<(), String> {
        for effect in effects {
            if !self.engines[engine].is_alive {
                return Ok(());
            }
            match effect {
                Effect::Ask(query) => self.ask(engine, query),
                Effect::Send { .. } => self.send(engine, &effect)?,
                Effect::Stop { .. } => {
                    let (at, event) = self.world.perform(self.now, &effect);
                    self.schedule(at, What::Reaches { engine, event });
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, engine: usize, query: Query) {
        let effect = Effect::Ask(query.clone());
        let is_probe =
            matches!(query, Query::Poll(group) if self.engines[engine].core.watch.groups[group].kind == PollKind::Probe);
        let mut of = self.temper.of_question(&mut self.dice, &query);
        if !is_probe && self.weather.hits(&mut self.dice, self.now) {
            of = OfQuestion::Fails(self.weather.kind);
        }
        let (at, event) = match of {
            OfQuestion::Fails(kind) if !is_probe => {
                let after = if kind == FailureKind::Unknown { TIMEOUT_MS } else { self.dice.between(10, 500) };
                (self.now + after, Event::Answer { query, result: Err(failure(kind)) })
            }
            OfQuestion::Nothing | OfQuestion::Fails(_) => self.world.perform(self.now, &effect),
            OfQuestion::Late { after_ms } => {
                let (at, event) = self.world.perform(self.now, &effect);
                (at + after_ms, event)
            }
            OfQuestion::Stale { by_ms } => {
                let (at, event) = self.world.perform(self.now - by_ms, &effect);
                self.note(|| format!("a read of #{engine} shows what was there {by_ms} ms ago"));
                (at + by_ms, event)
            }
        };
        match of {
            OfQuestion::Nothing => {}
            OfQuestion::Late { .. } => self.fault("late answer to a question"),
            OfQuestion::Stale { .. } => self.fault("stale read"),
            OfQuestion::Fails(_) => self.fault("question failed"),
        }
        self.schedule(at, What::Reaches { engine, event });
    }

    fn send(&mut self, engine: usize, effect: &Effect) -> Result<(), String> {
        let Effect::Send { id, sending, token, call, .. } = effect else { return Ok(()) };
        check::sending(self, engine, *id, token, call)?;
        let (id, sending) = (*id, *sending);
        let mut of = self.temper.of_call(&mut self.dice);
        if call.is_local() {
            // No network is between an engine and its own machine.
            of = OfCall::Nothing;
        } else if self.weather.hits(&mut self.dice, self.now) {
            of = match self.weather.kind {
                FailureKind::Unknown if self.dice.chance(500) => OfCall::LostBefore,
                FailureKind::Unknown => OfCall::LostAfter,
                kind => OfCall::Fails(kind),
            };
        }
        self.note(|| format!("#{engine} sends call {id}: {of:?}"));
        let given_up = (self.now + TIMEOUT_MS, Event::Sent { id, sending, result: Err(failure(FailureKind::Unknown)) });
        let mut answers = Vec::new();
        match of {
            OfCall::Nothing => answers.push(self.arrives(self.now, effect)?),
            OfCall::LostBefore => {
                self.fault("call lost");
                answers.push(given_up);
            }
            OfCall::LostAfter => {
                self.fault("answer lost");
                self.arrives(self.now, effect)?;
                answers.push(given_up);
            }
            OfCall::ArrivesLate { after_ms, answered } => {
                self.fault("call late");
                let what = What::Arrives { engine, sent: self.now, effect: effect.clone(), answered };
                self.schedule(self.now + after_ms, what);
                if !answered || after_ms > TIMEOUT_MS {
                    answers.push(given_up);
                }
            }
            OfCall::AnsweredLate { after_ms, given_up: also } => {
                self.fault("answer late");
                let (at, event) = self.arrives(self.now, effect)?;
                answers.push((at + after_ms, event));
                answers.extend(also.then_some(given_up));
            }
            OfCall::AnsweredTwice { after_ms } => {
                self.fault("answer twice");
                let (at, event) = self.arrives(self.now, effect)?;
                answers.push((at + after_ms, event.clone()));
                answers.push((at, event));
            }
            OfCall::Fails(kind) => {
                self.fault("call failed");
                let after = self.dice.between(10, 500);
                answers.push((self.now + after, Event::Sent { id, sending, result: Err(failure(kind)) }));
            }
        }
        for (at, event) in answers {
            self.schedule(at, What::Reaches { engine, event });
        }
        self.moment(engine, Moment::SentNotAnswered)?;
        Ok(())
    }

    /// A call arrives in the world.
    pub fn arrives(&mut self, sent: Millis, effect: &Effect) -> Result<(Millis, Event), String> {
        let answer = self.world.perform(self.now, effect);
        let Some(Deed::Call { token, call, outcome, .. }) = self.world.calls().last().map(|r| r.deed.clone()) else {
            return Err("the world did not note a call".into());
        };
        self.note(|| format!("the world: {outcome:?}"));
        if let cutover::sim::Outcome::Applied(_) = outcome {
            let author = match self.ledger.jobs.get(&token) {
                Some(job) => Author::Run(job.clone()),
                None => Author::Other(self.now),
            };
            check::applied(self, sent, &token, &call, &author)?;
        }
        Ok(answer)
    }
}

fn is_intent(draft: &Draft) -> bool {
    matches!(draft.entry, Entry::Intent { .. } | Entry::Resent { .. })
}

impl Process {
    /// What it has written and the disk has not.
    pub fn not_durable(&self) -> impl Iterator<Item = &Draft> {
        self.taken.iter().chain(&self.queue)
    }
}
