//! Every kind of monitor in every kind of silence and trouble: its gate is unknown or fails, says why, and never opens.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use cutover::cloud::{
    Answer, Effect, Failure, FailureKind, HealthCheckInfo, Millis, NO_DATA_YET, Query, Reading, ServerAnswer, Value,
};
use cutover::plan::{
    Condition, Connection, DnsServer, DnsSource, DnsTarget, DnsType, Family, HttpSource, Measure, Monitor, Plan, Protocol,
    Quantity, Source, Stat, State, Test, Unit, ZoneServers,
};
use cutover::run::event::Event;
use cutover::run::gate;
use cutover::run::snapshot::Verdict;
use cutover::run::watch::Watch;
use support::{metric, monitor, plan};

#[path = "support/plan.rs"]
mod support;

const MINUTE: i64 = 60_000;

/// A stack, a metric, a probe, a health check and a name, each with a gate.
fn five() -> Plan {
    let http = Source::Http(HttpSource {
        url: "https://api.example.com/".into(),
        connect_to: None,
        status: 200,
        timeout_ms: 5_000,
        measure: Measure::Total,
        from: "local".into(),
        connection: Connection::Fresh,
        protocol: Protocol::Any,
        family: Family::Any,
    });
    let server = |name: &str| DnsServer { name: name.into(), address: "192.0.2.53:53".parse().unwrap() };
    let dns = DnsSource {
        name: "api.example.com".into(),
        kind: DnsType::A,
        resolvers: vec![server("one"), server("two")],
        zone_servers: ZoneServers::None,
        leads_to: vec![("new".into(), vec![DnsTarget::Name("new.example.com".into())])],
        toward: "new".into(),
        timeout_ms: 2_000,
    };
    let Source::Metric(status) = metric("AWS/Route53", "HealthCheckStatus", "abc", 1_000_000, false) else { unreachable!() };
    let check = Source::HealthCheck { id: "abc".into(), status };
    let mut plan = plan(vec![
        monitor("stack", Source::Stack { stack: "s".into() }),
        monitor("lag", metric("N", "Lag", "all", 1_000_000, false)),
        monitor("probe", http),
        Monitor { region: Some("us-east-1".into()), ..monitor("check", check) },
        monitor("name", Source::Dns(dns)),
    ]);
    let below = |stat| Test::Below(stat, Quantity { micros: 60_000_000, unit: Unit::Time });
    let gate = |monitor, test| Condition { monitor, test, over_ms: 600_000, for_ms: 0, samples: 1 };
    let most = Test::Above(Stat::Last, Quantity { micros: 900_000, unit: Unit::Share });
    plan.conditions = vec![
        gate(0, Test::Is(State::Healthy)),
        gate(1, below(Stat::Max)),
        gate(2, below(Stat::P95)),
        gate(3, Test::Is(State::Healthy)),
        gate(4, most),
    ];
    plan
}

struct Stage {
    plan: Plan,
    watch: Watch,
    now: Millis,
}

impl Stage {
    fn new() -> Stage {
        let plan = five();
        let mut watch = Watch::new(&plan);
        watch.attend(&plan, 0, &[0, 1, 2, 3, 4], (Vec::new(), MINUTE));
        Stage { plan, watch, now: 0 }
    }

    fn hears(&mut self, monitor: usize, result: Result<Vec<Value>, FailureKind>) {
        let query = Query::Poll(self.watch.groups.iter().position(|g| g.monitors == [monitor]).unwrap());
        let readings = |values: Vec<Value>| values.into_iter().map(|value| (monitor, Reading { at: self.now, value })).collect();
        let failure = |kind| Failure { kind, message: format!("{kind:?} by the service") };
        let result = result.map(|values| Answer::Readings(readings(values))).map_err(failure);
        self.watch.released(self.now, &Effect::Ask(query.clone()));
        self.watch.observe(&self.plan, self.now, &Event::Answer { query, result });
    }

    fn gate(&self, monitor: usize) -> Verdict {
        gate::all(&self.plan, &self.watch, &[monitor], self.now)
    }
}

fn good(monitor: usize) -> Value {
    match monitor {
        0 => Value::Status("CREATE_COMPLETE".into()),
        3 => Value::Status("healthy".into()),
        4 => Value::Servers(vec![moved("one"), moved("two")]),
        _ => Value::Number(1_000),
    }
}

fn moved(server: &str) -> ServerAnswer {
    let (server, answer, region) = (server.to_owned(), Some("192.0.2.1".to_owned()), Some("new".to_owned()));
    ServerAnswer { server, zone: false, answer, region, ttl_s: Some(60), trouble: None }
}

fn silent(server: &str) -> ServerAnswer {
    ServerAnswer { answer: None, region: None, ttl_s: None, trouble: Some("SERVFAIL".into()), ..moved(server) }
}

fn nonsense(server: &str) -> ServerAnswer {
    ServerAnswer { region: None, trouble: Some("leads nowhere known".into()), ..moved(server) }
}

type Case = (&'static str, Result<Vec<Value>, FailureKind>, &'static str);

/// What may be heard instead of a value, and the word that the gate has for it at once.
fn cases() -> Vec<Case> {
    let missing = |why: &str| Ok(vec![Value::Missing(why.into())]);
    vec![
        ("missing", missing("metric not enabled"), "metric not enabled"),
        ("not yet", missing(NO_DATA_YET), NO_DATA_YET),
        ("NaN", missing("not a number"), "not a number"),
        ("empty", Ok(vec![]), "no reading yet"),
        ("throttled", Err(FailureKind::Throttled), "Throttled by the service"),
        ("refused", Err(FailureKind::Refused), "Refused by the service"),
        ("expired", Err(FailureKind::Credentials), "Credentials by the service"),
        ("unreachable", Err(FailureKind::Unreachable), "Unreachable by the service"),
        ("garbage", Err(FailureKind::Unknown), "Unknown by the service"),
        ("wrong region", missing("wrong region: it is in eu-west-1"), "wrong region: it is in eu-west-1"),
    ]
}

#[test]
fn no_silence_opens_a_gate_that_was_never_open() {
    for monitor in 0..5 {
        for (case, result, word) in cases() {
            let mut stage = Stage::new();
            stage.hears(monitor, result);
            match stage.gate(monitor) {
                Verdict::Unknown(why) => assert!(why.contains(word), "{monitor} {case}: {why}"),
                other => panic!("{monitor} {case}: {other:?}"),
            }
        }
    }
}

#[test]
fn no_silence_keeps_a_gate_open_for_longer_than_its_reading_is_fresh() {
    for monitor in 0..5 {
        for (case, result, word) in cases() {
            let mut stage = Stage::new();
            stage.hears(monitor, Ok(vec![good(monitor)]));
            assert_eq!(stage.gate(monitor), Verdict::Pass, "{monitor} {case}");
            let stale_after = stage.watch.stale_after_ms(&stage.plan, monitor);
            while stage.now <= stale_after {
                stage.now += MINUTE;
                stage.hears(monitor, result.clone());
            }
            let Verdict::Unknown(why) = stage.gate(monitor) else { panic!("{monitor} {case}: {:?}", stage.gate(monitor)) };
            // What had data and has none any more is called stale, with its age.
            let grown_old = ["empty", "not yet"].contains(&case);
            assert!(why.contains(if grown_old { "stale" } else { word }), "{monitor} {case}: {why}");

            // Silence is not what was asked for either, so it takes one good reading to open again.
            stage.hears(monitor, Ok(vec![good(monitor)]));
            assert_eq!(stage.gate(monitor), Verdict::Pass, "{monitor} {case}");
        }
    }
}

#[test]
fn name_servers_of_which_none_tells_anything_open_no_gate() {
    for (said, word) in [
        (vec![silent("one"), silent("two")], "no server answers: one: SERVFAIL"),
        (vec![nonsense("one"), silent("two")], "no answer leads to a region that is known"),
        (vec![nonsense("one"), nonsense("two")], "no answer leads to a region that is known"),
        (vec![], "no server answers: none was asked"),
        (vec![ServerAnswer { zone: true, ..moved("ns") }], "no server answers"),
    ] {
        let mut stage = Stage::new();
        stage.hears(4, Ok(vec![Value::Servers(said.clone())]));
        let Verdict::Unknown(why) = stage.gate(4) else { panic!("{said:?}: {:?}", stage.gate(4)) };
        assert!(why.contains(word), "{said:?}: {why}");
        // What a name server says means nothing for a metric.
        stage.hears(1, Ok(vec![Value::Servers(said)]));
        assert!(matches!(stage.gate(1), Verdict::Unknown(_)), "{:?}", stage.gate(1));
    }
}

#[test]
fn what_is_no_good_value_fails_with_its_reason() {
    let status = |word: &str| Value::Status(word.into());
    for (monitor, value, word) in [
        (0, status("ROLLBACK_COMPLETE"), "is ROLLBACK_COMPLETE"),
        (0, status("NEVER_SEEN_BEFORE"), "is NEVER_SEEN_BEFORE"),
        (0, status(""), "is "),
        (0, status("ABSENT"), "is ABSENT"),
        (1, Value::Number(-1_000_000), "not replicating"),
        (1, Value::Number(61_000_000), "wanted < 1m"),
        (2, Value::Number(61_000_000), "wanted < 1m"),
        (2, Value::Failed("refused".into()), "failing"),
        (4, Value::Servers(vec![moved("one"), silent("two")]), "last is 50%, wanted > 90%"),
        (4, Value::Servers(vec![moved("one"), nonsense("two")]), "last is 50%, wanted > 90%"),
        (4, Value::Servers(vec![silent("one"), ServerAnswer { region: Some("old".into()), ..moved("two") }]), "last is 0%"),
        (3, status("unhealthy"), "is unhealthy"),
        (3, status("healthy (inverted: the endpoint fails)"), "is healthy (inverted: the endpoint fails)"),
        (3, status("unhealthy (inverted: the endpoint answers)"), "is unhealthy (inverted"),
        // A stack of that status would be usable.
        (3, status("CREATE_COMPLETE"), "is CREATE_COMPLETE"),
    ] {
        let mut stage = Stage::new();
        stage.hears(monitor, Ok(vec![value.clone()]));
        match stage.gate(monitor) {
            Verdict::Fail(why) => assert!(why.contains(word), "{monitor} {value:?}: {why}"),
            other => panic!("{monitor} {value:?}: {other:?}"),
        }
    }
}

#[test]
fn rule_1_a_disabled_health_check_counts_as_healthy_and_proves_nothing() {
    let mut stage = Stage::new();
    let check = |inverted, disabled| HealthCheckInfo { version: 1, inverted, disabled };
    for (word, opens) in [
        (check(false, false).word(true), true),
        (check(false, false).word(false), false),
        (check(true, false).word(true), false),
        (check(true, false).word(false), false),
        (check(false, true).word(true), false),
        (check(true, true).word(true), false),
    ] {
        stage.now += MINUTE;
        stage.hears(3, Ok(vec![Value::Status(word.into())]));
        assert_eq!(stage.gate(3) == Verdict::Pass, opens, "{word}: {:?}", stage.gate(3));
    }
    assert_eq!(stage.gate(3), Verdict::Unknown("check: disabled: counts as healthy and checks nothing".into()));
    stage.hears(3, Ok(vec![Value::Number(1_000_000)]));
    assert_eq!(stage.gate(3), Verdict::Unknown("check: has no state".into()), "a bare status says nothing about the endpoint");
}

#[test]
fn of_an_expression_the_metric_is_named_that_has_grown_stale() {
    let mut stage = Stage::new();
    stage.hears(1, Ok(vec![good(1)]));
    stage.now = 17 * MINUTE + 30_000;
    stage.hears(1, Ok(vec![Value::Missing(format!("requests: {NO_DATA_YET}"))]));
    assert_eq!(stage.gate(1), Verdict::Unknown("lag: requests: stale: no data for 17m".into()));
}

#[test]
fn what_has_told_values_and_tells_none_any_more_is_stale_and_not_new() {
    let mut stage = Stage::new();
    stage.hears(1, Ok(vec![good(1)]));
    stage.now = 17 * MINUTE + 30_000;
    stage.hears(1, Ok(vec![Value::Missing(NO_DATA_YET.into())]));
    assert_eq!(stage.gate(1), Verdict::Unknown("lag: stale: no data for 17m".into()));
}

#[test]
fn what_was_not_seen_does_not_count_as_time_in_which_it_held() {
    for monitor in 0..5 {
        for (case, result, _) in cases() {
            let mut stage = Stage::new();
            stage.plan.conditions[monitor].for_ms = 5 * MINUTE;
            for _ in 0..10 {
                stage.hears(monitor, result.clone());
                stage.now += MINUTE;
            }
            stage.hears(monitor, Ok(vec![good(monitor)]));
            assert!(!matches!(stage.gate(monitor), Verdict::Pass), "{monitor} {case}: {:?}", stage.gate(monitor));
        }
    }
}

#[test]
fn a_probe_that_fails_is_not_healthy() {
    let mut stage = Stage::new();
    stage.plan.conditions[2].test = Test::Is(State::Healthy);
    for value in [good(2), good(2), good(2), Value::Failed("refused".into())] {
        stage.hears(2, Ok(vec![value]));
        stage.now += 1_000;
    }
    assert_eq!(stage.gate(2), Verdict::Fail("probe: refused".into()));
    stage.hears(2, Ok(vec![good(2)]));
    assert_eq!(stage.gate(2), Verdict::Fail("probe: a probe failed lately".into()), "one good answer proves little");
}
