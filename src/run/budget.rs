//! What watching a plan asks of the cloud: calls per minute, and what they cost. A pure function of the plan, and it asks
//! the very functions that decide when something is read, so that it cannot drift away from what is done.
//!
//! Counted is what goes on by itself for as long as a run lives. Not counted: the identity that is asked for once at the
//! start, what a step itself reads and changes while it works, the events of stacks, which are read only while something
//! moves, and the credentials, which no service is asked for. Probes and questions to name servers are no calls of the
//! cloud's API.
//!
//! Prices are those that AWS publishes for its commercial regions, looked up in November 2026: `GetMetricData` is billed
//! at 0.01 dollars per 1,000 metrics that are asked for, and is in no free tier. All other calls made here are free:
//! CloudFormation's and Route 53's are, `DescribeAlarms` and `ListMetrics` are within the first million requests of a
//! month.

use std::collections::BTreeSet;

use super::change::{self, Place};
use super::decide::{BACKGROUND_READ_MS, PREPARED_READ_MS, traffic_place};
use super::job::POLL_MS;
use super::ready;
use super::stacks::EVENTS_MS;
use super::state::Run;
use super::watch::Watch;
use crate::cloud::{
    CHECK_EVERY_MS, LIST_EVERY_MS, LIST_ZERO_EVERY_MS, PollGroup, PollKind, metric_batches, metric_regions, metrics_of,
    poll_groups, warm_regions,
};
use crate::plan::{Action, MonitorId, Plan, ROUTE53_REGION, Source};

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// A day in minutes.
const DAY_MINUTES: i64 = 1_440;
/// How often a connection is used that is kept warm, in milliseconds.
const WARM_MS: i64 = 60_000;
/// Stacks on one page of `DescribeStacks`.
const STACKS_PAGE: usize = 100;
/// Price of one metric that `GetMetricData` is asked for, in millionths of a dollar.
const METRIC_MICRODOLLARS: i64 = 10;
/// What Route 53 takes of one account, in requests a second, by the older and stricter of its guides (rule 6).
const ROUTE53_PER_SECOND: i64 = 5;

/// A number at both cadences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cadences {
    /// While nothing waits for a gate, and every rollback of the plan is kept armed.
    pub idle: i64,
    /// While something depends on every monitor: each is read as often as the plan says.
    pub full: i64,
}

impl Cadences {
    fn add(&mut self, other: Cadences, times: i64) {
        self.idle += other.idle * times;
        self.full += other.full * times;
    }

    /// Times a factor.
    #[must_use]
    pub fn times(self, factor: i64) -> Cadences {
        Cadences { idle: self.idle * factor, full: self.full * factor }
    }
}

/// The calls of one operation to one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Region that is called.
    pub region: String,
    /// Service.
    pub service: &'static str,
    /// Operation.
    pub operation: &'static str,
    /// Calls a day.
    pub per_day: Cadences,
}

/// What watching a plan asks of the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The calls, sorted by region, service and operation.
    pub lines: Vec<Line>,
    /// Metrics that are asked for a day.
    pub metrics_per_day: Cadences,
    /// `ListMetrics` a day at the most, if every metric is silent: it is asked why only while one is. A metric that is found
    /// where it should be takes one call, one that is not takes one for every region of the plan.
    pub listings_per_day: i64,
    /// `DescribeStackEvents` of a day in which one monitored stack moved all the time. While nothing moves there are none.
    pub stack_events_per_day: i64,
    /// Length of the plan in days.
    pub days: i64,
    /// Requests a minute that Route 53 gets at the most: a rollback is on the screen and a change is waited for.
    pub route53_peak_per_minute: i64,
}

/// What watching this plan asks of the cloud.
#[must_use]
pub fn budget(plan: &Plan) -> Budget {
    let mut budget = Budget {
        lines: Vec::new(),
        metrics_per_day: Cadences::default(),
        listings_per_day: 0,
        stack_events_per_day: 0,
        days: i64::from(plan.days),
        route53_peak_per_minute: 0,
    };
    let (idle, full) = watches(plan);
    let regions = i64::try_from(metric_regions(plan).len()).unwrap_or(i64::MAX);
    for (index, group) in poll_groups(plan).iter().enumerate() {
        let polls = Cadences { idle: per_day(idle.interval_ms(index)), full: per_day(full.interval_ms(index)) };
        match group.kind {
            PollKind::Stacks => {
                budget.stack_events_per_day = per_day(EVENTS_MS);
                let pages = i64::try_from(group.monitors.len().div_ceil(STACKS_PAGE)).unwrap_or(i64::MAX);
                budget.add(&group.region, "cloudformation", "DescribeStacks", polls.times(pages));
            }
            PollKind::Metrics => {
                let metrics = metrics_of(plan, group);
                let calls = i64::try_from(metric_batches(&metrics).len()).unwrap_or(i64::MAX);
                budget.add(&group.region, "cloudwatch", "GetMetricData", polls.times(calls));
                for (_, source) in metrics {
                    // Each metric of an expression is billed and may be silent, the expression itself is free.
                    let asked = i64::try_from(source.metrics().count()).unwrap_or(i64::MAX);
                    budget.metrics_per_day.add(polls, asked);
                    let every = if source.absent_is_zero { LIST_ZERO_EVERY_MS } else { LIST_EVERY_MS };
                    budget.listings_per_day += per_day(every) * regions * asked;
                }
                let checks = checks(plan, group);
                if checks > 0 {
                    // Read with the poll that comes when it is due.
                    let every = |interval_ms: i64| interval_ms * ((CHECK_EVERY_MS + interval_ms - 1) / interval_ms.max(1)).max(1);
                    let reads =
                        Cadences { idle: per_day(every(idle.interval_ms(index))), full: per_day(every(full.interval_ms(index))) };
                    budget.add(ROUTE53_REGION, "route53", "GetHealthCheck", reads.times(checks));
                    budget.route53_peak_per_minute = checks;
                }
            }
            PollKind::Probe | PollKind::Dns => {}
        }
    }
    let always = |interval_ms: i64| Cadences { idle: per_day(interval_ms), full: per_day(interval_ms) };
    let places = places(plan);
    for place in &places {
        let operation = match place {
            Place::Records { .. } => "ListResourceRecordSets",
            Place::HealthCheck { .. } => "GetHealthCheck",
            // No service is asked for a file.
            Place::File { .. } => continue,
        };
        budget.add(ROUTE53_REGION, "route53", operation, always(BACKGROUND_READ_MS));
    }
    if !places.is_empty() {
        let shown = i64::try_from(places.len()).unwrap_or(i64::MAX).saturating_mul(60_000 / PREPARED_READ_MS);
        budget.route53_peak_per_minute = budget.route53_peak_per_minute.saturating_add(shown).saturating_add(60_000 / POLL_MS);
    }
    let (stacks, switches) = warm_regions(plan);
    for region in stacks {
        budget.add(region, "cloudformation", "DescribeAccountLimits", always(WARM_MS));
    }
    for region in switches {
        budget.add(region, "cloudwatch", "DescribeAlarms", always(WARM_MS));
    }
    budget.lines.sort_by(|a, b| (&a.region, a.service, a.operation).cmp(&(&b.region, b.service, b.operation)));
    budget
}

/// How many health checks a group has.
fn checks(plan: &Plan, group: &PollGroup) -> i64 {
    let check = |id: &MonitorId| match &plan.monitors.get(*id)?.source {
        Source::HealthCheck { id, .. } => Some(id.as_str()),
        _ => None,
    };
    i64::try_from(group.monitors.iter().filter_map(check).collect::<BTreeSet<_>>().len()).unwrap_or(i64::MAX)
}

/// Two watches, the one with nothing to wait for and every rollback armed, the other with every monitor looked at closely.
fn watches(plan: &Plan) -> (Watch, Watch) {
    let mut idle = Watch::new(plan);
    idle.attend(plan, 0, &[], ready::all_monitors(plan));
    let mut full = idle.clone();
    for ring in &mut full.rings {
        ring.last_failed = Some(0);
    }
    full.set_intervals(plan, 0);
    (idle, full)
}

/// Everything that is read in the background at the time when every rollback applies and every step has made its change.
fn places(plan: &Plan) -> BTreeSet<Place> {
    // What steps and rollbacks are about does not depend on how far a run is, but for what is restored: that is what the
    // steps had changed.
    let run = Run::new(plan);
    let mut places: BTreeSet<Place> = traffic_place(plan).into_iter().collect();
    for step in plan.rollbacks.iter().flat_map(|rollback| &rollback.steps) {
        match &step.action {
            Action::Restore { steps } => {
                let restored = steps.iter().filter_map(|id| plan.steps.get(*id));
                places.extend(restored.flat_map(|step| change::places(plan, &run, &step.action)));
            }
            action => places.extend(change::places(plan, &run, action)),
        }
    }
    places
}

/// How often something happens a day that happens once in `interval_ms`, rounded up.
fn per_day(interval_ms: i64) -> i64 {
    let interval_ms = interval_ms.max(1);
    (DAY_MS + interval_ms - 1) / interval_ms
}

impl Budget {
    fn add(&mut self, region: &str, service: &'static str, operation: &'static str, per_day: Cadences) {
        match self.lines.iter_mut().find(|l| l.region == region && l.operation == operation) {
            Some(line) => line.per_day.add(per_day, 1),
            None => self.lines.push(Line { region: region.to_owned(), service, operation, per_day }),
        }
    }

    /// What a day costs, in millionths of a dollar.
    #[must_use]
    pub fn microdollars_per_day(&self) -> Cadences {
        self.metrics_per_day.times(METRIC_MICRODOLLARS)
    }

    /// What the days of the plan cost, in millionths of a dollar.
    #[must_use]
    pub fn microdollars(&self) -> Cadences {
        self.microdollars_per_day().times(self.days)
    }

    /// Why too little of Route 53's requests would be left for a rollback; `None` while half of them is.
    #[must_use]
    pub fn route53_warning(&self) -> Option<String> {
        let half = ROUTE53_PER_SECOND * 60 / 2;
        let peak = self.route53_peak_per_minute;
        (peak > half).then(|| {
            format!(
                "route53-reserve: reading alone would ask Route 53 {peak} times a minute while a rollback is on the screen, \
                 more than half of the {} that an account may; the other half is kept for the rollback itself",
                ROUTE53_PER_SECOND * 60
            )
        })
    }

    /// The budget as lines for people.
    #[must_use]
    pub fn table(&self) -> Vec<String> {
        let mut lines = vec![format!("{:<16} {:<42} {:>8} {:>8}", "region", "API calls a minute", "idle", "full")];
        let sum = self.lines.iter().fold(Cadences::default(), |mut sum, line| {
            sum.add(line.per_day, 1);
            sum
        });
        let row = |region: &str, what: &str, per_day: Cadences| {
            format!("{region:<16} {what:<42} {:>8} {:>8}", per_minute(per_day.idle), per_minute(per_day.full))
        };
        lines.extend(self.lines.iter().map(|l| row(&l.region, &format!("{} {}", l.service, l.operation), l.per_day)));
        lines.push(row("all", "", sum));
        if self.listings_per_day > 0 {
            let most = Cadences { idle: 0, full: self.listings_per_day };
            lines.push(row("", "ListMetrics, if all metrics were silent", most));
        }
        if self.stack_events_per_day > 0 {
            let moving = Cadences { idle: 0, full: self.stack_events_per_day };
            lines.push(row("", "DescribeStackEvents, per stack that moves", moving));
        }
        let (day, plan) = (self.microdollars_per_day(), self.microdollars());
        lines.push(row("", "metrics asked for", self.metrics_per_day));
        lines.push(format!("{:<16} {:<42} {:>8} {:>8}", "", "dollars a day", dollars(day.idle), dollars(day.full)));
        let days = format!("dollars over {} days", self.days);
        lines.push(format!("{:<16} {days:<42} {:>8} {:>8}", "", dollars(plan.idle), dollars(plan.full)));
        lines
    }
}

/// Per minute what is so much per day, with two digits behind the point, rounded.
#[must_use]
pub fn per_minute(per_day: i64) -> String {
    hundredths((per_day * 100 + DAY_MINUTES / 2) / DAY_MINUTES)
}

/// Dollars with cents; what is not nothing is at least one cent.
fn dollars(micros: i64) -> String {
    hundredths(if micros > 0 { ((micros + 5_000) / 10_000).max(1) } else { 0 })
}

fn hundredths(number: i64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}
