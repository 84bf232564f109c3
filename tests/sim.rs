//! The simulated cloud, looked at from outside: rule by rule, and as something that can be replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::cloud::{
    Answer, Call, ChangeSetInfo, Effect, FailureKind, Millis, Query, Reading, Receipt, StackInfo, Value, poll_groups,
};
use cutover::plan::{
    DrillMetric, DrillWorld, Fault, FaultAt, FaultKind, HttpSource, Manifest, Measure, MetricSource, Monitor, Objectives, Plan,
    RecordSet, Region, Role, Scenario, Source, Traffic, Unit,
};
use cutover::run::event::Event;
use cutover::sim::{CallRecord, Outcome, World};

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
        namespace: "AWS/Test".into(),
        metric: "M".into(),
        dimensions: Vec::new(),
        stat: "Maximum".into(),
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
    Arc::new(Plan {
        name: "test".into(),
        title: "Test".into(),
        account: "123456789012".into(),
        days: 21,
        regions: vec![region(IRELAND, Role::Source), region(FRANKFURT, Role::Primary)],
        objectives: Objectives { availability_ppm: 999_000, rto_ms: 600_000, rpo_ms: 900_000 },
        traffic: Some(Traffic {
            zone: ZONE.into(),
            record: API.into(),
            kind: "A".into(),
            targets: vec![("frankfurt".into(), FRANKFURT.into()), ("ireland".into(), IRELAND.into())],
            seen: vec![(IRELAND.into(), REQUESTS_IRELAND), (FRANKFURT.into(), REQUESTS_FRANKFURT)],
            service: Some(USERS),
        }),
        monitors,
        conditions: Vec::new(),
        phases: Vec::new(),
        steps: Vec::new(),
        rollbacks: Vec::new(),
        drill: DrillWorld {
            records: records.into_iter().map(|r| (ZONE.to_owned(), r)).collect(),
            stacks: vec![(FRANKFURT.into(), "old".into(), "CREATE_COMPLETE".into())],
            requests_per_second: 40,
            latency: BTreeMap::from([("local".to_owned(), rows)]),
            metrics,
            stack_ms: 360_000,
            opening: None,
        },
        manifest: Manifest::default(),
    })
}

fn plan() -> Arc<Plan> {
    plan_with(vec![record("ireland", 100, 60), record("frankfurt", 0, 60)])
}

fn scenario(faults: Vec<Fault>) -> Scenario {
    Scenario {
        name: "test".into(),
        title: String::new(),
        hypothesis: String::new(),
        faults,
        expect: "completed".into(),
        hash: String::new(),
    }
}

fn down(at: i64, region: &str, for_ms: Option<i64>) -> Fault {
    Fault { at: FaultAt::Elapsed(at), for_ms, kind: FaultKind::RegionDown(region.into()) }
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
        let effect = Effect::Send { id: self.sent, token: token.to_owned(), call, template };
        let (answered, event) = self.world.perform(START + at, &effect);
        let Event::Sent { id, result } = event else { panic!("a call is answered by Sent") };
        assert_eq!(id, self.sent);
        let took = answered - START - at;
        assert!(matches!(&result, Err(f) if f.kind == FailureKind::Unreachable) || (150..=400).contains(&took), "{took} ms");
        result
    }

    fn ask(&mut self, at: i64, query: Query) -> Result<Answer, cutover::cloud::Failure> {
        let effect = Effect::Ask(query);
        let (_, event) = self.world.perform(START + at, &effect);
        let Event::Answer { query: answered, result } = event else { panic!("a query is answered by Answer") };
        assert_eq!(Effect::Ask(answered), effect);
        result
    }

    /// What a monitor reads, and when the answer arrives.
    fn reading(&mut self, at: i64, monitor: usize) -> (Millis, Reading) {
        let group =
            poll_groups(&self.plan).iter().position(|g| g.monitors.contains(&monitor)).expect("every monitor is in a group");
        let (answered, event) = self.world.perform(START + at, &Effect::Ask(Query::Poll(group)));
        let Event::Answer { result: Ok(Answer::Readings(readings)), .. } = event else { panic!("a poll has readings") };
        (answered - START, readings.into_iter().find(|(m, _)| *m == monitor).expect("a group reads all its monitors").1)
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

/// Share of requests that Frankfurt saw, in per cent, once the minute that holds `at` is published.
fn frankfurt_share(sim: &mut Sim, at: i64) -> i64 {
    let (f, i) = (sim.number(at + 90_000, REQUESTS_FRANKFURT), sim.number(at + 90_000, REQUESTS_IRELAND));
    f * 100 / (f + i)
}

#[test]
fn rule_4_weight_zero_is_silent_until_nothing_else_is_there() {
    let mut sim = Sim::calm();
    assert_eq!(frankfurt_share(&mut sim, 600_000), 0);
    let mut sim = Sim::new(plan_with(vec![record("ireland", 0, 60), record("frankfurt", 0, 60)]), Vec::new());
    let total: i64 = (1..=60).map(|minute| frankfurt_share(&mut sim, minute * 60_000)).sum();
    assert!((47 * 60..53 * 60).contains(&total), "all zero is an equal split, not {}", total / 60);
    let mut sim = Sim::new(plan_with(vec![record("frankfurt", 0, 60)]), Vec::new());
    assert_eq!(frankfurt_share(&mut sim, 600_000), 100);
}

#[test]
fn rule_7_traffic_moves_after_in_sync_and_over_one_ttl() {
    let mut sim = Sim::calm();
    let id = sim.shift(600_000, (100, 0), (0, 100)).unwrap().id;
    assert!(id.starts_with('C'));
    assert!(!sim.in_sync(615_000, &id), "no change is in sync before 20 s");
    assert!(sim.in_sync(660_000, &id), "every change is in sync after 50 s");
    // 600–660 s: at most half a minute of the tail. 720–780 s: every answer from before has run out.
    assert!(frankfurt_share(&mut sim, 600_000) < 40);
    assert_eq!(frankfurt_share(&mut sim, 720_000), 100);
    let shares: Vec<i64> = (0..4).map(|m| frankfurt_share(&mut sim, 570_000 + m * 60_000)).collect();
    assert!(shares.is_sorted() && shares.iter().any(|s| (1..100).contains(s)), "{shares:?}");
    assert!(sim.ask(0, Query::Change { id: "CNONE".into() }).is_err());
}

#[test]
fn rule_9_simple_to_weighted_is_a_delete_and_a_create() {
    let simple = RecordSet { set: None, weight: None, ..record("ireland", 0, 60) };
    let mut sim = Sim::new(plan_with(vec![simple.clone()]), Vec::new());
    assert_eq!(frankfurt_share(&mut sim, 60_000), 0, "the simple record leads to the source");
    let weighted = vec![record("ireland", 100, 60), record("frankfurt", 0, 60)];
    let call = |delete| Call::ChangeRecords { zone: ZONE.into(), delete, create: weighted.clone() };
    let failure = sim.send(300_000, call(Vec::new())).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.starts_with("InvalidChangeBatch"), "{}", failure.message);
    sim.send(301_000, call(vec![simple])).unwrap();
    let Ok(Answer::Records(records)) = sim.ask(302_000, Query::Records { zone: ZONE.into(), name: API.into() }) else { panic!() };
    assert_eq!(records, [record("frankfurt", 0, 60), record("ireland", 100, 60)]);
}

#[test]
fn rule_10_a_batch_that_is_sent_again_finds_its_old_values_gone() {
    let mut sim = Sim::calm();
    sim.shift(1_000, (100, 0), (90, 10)).unwrap();
    let failure = sim.shift(2_000, (100, 0), (90, 10)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("the values provided do not match the current values"), "{}", failure.message);
    let applied: Vec<_> = sim.world.calls().iter().filter_map(CallRecord::applied).collect();
    assert_eq!(applied, [("token-1", &shift((100, 0), (90, 10)))]);
    let Ok(Answer::Records(records)) = sim.ask(3_000, Query::Records { zone: ZONE.into(), name: API.into() }) else { panic!() };
    assert_eq!(records, [record("frankfurt", 10, 60), record("ireland", 90, 60)]);
    assert!(sim.ask(3_000, Query::Records { zone: "ZX".into(), name: API.into() }).is_err());
}

#[test]
fn a_change_is_seen_neither_before_it_took_effect_nor_late() {
    let mut sim = Sim::calm();
    sim.shift(1_000, (100, 0), (90, 10)).unwrap();
    let weight = |sim: &mut Sim, at| match sim.ask(at, Query::Records { zone: ZONE.into(), name: API.into() }) {
        Ok(Answer::Records(records)) => records[0].weight,
        other => panic!("{other:?}"),
    };
    assert_eq!(weight(&mut sim, 1_000), Some(0), "a query that is sent together with the change is faster");
    assert_eq!(weight(&mut sim, 1_200), Some(10));
}

#[test]
fn rule_19_a_stack_lives_from_change_set_to_deletion() {
    let mut sim = Sim::calm();
    assert_eq!(sim.value(0, STACK), Value::Status("ABSENT".into()));
    let receipt = sim.send(1_000, create_change_set("app", "c1", true, "aa")).unwrap();
    assert!(receipt.id.starts_with("arn:aws:cloudformation:eu-central-1:123456789012:changeSet/c1/"), "{}", receipt.id);
    assert_eq!(sim.value(2_000, STACK), Value::Status("REVIEW_IN_PROGRESS".into()));
    assert_eq!(sim.change_set(2_000, "app", "c1").status, "CREATE_PENDING");
    let early = sim.send(2_000, execute("app", "c1")).unwrap_err();
    assert!(early.message.contains("current status of [CREATE_PENDING]"), "{}", early.message);
    let ready = sim.change_set(25_000, "app", "c1");
    assert!(ready.status == "CREATE_COMPLETE" && ready.executable);
    let lines: Vec<_> = ready.changes.iter().map(|c| (c.action.as_str(), c.logical_id.as_str())).collect();
    assert_eq!(lines, [("Add", "Table"), ("Add", "Api")]);

    sim.send_with(30_000, "execute", execute("app", "c1")).unwrap();
    sim.send_with(31_000, "execute", execute("app", "c1")).expect("a token that was accepted is accepted again (rule 22)");
    assert!(matches!(outcomes(&sim)[..], [.., Outcome::Applied(_), Outcome::Repeated(_)]));
    assert!(sim.send(32_000, execute("app", "c1")).unwrap_err().message.contains("EXECUTE_COMPLETE"));
    assert!(!sim.change_set(32_000, "app", "c1").executable);
    assert_eq!(sim.value(60_000, STACK), Value::Status("CREATE_IN_PROGRESS".into()));
    assert!(sim.send(60_000, create_change_set("app", "c2", false, "bb")).unwrap_err().message.contains("can not be updated"));
    // 6 min, give or take a fifth.
    assert_eq!(sim.value(30_000 + 280_000, STACK), Value::Status("CREATE_IN_PROGRESS".into()));
    assert_eq!(sim.value(30_000 + 440_000, STACK), Value::Status("CREATE_COMPLETE".into()));
    let query = Query::StackEvents { region: FRANKFURT.into(), stack: "app".into() };
    let Ok(Answer::StackEvents(events)) = sim.ask(500_000, query) else { panic!() };
    assert!(events.is_sorted_by(|a, b| a.at >= b.at), "newest first (rule 21)");
    assert_eq!(events.len(), 7);
    assert_eq!((events[0].logical_id.as_str(), events[0].status.as_str()), ("app", "CREATE_COMPLETE"));

    let id = sim.stack(500_000, "app").unwrap().id;
    sim.send(600_000, delete(&id)).unwrap();
    assert_eq!(sim.value(601_000, STACK), Value::Status("DELETE_IN_PROGRESS".into()));
    assert_eq!(sim.stack(1_100_000, "app"), None);
    assert_eq!(sim.stack(1_100_000, &id).unwrap().status, "DELETE_COMPLETE", "found by its id only (rule 21)");
    sim.send(1_200_000, create_change_set("app", "c1", true, "aa")).unwrap();
    assert_ne!(sim.stack(1_201_000, "app").unwrap().id, id);
}

fn outcomes(sim: &Sim) -> Vec<Outcome> {
    let calls = sim.world.calls().iter();
    calls
        .filter_map(|c| if let cutover::sim::Deed::Call { outcome, .. } = &c.deed { Some(outcome.clone()) } else { None })
        .collect()
}

#[test]
fn rule_35_review_outlives_its_change_set_and_no_changes_is_a_failed_one() {
    let mut sim = Sim::calm();
    sim.send(0, create_change_set("app", "c1", true, "aa")).unwrap();
    sim.send(1_000, create_change_set("app", "c1", true, "aa")).expect("the same change set again is the same");
    assert!(sim.send(1_500, create_change_set("app", "c1", true, "bb")).is_err(), "another content under its name is not");
    sim.send(2_000, create_change_set("app", "c2", true, "bb")).expect("a stack in review is created again as CREATE");
    assert!(sim.send(2_500, create_change_set("app", "c3", false, "bb")).is_err());
    sim.send(40_000, execute("app", "c2")).unwrap();
    assert!(sim.send(41_000, create_change_set("app", "c4", true, "bb")).unwrap_err().message.contains("already exists"));
    sim.send(600_000, create_change_set("app", "c5", false, "bb")).unwrap();
    let info = sim.change_set(630_000, "app", "c5");
    assert_eq!((info.status.as_str(), info.no_changes, info.executable), ("FAILED", true, false));
    assert!(info.reason.starts_with("The submitted information didn't contain changes."));
    assert!(sim.send(631_000, execute("app", "c5")).is_err());

    sim.send(640_000, create_change_set("old", "u1", false, "cc")).unwrap();
    let info = sim.change_set(670_000, "old", "u1");
    assert!(info.changes.iter().all(|c| c.action == "Modify" && c.replacement == "False"));
    sim.send(680_000, execute("old", "u1")).unwrap();
    assert_eq!(sim.stack(700_000, "old").unwrap().status, "UPDATE_IN_PROGRESS");
    assert!(sim.send(700_000, delete("old")).unwrap_err().message.contains("cannot be deleted"));
    assert_eq!(sim.stack(1_200_000, "old").unwrap().status, "UPDATE_COMPLETE");
    assert!(sim.send(1_300_000, create_change_set("none", "c", false, "aa")).unwrap_err().message.contains("does not exist"));
}

#[test]
fn rule_14_a_metric_is_read_in_its_region_and_an_absent_lag_is_not_zero() {
    let mut sim = Sim::new(plan(), vec![down(3_600_000, FRANKFURT, Some(600_000)), down(7_200_000, IRELAND, Some(600_000))]);
    assert!(matches!(sim.value(60_000, UNKNOWN_LAG), Value::Missing(_)));
    let lag = sim.number(60_000, LAG);
    assert!((14_000_000..=26_000_000).contains(&lag), "{lag}");
    assert_eq!(sim.value(3_700_000, LAG), Value::Missing("region does not answer".into()), "it is published in the destination");
    assert!(matches!(sim.value(7_300_000, LAG), Value::Number(_)), "the source does not matter for reading it");
}

#[test]
fn rule_33_points_are_whole_minutes_and_come_late() {
    let mut sim = Sim::calm();
    for at in [60_000, 61_000, 119_999, 3_600_000] {
        let (answered, reading) = sim.reading(at, REQUESTS_IRELAND);
        let age = START + at - reading.at;
        assert!((20_000..80_000).contains(&age), "{age}");
        assert!((20..=120).contains(&(answered - at)));
    }
    let requests = sim.number(600_000, REQUESTS_IRELAND) / 1_000_000;
    assert!((2_352..=2_448).contains(&requests), "{requests}");
    assert_eq!(sim.number(600_000, REQUESTS_FRANKFURT), 0);
}

#[test]
fn a_lag_fault_shows_its_value_while_it_lasts() {
    let fault = Fault { at: FaultAt::Step(4, 60_000), for_ms: Some(600_000), kind: FaultKind::Lag(LAG, 1_020_000_000) };
    let mut sim = Sim::new(plan(), vec![fault]);
    assert!(sim.number(1_000_000, LAG) < 30_000_000);
    sim.world.step_reached(3, START + 1_000_000);
    sim.world.step_reached(4, START + 1_000_000);
    sim.world.step_reached(4, START + 5_000_000);
    assert_eq!(sim.number(1_300_000, LAG), 1_020_000_000);
    assert!(sim.number(1_800_000, LAG) < 30_000_000);
    assert_eq!(sim.world.calls().len(), 1, "only what made a difference is on the log");
}

#[test]
fn a_region_that_is_down_answers_nothing() {
    let mut sim = Sim::new(plan(), vec![down(3_600_000, FRANKFURT, Some(1_800_000))]);
    sim.shift(600_000, (100, 0), (0, 100)).unwrap();
    assert_eq!(sim.number(3_500_000, ERRORS_FRANKFURT), 0);
    let inside = 3_900_000;
    let (answered, reading) = sim.reading(inside, PINNED);
    assert_eq!((answered - inside, reading.value), (5_000, Value::Failed("timeout".into())));
    assert_eq!(sim.value(inside, USERS), Value::Failed("timeout".into()));
    assert_eq!(sim.value(inside, STACK), Value::Missing("region does not answer".into()));
    assert_eq!(sim.number(inside, ERRORS_FRANKFURT), 1_000_000);
    let failure = sim.send(inside, delete("old")).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert_eq!(
        sim.ask(inside, Query::Stack { region: FRANKFURT.into(), stack: "old".into() }).unwrap_err().kind,
        FailureKind::Unreachable
    );
    sim.shift(inside, (0, 100), (100, 0)).expect("Route 53 stays up");
    assert!(matches!(sim.value(5_500_000, PINNED), Value::Number(_)));
    assert_eq!(sim.number(5_600_000, ERRORS_FRANKFURT), 0);
    assert!(sim.stack(5_600_000, "old").is_some(), "the refused deletion did nothing");
}

#[test]
fn rule_5_without_us_east_1_records_cannot_be_changed_but_are_answered() {
    let mut sim = Sim::calm();
    sim.world.inject(START + 1_000, FaultKind::RegionDown("us-east-1".into()));
    assert_eq!(sim.shift(2_000, (100, 0), (0, 100)).unwrap_err().kind, FailureKind::Unreachable);
    let query = Query::Records { zone: ZONE.into(), name: API.into() };
    assert_eq!(sim.ask(2_000, query).unwrap_err().kind, FailureKind::Unreachable);
    assert!(matches!(sim.value(2_000, USERS), Value::Number(_)));
    assert_eq!(sim.world.requests_failed(START, START + 600_000), 0);
}

#[test]
fn failed_requests_follow_the_share_and_the_tail_of_the_ttl() {
    let mut sim = Sim::new(plan(), vec![down(3_600_000, FRANKFURT, Some(600_000))]);
    let failed = |sim: &Sim, from, until| sim.world.requests_failed(START + from, START + until);
    assert_eq!(failed(&sim, 0, 10_000_000), 0, "nothing is in Frankfurt");
    sim.shift(600_000, (100, 0), (100, 100)).unwrap();
    let half = failed(&sim, 0, 10_000_000);
    assert!((11_000..13_000).contains(&half), "about half of 24 000: {half}");
    assert_eq!(failed(&sim, 0, 3_600_000), 0);
    sim.shift(3_720_000, (100, 100), (100, 0)).unwrap();
    let back = failed(&sim, 0, 10_000_000);
    // 120 s at half, 20–50 s until it is in sync, then at most 60 s of tail that thins out.
    assert!((2_800..4_100).contains(&back), "{back}");
    assert_eq!(failed(&sim, 3_832_000, 10_000_000), 0);
}

#[test]
fn without_a_record_every_request_fails_and_probes_say_dns() {
    let mut sim = Sim::calm();
    let both = vec![record("ireland", 100, 60), record("frankfurt", 0, 60)];
    sim.send(0, Call::ChangeRecords { zone: ZONE.into(), delete: both, create: Vec::new() }).unwrap();
    assert_eq!(sim.value(600_000, USERS), Value::Failed("dns".into()));
    assert_eq!(sim.world.requests_failed(START + 200_000, START + 300_000), 4_000);
}

#[test]
fn a_calm_drill_has_no_failed_probe_and_plausible_latencies() {
    let mut sim = Sim::calm();
    let mut pinned: Vec<i64> = (0..5_000).map(|i| sim.number(i * 5_000, PINNED)).collect();
    let mut users: Vec<i64> = (0..5_000).map(|i| sim.number(i * 5_000, USERS)).collect();
    pinned.sort_unstable();
    users.sort_unstable();
    // Frankfurt: 9 ms round trip and 4 ms service. Ireland: three round trips of 25 ms and 4 ms.
    assert!((12_500..13_500).contains(&pinned[2_500]), "{}", pinned[2_500]);
    assert!((14_000..16_000).contains(&pinned[4_750]), "p95 {}", pinned[4_750]);
    assert!(pinned[4_999] > 22_000, "there is a slow tail: {}", pinned[4_999]);
    assert!((77_000..81_000).contains(&users[2_500]), "{}", users[2_500]);
}

/// A drill's worth of everything, as it would be asked. Returns all answers.
fn script(world: &mut World, from: i64, until: i64) -> Vec<(Millis, Event)> {
    let mut answers = Vec::new();
    let mut send = |world: &mut World, at: i64, id: u64, call: Call| {
        if (from..until).contains(&at) {
            let template = matches!(call, Call::CreateChangeSet { .. }).then(|| TEMPLATE.to_owned());
            answers.push(world.perform(START + at, &Effect::Send { id, token: format!("t{id}"), call, template }));
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
    world.perform(START, &Effect::Send { id: 1, token: "t".into(), call, template: None });
    let begun = std::time::Instant::now();
    // 21 days at five seconds, with the traffic split in two all the while: the dearest case there is.
    let mut readings = 0;
    for tick in 0..200_000 {
        for group in 0..5 {
            let (_, event) = world.perform(START + tick * 5_000, &Effect::Ask(Query::Poll(group)));
            if let Event::Answer { result: Ok(Answer::Readings(found)), .. } = event {
                readings += found.len();
            }
        }
    }
    let took = begun.elapsed();
    assert_eq!(readings, 200_000 * 8);
    println!("a million polls: {took:?}");
    assert!(took.as_secs() < 5, "a million polls took {took:?}; about one second is expected, more only on a busy machine");
}
