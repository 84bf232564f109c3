//! A drill: the simulated cloud on a heap of virtual time, behind the same seam as the real one.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::future::pending;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cloud::{Call, CallId, Effect, Millis};
use crate::engine::Backend;
use crate::plan::{FaultKind, Lost, MonitorId, Plan, ROUTE53_REGION, Role, Source, StepId, format_ms};
use crate::run::command::DrillCommand;
use crate::run::core::Draft;
use crate::run::entry::Entry;
use crate::run::event::Event;
use crate::run::snapshot::DrillView;
use crate::sim::{BY_HAND_MS, CallRecord, World};

pub mod auto;
pub mod judge;
pub mod operator;

/// Every drill starts at this time: Monday, 5 January 2026, 08:00 UTC.
pub const EPOCH: Millis = 1_767_600_000_000;
/// How far a skip goes at most, in milliseconds.
const SKIP_MS: i64 = 600_000;
/// The lag that an injected fault brings, in microseconds.
const INJECTED_LAG: i64 = 17 * 60_000_000;
/// Weight that somebody else sets when that is injected by hand.
const INJECTED_WEIGHT: u8 = 70;

/// Name of the world's log inside a drill's folder.
pub const WORLD_LOG: &str = "world.jsonl";

/// The folder inside a drill's in which the edited files of its working tree are.
pub const TREE: &str = "tree";

/// Writes a file of a drill's working tree. It is for people to look at: the drill goes on without it.
fn write_tree(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
    if let Err(error) = written {
        tracing::warn!(%error, file, "the drill's working tree cannot be written");
    }
}

/// The simulated cloud with its clock.
#[derive(Debug)]
pub struct Drill {
    /// The world.
    pub world: World,
    /// Where the world remembers what was done to it, apart from the engine's journal, and how much is there.
    log: Option<(File, usize)>,
    /// Where the files are written that edits have changed, for people to look at.
    tree: Option<PathBuf>,
    plan: Arc<Plan>,
    heap: BinaryHeap<Reverse<Scheduled>>,
    ordinal: u64,
    /// Virtual time of the last event.
    current: Millis,
    /// The latest time that was ever told: time must not run backwards between two events.
    told: Cell<Millis>,
    /// When that was in real time.
    since: Instant,
    speed: u32,
    skip_to: Option<Millis>,
    flat_out: bool,
}

/// An event that is to come. Ordered by time, then by when it was scheduled.
#[derive(Debug)]
struct Scheduled {
    at: Millis,
    ordinal: u64,
    event: Event,
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

impl Drill {
    /// A drill at virtual time `now`, running as fast as it can until a speed is set.
    #[must_use]
    pub fn new(world: World, plan: Arc<Plan>, now: Millis) -> Drill {
        Drill {
            world,
            log: None,
            tree: None,
            plan,
            heap: BinaryHeap::new(),
            ordinal: 0,
            current: now,
            told: Cell::new(now),
            since: Instant::now(),
            speed: 1,
            skip_to: None,
            flat_out: true,
        }
    }

    /// Lets the world keep a log of what is done to it in a drill's folder, so that it can be had again.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn keep_log(&mut self, folder: &Path) -> io::Result<()> {
        // A line that a crash cut off must not stay in front of the next one: the log is written anew, then swapped in.
        let fresh = folder.join(format!("{WORLD_LOG}.new"));
        self.log = Some((File::create(&fresh)?, 0));
        self.write_log();
        std::fs::rename(&fresh, folder.join(WORLD_LOG))?;
        self.tree = Some(folder.join(TREE));
        Ok(())
    }

    /// What a world's log holds. A last line that was cut off by a crash was never answered, and does not count.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_log(folder: &Path) -> io::Result<Vec<CallRecord>> {
        match std::fs::read_to_string(folder.join(WORLD_LOG)) {
            Ok(text) => Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn write_log(&mut self) {
        let Some((file, written)) = &mut self.log else { return };
        for record in self.world.calls().iter().skip(*written) {
            let line = serde_json::to_string(record).unwrap_or_default();
            if let Err(error) = writeln!(file, "{line}") {
                tracing::error!(%error, "the simulated world cannot write its log: this drill cannot be resumed");
            }
            *written += 1;
        }
    }

    /// Lets time pass at this many virtual seconds per real second; 0 stops it.
    pub fn set_speed(&mut self, speed: u32) {
        self.current = self.now();
        self.since = Instant::now();
        self.speed = speed;
        self.flat_out = false;
        self.skip_to = None;
    }

    /// Schedules an event.
    pub fn schedule(&mut self, at: Millis, event: Event) {
        self.ordinal += 1;
        self.heap.push(Reverse(Scheduled { at: at.max(self.current).max(self.told.get()), ordinal: self.ordinal, event }));
    }

    /// The next event at once, whatever the speed: the one that is scheduled, or a tick at `wake`.
    pub fn pop(&mut self, wake: Millis) -> Event {
        let due = self.next_at(wake);
        self.current = due.max(self.told.get());
        self.since = Instant::now();
        match self.heap.peek() {
            Some(Reverse(first)) if first.at <= due => self.heap.pop().map_or(Event::Tick, |Reverse(s)| s.event),
            _ => Event::Tick,
        }
    }

    fn next_at(&self, wake: Millis) -> Millis {
        let first = self.heap.peek().map_or(Millis::MAX, |Reverse(s)| s.at);
        // A tick that were due now or before would never let time pass.
        first.min(wake.max(self.current + 1)).max(self.current)
    }

    fn skipping(&self) -> bool {
        self.skip_to.is_some_and(|to| self.current < to)
    }

    /// Faults that can be injected by hand, at most one per digit.
    fn faults(&self) -> Vec<(String, FaultKind)> {
        let regions = self.plan.regions.iter().map(|r| (format!("{} fails", r.label), FaultKind::RegionDown(r.name.clone())));
        // Route 53 is changed through us-east-1: without it no record can be shifted (rule 5).
        let control = (
            format!("{ROUTE53_REGION}'s control plane goes, and Route 53's with it"),
            FaultKind::ControlPlaneAway(ROUTE53_REGION.into()),
        );
        let brownout = self.plan.regions.iter().filter(|r| r.role == Role::Primary).map(|r| {
            let kind = FaultKind::Brownout { region: r.name.clone(), errors_ppm: 200_000, latency_us: 800_000 };
            (format!("{} answers badly: every fifth request fails", r.label), kind)
        });
        let passing = [
            ("the credentials expire".to_owned(), FaultKind::CredentialsExpire { notice_ms: 0 }),
            ("every second call is lost".to_owned(), FaultKind::LoseAnswers { share_ppm: 500_000, lost: Lost::Either }),
        ];
        let passing = passing.map(|(title, kind)| (format!("{title}, for {}", format_ms(BY_HAND_MS)), kind));
        let lag = |(id, monitor): (MonitorId, &crate::plan::Monitor)| match &monitor.source {
            Source::Metric(metric) if metric.replication => {
                Some((format!("{} rises to 17m", monitor.title), FaultKind::Lag(id, INJECTED_LAG)))
            }
            _ => None,
        };
        let lags = self.plan.monitors.iter().enumerate().filter_map(lag);
        let primary = |region: &String| self.plan.regions.iter().any(|r| r.role == Role::Primary && r.name == *region);
        let edit = self.plan.traffic.iter().filter_map(|traffic| {
            let (set, region) = traffic.targets.iter().find(|(_, region)| primary(region))?;
            let (zone, record, set) = (traffic.zone.clone(), traffic.record.clone(), set.clone());
            let title = format!("somebody gives {} the weight {INJECTED_WEIGHT} in the console", self.plan.region_label(region));
            Some((title, FaultKind::ThirdPartyEdit { zone, record, set, weight: INJECTED_WEIGHT }))
        });
        regions.chain([control]).chain(brownout).chain(passing).chain(edit).chain(lags).take(9).collect()
    }
}

impl Backend for Drill {
    fn now(&self) -> Millis {
        if self.flat_out || self.skipping() || self.speed == 0 {
            return self.current.max(self.told.get());
        }
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX / 100_000) * i64::from(self.speed);
        let limit = self.heap.peek().map_or(Millis::MAX, |Reverse(s)| s.at);
        let now = (self.current + passed).min(limit.max(self.current)).max(self.told.get());
        self.told.set(now);
        now
    }

    fn perform(&mut self, effect: Effect) {
        let (at, event) = self.world.perform(self.now(), &effect);
        if !matches!(effect, Effect::Ask(_)) {
            self.write_log();
        }
        if let (Effect::Send { call: Call::EditFile { file, .. }, .. }, Some(folder)) = (&effect, &self.tree)
            && let Some(text) = self.world.file(file)
        {
            write_tree(folder, file, text);
        }
        self.schedule(at, event);
    }

    fn output(&self, id: CallId) -> Vec<String> {
        self.world.output(id, self.now()).to_vec()
    }

    async fn next(&mut self, wake: Millis) -> Event {
        if !self.flat_out && !self.skipping() {
            self.skip_to = None;
            if self.speed == 0 {
                return pending().await;
            }
            let virtual_ms = self.next_at(wake) - self.current;
            let real = Duration::from_micros(u64::try_from(virtual_ms * 1_000 / i64::from(self.speed)).unwrap_or(0));
            tokio::time::sleep_until(self.since + real).await;
        }
        self.pop(wake)
    }

    fn reached(&mut self, step: StepId) {
        let now = self.now();
        self.world.step_reached(step, now);
        self.write_log();
    }

    fn noteworthy(&mut self, drafts: &[Draft]) {
        let quiet = |d: &Draft| matches!(d.entry, Entry::Intent { .. } | Entry::InSync { .. } | Entry::Resent { .. });
        if !drafts.iter().all(quiet) {
            self.stop_skipping();
        }
    }

    fn drill(&mut self, command: &DrillCommand) -> Result<(), String> {
        match command {
            DrillCommand::Speed(speed) => self.set_speed((*speed).min(100_000)),
            DrillCommand::SkipAhead => {
                self.current = self.now();
                self.skip_to = Some(self.current + SKIP_MS);
            }
            DrillCommand::Inject(fault) => {
                let now = self.now();
                self.world.inject(now, fault.clone());
                self.write_log();
            }
        }
        Ok(())
    }

    fn drill_view(&self) -> Option<DrillView> {
        Some(DrillView { speed: self.speed, skipping_to: self.skip_to.filter(|_| self.skipping()), faults: self.faults() })
    }

    fn requests_failed(&self, from: Millis, until: Millis) -> Option<u64> {
        Some(self.world.requests_failed(from, until))
    }

    fn is_flat_out(&self) -> bool {
        self.flat_out || self.skipping()
    }

    fn stop_skipping(&mut self) {
        self.skip_to = None;
        self.since = Instant::now();
    }
}
