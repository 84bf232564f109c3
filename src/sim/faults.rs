//! What goes wrong and when: regions that are down and replication lags that are raised.

use crate::cloud::Millis;
use crate::plan::{Fault, FaultAt, FaultKind, MonitorId, StepId};

/// The number of a region in [`Regions`].
pub(super) type RegionId = usize;

/// Every region by number, so that the hot path compares no names.
#[derive(Debug, Clone, Default)]
pub(super) struct Regions {
    names: Vec<String>,
}

impl Regions {
    /// The number of a region; it gets one when it has none yet.
    pub(super) fn number(&mut self, name: &str) -> RegionId {
        self.find(name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<RegionId> {
        self.names.iter().position(|n| n == name)
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// A stretch of time: `from` is in it, `until` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Millis,
    until: Millis,
}

impl Span {
    /// A fault that does not end by itself lasts for good.
    fn new(from: Millis, for_ms: Option<i64>) -> Span {
        Span { from, until: for_ms.map_or(Millis::MAX, |ms| from.saturating_add(ms)) }
    }

    fn holds(self, at: Millis) -> bool {
        self.from <= at && at < self.until
    }
}

/// All faults of a world.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// Those that wait for a step.
    waiting: Vec<(StepId, i64, Option<i64>, FaultKind)>,
    /// Per region, sorted and without overlaps.
    down: Vec<Vec<Span>>,
    /// Per monitor, in the order in which they were made; the newest that holds counts.
    lags: Vec<Vec<(Span, i64)>>,
}

impl Faults {
    pub(super) fn new(faults: &[Fault], start: Millis, monitors: usize, regions: &mut Regions) -> Faults {
        let mut all = Faults { lags: vec![Vec::new(); monitors], ..Faults::default() };
        for fault in faults {
            match fault.at {
                FaultAt::Elapsed(ms) => all.begin(start.saturating_add(ms), fault.for_ms, &fault.kind, regions),
                FaultAt::Step(step, ms) => all.waiting.push((step, ms, fault.for_ms, fault.kind.clone())),
            }
        }
        all
    }

    /// Puts a fault on the calendar.
    pub(super) fn begin(&mut self, from: Millis, for_ms: Option<i64>, kind: &FaultKind, regions: &mut Regions) {
        let span = Span::new(from, for_ms);
        match kind {
            FaultKind::RegionDown(name) => {
                let region = regions.number(name);
                if self.down.len() <= region {
                    self.down.resize(region + 1, Vec::new());
                }
                merge(&mut self.down[region], span);
            }
            FaultKind::Lag(monitor, micros) => {
                if let Some(lags) = self.lags.get_mut(*monitor) {
                    lags.push((span, *micros));
                }
            }
        }
    }

    /// Gives the faults that wait for this step their time. False when none waits, or it was reached before.
    pub(super) fn step_reached(&mut self, step: StepId, now: Millis, regions: &mut Regions) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        let (ripe, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|f| f.0 == step);
        self.waiting = waiting;
        for (_, after, for_ms, kind) in &ripe {
            self.begin(now.saturating_add(*after), *for_ms, kind, regions);
        }
        !ripe.is_empty()
    }

    pub(super) fn is_down(&self, region: RegionId, at: Millis) -> bool {
        self.down.get(region).is_some_and(|spans| spans.iter().any(|s| s.holds(at)))
    }

    /// How long a region is down between two times, in milliseconds.
    pub(super) fn down_ms(&self, region: RegionId, from: Millis, until: Millis) -> i64 {
        self.down_spans(region, from, until).map(|(a, b)| b - a).sum()
    }

    /// When a region is down between two times.
    pub(super) fn down_spans(&self, region: RegionId, from: Millis, until: Millis) -> impl Iterator<Item = (Millis, Millis)> {
        let spans = self.down.get(region).map_or(&[][..], Vec::as_slice);
        spans.iter().map(move |s| (s.from.max(from), s.until.min(until))).filter(|(a, b)| a < b)
    }

    /// The lag, in microseconds, that a fault forces upon a monitor.
    pub(super) fn lag(&self, monitor: MonitorId, at: Millis) -> Option<i64> {
        self.lags.get(monitor)?.iter().rev().find(|(span, _)| span.holds(at)).map(|(_, micros)| *micros)
    }
}

/// Adds a span to a sorted list without overlaps and keeps it so.
fn merge(spans: &mut Vec<Span>, new: Span) {
    spans.push(new);
    spans.sort_by_key(|s| s.from);
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans.drain(..) {
        match merged.last_mut() {
            Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
            _ => merged.push(span),
        }
    }
    *spans = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_outages_are_counted_once() {
        let mut regions = Regions::default();
        let down = |ms, for_ms| Fault { at: FaultAt::Elapsed(ms), for_ms, kind: FaultKind::RegionDown("a".into()) };
        let faults = Faults::new(&[down(50, Some(20)), down(10, Some(20)), down(25, Some(10))], 1_000, 0, &mut regions);
        assert_eq!(faults.down_ms(0, 0, 10_000), 45);
        assert!(!faults.is_down(0, 1_009) && faults.is_down(0, 1_010) && faults.is_down(0, 1_034) && !faults.is_down(0, 1_035));
    }

    #[test]
    fn a_fault_waits_for_its_step_and_fires_once() {
        let mut regions = Regions::default();
        let fault = Fault { at: FaultAt::Step(3, 100), for_ms: Some(10), kind: FaultKind::Lag(0, 77) };
        let mut faults = Faults::new(&[fault], 0, 1, &mut regions);
        assert!(!faults.step_reached(2, 500, &mut regions));
        assert!(faults.step_reached(3, 1_000, &mut regions));
        assert!(!faults.step_reached(3, 2_000, &mut regions));
        assert_eq!((faults.lag(0, 1_099), faults.lag(0, 1_100), faults.lag(0, 1_110)), (None, Some(77), None));
    }
}
