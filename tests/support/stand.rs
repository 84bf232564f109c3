//! A test stand: the run core and the simulated cloud with nothing between them, no journal, no thread, no terminal.
//! It can be cloned at any moment, so that a test may try what would happen from here and then go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::builtin;
use cutover::cloud::{Answer, Call, Effect, Millis, Query};
use cutover::drill::EPOCH;
use cutover::drill::operator::{Move, Operator};
use cutover::engine::ledger;
use cutover::plan::{FaultKind, Plan, RecordSet, Scenario};
use cutover::run::command::{Command, Reply};
use cutover::run::core::{Core, Draft, Outcome};
use cutover::run::entry::Entry;
use cutover::run::event::Event;
use cutover::run::snapshot::{DrillView, Snapshot};
use cutover::run::view::{self, Surroundings};
use cutover::sim::World;

/// Core and cloud.
#[derive(Clone)]
pub struct Stand {
    pub core: Core,
    pub world: World,
    pub now: Millis,
    /// Every entry so far: what a journal would hold.
    pub log: Vec<Draft>,
    /// When the credentials expire, instead of what the cloud says.
    pub expires: Option<Millis>,
    /// What every `done-if` says, instead of what the cloud says.
    pub says_done: Option<bool>,
    /// Calls are lost before they reach the cloud, as when an engine dies between its intent and its call.
    pub swallow: bool,
    events: BTreeMap<(Millis, u64), Event>,
    ordinal: u64,
    wake: Millis,
}

impl Stand {
    /// A built-in plan before its first step.
    pub fn new(plan: &str, scenario: &str, seed: u64) -> Stand {
        let loaded = builtin::find(plan).unwrap();
        let scenario = loaded.scenarios.iter().find(|s| s.name == scenario).unwrap().clone();
        Stand::of(Arc::new(loaded.plan), &scenario, seed)
    }

    /// Any plan before its first step.
    #[allow(clippy::needless_pass_by_value, reason = "whoever makes a plan for a stand has no other use for it")]
    pub fn of(plan: Arc<Plan>, scenario: &Scenario, seed: u64) -> Stand {
        let world = World::new(Arc::clone(&plan), scenario, seed, EPOCH);
        let core = Core::new(Arc::clone(&plan));
        let (events, log) = (BTreeMap::new(), Vec::new());
        let (expires, says_done, swallow) = (None, None, false);
        let mut stand = Stand { core, world, now: EPOCH, log, expires, says_done, swallow, events, ordinal: 0, wake: EPOCH };
        let genesis = Entry::Genesis {
            plan: plan.name.clone(),
            plan_hash: plan.manifest.hash.clone(),
            scenario: None,
            scenario_hash: None,
            seed: Some(seed),
            rules: None,
            token_base: format!("stand {seed}"),
        };
        let outcome = stand.core.open(EPOCH, "auto", vec![genesis, Entry::EngineStarted { resumed: false, open: vec![] }]);
        stand.take(outcome);
        stand
    }

    fn take(&mut self, outcome: Outcome) -> Option<Reply> {
        self.wake = outcome.wake;
        for step in &outcome.reached {
            self.world.step_reached(*step, self.now);
        }
        self.log.extend(outcome.drafts);
        for effect in outcome.effects {
            if self.swallow && matches!(effect, Effect::Send { .. }) {
                continue;
            }
            let (at, mut event) = self.world.perform(self.now, &effect);
            if let (Event::Answer { result: Ok(Answer::Credentials { expires }), .. }, Some(end)) = (&mut event, self.expires) {
                *expires = Some(end);
            }
            if let (Event::Answer { result: Ok(Answer::DoneIf(done)), .. }, Some(says)) = (&mut event, self.says_done) {
                *done = says;
            }
            self.ordinal += 1;
            self.events.insert((at, self.ordinal), event);
        }
        outcome.reply
    }

    /// Lets something happen now, besides what is under way.
    pub fn tell(&mut self, event: Event) {
        let outcome = self.core.handle(self.now, event);
        self.take(outcome);
    }

    /// Gives a command and says what was answered.
    pub fn command_by(&mut self, by: &str, command: Command) -> Reply {
        let outcome = self.core.handle(self.now, Event::Command { by: by.into(), command });
        self.take(outcome).unwrap()
    }

    /// Gives a command and says what was answered.
    pub fn command(&mut self, command: Command) -> Reply {
        self.command_by("driver", command)
    }

    /// Gives a command that must be accepted.
    pub fn must(&mut self, command: Command) {
        let shown = format!("{command:?}");
        let reply = self.command(command);
        assert!(matches!(reply, Reply::Ok(_)), "{shown}: {reply:?}");
    }

    /// Gives a command that must be refused, and says why it was.
    pub fn refused(&mut self, command: Command) -> String {
        let shown = format!("{command:?}");
        match self.command(command) {
            Reply::Refused(why) => why,
            Reply::Ok(text) => panic!("{shown} was accepted: {text}"),
        }
    }

    /// Lets the next thing happen.
    pub fn step(&mut self) {
        self.step_until(Millis::MAX);
    }

    fn step_until(&mut self, limit: Millis) {
        let wake = self.wake.max(self.now + 1).min(limit);
        let event = match self.events.first_key_value() {
            Some(((at, _), _)) if *at <= wake => {
                let ((at, _), event) = self.events.pop_first().unwrap();
                self.now = self.now.max(at);
                event
            }
            _ => {
                self.now = wake;
                Event::Tick
            }
        };
        let outcome = self.core.handle(self.now, event);
        self.take(outcome);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, ms: i64) {
        let until = self.now + ms;
        while self.now < until {
            self.step_until(until);
        }
    }

    /// Lets things happen until something holds; false when it did not within `ms`.
    pub fn run_until(&mut self, ms: i64, holds: impl Fn(&Stand) -> bool) -> bool {
        let limit = self.now + ms;
        while !holds(self) {
            if self.now >= limit {
                return false;
            }
            self.step_until(limit);
        }
        true
    }

    /// Lets the auto-operator drive until something holds or it gives up; false when it gave up.
    pub fn drive(&mut self, operator: &mut Operator, holds: impl Fn(&Stand) -> bool) -> bool {
        let (mut look_at, mut seen) = (self.now, usize::MAX);
        while !holds(self) {
            if self.now >= look_at || seen != self.log.len() {
                seen = self.log.len();
                match operator.look(&self.snapshot()) {
                    Move::GiveUp => return holds(self),
                    Move::Look(at) => look_at = at.max(self.now + 1),
                    Move::Command(at, command) => {
                        let delay = at - self.now;
                        // It has made up its mind: what happens meanwhile does not change it.
                        self.run_for(delay);
                        self.command_by("auto", command);
                        seen = usize::MAX;
                    }
                }
            }
            self.step_until(look_at.max(self.now + 1));
        }
        true
    }

    /// What another engine left behind: its journal, and what the cloud has.
    pub fn taken_over(plan: Arc<Plan>, world: World, now: Millis, log: Vec<Draft>) -> Stand {
        let (core, events) = (Core::new(plan), BTreeMap::new());
        let (expires, says_done, swallow) = (None, None, false);
        let mut stand = Stand { core, world, now, log, expires, says_done, swallow, events, ordinal: 0, wake: now };
        stand.take_over();
        stand
    }

    /// The engine dies and another one takes over: only the log is left, and what the cloud has.
    pub fn crash(&mut self) {
        let known = self.fold();
        assert_eq!(known.run, self.core.run, "the fold of the log is not the run");
        self.take_over();
    }

    /// A core that knows what the log says, and nothing else.
    pub fn fold(&self) -> Core {
        let mut core = Core::new(Arc::clone(&self.core.plan));
        for draft in &self.log {
            core.replay(draft.at, &draft.actor, &draft.entry);
        }
        core
    }

    fn take_over(&mut self) {
        self.core = self.fold();
        self.events.clear();
        self.swallow = false;
        let open = self.core.unsettled();
        let outcome = self.core.open(self.now, "driver", vec![Entry::EngineStarted { resumed: true, open }]);
        self.take(outcome);
    }

    /// Makes something go wrong.
    pub fn inject(&mut self, fault: FaultKind) {
        self.world.inject(self.now, fault);
    }

    /// What a screen would show now.
    pub fn snapshot(&self) -> Snapshot {
        let around = Surroundings {
            run: "STAND".into(),
            account: self.core.plan.account.clone(),
            driver: "driver".into(),
            epoch: 1,
            drill: Some(DrillView { speed: 0, skipping_to: None, faults: Vec::new() }),
            scenario: None,
            seed: None,
            ledger: ledger(self.core.run.entries, String::new()),
        };
        view::snapshot(&self.core, self.now, &around)
    }

    /// The record sets of a name, as the cloud has them.
    pub fn records(&mut self, zone: &str, name: &str) -> Vec<RecordSet> {
        let query = Query::Records { zone: zone.into(), name: name.into() };
        match self.world.perform(self.now + 1_000, &Effect::Ask(query)).1 {
            Event::Answer { result: Ok(Answer::Records(sets)), .. } => sets,
            other => panic!("{other:?}"),
        }
    }

    /// The record sets that carry the traffic.
    pub fn traffic(&mut self) -> Vec<RecordSet> {
        let traffic = self.core.plan.traffic.clone().unwrap();
        self.records(&traffic.zone, &traffic.record)
    }

    /// Somebody else changes a record set of the traffic through the console.
    pub fn third_party(&mut self, change: impl Fn(&mut RecordSet)) {
        let zone = self.core.plan.traffic.clone().unwrap().zone;
        let delete = self.traffic();
        let mut create = delete.clone();
        create.iter_mut().for_each(change);
        let call = Call::ChangeRecords { zone, delete, create };
        let token = format!("console {}", self.now);
        let (_, event) = self.world.perform(self.now, &Effect::Send { id: 9_999, sending: 1, token, call, text: None });
        assert!(matches!(event, Event::Sent { result: Ok(_), .. }), "{event:?}");
    }

    /// Prepares a rollback and confirms what is shown, as a person would who knows what they want.
    pub fn roll_back(&mut self, name: &str) {
        self.must(Command::PrepareRollback { name: Some(name.to_owned()) });
        let shown = self.run_until(600_000, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some()));
        assert!(shown, "{name} is not offered: {:#?} {:#?}", self.snapshot().offer, self.tail());
        let offer = self.snapshot().offer.unwrap();
        self.must(Command::ConfirmRollback {
            name: name.to_owned(),
            offer: offer.fingerprint.unwrap(),
            word: offer.confirm_word,
        });
    }

    /// True when a step is done.
    pub fn is_done(&self, step: &str) -> bool {
        use cutover::run::snapshot::StepState;
        let id = self.core.plan.step_named(step).unwrap();
        self.core.run.steps[id].state == StepState::Done
    }

    /// The newest entries in words, for messages.
    pub fn tail(&self) -> Vec<String> {
        self.log.iter().rev().take(15).rev().map(|d| format!("{} {}", d.at, d.entry.line())).collect()
    }
}
