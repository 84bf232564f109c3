//! CloudWatch metrics: one point per minute, published a little after the minute has ended (rule 33).

use super::faults::{Faults, RegionId, Regions};
use super::resolvers::{RESOLVERS_MS, Resolvers};
use super::rng::{self, Dice, Stream};
use crate::cloud::{Millis, Reading, Value};
use crate::plan::{DrillMetric, MetricSource, MonitorId, Plan};

/// How long after its end a minute is published.
const PUBLICATION_MS: i64 = 20_000;
const MINUTE_MS: i64 = 60_000;

/// What a metric monitor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gauge {
    /// Requests per minute that a region answers.
    Requests(RegionId),
    /// Share of a region's requests that fail.
    Errors(RegionId),
    /// Replication lag with its usual value, in microseconds.
    Lag(i64),
    /// Always the same, in millionths.
    Constant(i64),
    /// Nothing is published: an absent replication lag is not zero (rule 14).
    Nothing,
}

impl Gauge {
    pub(super) fn new(monitor: MonitorId, source: &MetricSource, plan: &Plan, regions: &mut Regions) -> Gauge {
        match plan.drill.metrics.get(&monitor) {
            Some(DrillMetric::Requests(region)) => Gauge::Requests(regions.number(region)),
            Some(DrillMetric::Errors(region)) => Gauge::Errors(regions.number(region)),
            Some(DrillMetric::Lag(base)) => Gauge::Lag(*base),
            Some(DrillMetric::Value(value)) => Gauge::Constant(*value),
            None if source.replication && !source.absent_is_zero => Gauge::Nothing,
            None => Gauge::Constant(0),
        }
    }
}

/// The users' requests, and how they were spread over the regions in the last minute that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    dice: Dice,
    /// `None` when the plan has no record that carries the traffic; then there are no requests.
    resolvers: Option<Resolvers>,
    requests_per_second: i64,
    /// End of a minute and its resolver-milliseconds per region. Nothing that happens later changes a past
    /// minute, so this only saves work.
    spread: (Millis, Vec<i64>),
}

impl Metrics {
    pub(super) fn new(dice: Dice, resolvers: Option<Resolvers>, requests_per_second: u32) -> Metrics {
        let requests_per_second = i64::from(requests_per_second);
        Metrics { dice, resolvers, requests_per_second, spread: (Millis::MIN, Vec::new()) }
    }

    pub(super) fn resolvers(&self) -> Option<&Resolvers> {
        self.resolvers.as_ref()
    }

    pub(super) fn resolvers_mut(&mut self) -> Option<&mut Resolvers> {
        self.resolvers.as_mut()
    }

    /// The newest point of a metric that is published by `now`.
    pub(super) fn read(&mut self, monitor: MonitorId, gauge: Gauge, now: Millis, faults: &Faults, regions: usize) -> Reading {
        let late = now - PUBLICATION_MS;
        let at = late - late.rem_euclid(MINUTE_MS);
        let dice = self.dice;
        let noise = |value, percent| dice.around(Stream::Metric, rng::index(monitor), rng::time(at), value, percent);
        if let Some(lag) = faults.lag(monitor, at - 1) {
            return Reading { at, value: Value::Number(lag) };
        }
        let number = match gauge {
            Gauge::Nothing => return Reading { at, value: Value::Missing("no data".to_owned()) },
            Gauge::Constant(value) => value,
            Gauge::Lag(base) => noise(base, 30),
            // Without any traffic there is no share of it that fails.
            Gauge::Errors(region) if self.arrived(region, at, regions) == 0 => 0,
            Gauge::Errors(region) => faults.down_ms(region, at - MINUTE_MS, at) * 1_000_000 / MINUTE_MS,
            Gauge::Requests(region) => {
                let up_ms = MINUTE_MS - faults.down_ms(region, at - MINUTE_MS, at);
                let requests = noise(self.arrived(region, at, regions), 2) * up_ms / MINUTE_MS;
                requests / 1_000 * 1_000_000
            }
        };
        Reading { at, value: Value::Number(number) }
    }

    /// Thousandths of requests that arrived in a region in the minute that ended at `at`.
    fn arrived(&mut self, region: RegionId, at: Millis, regions: usize) -> i64 {
        let Some(resolvers) = &self.resolvers else { return 0 };
        if self.spread.0 != at {
            self.spread = (at, resolvers.spread(at - MINUTE_MS, at, regions));
        }
        self.spread.1.get(region).map_or(0, |ms| ms * self.requests_per_second / RESOLVERS_MS)
    }

    /// How many requests failed between two times: those to regions that were down, and those that had nowhere
    /// to go because there was no record.
    pub(super) fn failed(&self, from: Millis, until: Millis, faults: &Faults, regions: usize) -> u64 {
        let Some(resolvers) = &self.resolvers else { return 0 };
        let mut lost_ms = 0;
        for region in 0..regions {
            for (from, until) in faults.down_spans(region, from, until) {
                lost_ms += resolvers.spread(from, until, regions)[region];
            }
        }
        if resolvers.ever_nowhere() {
            lost_ms += resolvers.spread(from, until, regions)[regions];
        }
        let lost = i128::from(lost_ms) * i128::from(self.requests_per_second) / i128::from(RESOLVERS_MS * 1_000);
        u64::try_from(lost).unwrap_or(0)
    }
}
