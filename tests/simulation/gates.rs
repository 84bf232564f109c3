//! Conditions computed a second time, from the raw readings that an engine was handed: what the run core says of a gate
//! is believed only if this agrees. It asks for what is necessary; where the core is stricter, that is its business.

use cutover::cloud::{Millis, Reading, Value, poll_groups};
use cutover::plan::{Condition, ConditionId, Plan, Source, Stat, State, Test};

/// The readings of one engine since it started, by monitor, each with the time at which it came.
#[derive(Debug, Clone)]
pub struct Readings(Vec<Vec<(Millis, Reading)>>);

impl Readings {
    pub fn new(plan: &Plan) -> Readings {
        Readings(vec![Vec::new(); plan.monitors.len()])
    }

    pub fn came(&mut self, now: Millis, monitor: usize, reading: &Reading) {
        self.0[monitor].push((now, reading.clone()));
    }

    /// Why a list of conditions does not hold.
    pub fn shut(&self, plan: &Plan, conditions: &[ConditionId], now: Millis) -> Option<String> {
        conditions.iter().find_map(|id| {
            let condition = &plan.conditions[*id];
            self.holds(plan, condition, now).err().map(|why| format!("{}: {why}", plan.monitors[condition.monitor].name))
        })
    }

    fn holds(&self, plan: &Plan, condition: &Condition, now: Millis) -> Result<(), String> {
        let too_old = too_old_ms(plan, condition);
        // Only what brings something new: a reading that is missing ages what was there before, and so does one that
        // comes late and tells of an earlier time.
        let mut points: Vec<(Millis, &Reading)> = Vec::new();
        for (came, reading) in &self.0[condition.monitor] {
            let newer = points.last().is_none_or(|(_, last)| reading.at > last.at);
            if newer && !matches!(reading.value, Value::Missing(_)) {
                points.push((*came, reading));
            }
        }
        let Some((_, newest)) = points.last() else { return Err("nothing was ever read".into()) };
        if now - newest.at > too_old {
            return Err(format!("the newest reading is {} ms old", now - newest.at));
        }
        let mut samples = 0;
        for index in (0..points.len()).rev() {
            let (came, reading) = points[index];
            if let Err(why) = at_once(condition, &points[..=index]) {
                return Err(if index + 1 == points.len() {
                    why
                } else {
                    format!("it did not hold {} ms ago: {why}", now - came)
                });
            }
            samples += 1;
            if now - came >= condition.for_ms && samples >= condition.samples {
                return Ok(());
            }
            if index > 0 && reading.at - points[index - 1].1.at > too_old {
                return Err("nothing was read for too long in between".into());
            }
        }
        Err(format!("it is only known for {} ms and {samples} samples", now - points[0].0))
    }
}

/// Whether a condition holds on what was read so far, leaving out for how long.
fn at_once(condition: &Condition, points: &[(Millis, &Reading)]) -> Result<(), String> {
    let Some((_, newest)) = points.last() else { return Err("nothing was read".into()) };
    let status = match &newest.value {
        Value::Status(status) => Some(status.as_str()),
        _ => None,
    };
    let (stat, limit, below) = match condition.test {
        Test::Is(State::Absent) => {
            let gone = matches!(status, Some("ABSENT" | "DELETE_COMPLETE"));
            return if gone { Ok(()) } else { Err(format!("it is there: {:?}", newest.value)) };
        }
        Test::Is(State::Healthy) => {
            let healthy = match status {
                // Rules 19 and 20.
                Some("CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS") => true,
                Some(_) => false,
                None => {
                    let last = points.iter().rev().take(3).filter(|(_, r)| matches!(r.value, Value::Number(_))).count();
                    last == 3
                }
            };
            return if healthy { Ok(()) } else { Err(format!("it is not healthy: {:?}", newest.value)) };
        }
        Test::Below(stat, limit) => (stat, limit.micros, true),
        Test::Above(stat, limit) => (stat, limit.micros, false),
    };
    let from = newest.at - condition.over_ms;
    let window: Vec<i64> = points
        .iter()
        .filter(|(_, r)| r.at > from)
        .filter_map(|(_, r)| match r.value {
            Value::Number(number) => Some(number),
            Value::Failed(_) => Some(i64::MAX),
            _ => None,
        })
        .collect();
    let Some(value) = statistic(stat, &window) else { return Err("there is no sample".into()) };
    let holds = if below { value < limit } else { value > limit };
    if holds { Ok(()) } else { Err(format!("{stat:?} is {value}, the limit {limit}")) }
}

fn statistic(stat: Stat, window: &[i64]) -> Option<i64> {
    let mut sorted = window.to_vec();
    sorted.sort_unstable();
    let count = i64::try_from(sorted.len()).unwrap();
    let rank = |percent: i64| sorted.get(usize::try_from((count * percent + 99) / 100 - 1).unwrap()).copied();
    if count == 0 {
        return None;
    }
    let failed = i64::try_from(sorted.iter().filter(|v| **v == i64::MAX).count()).unwrap();
    match stat {
        Stat::Last => window.last().copied(),
        Stat::Min => sorted.first().copied(),
        Stat::Max => sorted.last().copied(),
        Stat::Errors => Some(failed * 1_000_000 / count),
        Stat::Avg | Stat::Sum if failed > 0 => Some(i64::MAX),
        Stat::Sum => Some(sorted.iter().sum()),
        Stat::Avg => Some(sorted.iter().sum::<i64>() / count),
        Stat::P50 => rank(50),
        Stat::P95 => rank(95),
        Stat::P99 => rank(99),
    }
}

/// From which age on a reading opens nothing (rule 33): three periods of its source and what it takes to be published.
/// The period is the slowest at which the engine may read while something depends on it.
fn too_old_ms(plan: &Plan, condition: &Condition) -> i64 {
    let group = poll_groups(plan).into_iter().find(|g| g.monitors.contains(&condition.monitor)).unwrap();
    let together = group.monitors.iter().map(|m| plan.monitors[*m].every_ms).max().unwrap();
    let period = together.max((condition.for_ms / 500).min(60_000));
    match &plan.monitors[condition.monitor].source {
        Source::Metric(metric) | Source::HealthCheck { status: metric, .. } => 3 * period.max(metric.period_ms) + 120_000,
        Source::Http(http) => 3 * period + http.timeout_ms,
        Source::Stack { .. } => 3 * period + 5_000,
        Source::Dns(dns) => 3 * (period + dns.timeout_ms),
    }
}
