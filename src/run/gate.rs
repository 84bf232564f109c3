//! Conditions and gates: three-valued, and unknown never opens anything.

use super::snapshot::{Freshness, Verdict};
use super::watch::{Ring, Watch};
use crate::cloud::{CHECK_DISABLED, CHECK_HEALTHY, Millis, Reading, Value};
use crate::plan::{Condition, ConditionId, Monitor, Plan, Quantity, Source, Stat, State, Test, Unit, format_ms};

/// How many answered probes make one healthy.
const HEALTHY_PROBES: usize = 3;

/// How one condition has been doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracker {
    /// Since when it has held without a break.
    pub since: Option<Millis>,
    /// New samples while it held.
    pub samples: u32,
    /// Why it did not hold the last time it was looked at.
    pub why: Option<Verdict>,
    /// Its monitor has not been read since the condition began to matter, nor just before: what is known of it was read at
    /// the cadence of what nothing depends on, and opens nothing.
    pub awaits: bool,
}

impl Tracker {
    /// Looks at the newest reading. `fresh`: it is a new sample. `broken`: there was a gap before it, so whatever
    /// held before is not known to have gone on holding.
    pub fn reading(&mut self, condition: &Condition, ring: &Ring, monitor: &Monitor, now: Millis, fresh: bool, broken: bool) {
        if broken {
            self.since = None;
            self.samples = 0;
        }
        match instant(condition, ring, monitor) {
            Verdict::Pass => {
                self.since.get_or_insert(now);
                self.samples += u32::from(fresh);
                self.why = None;
            }
            other => {
                self.since = None;
                self.samples = 0;
                self.why = Some(other);
            }
        }
    }
}

/// Whether a condition holds right now, without its `for` and `samples`.
fn instant(condition: &Condition, ring: &Ring, monitor: &Monitor) -> Verdict {
    let Some(latest) = &ring.latest else { return Verdict::Unknown("no reading yet".into()) };
    if let Value::Missing(why) = &latest.value {
        return Verdict::Unknown(why.clone());
    }
    match condition.test {
        Test::Is(State::Absent) => match &latest.value {
            Value::Status(status) if status == "ABSENT" || status == "DELETE_COMPLETE" => Verdict::Pass,
            Value::Status(status) => Verdict::Fail(format!("is {status}")),
            _ => Verdict::Unknown("has no state".into()),
        },
        Test::Is(State::Healthy) if matches!(monitor.source, Source::HealthCheck { .. }) => check(&latest.value),
        Test::Is(State::Healthy) => match &latest.value {
            Value::Status(status) if is_usable(status) => Verdict::Pass,
            Value::Status(status) => Verdict::Fail(format!("is {status}")),
            Value::Failed(why) => Verdict::Fail(why.clone()),
            _ if ring.samples.len() < HEALTHY_PROBES => Verdict::Unknown("fewer than three probes yet".into()),
            _ if ring.samples.iter().rev().take(HEALTHY_PROBES).all(|s| s.1.is_some()) => Verdict::Pass,
            _ => Verdict::Fail("a probe failed lately".into()),
        },
        Test::Below(stat, limit) => compare(stat, limit, ring, monitor, latest, condition.over_ms, true),
        Test::Above(stat, limit) => compare(stat, limit, ring, monitor, latest, condition.over_ms, false),
    }
}

/// Whether a health check proves that what it watches is healthy. A disabled one counts as healthy and checks nothing (rule
/// 1), so nothing is known; behind an inverted one that counts as healthy the endpoint fails (rule 2).
fn check(value: &Value) -> Verdict {
    match value {
        Value::Status(word) if word == CHECK_HEALTHY => Verdict::Pass,
        Value::Status(word) if word == CHECK_DISABLED => Verdict::Unknown(format!("{CHECK_DISABLED} and checks nothing")),
        Value::Status(word) => Verdict::Fail(format!("is {word}")),
        _ => Verdict::Unknown("has no state".into()),
    }
}

/// True for a lag below zero, which is a word and not a value: not replicating (rule 16).
#[must_use]
pub fn is_not_replicating(monitor: &Monitor, value: &Value) -> bool {
    matches!((&monitor.source, value), (Source::Metric(metric), Value::Number(..0)) if metric.unit == Unit::Time)
}

fn compare(stat: Stat, limit: Quantity, ring: &Ring, monitor: &Monitor, latest: &Reading, over_ms: i64, below: bool) -> Verdict {
    // It is below every limit.
    if is_not_replicating(monitor, &latest.value) {
        return Verdict::Fail("not replicating".into());
    }
    let Some(value) = statistic(ring, stat, latest.at - over_ms) else {
        return Verdict::Unknown("no samples in the window".into());
    };
    let holds = if below { value < limit.micros } else { value > limit.micros };
    let sign = if below { '<' } else { '>' };
    if holds {
        Verdict::Pass
    } else {
        Verdict::Fail(format!("{} is {}, wanted {sign} {limit}", stat_name(stat), show(monitor, stat, value)))
    }
}

/// A statistic over the samples after `from`, in millionths; `None` without samples. A failed probe counts as
/// infinitely slow, so that no latency limit can be met by not answering.
#[must_use]
pub fn statistic(ring: &Ring, stat: Stat, from: Millis) -> Option<i64> {
    let window = ring.samples.iter().rev().take_while(|s| s.0 > from);
    match stat {
        Stat::Last => ring.samples.back().map(|s| s.1.unwrap_or(i64::MAX)),
        Stat::Errors => {
            let (mut all, mut bad) = (0_i64, 0_i64);
            for sample in window {
                all += 1;
                bad += i64::from(sample.1.is_none());
            }
            (all > 0).then(|| bad * 1_000_000 / all)
        }
        Stat::Min => window.map(|s| s.1.unwrap_or(i64::MAX)).min(),
        Stat::Max => window.map(|s| s.1.unwrap_or(i64::MAX)).max(),
        Stat::Sum | Stat::Avg => {
            let (mut count, mut sum) = (0_i64, 0_i64);
            for sample in window {
                let Some(number) = sample.1 else { return Some(i64::MAX) };
                count += 1;
                sum = sum.saturating_add(number);
            }
            match stat {
                _ if count == 0 => None,
                Stat::Avg => Some(sum / count),
                _ => Some(sum),
            }
        }
        Stat::P50 => percentile(window, 50),
        Stat::P95 => percentile(window, 95),
        Stat::P99 => percentile(window, 99),
    }
}

/// Nearest rank.
fn percentile<'a>(window: impl Iterator<Item = &'a (Millis, Option<i64>)>, p: usize) -> Option<i64> {
    let mut values: Vec<i64> = window.map(|s| s.1.unwrap_or(i64::MAX)).collect();
    if values.is_empty() {
        return None;
    }
    let rank = (values.len() * p).div_ceil(100).max(1) - 1;
    Some(*values.select_nth_unstable(rank).1)
}

/// True for a stack that can be used and whose last change succeeded (rules 19 and 20).
#[must_use]
pub fn is_usable(status: &str) -> bool {
    matches!(status, "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
}

/// The verdict of one condition now.
#[must_use]
pub fn verdict(plan: &Plan, watch: &Watch, id: ConditionId, now: Millis) -> Verdict {
    verdict_of(plan, watch, &plan.conditions[id], watch.trackers.get(&id), now)
}

/// The verdict of any condition, with how it has been doing.
#[must_use]
pub fn verdict_of(plan: &Plan, watch: &Watch, condition: &Condition, tracker: Option<&Tracker>, now: Millis) -> Verdict {
    match watch.freshness(plan, condition.monitor, now) {
        Freshness::Stale => return Verdict::Unknown("stale".into()),
        Freshness::Missing => {
            let why = match watch.rings[condition.monitor].latest.as_ref().map(|l| &l.value) {
                Some(Value::Missing(why)) => why.clone(),
                _ => "no reading yet".into(),
            };
            return Verdict::Unknown(why);
        }
        Freshness::Fresh => {}
    }
    let Some(tracker) = tracker else { return Verdict::Unknown("not watched yet".into()) };
    match (&tracker.why, tracker.since) {
        (Some(why), _) => why.clone(),
        (None, None) => Verdict::Unknown("no reading yet".into()),
        (None, Some(since)) if now - since < condition.for_ms => {
            Verdict::Fail(format!("holds for {} of {}", format_ms(now - since), format_ms(condition.for_ms)))
        }
        (None, Some(_)) if tracker.samples < condition.samples => {
            Verdict::Fail(format!("{} of {} samples", tracker.samples, condition.samples))
        }
        (None, Some(_)) if tracker.awaits => Verdict::Unknown("not read since it matters".into()),
        (None, Some(_)) => Verdict::Pass,
    }
}

/// The verdict of a gate: fails if anything fails, else unknown if anything is unknown.
#[must_use]
pub fn all(plan: &Plan, watch: &Watch, conditions: &[ConditionId], now: Millis) -> Verdict {
    let mut unknown = None;
    for id in conditions {
        match verdict(plan, watch, *id, now) {
            Verdict::Pass => {}
            Verdict::Fail(why) => return Verdict::Fail(format!("{}: {why}", plan.monitors[plan.conditions[*id].monitor].title)),
            Verdict::Unknown(why) => {
                unknown.get_or_insert_with(|| format!("{}: {why}", plan.monitors[plan.conditions[*id].monitor].title));
            }
        }
    }
    unknown.map_or(Verdict::Pass, Verdict::Unknown)
}

/// The statistic that a monitor's limit is about, over the last minute or three intervals.
#[must_use]
pub fn limited(monitor: &Monitor, ring: &Ring) -> Option<i64> {
    let limit = monitor.limit.as_ref()?;
    let window = 60_000.max(3 * monitor.every_ms);
    statistic(ring, limit.stat, ring.latest.as_ref()?.at - window)
}

/// True when a monitor's newest values are over its limit.
#[must_use]
pub fn is_breached(monitor: &Monitor, ring: &Ring) -> bool {
    let missing = ring.latest.as_ref().is_none_or(|l| matches!(l.value, Value::Missing(_)));
    let over = |limit: &crate::plan::Limit| limited(monitor, ring).is_some_and(|value| value > limit.above.micros);
    !missing && monitor.limit.as_ref().is_some_and(over)
}

/// What the conditions saw, one line each: the evidence that goes into the journal.
#[must_use]
pub fn evidence(plan: &Plan, watch: &Watch, conditions: &[ConditionId]) -> Vec<String> {
    conditions
        .iter()
        .map(|id| {
            let condition = &plan.conditions[*id];
            let monitor = &plan.monitors[condition.monitor];
            format!("{} {} (wanted {})", monitor.name, now_text(plan, watch, *id), want_text(condition))
        })
        .collect()
}

/// What a condition reads now, for people; `-` when nothing is known.
#[must_use]
pub fn now_text(plan: &Plan, watch: &Watch, id: ConditionId) -> String {
    let condition = &plan.conditions[id];
    let ring = &watch.rings[condition.monitor];
    let Some(latest) = &ring.latest else { return "-".into() };
    match (&latest.value, condition.test) {
        (Value::Missing(_), _) => "-".into(),
        (Value::Status(status), _) => status.clone(),
        (_, Test::Is(_)) => {
            if ring.samples.iter().rev().take(HEALTHY_PROBES).all(|s| s.1.is_some()) { "ok" } else { "failing" }.into()
        }
        (_, Test::Below(stat, _) | Test::Above(stat, _)) => statistic(ring, stat, latest.at - condition.over_ms)
            .map_or_else(|| "-".into(), |value| show(&plan.monitors[condition.monitor], stat, value)),
    }
}

/// What a condition wants, for people.
#[must_use]
pub fn want_text(condition: &Condition) -> String {
    match condition.test {
        Test::Is(State::Healthy) => "healthy".into(),
        Test::Is(State::Absent) => "absent".into(),
        Test::Below(stat, limit) => format!("{} < {limit}", stat_name(stat)),
        Test::Above(stat, limit) => format!("{} > {limit}", stat_name(stat)),
    }
}

/// A monitor's number for people.
#[must_use]
pub fn show(monitor: &Monitor, stat: Stat, micros: i64) -> String {
    if micros == i64::MAX {
        return "failing".into();
    }
    Quantity { micros, unit: unit_of(monitor, stat) }.to_string()
}

/// The unit of a monitor's statistic.
#[must_use]
pub fn unit_of(monitor: &Monitor, stat: Stat) -> Unit {
    match (&monitor.source, stat) {
        (_, Stat::Errors) | (Source::Dns(_), _) => Unit::Share,
        (Source::Metric(metric), _) => metric.unit,
        (Source::Http(_), _) => Unit::Time,
        (Source::Stack { .. } | Source::HealthCheck { .. }, _) => Unit::Count,
    }
}

/// A statistic's word.
#[must_use]
pub fn stat_name(stat: Stat) -> &'static str {
    match stat {
        Stat::Last => "last",
        Stat::Min => "min",
        Stat::Max => "max",
        Stat::Avg => "avg",
        Stat::Sum => "sum",
        Stat::P50 => "p50",
        Stat::P95 => "p95",
        Stat::P99 => "p99",
        Stat::Errors => "errors",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::{Asks, Metric, MetricSource};

    #[test]
    fn rule_16_a_replica_that_does_not_replicate_is_not_below_any_limit() {
        let source = Source::Metric(MetricSource {
            asks: Asks::Metric(Metric {
                namespace: "AWS/RDS".into(),
                name: "ReplicaLag".into(),
                dimensions: Vec::new(),
                stat: "Maximum".into(),
            }),
            period_ms: 60_000,
            unit: Unit::Time,
            scale: 1_000_000,
            replication: false,
            absent_is_zero: false,
        });
        let (name, title) = ("lag".to_owned(), "lag".to_owned());
        let monitor = Monitor { name, title, source, region: None, every_ms: 60_000, limit: None, holds: false };
        let limit = Quantity { micros: 60_000_000, unit: Unit::Time };
        let condition = Condition { monitor: 0, test: Test::Below(Stat::Max, limit), over_ms: 180_000, for_ms: 0, samples: 0 };
        let verdict = |seconds: i64| {
            let micros = seconds * 1_000_000;
            let latest = Some(Reading { at: 180_000, value: Value::Number(micros) });
            let samples = [(120_000, Some(400_000)), (180_000, Some(micros))];
            let ring = Ring { samples: Arc::new(samples.into()), latest, ..Ring::default() };
            instant(&condition, &ring, &monitor)
        };
        assert_eq!(verdict(1), Verdict::Pass);
        assert!(matches!(verdict(61), Verdict::Fail(_)));
        assert_eq!(verdict(-1), Verdict::Fail("not replicating".into()));
        assert_eq!(show(&monitor, Stat::Last, -1_000_000), "-1s");
    }
}
