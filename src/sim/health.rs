//! Route 53's health checks: what each of them follows, and what its status is over time.
//!
//! A status is a course that is written down ahead, as far as anything is known; whatever changes what a check follows
//! only ever changes its future.

use std::collections::BTreeMap;

use super::faults::{Faults, RegionId, Regions};
use super::rng::{self, Dice, Stream};
use super::span::Spans;
use crate::cloud::{Call, Failure, FailureKind, HealthCheckInfo, Millis};
use crate::plan::{DrillSwitch, Plan, RecordSet};

/// A checker calls an endpoint unhealthy after three failures in a row, 30 s apart. The first comes within 30 s of the
/// beginning, and what all checkers say is counted within another few seconds.
const DETECTED_MS: (i64, i64) = (62_000, 96_000);
/// How long it takes until a change of a check has reached the checkers.
const FOLLOWED_MS: (i64, i64) = (5_000, 30_000);
/// How long it takes until a check follows the value of a metric: a period of the alarm and its evaluation.
const SWITCHED_MS: (i64, i64) = (30_000, 90_000);
/// A check is unhealthy when at most 18 % of its checkers say healthy. One that wants three in a row of either kind is
/// healthy for less than that share of the time when about two thirds of the requests fail.
const UNHEALTHY_PPM: i64 = 660_000;

/// A status over time: since when, and whether it is healthy. The first one holds from the beginning.
type Course = Vec<(Millis, bool)>;

/// All health checks, and the health of each region's service for aliases that evaluate it.
#[derive(Debug, Clone)]
#[allow(clippy::struct_field_names, reason = "these are the checks among the rest of what they depend on")]
pub(super) struct Checks {
    dice: Dice,
    checks: Vec<Check>,
    /// By region. An API Gateway fails only when the service is down, not when the application answers badly (rule 34).
    services: Vec<Course>,
    /// The newest value of every metric that was put.
    metrics: BTreeMap<Metric, i64>,
}

/// Region, namespace, name, dimensions.
type Metric = (String, String, String, Vec<(String, String)>);

#[derive(Debug, Clone)]
struct Check {
    id: String,
    endpoint: Option<RegionId>,
    switch: Option<DrillSwitch>,
    disabled: bool,
    /// Since when which version and `Inverted` are answered, oldest first; never empty.
    versions: Vec<(Millis, i64, bool)>,
    /// Since when the checkers go by which `Inverted`, oldest first; never empty.
    inverted: Course,
    /// Since when the switch says healthy or not.
    switched: Course,
    course: Course,
}

impl Checks {
    pub(super) fn new(dice: Dice, plan: &Plan, regions: &mut Regions) -> Checks {
        let check = |d: &crate::plan::DrillHealthCheck, regions: &mut Regions| Check {
            id: d.id.clone(),
            endpoint: d.endpoint.as_ref().map(|region| regions.number(region)),
            switch: d.switch.clone(),
            disabled: d.disabled,
            versions: vec![(Millis::MIN, 1, d.inverted)],
            inverted: vec![(Millis::MIN, d.inverted)],
            switched: vec![(Millis::MIN, true)],
            course: Course::new(),
        };
        let checks = plan.drill.health_checks.iter().map(|d| check(d, regions)).collect();
        Checks { dice, checks, services: Vec::new(), metrics: BTreeMap::new() }
    }

    /// The number of a check.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.checks.iter().position(|c| c.id == id)
    }

    /// `GetHealthCheck`.
    pub(super) fn get(&self, id: &str, at: Millis) -> Result<HealthCheckInfo, Failure> {
        let check = &self.checks[self.find(id).ok_or_else(|| absent(id))?];
        let (_, version, inverted) = *check.versions.iter().rev().find(|v| v.0 <= at).unwrap_or(&check.versions[0]);
        Ok(HealthCheckInfo { version, inverted, disabled: check.disabled })
    }

    /// `UpdateHealthCheck`: a compare-and-swap by version (rule 34).
    pub(super) fn update(&mut self, id: &str, version: i64, inverted: bool, at: Millis) -> Result<(), Failure> {
        let number = self.find(id).ok_or_else(|| absent(id))?;
        let check = &mut self.checks[number];
        let newest = check.versions.last().map_or(0, |v| v.1);
        if version != newest {
            return Err(refused(format!(
                "HealthCheckVersionMismatch: The version {version} of health check {id} is not the current one, which is {newest}"
            )));
        }
        check.versions.push((at, newest + 1, inverted));
        let delay = self.dice.between(Stream::Health, rng::text(&[id, "inverted"]), rng::time(at), FOLLOWED_MS.0, FOLLOWED_MS.1);
        turn(&mut check.inverted, at + delay, inverted);
        Ok(())
    }

    /// `PutMetricData`. False when the metric has that value already.
    pub(super) fn put(&mut self, call: &Call, at: Millis) -> bool {
        let Call::PutMetric { region, namespace, metric, dimensions, value } = call else { return false };
        let key = (region.clone(), namespace.clone(), metric.clone(), dimensions.clone());
        if self.metrics.insert(key, *value) == Some(*value) {
            return false;
        }
        for check in &mut self.checks {
            let Some(switch) = &check.switch else { continue };
            let followed = (&switch.region, &switch.namespace, &switch.metric, &switch.dimensions);
            if followed == (region, namespace, metric, dimensions) {
                let salt = rng::text(&[&check.id, "switched"]);
                let delay = self.dice.between(Stream::Health, salt, rng::time(at), SWITCHED_MS.0, SWITCHED_MS.1);
                turn(&mut check.switched, at + delay, *value < switch.fails_at);
            }
        }
        true
    }

    /// Writes every course down anew from what is known now.
    pub(super) fn follow(&mut self, faults: &Faults, regions: usize) {
        let dice = self.dice;
        self.services =
            (0..regions).map(|region| observed(dice, rng::index(region), &faults.failing(region, 1_000_000))).collect();
        for check in &mut self.checks {
            let salt = rng::text(&[&check.id]);
            let endpoint = check
                .endpoint
                .map_or_else(|| vec![(Millis::MIN, true)], |region| observed(dice, salt, &faults.failing(region, UNHEALTHY_PPM)));
            let mut times: Vec<Millis> = endpoint.iter().chain(&check.inverted).chain(&check.switched).map(|t| t.0).collect();
            times.sort_unstable();
            times.dedup();
            check.course.clear();
            for at in times {
                // Disabled counts as healthy, whatever it sees (rule 1); inverting turns round what is really so (rule 2).
                let seen = state(&endpoint, at) && state(&check.switched, at);
                let healthy = check.disabled || seen != state(&check.inverted, at);
                if check.course.last().is_none_or(|last| last.1 != healthy) {
                    check.course.push((at, healthy));
                }
            }
        }
    }

    /// Whether Route 53 answers with a record: a record without anything that could fail is always healthy (rule 3).
    pub(super) fn healthy(&self, record: &RecordSet, region: Option<RegionId>, at: Millis) -> bool {
        let by_check = record.health_check.as_ref().and_then(|id| self.find(id)).is_none_or(|check| self.status(check, at));
        let evaluated = record.alias.as_ref().is_some_and(|alias| alias.evaluate_health);
        let service = region.and_then(|region| self.services.get(region)).filter(|_| evaluated);
        by_check && service.is_none_or(|course| state(course, at))
    }

    /// Whether a check is healthy.
    pub(super) fn status(&self, check: usize, at: Millis) -> bool {
        state(&self.checks[check].course, at)
    }

    /// When anything changes after a time.
    pub(super) fn turns(&self, after: Millis) -> impl Iterator<Item = Millis> {
        let courses = self.checks.iter().map(|c| &c.course).chain(&self.services);
        courses.flatten().map(|turn| turn.0).filter(move |at| *at > after)
    }
}

/// Adds a turn; turns do not overtake one another.
fn turn(course: &mut Course, at: Millis, healthy: bool) {
    let at = course.last().map_or(at, |last| at.max(last.0));
    course.push((at, healthy));
}

/// What a course says at a time.
fn state(course: &Course, at: Millis) -> bool {
    course.iter().rev().find(|turn| turn.0 <= at).is_none_or(|turn| turn.1)
}

/// What is seen of a service that fails in some spans: late, and nothing of what is over before it was noticed.
fn observed(dice: Dice, salt: u64, failing: &Spans) -> Course {
    let delay = |at| dice.between(Stream::Health, salt, rng::time(at), DETECTED_MS.0, DETECTED_MS.1);
    // A new check is healthy until it has seen otherwise (rule 34).
    let mut course = vec![(Millis::MIN, true)];
    for span in failing.all() {
        let bad = span.from.saturating_add(delay(span.from));
        if bad >= span.until {
            continue;
        }
        match course.last() {
            // It fails again before anybody has seen that it was mended.
            Some((mended, true)) if *mended >= bad => {
                course.pop();
            }
            _ => course.push((bad, false)),
        }
        if span.until != Millis::MAX {
            course.push((span.until + delay(span.until), true));
        }
    }
    course
}

fn absent(id: &str) -> Failure {
    refused(format!("NoSuchHealthCheck: No health check exists with the ID: {id}"))
}

fn refused(message: String) -> Failure {
    Failure { kind: FailureKind::Refused, message }
}

#[cfg(test)]
mod tests {
    use super::super::span::Span;
    use super::*;

    fn failing(spans: &[(i64, i64)]) -> Spans {
        let mut all = Spans::default();
        for (from, until) in spans {
            all.add(Span { from: *from, until: *until });
        }
        all
    }

    #[test]
    fn a_failure_is_seen_after_three_intervals_and_a_short_one_never() {
        let see = |spans: &[(i64, i64)]| observed(Dice::new(3), 1, &failing(spans));
        assert_eq!(see(&[(0, 60_000)]), [(Millis::MIN, true)]);
        let course = see(&[(0, 600_000)]);
        let [_, (bad, false), (good, true)] = course[..] else { panic!("{course:?}") };
        assert!((62_000..=96_000).contains(&bad) && (662_000..=696_000).contains(&good), "{course:?}");
        let course = see(&[(0, 600_000), (605_000, Millis::MAX)]);
        let again = see(&[(0, 600_000), (900_000, Millis::MAX)]);
        // A pause of five seconds is either not seen at all, or as a pause; a long one always is.
        assert!(course.is_sorted_by_key(|t| t.0) && !state(&course, 2_000_000), "{course:?}");
        assert_eq!(again.len(), 4, "{again:?}");
    }
}
