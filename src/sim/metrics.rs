//! CloudWatch metrics: one point per minute, published a little after the minute has ended (rule 33).

use std::collections::BTreeMap;

use super::faults::{Faults, RegionId, Regions};
use super::health::Checks;
use super::resolvers::{RESOLVERS_MS, Resolvers};
use super::rng::{self, Dice, Stream};
use crate::cloud::{Millis, Reading, Value};
use crate::plan::{Database, DrillMetric, MetricSource, MonitorId, Plan, ROUTE53_REGION};

/// How long after its end a minute is published.
const PUBLICATION_MS: i64 = 20_000;
/// How long after its end a minute may still change (rule 33).
const FINAL_MS: i64 = 120_000;
/// What of a minute's pieces has been counted when it ends, in millionths.
const COUNTED_PPM: i64 = 850_000;
/// An idle `PostgreSQL` primary writes at least once in this time (rule 16).
const HEARTBEAT_MS: i64 = 300_000;
/// How long after it was enabled a metric is published for the first time (rule 14).
pub(super) const BEGINS_MS: i64 = 900_000;
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
    /// A read replica's lag with its usual value, in microseconds.
    Replica(i64, Database, bool),
    /// What waits to be replicated, per second that another monitor lags: in millionths.
    Pending(MonitorId, i64, i64),
    /// Status of a health check.
    Health(usize),
    /// Always the same, in millionths.
    Constant(i64),
    /// Nothing is published: an absent replication lag is not zero (rule 14).
    Nothing,
}

impl Gauge {
    pub(super) fn new(
        monitor: MonitorId,
        region: &str,
        source: &MetricSource,
        plan: &Plan,
        checks: &Checks,
        regions: &mut Regions,
    ) -> Gauge {
        match plan.drill.metrics.get(&monitor) {
            Some(DrillMetric::Requests(region)) => Gauge::Requests(regions.number(region)),
            Some(DrillMetric::Errors(region)) => Gauge::Errors(regions.number(region)),
            Some(DrillMetric::Lag(usual)) => Gauge::Lag(*usual),
            Some(DrillMetric::ReplicaLag { usual_us, database, idle }) => Gauge::Replica(*usual_us, *database, *idle),
            Some(DrillMetric::Pending { behind, per_second }) => {
                let usual = match plan.drill.metrics.get(behind) {
                    Some(DrillMetric::Lag(usual)) => *usual,
                    _ => 0,
                };
                Gauge::Pending(*behind, usual, *per_second)
            }
            // Published in us-east-1 and nowhere else (rule 33).
            Some(DrillMetric::HealthCheck(id)) if region == ROUTE53_REGION => {
                checks.find(id).map_or(Gauge::Nothing, Gauge::Health)
            }
            Some(DrillMetric::HealthCheck(_)) => Gauge::Nothing,
            Some(DrillMetric::Value(value)) => Gauge::Constant(*value),
            None if source.replication && !source.absent_is_zero => Gauge::Nothing,
            None => Gauge::Constant(0),
        }
    }
}

/// What metrics are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) faults: &'a Faults,
    pub(super) checks: &'a Checks,
    /// Since when each metric is published that has to be enabled first; `None` before.
    pub(super) begins: &'a BTreeMap<MonitorId, Option<Millis>>,
    /// `None` when the plan has no record that carries the traffic; then there are no requests.
    pub(super) resolvers: Option<&'a Resolvers>,
    /// How many regions there are.
    pub(super) regions: usize,
    /// The number of Route 53's region.
    pub(super) route53: RegionId,
}

/// The users' requests, and how they were spread over the regions in the last minute that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    dice: Dice,
    requests_per_second: i64,
    /// End of a minute and its resolver-milliseconds per region. Nothing that happens later changes a past
    /// minute, so this only saves work.
    spread: (Millis, Vec<i64>),
}

impl Metrics {
    pub(super) fn new(dice: Dice, requests_per_second: u32) -> Metrics {
        Metrics { dice, requests_per_second: i64::from(requests_per_second), spread: (Millis::MIN, Vec::new()) }
    }

    /// The newest point of a metric that is published by `now`.
    pub(super) fn read(&mut self, monitor: MonitorId, gauge: Gauge, now: Millis, scene: Scene<'_>) -> Reading {
        let late = now - PUBLICATION_MS;
        let at = late - late.rem_euclid(MINUTE_MS);
        let (dice, faults) = (self.dice, scene.faults);
        let noise = |value, percent| dice.around(Stream::Metric, rng::index(monitor), rng::time(at), value, percent);
        let missing = || Reading { at, value: Value::Missing("no data".to_owned()) };
        if scene.begins.get(&monitor).is_some_and(|begins| begins.is_none_or(|begins| at <= begins)) {
            return missing();
        }
        if let Some(lag) = faults.lag(monitor, at - 1) {
            return Reading { at, value: Value::Number(lag) };
        }
        let number = match gauge {
            Gauge::Nothing => return missing(),
            Gauge::Constant(value) => value,
            Gauge::Lag(usual) => noise(usual, 30) + faults.behind_ms(monitor, at) * 1_000,
            Gauge::Replica(_, Database::Mysql, _) if faults.is_stopped(monitor, at - 1) => -1_000_000,
            Gauge::Replica(usual, database, idle) => {
                // PostgreSQL says how old the last replayed transaction is: of a primary that writes nothing but a
                // heartbeat, as old as that (rule 16).
                let phase = dice.between(Stream::Heartbeat, rng::index(monitor), 0, 0, HEARTBEAT_MS - 1);
                let heartbeat = (at + phase).rem_euclid(HEARTBEAT_MS) * 1_000;
                let drift = if idle && database == Database::Postgresql { heartbeat } else { 0 };
                noise(usual, 30) + drift + faults.behind_ms(monitor, at) * 1_000
            }
            Gauge::Pending(behind, usual, per_second) => {
                let lag_us = faults.lag(behind, at - 1).unwrap_or(usual + faults.behind_ms(behind, at) * 1_000);
                // Whole pieces.
                noise(lag_us / 1_000 * per_second / 1_000, 10) / 1_000_000 * 1_000_000
            }
            // Its region's outage is when it is missed most (rule 33).
            Gauge::Health(_) if faults.is_away(scene.route53, at - 1) => return missing(),
            Gauge::Health(check) => i64::from(scene.checks.status(check, at - 1)) * 1_000_000,
            // Without any traffic there is no share of it that fails.
            Gauge::Errors(region) if self.arrived(region, at, scene) == 0 => 0,
            Gauge::Errors(region) => {
                let errors = faults.errors(region, at - MINUTE_MS, at);
                errors.iter().map(|(from, until, ppm)| (until - from) * ppm).sum::<i64>() / MINUTE_MS
            }
            Gauge::Requests(region) => {
                let up_ms = faults.up_ms(region, at - MINUTE_MS, at);
                let requests = noise(self.arrived(region, at, scene), 2) * up_ms / MINUTE_MS;
                counted(requests, now - at) / 1_000 * 1_000_000
            }
        };
        Reading { at, value: Value::Number(number) }
    }

    /// Thousandths of requests that arrived in a region in the minute that ended at `at`.
    fn arrived(&mut self, region: RegionId, at: Millis, scene: Scene<'_>) -> i64 {
        let Some(resolvers) = scene.resolvers else { return 0 };
        if self.spread.0 != at {
            self.spread = (at, resolvers.spread(at - MINUTE_MS, at, scene.regions));
        }
        self.spread.1.get(region).map_or(0, |ms| ms * self.requests_per_second / RESOLVERS_MS)
    }

    /// How many requests failed between two times: those to regions that were down or answered badly, and those that had
    /// nowhere to go because there was no record.
    pub(super) fn failed(&self, from: Millis, until: Millis, scene: Scene<'_>) -> u64 {
        let Some(resolvers) = scene.resolvers else { return 0 };
        let mut lost_us = 0;
        for region in 0..scene.regions {
            for (from, until, ppm) in scene.faults.errors(region, from, until) {
                lost_us += i128::from(resolvers.spread(from, until, scene.regions)[region]) * i128::from(ppm) / 1_000;
            }
        }
        if resolvers.ever_nowhere() {
            lost_us += i128::from(resolvers.spread(from, until, scene.regions)[scene.regions]) * 1_000;
        }
        let lost = lost_us * i128::from(self.requests_per_second) / i128::from(RESOLVERS_MS * 1_000_000);
        u64::try_from(lost).unwrap_or(0)
    }
}

/// What of a minute's count is known so long after its end.
fn counted(count: i64, age_ms: i64) -> i64 {
    let late = age_ms.clamp(0, FINAL_MS) * (1_000_000 - COUNTED_PPM) / FINAL_MS;
    rng::scaled(count, COUNTED_PPM + late)
}
