//! How much of the error budget is spent (rule 39): from the minutes of the probes to an interval with a lower and an upper
//! bound, for the service as its users see it and for each region.
//!
//! A vantage point sees a *bad minute* when the share of its requests that succeed is below the objective. A stretch of bad
//! minutes is down for certain from its first failed sample to its last one, and may be from the last good sample before
//! it to the first good one after it. Time without samples may be down. The service, or a region, is down for certain where
//! a quorum of its vantage points is, and may be where a quorum may be. The service is down as well where a region is whose
//! failures, weighted by the traffic that it really gets, are more than the objective allows.
//!
//! All of this is a function of the minutes, so a run that is gone on with counts them again and loses nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::minute::{MINUTE_MS, Minute};
use super::span::{Span, at_least, clip, length, push, union};
use super::state::Memo;
use crate::cloud::Millis;
use crate::plan::{Availability, MonitorId, Plan};

/// Time without a sample counts as unmeasured from this on, in intervals and a half.
const GAP_INTERVALS_HALVES: i64 = 3;
/// The longest interval at which such a monitor is read, unless the plan says a longer one, in milliseconds.
const INTERVAL_MS: i64 = 60_000;
/// How long minutes are waited for before time counts as unmeasured, in milliseconds.
const PATIENCE_MS: i64 = 3 * 60_000;
/// Shares of traffic that differ by less than this, in millionths, are the same.
const SAME_SHARE_PPM: i64 = 10_000;
/// A whole, in millionths.
const WHOLE_PPM: i64 = 1_000_000;

/// What was down, and what may have been.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Down {
    /// For certain, in order.
    pub certain: Vec<Span>,
    /// Possibly; what is certain is possible too.
    pub possible: Vec<Span>,
    /// The part of what is possible in which nothing, or too little, was measured.
    pub unmeasured: Vec<Span>,
}

impl Down {
    /// Lower and upper bound within some time, in milliseconds.
    #[must_use]
    pub fn within(&self, from: Millis, to: Millis) -> (i64, i64) {
        let span = [Span { from, to }];
        (length(&clip(&self.certain, &span)), length(&clip(&self.possible, &span)))
    }
}

/// The error budget of a run.
#[derive(Debug, Clone)]
pub struct Downtime {
    allowed_ppm: i64,
    service: Target,
    regions: Vec<(String, Target)>,
    /// Monitors that count requests, with the number of the region above that they count in, and the newest count.
    seen: Vec<(MonitorId, Option<usize>, i64)>,
    /// Which share of the traffic each region got, in millionths, since when; oldest first.
    shares: Vec<(Millis, Vec<i64>)>,
    /// Until when time has passed.
    passed: Millis,
    found: Memo<(Down, Vec<Down>)>,
}

/// A service or region, seen from several places.
#[derive(Debug, Clone)]
struct Target {
    quorum: usize,
    vantages: Vec<Vantage>,
    /// What was lost in each minute in which anything was, in millionths, by vantage point.
    losses: BTreeMap<Millis, Vec<i64>>,
    /// A region counts from its first good sample on.
    since: Option<Millis>,
}

/// One monitor's view.
#[derive(Debug, Clone)]
struct Vantage {
    monitor: MonitorId,
    gap_ms: i64,
    /// Its newest sample, or until when silence has been counted already.
    last: Option<Millis>,
    /// Silence has been counted up to `last`, and has not ended there.
    silent: bool,
    last_good: Option<Millis>,
    stretch: Option<Stretch>,
    down: Down,
}

/// A stretch of bad minutes that is going on.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    before: Millis,
    first: Millis,
    last: Millis,
    after: Option<Millis>,
}

impl Downtime {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(plan: &Plan) -> Downtime {
        let Availability { service, regions, .. } = &plan.availability;
        let target = |monitors: &[MonitorId]| Target {
            quorum: plan.availability.quorum_of(monitors.len()),
            vantages: monitors.iter().map(|id| Vantage::new(*id, plan.monitors[*id].every_ms)).collect(),
            losses: BTreeMap::new(),
            since: None,
        };
        let counted = plan.traffic.iter().flat_map(|t| &t.seen);
        let number = |name: &str| regions.iter().position(|(region, _)| region == name);
        Downtime {
            allowed_ppm: WHOLE_PPM - plan.objectives.availability_ppm,
            service: target(service),
            regions: regions.iter().map(|(name, monitors)| (name.clone(), target(monitors))).collect(),
            seen: counted.map(|(region, id)| (*id, number(region), 0)).collect(),
            shares: Vec::new(),
            passed: Millis::MIN,
            found: Memo::default(),
        }
    }

    /// The run has begun: from here on what is not measured counts.
    pub fn begin(&mut self, at: Millis) {
        self.service.since.get_or_insert(at);
        for vantage in &mut self.service.vantages {
            vantage.last.get_or_insert(at);
        }
    }

    /// Takes in a minute of a monitor; one that is no later than what is known of that monitor is left out.
    pub fn minute(&mut self, monitor: MonitorId, minute: &Minute) {
        if self.seen.iter().any(|(id, ..)| *id == monitor) {
            self.traffic(monitor, minute);
        }
        let allowed = self.allowed_ppm;
        self.found = Memo::default();
        self.service.minute(monitor, minute, allowed);
        for (_, region) in &mut self.regions {
            region.minute(monitor, minute, allowed);
        }
    }

    /// True when the clock has passed a full minute since time last passed.
    #[must_use]
    pub fn is_due(&self, now: Millis) -> bool {
        now.div_euclid(MINUTE_MS) > self.passed.div_euclid(MINUTE_MS)
    }

    /// Time has passed: silence counts as unmeasured. Looked at once a minute.
    pub fn pass(&mut self, now: Millis) {
        if !self.is_due(now) {
            return;
        }
        self.passed = now;
        self.found = Memo::default();
        for target in std::iter::once(&mut self.service).chain(self.regions.iter_mut().map(|r| &mut r.1)) {
            for vantage in &mut target.vantages {
                vantage.silent_until(now - PATIENCE_MS);
            }
        }
    }

    fn traffic(&mut self, monitor: MonitorId, minute: &Minute) {
        for (_, _, count) in self.seen.iter_mut().filter(|(id, ..)| *id == monitor) {
            *count = minute.numbers.map_or(0, |n| n.max);
        }
        let whole: i128 = self.seen.iter().map(|s| i128::from(s.2.max(0))).sum();
        let of = |region: usize| -> i64 {
            let here: i128 = self.seen.iter().filter(|s| s.1 == Some(region)).map(|s| i128::from(s.2.max(0))).sum();
            if whole > 0 { i64::try_from(here * i128::from(WHOLE_PPM) / whole).unwrap_or(0) } else { 0 }
        };
        let shares: Vec<i64> = (0..self.regions.len()).map(of).collect();
        let same = |old: &Vec<i64>| {
            // What gets nothing at all and what gets a little are not the same.
            old.iter().zip(&shares).all(|(a, b)| (a - b).abs() < SAME_SHARE_PPM && (*a == 0) == (*b == 0))
        };
        if !self.shares.last().is_some_and(|(_, old)| same(old)) {
            self.shares.push((minute.begins, shares));
        }
    }

    /// When each region's failures, weighted by its traffic, were more than the objective allows for the service.
    fn weighed(&self) -> Vec<Vec<Span>> {
        let mut out = vec![Vec::new(); self.regions.len()];
        let minutes: BTreeSet<Millis> = self.regions.iter().flat_map(|(_, r)| r.losses.keys().copied()).collect();
        for begins in minutes {
            let after = self.shares.partition_point(|(since, _)| *since <= begins);
            let Some((_, shares)) = after.checked_sub(1).and_then(|i| self.shares.get(i)) else { continue };
            let lost: Vec<i64> =
                self.regions.iter().zip(shares).map(|((_, r), share)| r.lost(begins) * share / WHOLE_PPM).collect();
            if lost.iter().sum::<i64>() > self.allowed_ppm {
                let span = Span { from: begins, to: begins + MINUTE_MS };
                for (region, _) in lost.iter().enumerate().filter(|(_, lost)| **lost > 0) {
                    push(&mut out[region], span);
                }
            }
        }
        out
    }

    /// What was down until time last passed: the service, then the regions in their order. What goes on may go on still.
    #[must_use]
    pub fn down(&self) -> &(Down, Vec<Down>) {
        self.found.get_or_init(|| self.find(self.passed))
    }

    fn find(&self, now: Millis) -> (Down, Vec<Down>) {
        let regions: Vec<Down> = self.regions.iter().map(|(_, region)| region.down(now)).collect();
        let mut service = self.service.down(now);
        for (down, minutes) in regions.iter().zip(self.weighed()) {
            // The samples around a bad minute lie in the minutes beside it.
            let around: Vec<Span> = minutes.iter().fold(Vec::new(), |mut out, m| {
                push(&mut out, Span { from: m.from - MINUTE_MS, to: m.to + MINUTE_MS });
                out
            });
            service.certain = union(&service.certain, &clip(&down.certain, &minutes));
            service.possible = union(&service.possible, &clip(&down.possible, &around));
        }
        (service, regions)
    }

    /// The regions, in the order of [`Downtime::down`], and from when on each counts.
    pub fn regions(&self) -> impl Iterator<Item = (&str, Option<Millis>)> {
        self.regions.iter().map(|(name, target)| (name.as_str(), target.since))
    }

    /// From when on the service counts.
    #[must_use]
    pub fn since(&self) -> Option<Millis> {
        self.service.since
    }
}

impl Target {
    fn minute(&mut self, monitor: MonitorId, minute: &Minute, allowed_ppm: i64) {
        let Some(index) = self.vantages.iter().position(|v| v.monitor == monitor) else { return };
        if self.since.is_none() {
            // What was never up is not down; it has not begun.
            let Some((first, _)) = minute.good else { return };
            self.since = Some(first);
            for vantage in &mut self.vantages {
                vantage.last.get_or_insert(first);
            }
        }
        if !self.vantages[index].minute(minute, allowed_ppm) {
            return;
        }
        if minute.failed > 0 {
            let count = self.vantages.len();
            self.losses.entry(minute.begins).or_insert_with(|| vec![0; count])[index] = lost_ppm(minute);
        }
    }

    /// What a quorum of vantage points lost at least in a minute, in millionths.
    fn lost(&self, begins: Millis) -> i64 {
        let Some(losses) = self.losses.get(&begins) else { return 0 };
        let mut losses = losses.clone();
        losses.sort_unstable_by(|a, b| b.cmp(a));
        losses.get(self.quorum - 1).copied().unwrap_or(0)
    }

    fn down(&self, now: Millis) -> Down {
        let Some(since) = self.since else { return Down::default() };
        let counted = [Span { from: since, to: now.max(since) }];
        let each: Vec<Down> = self.vantages.iter().map(|v| v.down(now)).collect();
        let of = |part: fn(&Down) -> &Vec<Span>| {
            let lists: Vec<&[Span]> = each.iter().map(|d| part(d).as_slice()).collect();
            clip(&at_least(&lists, self.quorum), &counted)
        };
        Down { certain: of(|d| &d.certain), possible: of(|d| &d.possible), unmeasured: of(|d| &d.unmeasured) }
    }
}

impl Vantage {
    fn new(monitor: MonitorId, every_ms: i64) -> Vantage {
        let gap_ms = every_ms.max(INTERVAL_MS) * GAP_INTERVALS_HALVES / 2;
        Vantage { monitor, gap_ms, last: None, silent: false, last_good: None, stretch: None, down: Down::default() }
    }

    /// Takes in a minute; false when it is old.
    fn minute(&mut self, minute: &Minute, allowed_ppm: i64) -> bool {
        if self.last.is_some_and(|last| minute.last <= last) {
            return false;
        }
        if let Some(last) = self.last.filter(|last| self.silent || minute.first - last > self.gap_ms) {
            self.unmeasured(last, minute.first);
        }
        match minute.bad {
            Some((first, last)) if lost_ppm(minute) > allowed_ppm => {
                let before = minute.good_before.or(self.last_good).or(self.last).unwrap_or(first).min(first);
                let (before, first) = self.stretch.map_or((before, first), |going_on| (going_on.before, going_on.first));
                self.stretch = Some(Stretch { before, first, last, after: minute.good_after });
            }
            _ => {
                if let Some(stretch) = self.stretch.take() {
                    let after = stretch.after.or(minute.good.map(|g| g.0)).unwrap_or(minute.first);
                    self.over(stretch, after);
                }
            }
        }
        self.last = Some(minute.last);
        self.silent = false;
        self.last_good = minute.good.map(|g| g.1).or(self.last_good);
        true
    }

    fn over(&mut self, stretch: Stretch, after: Millis) {
        push(&mut self.down.certain, Span { from: stretch.first, to: stretch.last });
        push(&mut self.down.possible, Span { from: stretch.before, to: after });
    }

    fn unmeasured(&mut self, from: Millis, to: Millis) {
        if let Some(stretch) = self.stretch.take() {
            self.over(stretch, to);
        }
        push(&mut self.down.possible, Span { from, to });
        push(&mut self.down.unmeasured, Span { from, to });
        // Whatever was good before says nothing of what comes after.
        self.last_good = None;
    }

    /// Counts silence up to a time, if it has lasted too long.
    fn silent_until(&mut self, until: Millis) {
        if let Some(last) = self.last.filter(|last| until - last > if self.silent { 0 } else { self.gap_ms }) {
            self.unmeasured(last, until);
            self.last = Some(until);
            self.silent = true;
        }
    }

    fn down(&self, now: Millis) -> Down {
        let mut down = self.down.clone();
        if let Some(stretch) = self.stretch {
            push(&mut down.certain, Span { from: stretch.first, to: stretch.last });
            push(&mut down.possible, Span { from: stretch.before, to: stretch.after.unwrap_or(now).max(stretch.last) });
        }
        down
    }
}

/// The share of failed samples, in millionths.
fn lost_ppm(minute: &Minute) -> i64 {
    i64::from(minute.failed) * WHOLE_PPM / i64::from(minute.samples.max(1))
}
