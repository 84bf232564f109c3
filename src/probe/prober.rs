//! Many targets at once, each on its schedule. Requests are made in a thread of their own, so that a screen that is drawn
//! or a journal that is read at the same time is not measured as latency.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};

use super::clock::{self, Aim, Due};
use super::http::Sample;
use super::line::Lines;
use super::wire::Target;
use super::{Probe, http};
use crate::plan::HttpSource;

/// Most outcomes that wait to be read; who reads nothing shall not fill the memory.
const WAITING_MAX: usize = 65_536;
/// Files and sockets that are left to the rest of the program.
const FILES_SPARED: usize = 128;
/// The first requests of all targets are sent within this time: who looks wants to see something.
const SPREAD_MAX: Duration = Duration::from_secs(10);
/// As long as threads need to start.
const BEGIN_AFTER: Duration = Duration::from_millis(20);
/// Requests under way at most, where the system does not say how many files a process may open.
const IN_FLIGHT_USUAL: usize = 512;

/// One request that was made, or several that were not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The number of the target, as they were given.
    pub target: usize,
    /// The number of the request, from 0.
    pub n: u64,
    /// When it was due, in microseconds after the start.
    pub due_us: i64,
    /// When it was known, in microseconds after the start.
    pub done_us: i64,
    /// What came of it.
    pub what: Measured,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measured {
    /// It was made.
    Sample {
        /// By how much it was sent later than it was due, in microseconds.
        late_us: i64,
        /// What it saw. Its times count from when it was sent.
        sample: Sample,
    },
    /// It was not made, through no fault of the target's. Such a time is unmeasured, neither good nor bad.
    Skipped {
        /// How many requests, this one and those after it.
        count: u64,
        /// Why.
        why: &'static str,
    },
}

/// Targets with their schedules. Dropping it ends everything.
#[derive(Debug)]
pub struct Prober {
    aims: std::sync::mpsc::Sender<Aim>,
    targets: Arc<Vec<HttpSource>>,
    start: Instant,
    lost: Arc<AtomicU64>,
}

impl Prober {
    /// Starts the threads; nothing is due yet. The outcomes come out of the receiver. `probe` makes what all requests
    /// share, in the thread that needs it: it reads files. At most `in_flight` requests are under way at once.
    ///
    /// # Errors
    /// When the system gives no thread or no runtime.
    pub fn start(
        probe: impl FnOnce() -> Probe + Send + 'static,
        targets: Vec<HttpSource>,
        in_flight: usize,
    ) -> std::io::Result<(Prober, mpsc::Receiver<Outcome>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (aims, aimed) = std::sync::mpsc::channel();
        let (outcomes, receiver) = mpsc::channel(WAITING_MAX);
        let (start, targets, lost) = (Instant::now(), Arc::new(targets), Arc::new(AtomicU64::new(0)));
        let work = Work { targets: Arc::clone(&targets), start, outcomes, lost: Arc::clone(&lost) };
        std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
            let (probe, (sender, due)) = (probe(), mpsc::unbounded_channel());
            // Without its clock nothing is ever due, and the receiver's end says so.
            if clock::start(aimed, sender).is_ok() {
                runtime.block_on(work.run(probe, due, in_flight));
            }
            // A name that is being looked up by the C library must not keep the thread.
            runtime.shutdown_background();
        })?;
        Ok((Prober { aims, targets, start, lost }, receiver))
    }

    /// Starts threads, and all targets on their schedules: `count` requests each, or without end. Their first requests are
    /// spread over the interval, so that not all are due at once.
    ///
    /// # Errors
    /// As [`Prober::start`].
    pub fn launch(targets: &[Target], count: Option<u64>) -> std::io::Result<(Prober, mpsc::Receiver<Outcome>)> {
        let sources = targets.iter().map(Target::source).collect();
        let probe = Probe::new();
        let (prober, outcomes) = Prober::start(|| probe, sources, in_flight_max())?;
        // The clock's thread shall be there before the first one is due, or it would be moved.
        let begin = Instant::now() + BEGIN_AFTER;
        let all = u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1);
        for (index, (target, place)) in targets.iter().zip(0..).enumerate() {
            let every = Duration::from_millis(target.every_ms);
            let offset = every.min(SPREAD_MAX) / all * place;
            prober.aim(index, begin + offset, every, None, count);
        }
        Ok((prober, outcomes))
    }

    /// Lets a target's requests be due from `first` on at this interval, until a time or a number of them. For a target
    /// whose schedule has not ended only the end is changed, to the later one.
    pub fn aim(&self, target: usize, first: Instant, every: Duration, until: Option<Instant>, count: Option<u64>) {
        let grace = self.targets.get(target).map_or(0, |source| u64::try_from(source.timeout_ms).unwrap_or(0));
        // The thread is there as long as this is.
        let _ = self.aims.send(Aim { target, first, every, until, count, grace: Duration::from_millis(grace) });
    }

    /// When it was started: what the outcomes' times count from.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.start
    }

    /// How many outcomes were dropped because nobody read them in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

struct Work {
    targets: Arc<Vec<HttpSource>>,
    start: Instant,
    outcomes: mpsc::Sender<Outcome>,
    lost: Arc<AtomicU64>,
}

impl Work {
    async fn run(self, probe: Probe, mut due: mpsc::UnboundedReceiver<Due>, in_flight: usize) {
        let lines: Vec<Arc<Lines>> = self.targets.iter().map(|_| Arc::default()).collect();
        let slots = Arc::new(Semaphore::new(in_flight));
        let work = Arc::new(self);
        while let Some(due) = due.recv().await {
            if work.outcomes.is_closed() {
                return;
            }
            let skipped = |count, why| work.tell(due, Measured::Skipped { count, why });
            if let Some(more) = due.missed {
                skipped(more + 1, "this machine was too late");
                continue;
            }
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                skipped(1, "too many requests under way");
                continue;
            };
            let (work, probe, lines) = (Arc::clone(&work), probe.clone(), lines.get(due.target).cloned().unwrap_or_default());
            tokio::spawn(async move {
                let Some(source) = work.targets.get(due.target) else { return };
                let late_us = micros(Instant::now().saturating_duration_since(due.at));
                let sample = http::sample(&probe, source, &lines).await;
                drop(slot);
                work.tell(due, Measured::Sample { late_us, sample });
            });
        }
    }

    fn tell(&self, due: Due, what: Measured) {
        let after = |at: Instant| micros(at.saturating_duration_since(self.start));
        let outcome = Outcome { target: due.target, n: due.n, due_us: after(due.at), done_us: after(Instant::now()), what };
        if self.outcomes.try_send(outcome).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many requests may be under way at once: as many as the process may have sockets, less some for everything else.
#[must_use]
pub fn in_flight_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    files.map_or(IN_FLIGHT_USUAL, |files: usize| files.saturating_sub(FILES_SPARED).clamp(16, 16_384))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
