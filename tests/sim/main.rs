//! The simulated cloud, looked at from outside: rule by rule, and as something that can be replayed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::cloud::{
    Answer, Call, ChangeSetInfo, Effect, FailureKind, Millis, Query, Reading, Receipt, StackInfo, Value, poll_groups,
};
use cutover::plan::{
    AliasTarget, Asks, Availability, Connection, Database, DrillHealthCheck, DrillMetric, DrillSwitch, DrillWorld, Family, Fault,
    FaultAt, FaultKind, HttpSource, Lost, Manifest, Measure, Metric, MetricSource, Monitor, Objectives, Plan, Protocol,
    RecordSet, Region, Role, Scenario, Source, Traffic, Unit,
};
use cutover::run::event::Event;
use cutover::sim::{CallRecord, Deed, Outcome, World};

mod dns;
mod names;
mod services;
mod trouble;

const START: Millis = 1_767_225_600_000;
const ZONE: &str = "Z1";
const API: &str = "api.example.com";
const IRELAND: &str = "eu-west-1";
const FRANKFURT: &str = "eu-central-1";
const TEMPLATE: &str = "Resources:\n  Table:\n    Type: AWS::DynamoDB::Table\n  Api:\n    Type: AWS::ApiGateway::RestApi\nOutputs:\n  X:\n    Value: 1\n";

// Monitors of the plan below, by number.
const REQUESTS_IRELAND: usize = 0;
const REQUESTS_FRANKFURT: usize = 1;
const ERRORS_FRANKFURT: usize = 2;
const LAG: usize = 3;
const UNKNOWN_LAG: usize = 4;
const STACK: usize = 5;
const PINNED: usize = 6;
const USERS: usize = 7;

fn record(set: &str, weight: u8, ttl: u32) -> RecordSet {
    RecordSet {
        name: API.into(),
        kind: "A".into(),
        set: Some(set.into()),
        weight: Some(weight),
        ttl: Some(ttl),
        values: vec![if set == "ireland" { "192.0.2.1" } else { "192.0.2.2" }.into()],
        alias: None,
        health_check: None,
    }
}

fn metric(replication: bool) -> Source {
    Source::Metric(MetricSource {
        asks: Asks::Metric(Metric {
            namespace: "AWS/Test".into(),
            name: "M".into(),
            dimensions: Vec::new(),
            stat: "Maximum".into(),
        }),
        period_ms: 60_000,
        unit: Unit::Count,
        scale: 1_000_000,
        replication,
        absent_is_zero: false,
    })
}

fn http(measure: Measure) -> Source {
    Source::Http(HttpSource {
        url: format!("https://{API}/health"),
        connect_to: None,
        status: 200,
        timeout_ms: 5_000,
        measure,
        from: "local".into(),
        connection: Connection::Fresh,
        protocol: Protocol::Any,
        family: Family::Any,
    })
}

fn monitor(name: &str, region: Option<&str>, source: Source) -> Monitor {
    Monitor {
        name: name.into(),
        title: name.into(),
        source,
        region: region.map(Into::into),
        every_ms: 5_000,
        limit: None,
        holds: false,
    }
}

fn plan_with(records: Vec<RecordSet>) -> Arc<Plan> {
    plan_of(records, |_| {})
}

/// The plan with something else about it.
fn plan_of(records: Vec<RecordSet>, change: impl FnOnce(&mut Plan)) -> Arc<Plan> {
    let region = |name: &str, role| Region { name: name.into(), role, label: name.into() };
    let monitors = vec![
        monitor("requests-ireland", Some(IRELAND), metric(false)),
        monitor("requests-frankfurt", Some(FRANKFURT), metric(false)),
        // Read in Ireland, so that what happens in Frankfurt can be seen while Frankfurt is silent.
        monitor("errors-frankfurt", Some(IRELAND), metric(false)),
        monitor("lag", Some(FRANKFURT), metric(true)),
        monitor("unknown-lag", Some(FRANKFURT), metric(true)),
        monitor("stack", Some(FRANKFURT), Source::Stack { stack: "app".into() }),
        monitor("pinned", Some(FRANKFURT), http(Measure::FirstByte)),
        monitor("users", None, http(Measure::Total)),
    ];
    let metrics = BTreeMap::from([
        (REQUESTS_IRELAND, DrillMetric::Requests(IRELAND.into())),
        (REQUESTS_FRANKFURT, DrillMetric::Requests(FRANKFURT.into())),
        (ERRORS_FRANKFURT, DrillMetric::Errors(FRANKFURT.into())),
        (LAG, DrillMetric::Lag(20_000_000)),
    ]);
    let rows = BTreeMap::from([(IRELAND.to_owned(), 25_000), (FRANKFURT.to_owned(), 9_000)]);
    let mut plan = Plan {
        name: "test".into(),
        title: "Test".into(),
        account: "123456789012".into(),
        days: 21,
        regions: vec![region(IRELAND, Role::Source), region(FRANKFURT, Role::Primary)],
        objectives: Objectives { availability_ppm: 999_000, rto_ms: 600_000, rpo_ms: 900_000 },
        availability: Availability::default(),
        traffic: Some(Traffic {
            zone: ZONE.into(),
            record: API.into(),
            kind: "A".into(),
            targets: vec![("frankfurt".into(), FRANKFURT.into()), ("ireland".into(), IRELAND.into())],
            seen: vec![(IRELAND.into(), REQUESTS_IRELAND), (FRANKFURT.into(), REQUESTS_FRANKFURT)],
            service: Some(USERS),
        }),
        vantages: Vec::new(),
        heartbeat: None,
        monitors,
        conditions: Vec::new(),
        phases: Vec::new(),
        steps: Vec::new(),
        rollbacks: Vec::new(),
        secrets: Vec::new(),
        about: cutover::plan::About::default(),
        drill: DrillWorld {
            files: Vec::new(),
            records: records.into_iter().map(|r| (ZONE.to_owned(), r)).collect(),
            health_checks: Vec::new(),
            stacks: vec![(FRANKFURT.into(), "old".into(), "CREATE_COMPLETE".into())],
            requests_per_second: 40,
            latency: BTreeMap::from([("local".to_owned(), rows)]),
            metrics,
            metrics_after: BTreeMap::new(),
            stack_ms: 360_000,
            opening: None,
        },
        manifest: Manifest::default(),
    };
    change(&mut plan);
    Arc::new(plan)
}

fn plan() -> Arc<Plan> {
    plan_with(vec![record("ireland", 100, 60), record("frankfurt", 0, 60)])
}

fn scenario(faults: Vec<Fault>) -> Scenario {
    Scenario { name: "test".into(), faults, expect: "completed".into(), ..Scenario::default() }
}

fn fault(at: i64, for_ms: Option<i64>, kind: FaultKind) -> Fault {
    Fault { at: FaultAt::Elapsed(at), for_ms, kind }
}

fn down(at: i64, region: &str, for_ms: Option<i64>) -> Fault {
    fault(at, for_ms, FaultKind::RegionDown(region.into()))
}

fn away(at: i64, region: &str, for_ms: Option<i64>) -> Fault {
    fault(at, for_ms, FaultKind::ControlPlaneAway(region.into()))
}

/// A world and what its tests keep asking of it. Times are milliseconds since the start.
struct Sim {
    world: World,
    plan: Arc<Plan>,
    sent: u64,
}

impl Sim {
    fn new(plan: Arc<Plan>, faults: Vec<Fault>) -> Sim {
        Sim { world: World::new(plan.clone(), &scenario(faults), 7, START), plan, sent: 0 }
    }

    fn calm() -> Sim {
        Sim::new(plan(), Vec::new())
    }

    fn send(&mut self, at: i64, call: Call) -> Result<Receipt, cutover::cloud::Failure> {
        self.sent += 1;
        let token = format!("token-{}", self.sent);
        self.send_with(at, &token, call)
    }

    fn send_with(&mut self, at: i64, token: &str, call: Call) -> Result<Receipt, cutover::cloud::Failure> {
        let template = matches!(call, Call::CreateChangeSet { .. }).then(|| TEMPLATE.to_owned());
        let effect = Effect::Send { id: self.sent, sending: 1, token: token.to_owned(), call, text: template };
        let (answered, event) = self.world.perform(START + at, &effect);
        let Event::Sent { id, result, .. } = event else { panic!("a call is answered by Sent") };
        assert_eq!(id, self.sent);
        let took = answered - START - at;
        let limits = match &result {
            Err(failure) if failure.kind == FailureKind::Unreachable => 3_000..=3_000,
            Err(failure) if failure.kind == FailureKind::Unknown => 6_000..=6_000,
            Err(failure) if failure.kind != FailureKind::Refused => 1..=100,
            _ => 150..=400,
        };
        assert!(limits.contains(&took), "{result:?} after {took} ms");
        result
    }

    fn ask(&mut self, at: i64, query: Query) -> Result<Answer, cutover::cloud::Failure> {
        let effect = Effect::Ask(query);
        let (_, event) = self.world.perform(START + at, &effect);
        let Event::Answer { query: answered, result } = event else { panic!("a query is answered by Answer") };
        assert_eq!(Effect::Ask(answered), effect);
        result
    }

    /// What the poll of a monitor's group gives, and when.
    fn poll(&mut self, at: i64, monitor: usize) -> (Millis, Result<Reading, cutover::cloud::Failure>) {
        let group =
            poll_groups(&self.plan).iter().position(|g| g.monitors.contains(&monitor)).expect("every monitor is in a group");
        let (answered, event) = self.world.perform(START + at, &Effect::Ask(Query::Poll(group)));
        let reading = match event {
            Event::Answer { result: Ok(Answer::Readings(readings) | Answer::Stacks(readings, _)), .. } => {
                Ok(readings.into_iter().find(|(m, _)| *m == monitor).expect("a group reads all its monitors").1)
            }
            Event::Answer { result: Err(failure), .. } => Err(failure),
            other => panic!("a poll has readings, not {other:?}"),
        };
        (answered - START, reading)
    }

    /// What a monitor reads, and when the answer arrives.
    fn reading(&mut self, at: i64, monitor: usize) -> (Millis, Reading) {
        let (answered, reading) = self.poll(at, monitor);
        (answered, reading.unwrap())
    }

    /// Why a poll fails.
    fn failure(&mut self, at: i64, monitor: usize) -> FailureKind {
        self.poll(at, monitor).1.unwrap_err().kind
    }

    /// Share of the users' requests that really went to Frankfurt in a minute, in per cent, rounded.
    fn in_frankfurt(&self, from: i64) -> i64 {
        (self.world.share(FRANKFURT, START + from, START + from + 60_000) + 5_000) / 10_000
    }

    /// The record sets of the traffic.
    fn records(&mut self, at: i64) -> Vec<RecordSet> {
        match self.ask(at, Query::Records { zone: ZONE.into(), name: API.into() }) {
            Ok(Answer::Records(records)) => records,
            other => panic!("{other:?}"),
        }
    }

    fn invert(&mut self, at: i64, id: &str, version: i64, inverted: bool) -> Result<Receipt, cutover::cloud::Failure> {
        self.send(at, Call::UpdateHealthCheck { id: id.into(), version, inverted })
    }

    fn flip(&mut self, at: i64, value: i64) -> Result<Receipt, cutover::cloud::Failure> {
        self.send(at, switch(value))
    }

    fn value(&mut self, at: i64, monitor: usize) -> Value {
        self.reading(at, monitor).1.value
    }

    fn number(&mut self, at: i64, monitor: usize) -> i64 {
        match self.value(at, monitor) {
            Value::Number(number) => number,
            other => panic!("{other:?} is no number"),
        }
    }

    fn shift(&mut self, at: i64, from: (u8, u8), to: (u8, u8)) -> Result<Receipt, cutover::cloud::Failure> {
        self.send(at, shift(from, to))
    }

    fn in_sync(&mut self, at: i64, id: &str) -> bool {
        match self.ask(at, Query::Change { id: id.into() }) {
            Ok(Answer::Change { in_sync }) => in_sync,
            other => panic!("{other:?}"),
        }
    }

    fn stack(&mut self, at: i64, stack: &str) -> Option<StackInfo> {
        match self.ask(at, Query::Stack { region: FRANKFURT.into(), stack: stack.into() }) {
            Ok(Answer::Stack(info)) => info,
            other => panic!("{other:?}"),
        }
    }

    fn change_set(&mut self, at: i64, stack: &str, change_set: &str) -> ChangeSetInfo {
        let query = Query::ChangeSet { region: FRANKFURT.into(), stack: stack.into(), change_set: change_set.into() };
        match self.ask(at, query) {
            Ok(Answer::ChangeSet(Some(info))) => info,
            other => panic!("{other:?}"),
        }
    }
}

/// Weights are (Ireland, Frankfurt).
fn shift(from: (u8, u8), to: (u8, u8)) -> Call {
    let pair = |(ireland, frankfurt)| vec![record("ireland", ireland, 60), record("frankfurt", frankfurt, 60)];
    Call::ChangeRecords { zone: ZONE.into(), delete: pair(from), create: pair(to) }
}

fn create_change_set(stack: &str, change_set: &str, create: bool, sha: &str) -> Call {
    Call::CreateChangeSet {
        region: FRANKFURT.into(),
        stack: stack.into(),
        change_set: change_set.into(),
        create,
        template_sha256: sha.into(),
        parameters: Vec::new(),
        capabilities: Vec::new(),
    }
}

fn execute(stack: &str, change_set: &str) -> Call {
    Call::ExecuteChangeSet { region: FRANKFURT.into(), stack: stack.into(), change_set: change_set.into() }
}

fn delete(stack: &str) -> Call {
    Call::DeleteStack { region: FRANKFURT.into(), stack: stack.into() }
}

/// The data-plane switch, in Ireland.
fn switch(value: i64) -> Call {
    Call::PutMetric {
        region: IRELAND.into(),
        namespace: "Test/Cutover".into(),
        metric: "Leave".into(),
        dimensions: Vec::new(),
        value: value * 1_000_000,
    }
}

/// A health check `hc-REGION` that probes a region.
fn probing(region: &str) -> DrillHealthCheck {
    DrillHealthCheck { id: format!("hc-{region}"), endpoint: Some(region.into()), ..DrillHealthCheck::default() }
}

/// A health check `switch` that follows the metric of [`switch`].
fn switched() -> DrillHealthCheck {
    let followed = DrillSwitch {
        region: IRELAND.into(),
        namespace: "Test/Cutover".into(),
        metric: "Leave".into(),
        dimensions: vec![],
        fails_at: 1_000_000,
    };
    DrillHealthCheck { id: "switch".into(), switch: Some(followed), ..DrillHealthCheck::default() }
}

/// A record set that carries a health check.
fn checked(set: &str, weight: u8, check: &str) -> RecordSet {
    RecordSet { health_check: Some(check.into()), ..record(set, weight, 60) }
}

/// A world with health checks.
fn with_checks(records: Vec<RecordSet>, checks: Vec<DrillHealthCheck>, faults: Vec<Fault>) -> Sim {
    Sim::new(plan_of(records, |plan| plan.drill.health_checks = checks), faults)
}

/// What came of every call.
fn outcomes(sim: &Sim) -> Vec<Outcome> {
    let calls = sim.world.calls().iter();
    calls.filter_map(|c| if let Deed::Call { outcome, .. } = &c.deed { Some(outcome.clone()) } else { None }).collect()
}

/// Share of requests that Frankfurt saw, in per cent, once the minute that holds `at` is published.
fn frankfurt_share(sim: &mut Sim, at: i64) -> i64 {
    let (f, i) = (sim.number(at + 90_000, REQUESTS_FRANKFURT), sim.number(at + 90_000, REQUESTS_IRELAND));
    f * 100 / (f + i)
}

/// A drill's worth of everything, as it would be asked. Returns all answers.
fn script(world: &mut World, from: i64, until: i64) -> Vec<(Millis, Event)> {
    let mut answers = Vec::new();
    let mut send = |world: &mut World, at: i64, id: u64, call: Call| {
        if (from..until).contains(&at) {
            let template = matches!(call, Call::CreateChangeSet { .. }).then(|| TEMPLATE.to_owned());
            answers
                .push(world.perform(START + at, &Effect::Send { id, sending: 1, token: format!("t{id}"), call, text: template }));
        }
    };
    send(world, 1_000, 1, create_change_set("app", "c1", true, "aa"));
    send(world, 30_000, 2, execute("app", "c1"));
    send(world, 60_000, 3, shift((100, 0), (50, 50)));
    send(world, 70_000, 4, shift((100, 0), (50, 50)));
    if (from..until).contains(&100_000) {
        world.step_reached(2, START + 100_000);
        world.inject(START + 110_000, FaultKind::Lag(LAG, 5));
    }
    send(world, 900_000, 5, shift((50, 50), (0, 100)));
    send(world, 950_000, 6, delete("app"));
    for at in (from..until).step_by(5_000) {
        for group in 0..5 {
            answers.push(world.perform(START + at, &Effect::Ask(Query::Poll(group))));
        }
    }
    answers
}

fn stormy() -> Scenario {
    let kind = FaultKind::RegionDown(IRELAND.into());
    scenario(vec![Fault { at: FaultAt::Step(2, 60_000), for_ms: Some(120_000), kind }])
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_seed_another() {
    let run = |seed| script(&mut World::new(plan(), &stormy(), seed, START), 0, 1_500_000);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn looking_changes_nothing() {
    let mut watched = World::new(plan(), &stormy(), 1, START);
    script(&mut watched, 0, 800_000);
    let mut unwatched = World::restore(plan(), &stormy(), 1, START, watched.calls()).unwrap();
    assert_eq!(script(&mut watched, 800_000, 1_500_000), script(&mut unwatched, 800_000, 1_500_000));
}

#[test]
fn a_world_that_is_restored_from_its_log_goes_on_in_the_same_way() {
    let mut world = World::new(plan(), &stormy(), 1, START);
    script(&mut world, 0, 800_000);
    let text = world.export().to_string();
    let log: Vec<CallRecord> = serde_json::from_str(&text).unwrap();
    let mut restored = World::restore(plan(), &stormy(), 1, START, &log).unwrap();
    assert_eq!(restored.calls(), world.calls());
    assert_eq!(script(&mut restored, 800_000, 1_500_000), script(&mut world, 800_000, 1_500_000));
    let span = (START, START + 1_500_000);
    assert_eq!(restored.requests_failed(span.0, span.1), world.requests_failed(span.0, span.1));
    assert!(world.requests_failed(span.0, span.1) > 0);
}

#[test]
fn a_log_from_another_seed_does_not_replay() {
    let mut world = World::new(plan(), &stormy(), 1, START);
    script(&mut world, 0, 800_000);
    let diverged = World::restore(plan(), &stormy(), 2, START, world.calls()).unwrap_err();
    assert_eq!(diverged.entry, 0);
}

#[test]
fn a_million_polls_are_quick() {
    let mut world = World::new(plan(), &scenario(Vec::new()), 1, START);
    let call = shift((100, 0), (50, 50));
    world.perform(START, &Effect::Send { id: 1, sending: 1, token: "t".into(), call, text: None });
    let begun = std::time::Instant::now();
    // 21 days at five seconds, with the traffic split in two all the while: the dearest case there is.
    let mut readings = 0;
    for tick in 0..200_000 {
        for group in 0..5 {
            let (_, event) = world.perform(START + tick * 5_000, &Effect::Ask(Query::Poll(group)));
            if let Event::Answer { result: Ok(Answer::Readings(found) | Answer::Stacks(found, _)), .. } = event {
                readings += found.len();
            }
        }
    }
    let took = begun.elapsed();
    assert_eq!(readings, 200_000 * 8);
    println!("a million polls: {took:?}");
    assert!(took.as_secs() < 5, "a million polls took {took:?}; about one second is expected, more only on a busy machine");
}
