//! What is known of a plan's `http` monitors: samples from here and from vantage points, until somebody asks for them.
//!
//! A live run asks for a monitor's readings when it wants them. Were a request made for each question, a slow answer would
//! hold up the next question, and an outage would be seen once instead of once a second. So requests go out on a
//! schedule of their own, and whoever asks gets all that came in since.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::prober::{Measured, Prober, in_flight_max};
use super::vantage::{self, Post};
use super::wire::{Job, PROTOCOL, Target};
use super::{LOCAL, Probe};
use crate::cloud::{Millis, Reading, Value};
use crate::plan::{HttpSource, Measure, MonitorId, Plan, Source};

/// Most readings that wait for a question.
const WAITING_MAX: usize = 2_000;
/// Longest that a question waits for a reading.
const PATIENCE: Duration = Duration::from_secs(15);
/// An agent that hears nothing for so long ends, in milliseconds.
const AGENT_SILENCE_MS: u64 = 60_000;

/// The `http` monitors of a plan. Dropping it ends the requests and the agents.
#[derive(Debug)]
pub struct Feeds {
    monitors: BTreeMap<MonitorId, Arc<Feed>>,
    /// Who makes requests from here, and its number for each monitor.
    local: Option<(Prober, BTreeMap<MonitorId, usize>)>,
    /// One for each vantage point, and one that reads what is made from here.
    _tasks: JoinSet<()>,
}

/// What is known of one monitor.
#[derive(Debug)]
pub(super) struct Feed {
    /// Its interval.
    pub(super) every: Duration,
    /// Its time-out.
    pub(super) timeout: Duration,
    /// What it measures.
    pub(super) measure: Measure,
    from: String,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Reading>,
    /// How many ever came.
    arrived: u64,
    /// The time of the newest.
    newest: Millis,
    /// Why there are none at present.
    trouble: Option<String>,
    /// When it was asked for last.
    asked: Option<Instant>,
}

impl Feed {
    fn new(source: &HttpSource, every_ms: i64) -> Feed {
        let millis = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        Feed {
            every: millis(every_ms),
            timeout: millis(source.timeout_ms),
            measure: source.measure,
            from: source.from.clone(),
            state: Mutex::default(),
            news: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave it half changed in a way that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was measured, or could not be.
    pub(super) fn push(&self, at: Millis, value: Value) {
        let mut state = self.state();
        if !matches!(value, Value::Missing(_)) {
            state.trouble = None;
        }
        // Two answers in one millisecond are two samples.
        let at = at.max(state.newest + 1);
        state.newest = at;
        state.arrived += 1;
        if state.waiting.len() == WAITING_MAX {
            state.waiting.pop_front();
        }
        state.waiting.push_back(Reading { at, value });
        drop(state);
        self.news.notify_waiters();
    }

    /// Nothing can be measured for the time being.
    pub(super) fn trouble(&self, why: &str) {
        self.state().trouble = Some(why.to_owned());
        self.news.notify_waiters();
    }

    /// Everything that came in, as soon as more than `known` ever did.
    async fn readings(&self, known: u64, now: fn() -> Millis) -> Vec<Reading> {
        let until = tokio::time::Instant::now() + (self.every + self.timeout + Duration::from_secs(1)).min(PATIENCE);
        loop {
            let news = self.news.notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            {
                let mut state = self.state();
                if state.arrived > known || state.trouble.is_some() {
                    let mut readings: Vec<Reading> = state.waiting.drain(..).collect();
                    if let Some(why) = &state.trouble {
                        readings.push(Reading { at: now(), value: Value::Missing(why.clone()) });
                    }
                    return readings;
                }
            }
            if timeout_at(until, news).await.is_err() {
                let from = &self.from;
                return vec![Reading { at: now(), value: Value::Missing(format!("vantage {from}: no sample came")) }];
            }
        }
    }
}

impl Feeds {
    /// The monitors of a plan. What is measured from here is measured when it is asked for; the commands of the
    /// vantage points that monitors measure from are started at once. `now` is the clock of the readings.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(plan: &Plan, now: fn() -> Millis) -> Feeds {
        let sources: Vec<(MonitorId, &HttpSource, i64)> = (plan.monitors.iter().enumerate())
            .filter_map(|(id, monitor)| match &monitor.source {
                Source::Http(http) => Some((id, http, monitor.every_ms)),
                _ => None,
            })
            .collect();
        let feeds: BTreeMap<MonitorId, Arc<Feed>> =
            sources.iter().map(|(id, http, every)| (*id, Arc::new(Feed::new(http, *every)))).collect();
        let mut tasks = JoinSet::new();
        let of = |from: &str| sources.iter().filter(|(_, http, _)| http.from == from).collect::<Vec<_>>();
        let here = of(LOCAL);
        let local = if here.is_empty() { None } else { local(&here, &feeds, &mut tasks, now) };
        for vantage in &plan.vantages {
            let there = of(&vantage.name);
            let served: Vec<Arc<Feed>> = there.iter().filter_map(|(id, ..)| feeds.get(id).cloned()).collect();
            if vantage.command.is_empty() {
                let why = format!("vantage {} is not connected: the plan has no command for it", vantage.name);
                for feed in &served {
                    feed.trouble(&why);
                }
            } else if !served.is_empty() {
                let targets = there.iter().map(|(_, http, every)| Target::of(http, *every)).collect();
                let job = Job { protocol: PROTOCOL, targets, silence_ms: Some(AGENT_SILENCE_MS) };
                tasks.spawn(vantage::keep(Post::new(&vantage.name, &vantage.command, &job, served), now));
            }
        }
        Feeds { monitors: feeds, local, _tasks: tasks }
    }

    /// Asks for everything that was measured of a monitor since the last time. Who asks at the monitor's own interval
    /// gets samples on a schedule that keeps to it whatever the answers take; who asks less often gets one made for the
    /// question. The future ends within a quarter of a minute.
    pub fn ask(&self, monitor: MonitorId, now: fn() -> Millis) -> impl Future<Output = Vec<Reading>> + Send + 'static {
        let feed = self.monitors.get(&monitor).cloned();
        let known = feed.as_deref().map_or(0, |feed| self.known(monitor, feed));
        async move {
            match feed {
                Some(feed) => feed.readings(known, now).await,
                None => Vec::new(),
            }
        }
    }

    /// How many readings are no news.
    fn known(&self, monitor: MonitorId, feed: &Feed) -> u64 {
        let asking = Instant::now();
        let mut state = feed.state();
        let before = state.asked.replace(asking);
        let taken = state.arrived - u64::try_from(state.waiting.len()).unwrap_or(0);
        let Some((prober, number)) = self.local.as_ref().and_then(|(prober, numbers)| Some((prober, *numbers.get(&monitor)?)))
        else {
            return taken;
        };
        // The core asks again when it has an answer, so a slow answer makes it ask less often without its wanting to.
        let usual = feed.every * 3 / 2 + feed.timeout;
        if before.is_some_and(|before| asking - before <= usual) {
            prober.aim(number, asking, feed.every, Some(asking + usual), None);
            taken
        } else {
            prober.aim(number, asking, feed.every, Some(asking), None);
            state.arrived
        }
    }
}

/// The prober for the monitors that measure from here.
fn local(
    here: &[&(MonitorId, &HttpSource, i64)],
    feeds: &BTreeMap<MonitorId, Arc<Feed>>,
    tasks: &mut JoinSet<()>,
    now: fn() -> Millis,
) -> Option<(Prober, BTreeMap<MonitorId, usize>)> {
    let served: Vec<Arc<Feed>> = here.iter().filter_map(|(id, ..)| feeds.get(id).cloned()).collect();
    let sources = here.iter().map(|(_, http, _)| (*http).clone()).collect();
    match Prober::start(Probe::new, sources, in_flight_max()) {
        Ok((prober, mut outcomes)) => {
            tasks.spawn(async move {
                while let Some(outcome) = outcomes.recv().await {
                    let Some(feed) = served.get(outcome.target) else { continue };
                    let value = match outcome.what {
                        Measured::Sample { late_us, sample } => sample.value(feed.measure, late_us),
                        Measured::Skipped { why, .. } => Value::Missing(format!("not measured: {why}")),
                    };
                    feed.push(now(), value);
                }
                for feed in &served {
                    feed.trouble("this machine cannot probe: the probing thread has ended");
                }
            });
            Some((prober, here.iter().enumerate().map(|(number, (id, ..))| (*id, number)).collect()))
        }
        Err(error) => {
            for feed in &served {
                feed.trouble(&format!("this machine cannot probe: {error}"));
            }
            None
        }
    }
}
