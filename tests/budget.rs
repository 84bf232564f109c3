//! What `check` says that watching a plan asks of the cloud, compared with what a run asks for, hour by hour of virtual
//! time. On the wire it is compared in tests/live.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use cutover::cloud::{Answer, Effect, Millis, PollKind, Query, Reading, Value, metric_batches, metrics_of, poll_groups};
use cutover::plan::load::{Files, load};
use cutover::plan::{Plan, ROUTE53_REGION, Source};
use cutover::run::budget::{Budget, Cadences, budget};
use cutover::run::command::Command;
use cutover::run::core::{Core, Outcome};
use cutover::run::entry::Entry;
use cutover::run::event::Event;

const HOUR: i64 = 3_600_000;

/// The plan of the live test: twelve stacks, six metrics and four names in three regions.
fn wide(change: impl Fn(String) -> String) -> Arc<Plan> {
    struct One(String);
    impl Files for One {
        fn read(&self, path: &str) -> io::Result<Vec<u8>> {
            if path == "plan.yaml" { Ok(self.0.clone().into_bytes()) } else { Err(io::ErrorKind::NotFound.into()) }
        }

        fn list(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }
    let mut text = include_str!("live/wide.yaml").to_owned();
    for (name, value) in [("account", "000000000000"), ("zone", "Z1"), ("every-stack", "10s"), ("every-metric", "60s")] {
        text = text.replace(&format!("<{name}>"), value);
    }
    Arc::new(load(&One(change(text)), "plan.yaml").unwrap().plan)
}

/// A run whose cloud answers at once and has nothing bad to tell.
struct Stage {
    core: Core,
    now: Millis,
    wake: Millis,
    /// What was asked since the last count.
    asked: BTreeMap<Query, i64>,
}

impl Stage {
    fn new(plan: Arc<Plan>) -> Stage {
        let genesis = Entry::Genesis {
            plan: plan.name.clone(),
            plan_hash: String::new(),
            scenario: None,
            scenario_hash: None,
            seed: None,
            rules: None,
            token_base: "budget".into(),
        };
        let mut stage = Stage { core: Core::new(plan), now: 0, wake: 0, asked: BTreeMap::new() };
        let outcome = stage.core.open(0, "test", vec![genesis, Entry::EngineStarted { resumed: false, open: vec![] }]);
        stage.take(outcome);
        stage
    }

    fn take(&mut self, outcome: Outcome) {
        let mut wake = outcome.wake;
        for effect in outcome.effects {
            let Effect::Ask(query) = effect else { panic!("nothing is sent here: {effect:?}") };
            *self.asked.entry(query.clone()).or_default() += 1;
            let answer = self.answer(&query);
            let outcome = self.core.handle(self.now, Event::Answer { query, result: Ok(answer) });
            wake = outcome.wake;
            assert!(outcome.effects.is_empty(), "an answer alone asks for nothing more: {:?}", outcome.effects);
        }
        self.wake = wake.max(self.now + 1);
    }

    fn answer(&self, query: &Query) -> Answer {
        let plan = &self.core.plan;
        match query {
            Query::Poll(group) => {
                let reading = |id: &usize| {
                    let value = match plan.monitors[*id].source {
                        Source::Stack { .. } => Value::Status("CREATE_COMPLETE".into()),
                        _ => Value::Number(0),
                    };
                    (*id, Reading { at: self.now, value })
                };
                Answer::Readings(poll_groups(plan)[*group].monitors.iter().map(reading).collect())
            }
            Query::Credentials => Answer::Credentials { expires: None },
            Query::Records { .. } => Answer::Records(Vec::new()),
            other => panic!("nobody should ask for {other:?}"),
        }
    }

    fn run(&mut self, length: i64) {
        let until = self.now + length;
        while self.wake <= until {
            self.now = self.wake;
            let outcome = self.core.handle(self.now, Event::Tick);
            self.take(outcome);
        }
        self.now = until;
    }

    fn must(&mut self, command: Command) {
        let outcome = self.core.handle(self.now, Event::Command { by: "test".into(), command });
        assert!(!outcome.drafts.is_empty(), "{:?}", outcome.reply);
        self.take(outcome);
    }

    /// Calls by region and operation since the last count. No call of the API is behind what is asked about credentials.
    fn count(&mut self) -> BTreeMap<(String, &'static str), i64> {
        let groups = poll_groups(&self.core.plan);
        let mut count = BTreeMap::new();
        for (query, times) in std::mem::take(&mut self.asked) {
            let call = match query {
                Query::Poll(group) if groups[group].kind == PollKind::Stacks => (groups[group].region.clone(), "DescribeStacks"),
                Query::Poll(group) => (groups[group].region.clone(), "GetMetricData"),
                Query::Records { .. } => (ROUTE53_REGION.to_owned(), "ListResourceRecordSets"),
                _ => continue,
            };
            *count.entry(call).or_default() += times;
        }
        count
    }
}

/// The lines of a budget that a core asks for: connections are kept warm by the backend.
fn predicted(budget: &Budget, hours: i64, full: bool) -> BTreeMap<(String, &'static str), i64> {
    let asked = budget.lines.iter().filter(|line| line.operation != "DescribeAlarms");
    let hourly = |per_day: i64| {
        assert_eq!(per_day % 24, 0);
        per_day / 24 * hours
    };
    let count = |full: bool, line: &cutover::run::budget::Line| if full { line.per_day.full } else { line.per_day.idle };
    asked.map(|line| ((line.region.clone(), line.operation), hourly(count(full, line)))).collect()
}

/// How often an operation is called in a region.
fn per_day(budget: &Budget, region: &str, operation: &str) -> Cadences {
    budget.lines.iter().find(|line| line.region == region && line.operation == operation).unwrap().per_day
}

#[test]
fn a_run_asks_for_what_its_budget_says_at_either_cadence() {
    let plan = wide(|text| text);
    let budget = budget(&plan);
    let mut stage = Stage::new(plan);
    // The first hour begins with everything at once; from then on an hour is an hour.
    stage.run(HOUR);
    stage.count();
    stage.run(5 * HOUR);
    assert_eq!(stage.count(), predicted(&budget, 5, false));

    stage.must(Command::Start { step: "begin".into() });
    stage.must(Command::Approve { step: "begin".into() });
    stage.run(HOUR);
    stage.count();
    stage.run(5 * HOUR);
    assert_eq!(stage.count(), predicted(&budget, 5, true));
}

#[test]
fn only_the_metrics_that_are_asked_for_cost_anything() {
    let budget = budget(&wide(|text| text));
    // Six metrics every five minutes, and every minute; ten millionths of a dollar each.
    assert_eq!((budget.metrics_per_day.idle, budget.metrics_per_day.full), (6 * 288, 6 * 1_440));
    assert_eq!((budget.microdollars_per_day().idle, budget.microdollars_per_day().full), (17_280, 86_400));
    assert_eq!((budget.microdollars().idle, budget.microdollars().full), (362_880, 1_814_400));
    assert_eq!(budget.stack_events_per_day, 6 * 1_440);
    let table = budget.table().join("\n");
    assert!(table.contains("DescribeStackEvents, per stack that moves      0.00     6.00"), "{table}");
    assert!(table.contains("dollars over 21 days                           0.36     1.81"), "{table}");
}

#[test]
fn a_slow_monitor_does_not_slow_down_the_others_of_its_region() {
    // Whatever their order: the group is read as often as the one that is waited for asks.
    for slow in ["ireland-1", "ireland-4"] {
        let from = format!("{slow}: {{stack: wide-{}, region: eu-west-1, every: \"${{every-stack}}\"}}", &slow[8..]);
        let plan = wide(|text| {
            assert!(text.contains(&from));
            text.replace(&from, &from.replace("${every-stack}", "2h"))
        });
        let line = per_day(&budget(&plan), "eu-west-1", "DescribeStacks");
        assert_eq!((line.idle, line.full), (288, 8_640), "{slow}");
    }
}

#[test]
fn a_day_of_one_metric_is_not_asked_for_with_the_minutes_of_another() {
    let plan = wide(|text| text.replacen("stat: Maximum, unit: seconds}", "stat: Maximum, period: 1d, unit: seconds}", 1));
    let full = |plan: &Plan| per_day(&budget(plan), "eu-west-1", "GetMetricData").full;
    assert_eq!((full(&plan), full(&wide(|text| text))), (2 * 1_440, 1_440));
}

#[test]
fn each_metric_of_an_expression_is_billed_and_the_expression_is_free() {
    let plan = wide(|text| {
        let share = "  share:\n    metric:\n      expression: errors / requests * 100\n      metrics:\n        errors: {namespace: Wide, \
                     name: Errors, stat: Sum}\n        requests: {namespace: Wide, name: Requests, stat: Sum}\n      unit: percent\n    \
                     region: eu-west-1\n";
        text.replacen("monitors:\n", &format!("monitors:\n{share}"), 1)
    });
    let (before, after) = (budget(&wide(|text| text)), budget(&plan));
    assert_eq!(after.lines, before.lines, "it is asked for in the call that there is anyway");
    assert_eq!(after.metrics_per_day.idle - before.metrics_per_day.idle, 2 * 288);
    assert_eq!(after.listings_per_day - before.listings_per_day, 2 * 288 * 3);
}

#[test]
fn an_expression_and_its_metrics_are_asked_for_in_one_call_of_bounded_size() {
    // 200 expressions of two metrics are 600 queries; of what is measured every second, 111 series are 100,000 points.
    let share = |n: usize, period: &str| {
        format!(
            "  share-{n}:\n    metric: {{expression: a / b, metrics: {{a: {{namespace: Wide, name: A{n}, stat: Sum}}, \
             b: {{namespace: Wide, name: B{n}, stat: Sum}}}}, period: {period}, unit: count}}\n    region: eu-west-1\n"
        )
    };
    let calls = |count: usize, period: &str| {
        let shares: String = (0..count).map(|n| share(n, period)).collect();
        let plan = wide(|text| text.replacen("monitors:\n", &format!("monitors:\n{shares}"), 1));
        let group = poll_groups(&plan).into_iter().find(|g| g.kind == PollKind::Metrics && g.region == "eu-west-1").unwrap();
        let metrics = metrics_of(&plan, &group);
        let sizes: Vec<usize> = metric_batches(&metrics).iter().map(|batch| batch.metrics.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), metrics.len());
        sizes
    };
    // Two metrics of the plan are in the same region.
    assert_eq!(calls(200, "60s"), [166, 36]);
    assert_eq!(calls(40, "1s"), [37, 5]);
}

#[test]
fn a_health_check_is_read_more_slowly_than_its_status() {
    let check = "  check: {health-check: {id: abc}, every: \"${every-metric}\"}\n";
    let plan = wide(|text| text.replacen("monitors:\n", &format!("monitors:\n{check}"), 1));
    let budget = budget(&plan);
    let line = |operation| per_day(&budget, ROUTE53_REGION, operation);
    // Nothing waits for it here, so neither cadence is its own.
    assert_eq!((line("GetMetricData").idle, line("GetHealthCheck").idle), (288, 288));
    assert_eq!((line("GetMetricData").full, line("GetHealthCheck").full), (1_440, 480));
}

#[test]
fn half_of_route_53_is_kept_for_the_rollback() {
    // A fifth of a second apart is what an account may; each name is read every five seconds while a rollback is shown.
    let names = |count: usize| {
        wide(|text| {
            let step = |n: usize| {
                format!(
                    "      - id: more-{n}\n        title: More\n        shift: {{zone: Z1, record: more-{n}.example.com, \
                     type: A, weights: {{a: 0, b: 1}}}}\n"
                )
            };
            let more: String = (0..count - 4).map(step).collect();
            text.replace("  flip:\n", &format!("{more}  flip:\n"))
        })
    };
    assert_eq!(budget(&names(10)).route53_peak_per_minute, 10 * 12 + 30);
    assert_eq!(budget(&names(10)).route53_warning(), None);
    let why = budget(&names(11)).route53_warning().unwrap();
    assert!(why.starts_with("route53-reserve: ") && why.contains("162 times a minute"), "{why}");
}
