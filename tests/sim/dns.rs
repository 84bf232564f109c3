//! Route 53: records, health checks and what becomes of the traffic.

use super::*;

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
fn rule_1_a_disabled_check_is_healthy_whatever_it_sees() {
    let run = |check: DrillHealthCheck| {
        let records = vec![record("ireland", 100, 60), checked("frankfurt", 100, "hc-eu-central-1")];
        let sim = with_checks(records, vec![check], vec![down(600_000, FRANKFURT, None)]);
        sim.in_frankfurt(1_200_000)
    };
    assert_eq!(run(probing(FRANKFURT)), 0, "an enabled check takes the record out");
    let disabled = |inverted| DrillHealthCheck { disabled: true, inverted, ..probing(FRANKFURT) };
    assert!((40..60).contains(&run(disabled(false))), "a disabled one does not: half the users go on failing");
    assert!((40..60).contains(&run(disabled(true))));
}

#[test]
fn rule_2_inverting_turns_round_what_is_really_so() {
    let records = || vec![record("ireland", 100, 60), checked("frankfurt", 100, "hc-eu-central-1")];
    let mut sim = with_checks(records(), vec![probing(FRANKFURT)], Vec::new());
    sim.invert(600_000, "hc-eu-central-1", 1, true).unwrap();
    // At most 30 s until the checkers know, and one TTL.
    assert_eq!((sim.in_frankfurt(540_000) > 40, sim.in_frankfurt(691_000)), (true, 0));
    sim.invert(900_000, "hc-eu-central-1", 2, false).unwrap();
    assert!((40..60).contains(&sim.in_frankfurt(991_000)));

    let mut sim = with_checks(records(), vec![probing(FRANKFURT)], vec![down(600_000, FRANKFURT, None)]);
    assert_eq!(sim.in_frankfurt(1_200_000), 0);
    sim.invert(1_300_000, "hc-eu-central-1", 1, true).unwrap();
    assert!((40..60).contains(&sim.in_frankfurt(1_391_000)), "inverting a failing check makes it healthy");
}

#[test]
fn rule_3_where_nothing_is_healthy_everything_counts_as_healthy() {
    let both = vec![probing(IRELAND), probing(FRANKFURT)];
    let records = vec![checked("ireland", 75, "hc-eu-west-1"), checked("frankfurt", 25, "hc-eu-central-1")];
    let faults = vec![down(600_000, FRANKFURT, Some(3_600_000)), down(1_200_000, IRELAND, None)];
    let sim = with_checks(records, both, faults);
    let hour = |from: i64| sim.world.share(FRANKFURT, START + from, START + from + 1_800_000) / 10_000;
    assert_eq!(sim.in_frankfurt(1_000_000), 0, "Frankfurt is out");
    assert!((20..30).contains(&hour(1_500_000)), "both are, so both answer by their weights: {}", hour(1_500_000));
    assert_eq!(sim.in_frankfurt(4_500_000), 100, "Frankfurt is back and the only one");
    let sim =
        with_checks(vec![record("ireland", 100, 60), record("frankfurt", 100, 60)], Vec::new(), vec![down(0, FRANKFURT, None)]);
    assert!((40..60).contains(&sim.in_frankfurt(1_200_000)), "a record without a check is always healthy");
}

#[test]
fn rule_4_weight_zero_answers_once_every_other_record_is_unhealthy() {
    let checks = || vec![probing(IRELAND), probing(FRANKFURT)];
    let records = |ireland, frankfurt| {
        vec![checked("ireland", ireland, "hc-eu-west-1"), checked("frankfurt", frankfurt, "hc-eu-central-1")]
    };
    let sim = with_checks(records(100, 0), checks(), vec![down(600_000, IRELAND, Some(1_200_000))]);
    assert_eq!((sim.in_frankfurt(500_000), sim.in_frankfurt(1_200_000), sim.in_frankfurt(2_400_000)), (0, 100, 0));
    let faults = vec![down(600_000, IRELAND, None), down(600_000, FRANKFURT, None)];
    let sim = with_checks(records(100, 0), checks(), faults.clone());
    assert_eq!(sim.in_frankfurt(1_200_000), 0, "all unhealthy: the non-zero ones answer");
    let sim = with_checks(records(0, 0), checks(), vec![down(600_000, IRELAND, None)]);
    assert_eq!(sim.in_frankfurt(1_200_000), 100, "all zero: an equal split among the healthy");
    let sim = with_checks(records(0, 0), checks(), faults);
    assert!((40..60).contains(&sim.in_frankfurt(1_200_000)), "all zero and unhealthy: an equal split among all");
}

#[test]
fn rule_5_a_change_that_was_on_its_way_is_stranded_until_the_control_plane_is_back() {
    let mut sim = Sim::new(plan(), vec![away(610_000, "us-east-1", Some(3_600_000))]);
    let id = sim.shift(600_000, (100, 0), (0, 100)).unwrap().id;
    assert_eq!(sim.ask(700_000, Query::Change { id: id.clone() }).unwrap_err().kind, FailureKind::Unreachable);
    assert_eq!(sim.in_frankfurt(2_400_000), 0, "accepted, and yet nobody is sent there");
    assert!(!sim.in_sync(4_211_000, &id));
    assert!(sim.in_sync(4_260_000, &id), "it goes on where it was");
    assert_eq!(sim.in_frankfurt(4_330_000), 100);
    let mut sim = Sim::new(plan(), vec![away(660_000, "us-east-1", Some(3_600_000))]);
    sim.shift(600_000, (100, 0), (0, 100)).unwrap();
    assert_eq!(sim.in_frankfurt(780_000), 100, "what was in sync before stays");
}

#[test]
fn rule_5_health_checks_and_the_switch_work_without_us_east_1() {
    let records = || vec![record("ireland", 0, 60), checked("frankfurt", 100, "switch")];
    let mut sim = with_checks(records(), vec![switched()], vec![away(600_000, "us-east-1", None)]);
    assert_eq!(sim.invert(700_000, "switch", 1, true).unwrap_err().kind, FailureKind::Unreachable);
    assert_eq!(sim.ask(700_000, Query::HealthCheck { id: "switch".into() }).unwrap_err().kind, FailureKind::Unreachable);
    sim.flip(700_000, 0).unwrap();
    assert_eq!(sim.in_frankfurt(900_000), 100);
    sim.flip(1_000_000, 1).unwrap();
    assert_eq!(sim.in_frankfurt(960_000), 100, "the alarm needs half a minute at least");
    assert_eq!(sim.in_frankfurt(1_151_000), 0, "90 s and one TTL");
    sim.flip(1_200_000, 1).unwrap();
    assert!(matches!(outcomes(&sim)[..], [.., Outcome::Repeated(_)]), "the same value again changes nothing");
    sim.flip(1_300_000, 0).unwrap();
    assert_eq!(sim.in_frankfurt(1_451_000), 100);

    let probed = vec![record("ireland", 0, 60), checked("frankfurt", 100, "hc-eu-central-1")];
    let faults = vec![away(600_000, "us-east-1", None), down(1_000_000, FRANKFURT, None)];
    assert_eq!(with_checks(probed, vec![probing(FRANKFURT)], faults).in_frankfurt(1_200_000), 0, "checks are data plane");

    let mut sim = with_checks(records(), vec![switched()], vec![down(600_000, IRELAND, None)]);
    assert_eq!(sim.flip(700_000, 1).unwrap_err().kind, FailureKind::Unreachable, "a switch in a region that is down is none");
}

#[test]
fn rule_34_a_check_is_changed_by_version_and_a_new_one_starts_healthy() {
    let records = vec![record("ireland", 100, 60), checked("frankfurt", 100, "hc-eu-central-1")];
    let mut sim = with_checks(records, vec![probing(FRANKFURT)], vec![down(0, FRANKFURT, None)]);
    assert!((40..60).contains(&sim.in_frankfurt(0)), "healthy until it has seen otherwise");
    assert_eq!(sim.in_frankfurt(160_000), 0);
    let info = |sim: &mut Sim, at| match sim.ask(at, Query::HealthCheck { id: "hc-eu-central-1".into() }) {
        Ok(Answer::HealthCheck(info)) => (info.version, info.inverted, info.disabled),
        other => panic!("{other:?}"),
    };
    assert_eq!(info(&mut sim, 200_000), (1, false, false));
    sim.invert(300_000, "hc-eu-central-1", 1, true).unwrap();
    let stale = sim.invert(301_000, "hc-eu-central-1", 1, true).unwrap_err();
    assert_eq!(stale.kind, FailureKind::Refused);
    assert!(stale.message.starts_with("HealthCheckVersionMismatch"), "{}", stale.message);
    assert_eq!(info(&mut sim, 302_000), (2, true, false));
    assert!(sim.invert(303_000, "hc-none", 1, true).unwrap_err().message.starts_with("NoSuchHealthCheck"));
    assert!(sim.ask(303_000, Query::HealthCheck { id: "hc-none".into() }).is_err());
}

#[test]
fn rule_34_evaluating_an_api_gateway_sees_only_that_the_service_is_down() {
    let alias = |set: &str, weight, evaluate_health| RecordSet {
        ttl: None,
        values: Vec::new(),
        alias: Some(AliasTarget { zone: "ZG".into(), name: format!("{set}.example.net"), evaluate_health }),
        ..record(set, weight, 60)
    };
    let records = |evaluate| vec![alias("ireland", 100, evaluate), alias("frankfurt", 100, evaluate)];
    let brown = |errors_ppm| fault(600_000, None, FaultKind::Brownout { region: FRANKFURT.into(), errors_ppm, latency_us: 0 });
    let run = |records, faults| with_checks(records, Vec::new(), faults).in_frankfurt(1_200_000);
    assert_eq!(run(records(true), vec![down(600_000, FRANKFURT, None)]), 0);
    assert!((40..60).contains(&run(records(true), vec![brown(1_000_000)])), "an application that fails is not seen");
    assert!((40..60).contains(&run(records(false), vec![down(600_000, FRANKFURT, None)])), "nor anything where it is off");
    let checked = || vec![record("ireland", 100, 60), checked("frankfurt", 100, "hc-eu-central-1")];
    let probed = |ppm| with_checks(checked(), vec![probing(FRANKFURT)], vec![brown(ppm)]).in_frankfurt(1_200_000);
    assert_eq!(probed(900_000), 0, "a check that probes sees it");
    assert!((40..60).contains(&probed(500_000)), "but not every second failure: its checkers want three in a row");
}

#[test]
fn rule_37_a_rollback_into_a_sick_region_is_none() {
    let mut sim = Sim::new(plan(), vec![down(3_600_000, IRELAND, None)]);
    sim.shift(600_000, (100, 0), (50, 50)).unwrap();
    let failed = |sim: &Sim, from| sim.world.requests_failed(START + from, START + from + 60_000);
    assert!((900..1_500).contains(&failed(&sim, 3_660_000)), "half of 2 400: {}", failed(&sim, 3_660_000));
    sim.shift(3_720_000, (50, 50), (100, 0)).unwrap();
    assert_eq!(failed(&sim, 3_840_000), 2_400, "the way back: now everybody fails");
    sim.shift(3_900_000, (100, 0), (0, 100)).unwrap();
    assert_eq!(failed(&sim, 4_020_000), 0, "the way forward");
}
