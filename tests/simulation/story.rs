//! One seed: engines, the journal, the world and people on a heap of virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use cutover::cloud::{Call, Effect, FailureKind, Millis};
use cutover::plan::{Fault, FaultAt, FaultKind, Plan, Scenario};
use cutover::run::command::{Command, DrillCommand, Reply};
use cutover::run::entry::JobRef;
use cutover::run::event::Event;
use cutover::run::{decide, rollback};
use cutover::sim::World;

use crate::check;
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::people::{self, Seen};
use crate::process::Process;
use crate::records::Records;
use crate::seam::{Temper, Weather, edit_of_others};
use crate::start::Start;

/// A rescue that takes longer than this has failed, in milliseconds: a whole rollback takes minutes, but stacks have to
/// be deleted and silence be proved in some.
const RESCUE_MS: i64 = 12 * 3_600_000;
/// A step of a rollback that fails more often than this when nothing goes wrong any more never succeeds.
const RETRIES: u64 = 12;
/// How long the world is watched after the last thing that was done, in milliseconds: nothing can arrive later.
const AFTERMATH_MS: i64 = 240_000;
/// A story that takes more events than this goes round in circles.
const EVENTS: u64 = 300_000;
/// Every story has at least so many faults.
pub const FAULTS: u64 = 3;
/// Entries, events and people's doings that a failure shows.
pub const SHOWN: usize = 40;

/// Something that is to happen.
#[derive(Debug)]
pub enum What {
    /// An answer, or a command, reaches an engine.
    Reaches { engine: usize, event: Event },
    /// A call arrives that was under way for long.
    Arrives { engine: usize, sent: Millis, effect: Effect, answered: bool },
    /// The disk has written what an engine gave it.
    Written { engine: usize },
    /// An engine learns that everything up to there is durable.
    Acknowledged { engine: usize, seq: u64 },
    /// An engine learns that it has lost the lease, or is stopped.
    Ends { engine: usize },
    /// Somebody looks at the screen.
    Look,
    /// Somebody else edits the record; what was there before may be put back.
    Edit { back: Option<Call> },
    /// The newest engine dies.
    Crash,
    /// Somebody starts an engine where another one is running.
    TakeOver,
    /// Somebody starts an engine because there is none.
    Restart,
    /// Everything that is asked of the cloud has trouble for a while.
    Weather,
    /// From here on nothing goes wrong any more, and somebody wants to get back.
    Calm,
    /// Everything has come to rest.
    End,
}

/// Ordered by time, then by when it was scheduled.
#[derive(Debug)]
struct Scheduled {
    at: Millis,
    ordinal: u64,
    what: What,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        (self.at, self.ordinal) == (other.at, other.ordinal)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Scheduled) -> std::cmp::Ordering {
        (self.at, self.ordinal).cmp(&(other.at, other.ordinal))
    }
}

/// A moment in which it matters whether an engine lives.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    IntentNotDurable,
    DurableNotSent,
    SentNotAnswered,
    AnsweredNotNoted,
}

/// How the search for a way back ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    Searched,
    /// The run was rolled back.
    Taken,
    /// There is nothing to take back.
    None,
    /// The run is completed.
    AtTheEnd,
    /// A step was passed that nothing takes back.
    OneWay,
}

/// What a seed did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How often what went wrong.
    pub faults: BTreeMap<&'static str, u64>,
    /// What else is worth counting.
    pub counts: BTreeMap<&'static str, u64>,
    pub events: u64,
    pub entries: u64,
    pub head: String,
    pub ended: &'static str,
}

impl Report {
    /// Adds what another seed did.
    pub fn add(&mut self, other: &Report) {
        for (sums, others) in [(&mut self.faults, &other.faults), (&mut self.counts, &other.counts)] {
            for (what, count) in others {
                *sums.entry(what).or_default() += count;
            }
        }
        self.events += other.events;
        self.entries += other.entries;
    }
}

/// One seed at work.
pub struct Story {
    pub plan: Arc<Plan>,
    pub dice: Dice,
    pub temper: Temper,
    pub weather: Weather,
    pub now: Millis,
    heap: BinaryHeap<Reverse<Scheduled>>,
    ordinal: u64,
    pub world: World,
    pub ledger: Ledger,
    pub records: Records,
    pub engines: Vec<Process>,
    /// When each token was applied.
    pub applied: BTreeMap<String, Vec<Millis>>,
    /// Calls of every rollback that was shown, by fingerprint.
    pub shown: BTreeMap<String, Vec<Call>>,
    /// What jobs failed on because somebody else had changed it: which job, and what was found.
    pub told: Vec<(JobRef, String)>,
    fingerprints: Vec<String>,
    edits: u64,
    calm_since: Option<Millis>,
    failed_before_calm: u64,
    pub way_back: WayBack,
    is_over: bool,
    report: Report,
    /// What happened, if somebody wants to read it.
    pub trace: Option<Vec<String>>,
}

impl Story {
    /// A story that begins where `start` ends, with everything going wrong that this seed decides.
    pub fn new(start: &Start, seed: u64, is_traced: bool) -> Story {
        let mut dice = Dice::new(seed);
        let temper = Temper::of(&mut dice);
        let scenario = outages(&mut dice, start);
        let mut story = Story::at(start, &scenario, seed, dice, temper);
        story.trace = is_traced.then(Vec::new);
        story.report.faults.insert("outage", u64::try_from(scenario.faults.len()).unwrap());
        story.upset();
        story
    }

    /// A story in which nothing goes wrong.
    pub fn quiet(start: &Start) -> Story {
        let mut story = Story::at(start, &calm(), start.seed.unwrap_or(1), Dice::new(1), Temper::calm());
        story.schedule(story.now, What::Restart);
        story.schedule(story.now + 1_000, What::Look);
        story
    }

    fn at(start: &Start, scenario: &Scenario, seed: u64, dice: Dice, temper: Temper) -> Story {
        let seed = start.seed.unwrap_or(seed);
        Story {
            plan: Arc::clone(&start.plan),
            dice,
            temper,
            weather: Weather { until: 0, kind: FailureKind::Unknown },
            now: start.now,
            heap: BinaryHeap::new(),
            ordinal: 0,
            world: start.world(scenario, seed),
            ledger: start.ledger.clone(),
            records: start.records.clone(),
            engines: Vec::new(),
            applied: start.applied.clone(),
            shown: BTreeMap::new(),
            told: Vec::new(),
            fingerprints: Vec::new(),
            edits: 0,
            calm_since: None,
            failed_before_calm: 0,
            way_back: WayBack::Searched,
            is_over: false,
            report: Report::default(),
            trace: None,
        }
    }

    /// Puts on the heap what will go wrong.
    fn upset(&mut self) {
        let until = self.now + self.dice.between(600_000, 3_000_000);
        self.schedule(self.now, What::Restart);
        self.schedule(self.now + 1_000, What::Look);
        self.schedule(until, What::Calm);
        for _ in 0..self.dice.between(3, 8) {
            let at = self.dice.between(self.now + 1_000, until - 1_000);
            let what = match self.dice.below(6) {
                0 => What::Crash,
                1 => What::TakeOver,
                2 | 3 => What::Edit { back: None },
                _ => What::Weather,
            };
            self.schedule(at, what);
        }
    }

    pub fn schedule(&mut self, at: Millis, what: What) {
        self.ordinal += 1;
        self.heap.push(Reverse(Scheduled { at: at.max(self.now), ordinal: self.ordinal, what }));
    }

    pub fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let (hours, minutes) = (self.now / 3_600_000 % 24, self.now / 60_000 % 60);
            trace.push(format!("{hours:02}:{minutes:02}:{:02}.{:03} {}", self.now / 1_000 % 60, self.now % 1_000, text()));
        }
    }

    pub fn fault(&mut self, kind: &'static str) {
        *self.report.faults.entry(kind).or_default() += 1;
    }

    pub fn count(&mut self, what: &'static str) {
        *self.report.counts.entry(what).or_default() += 1;
    }

    pub fn count_of(&self, what: &str) -> u64 {
        self.report.counts.get(what).copied().unwrap_or(0)
    }

    /// Lets everything happen. What broke a promise is an error.
    pub fn play(&mut self) -> Result<Report, String> {
        while !self.is_over {
            if self.report.events > EVENTS {
                return Err(format!("{EVENTS} events, and no end"));
            }
            self.step()?;
        }
        check::end(self)?;
        self.report.entries = self.ledger.seq();
        self.report.head = self.ledger.head();
        self.report.ended = match self.way_back {
            WayBack::Taken => "rolled back",
            WayBack::AtTheEnd => "completed",
            WayBack::OneWay => "behind a one-way step",
            WayBack::None | WayBack::Searched => "nothing to take back",
        };
        Ok(self.report.clone())
    }

    /// The next thing that happens.
    pub fn step(&mut self) -> Result<(), String> {
        self.report.events += 1;
        let due = self.heap.peek().map_or(Millis::MAX, |Reverse(first)| first.at);
        let alive = self.engines.iter().enumerate().filter(|(_, e)| e.is_alive);
        match alive.map(|(number, e)| (e.wake.max(e.handled + 1), number)).min() {
            Some((wake, engine)) if wake < due => {
                self.now = self.now.max(wake);
                self.handle(engine, Event::Tick)
            }
            _ => {
                let Some(Reverse(first)) = self.heap.pop() else { return Err("nothing will ever happen again".into()) };
                self.now = first.at;
                self.happens(first.what)
            }
        }
    }

    #[allow(clippy::match_same_arms, reason = "in the order in which things happen")]
    fn happens(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Reaches { engine, event } => self.reaches(engine, event),
            What::Arrives { engine, sent, effect, answered } => {
                self.note(|| "a call arrives late".into());
                let (at, event) = self.arrives(sent, &effect)?;
                if answered {
                    self.schedule(at, What::Reaches { engine, event });
                }
                Ok(())
            }
            What::Written { engine } => self.written(engine),
            What::Acknowledged { engine, seq } if self.engines[engine].is_alive => {
                let effects = self.engines[engine].order.durable(seq);
                self.perform(engine, effects)
            }
            What::Ends { engine } if self.engines[engine].is_alive => {
                self.note(|| format!("#{engine} ends"));
                self.dies(engine)
            }
            What::Acknowledged { .. } | What::Ends { .. } => Ok(()),
            What::Look => self.look(),
            What::Edit { back } => self.edit(back),
            What::Crash => match self.newest() {
                Some(engine) => {
                    self.fault("crash");
                    self.note(|| format!("#{engine} crashes"));
                    self.dies(engine)
                }
                None => Ok(()),
            },
            What::TakeOver => {
                self.fault("lease lost");
                self.take_over()
            }
            What::Restart if self.newest().is_none() => self.take_over(),
            What::Restart => Ok(()),
            What::Weather => {
                self.fault("weather");
                self.weather = Weather::of(&mut self.dice, self.now);
                let (weather, now) = (self.weather, self.now);
                self.note(|| {
                    format!(
                        "everything that is asked of a control plane is {:?} for {} s",
                        weather.kind,
                        (weather.until - now) / 1_000
                    )
                });
                Ok(())
            }
            What::Calm if self.report.faults.values().sum::<u64>() < FAULTS => {
                self.schedule(self.now + 60_000, What::Calm);
                self.happens(What::TakeOver)
            }
            What::Calm => {
                self.note(|| "from here on nothing goes wrong any more, and somebody wants to get back".into());
                self.calm_since = Some(self.now);
                self.failed_before_calm = self.count_of("steps failed");
                self.temper = Temper::calm();
                self.weather.until = self.now;
                Ok(())
            }
            What::End => {
                self.is_over = true;
                Ok(())
            }
        }
    }

    /// The engine that has the lease, if it lives.
    pub fn newest(&self) -> Option<usize> {
        self.engines.iter().rposition(|e| e.is_alive && e.epoch == self.ledger.epoch)
    }

    /// Somebody looks at a screen, and may press something.
    fn look(&mut self) -> Result<(), String> {
        let pause = if self.calm_since.is_some() { 2_000 } else { self.dice.between(1_000, 20_000) };
        self.schedule(self.now + pause, What::Look);
        let alive: Vec<usize> = (0..self.engines.len()).filter(|n| self.engines[*n].is_alive).collect();
        let Some(newest) = self.newest() else { return Ok(()) };
        if let Some(since) = self.calm_since {
            return self.look_for_the_way_back(newest, since);
        }
        // A screen may still be open on an engine that has lost the lease.
        let engine = if self.dice.chance(200) { *self.dice.pick(&alive) } else { newest };
        let core = &self.engines[engine].core;
        let command = if self.dice.chance(self.temper.anything) {
            Some(people::anything(&mut self.dice, &Seen { core, now: self.now, fingerprints: &self.fingerprints }))
        } else {
            people::forward(&mut self.dice, core, self.now)
        };
        match command {
            Some(command) => self.press(engine, command),
            None => Ok(()),
        }
    }

    /// When everything is calm, somebody gets back from wherever the run is.
    fn look_for_the_way_back(&mut self, engine: usize, since: Millis) -> Result<(), String> {
        let core = &self.engines[engine].core;
        let ctx = core.ctx(self.now);
        let way_back = if decide::rolled_back(&core.run) {
            WayBack::Taken
        } else if core.run.finished.is_some() {
            WayBack::AtTheEnd
        } else if !rollback::one_way_passed(ctx).is_empty() {
            WayBack::OneWay
        } else if core.run.active_rollback().is_none() && rollback::choose(ctx, None).is_err() {
            WayBack::None
        } else {
            WayBack::Searched
        };
        if way_back == WayBack::None && core.run.going.is_some() {
            return self.press(engine, Command::Hold { reason: "nothing shall begin any more".into() });
        }
        if way_back != WayBack::Searched {
            self.way_back = way_back;
            self.calm_since = None;
            self.heap.retain(|Reverse(s)| !matches!(s.what, What::Look | What::Edit { .. }));
            self.schedule(self.now + AFTERMATH_MS, What::End);
            return Ok(());
        }
        if self.count_of("steps failed") > self.failed_before_calm + RETRIES {
            return Err(format!("the rollback fails again and again: {:?}", core.run.hold));
        }
        if self.now - since > RESCUE_MS {
            return Err(format!("no way back was found in {} h: {:?}", RESCUE_MS / 3_600_000, core.run.hold));
        }
        match people::back(core, self.now) {
            Some(command) => self.press(engine, command),
            None => Ok(()),
        }
    }

    fn press(&mut self, engine: usize, command: Command) -> Result<(), String> {
        if let Command::Drill { what: DrillCommand::Inject(fault) } = &command {
            self.world.inject(self.now, fault.clone());
        }
        if let Some(prepared) = &self.engines[engine].core.watch.prepared {
            let offer = rollback::offer(self.engines[engine].core.ctx(self.now), &prepared.of, prepared.since);
            if let Some(fingerprint) = offer.fingerprint {
                self.fingerprints.push(fingerprint.clone());
                self.shown.insert(fingerprint, offer.calls);
            }
        }
        self.note(|| format!("#{engine} is asked: {command:?}"));
        let by = if self.dice.chance(700) { "ada" } else { "bela" }.to_owned();
        self.handle(engine, Event::Command { by, command })
    }

    pub fn replied(&mut self, engine: usize, reply: &Reply) {
        self.note(|| format!("#{engine} replies: {reply:?}"));
    }

    /// Somebody else edits the record that carries the traffic, or puts back what was there before.
    fn edit(&mut self, back: Option<Call>) -> Result<(), String> {
        if self.calm_since.is_some() {
            return Ok(());
        }
        let plan = Arc::clone(&self.plan);
        let traffic = plan.traffic.as_ref().map(|t| self.records.of_name(&t.zone, &t.record)).unwrap_or_default();
        let is_back = back.is_some();
        let Some(call) = back.or_else(|| edit_of_others(&mut self.dice, &plan, &traffic)) else { return Ok(()) };
        self.edits += 1;
        self.fault("edit of others");
        let text = format!("{call:?}");
        self.note(|| format!("somebody else: {text}"));
        let inverse = match &call {
            Call::ChangeRecords { zone, delete, create } => {
                Call::ChangeRecords { zone: zone.clone(), delete: create.clone(), create: delete.clone() }
            }
            _ => return Ok(()),
        };
        let effect =
            Effect::Send { id: 1_000_000 + self.edits, sending: 1, token: format!("other {}", self.edits), call, text: None };
        self.arrives(self.now, &effect)?;
        if !is_back && self.dice.chance(400) {
            let at = self.now + self.dice.between(1_000, 300_000);
            self.schedule(at, What::Edit { back: Some(inverse) });
        }
        Ok(())
    }
}

/// What goes wrong in the cloud itself, each for a while. What becomes of calls on their way is the seam's business.
fn outages(dice: &mut Dice, start: &Start) -> Scenario {
    let mut scenario = calm();
    let since = start.now - start.world_began;
    let regions: Vec<String> = start.plan.regions.iter().map(|r| r.name.clone()).chain(["us-east-1".into()]).collect();
    for _ in 0..dice.below(4) {
        let at = FaultAt::Elapsed(since + dice.between(10_000, 2_400_000));
        let region = dice.pick(&regions).clone();
        let kind = match dice.below(6) {
            0 => FaultKind::ControlPlaneAway(region),
            1 => FaultKind::Brownout { region, errors_ppm: dice.between(1, 900_000), latency_us: dice.between(0, 400_000) },
            2 => FaultKind::ReplicationStopped(people::lagging(&start.plan)),
            3 => FaultKind::Throttle { share_ppm: dice.between(100_000, 900_000) },
            _ => FaultKind::RegionDown(region),
        };
        scenario.faults.push(Fault { at, for_ms: Some(dice.between(10_000, 600_000)), kind });
    }
    scenario
}

/// A scenario in which nothing goes wrong.
pub fn calm() -> Scenario {
    cutover::builtin::find("failover-drill").unwrap().scenarios.into_iter().find(|s| s.name == "calm").unwrap()
}
