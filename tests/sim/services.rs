//! CloudFormation, CloudWatch and probes.

use super::*;

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
    let query = Query::StackEvents { region: FRANKFURT.into(), stack: "app".into(), after: None };
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
    assert_eq!(sim.failure(3_700_000, LAG), FailureKind::Unreachable, "it is published in the destination");
    assert!(matches!(sim.value(7_300_000, LAG), Value::Number(_)), "the source does not matter for reading it");
}

#[test]
fn rule_14_a_lag_is_published_a_quarter_of_an_hour_after_its_metrics_are_enabled() {
    let plan = plan_of(vec![record("ireland", 100, 60)], |plan| {
        plan.drill.metrics_after.insert(LAG, 2);
    });
    let mut sim = Sim::new(plan, Vec::new());
    assert!(matches!(sim.value(600_000, LAG), Value::Missing(_)), "nobody has enabled it");
    sim.world.step_reached(1, START + 600_000);
    assert!(sim.world.calls().is_empty(), "another step enables nothing");
    sim.world.step_reached(2, START + 600_000);
    sim.world.step_reached(2, START + 1_200_000);
    assert!(matches!(sim.value(1_500_000, LAG), Value::Missing(_)), "not yet");
    assert!(sim.number(1_640_000, LAG) > 0, "the first minute after a quarter of an hour, when it is published");
    assert!(sim.number(1_640_000, REQUESTS_IRELAND) > 0);
    assert_eq!(sim.world.calls().len(), 1, "it is on the log, so that a drill can be gone on with");
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
    // 2 400, give or take two per cent, of which a minute after its end seven or eight per cent are not counted yet.
    assert!((2_170..=2_270).contains(&requests), "{requests}");
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
    assert_eq!(sim.failure(inside, STACK), FailureKind::Unreachable);
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

fn events(sim: &mut Sim, at: i64, stack: &str) -> Vec<(String, String, String)> {
    match sim.ask(at, Query::StackEvents { region: FRANKFURT.into(), stack: stack.into(), after: None }) {
        Ok(Answer::StackEvents(mut events)) => {
            events.reverse();
            events.into_iter().map(|e| (e.logical_id, e.status, e.reason)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn stack_fails(stack: &str) -> Fault {
    fault(0, Some(3_600_000), FaultKind::StackFails { region: FRANKFURT.into(), stack: stack.into() })
}

#[test]
fn rule_20_a_stack_whose_creation_failed_can_only_be_deleted() {
    let mut sim = Sim::new(plan(), vec![stack_fails("app")]);
    sim.send(0, create_change_set("app", "c1", true, "aa")).unwrap();
    sim.send(30_000, execute("app", "c1")).unwrap();
    assert_eq!(sim.stack(60_000, "app").unwrap().status, "CREATE_IN_PROGRESS");
    let seen = events(&mut sim, 900_000, "app");
    let failed = seen.iter().position(|e| e.1 == "CREATE_FAILED").expect("a resource failed");
    let (resource, _, reason) = &seen[failed];
    assert!(reason.contains("HandlerErrorCode") && ["Table", "Api"].contains(&resource.as_str()), "{seen:?}");
    assert_eq!(seen[failed + 1].1, "ROLLBACK_IN_PROGRESS");
    assert_eq!(seen[failed + 1].2, format!("The following resource(s) failed to create: [{resource}]."));
    assert_eq!(seen.last().unwrap().1, "ROLLBACK_COMPLETE");
    let made = seen.iter().filter(|e| e.1 == "CREATE_COMPLETE").count();
    assert_eq!(seen.iter().filter(|e| e.1 == "DELETE_COMPLETE").count(), made, "what was made is taken back");
    assert_eq!(sim.stack(900_000, "app").unwrap().status, "ROLLBACK_COMPLETE");
    assert!(sim.send(901_000, create_change_set("app", "c2", false, "aa")).unwrap_err().message.contains("can not be updated"));
    assert!(sim.send(901_000, create_change_set("app", "c2", true, "aa")).unwrap_err().message.contains("already exists"));
    sim.send(902_000, delete("app")).unwrap();
    sim.send(1_600_000, create_change_set("app", "c3", true, "aa")).unwrap();
    sim.send(1_640_000, execute("app", "c3")).unwrap();
    assert_eq!(sim.stack(2_200_000, "app").unwrap().status, "CREATE_COMPLETE", "only the next change failed");
}

#[test]
fn rule_20_a_stack_whose_update_failed_is_as_before_and_usable() {
    let mut sim = Sim::new(plan(), vec![stack_fails("old")]);
    sim.send(0, create_change_set("old", "u1", false, "aa")).unwrap();
    sim.send(30_000, execute("old", "u1")).unwrap();
    assert_eq!(sim.stack(60_000, "old").unwrap().status, "UPDATE_IN_PROGRESS");
    let seen = events(&mut sim, 900_000, "old");
    assert_eq!(seen.iter().filter(|e| e.1 == "UPDATE_FAILED").count(), 1, "{seen:?}");
    assert_eq!(seen.last().unwrap().1, "UPDATE_ROLLBACK_COMPLETE");
    sim.send(900_000, create_change_set("old", "u2", false, "aa")).unwrap();
    let info = sim.change_set(930_000, "old", "u2");
    assert!(info.executable && !info.no_changes, "the change that failed is still to be made: {info:?}");
    sim.send(940_000, execute("old", "u2")).unwrap();
    assert_eq!(sim.stack(1_500_000, "old").unwrap().status, "UPDATE_COMPLETE");
}

/// A world in which a monitor reads something else.
fn with_metric(monitor: usize, metric: DrillMetric, faults: Vec<Fault>) -> Sim {
    let records = vec![record("ireland", 100, 60), record("frankfurt", 0, 60)];
    Sim::new(plan_of(records, |plan| drop(plan.drill.metrics.insert(monitor, metric))), faults)
}

#[test]
fn rule_14_what_is_pending_grows_while_nothing_is_replicated_and_is_worked_off() {
    let stop = || vec![fault(3_600_000, Some(1_200_000), FaultKind::ReplicationStopped(LAG))];
    let mut sim = Sim::new(plan(), stop());
    assert!(sim.number(3_600_000, LAG) < 30_000_000);
    let minute = |sim: &mut Sim, m: i64| sim.number(3_600_000 + m * 60_000 + 25_000, LAG) / 1_000_000;
    assert!((610..640).contains(&minute(&mut sim, 10)), "ten minutes behind: {}", minute(&mut sim, 10));
    assert!((1_210..1_240).contains(&minute(&mut sim, 20)));
    assert!((970..1_000).contains(&minute(&mut sim, 21)), "four times as fast as it is written: {}", minute(&mut sim, 21));
    assert!(minute(&mut sim, 26) < 30);
    let pending = DrillMetric::Pending { behind: LAG, per_second: 2_000_000 };
    let mut sim = with_metric(REQUESTS_FRANKFURT, pending, stop());
    let usual = sim.number(3_600_000, REQUESTS_FRANKFURT) / 1_000_000;
    assert!((35..=45).contains(&usual), "20 s at 2 a second: {usual}");
    let most = sim.number(4_225_000, REQUESTS_FRANKFURT) / 1_000_000;
    assert!((1_100..1_400).contains(&most), "620 s at 2 a second: {most}");
}

#[test]
fn rule_16_a_replica_that_does_not_replicate_says_what_its_database_says() {
    let replica = |database, idle| DrillMetric::ReplicaLag { usual_us: 400_000, database, idle };
    let stop = || vec![fault(3_600_000, Some(600_000), FaultKind::ReplicationStopped(LAG))];
    let mut mysql = with_metric(LAG, replica(Database::Mysql, true), stop());
    let mut busy = with_metric(LAG, replica(Database::Postgresql, false), stop());
    let mut idle = with_metric(LAG, replica(Database::Postgresql, true), Vec::new());
    assert!(mysql.number(3_600_000, LAG) < 600_000 && busy.number(3_600_000, LAG) < 600_000);
    assert_eq!(mysql.number(3_900_000, LAG), -1_000_000, "-1: not replicating");
    assert!(busy.number(3_900_000, LAG) > 200_000_000, "PostgreSQL says how old the last replayed transaction is");
    assert!(mysql.number(4_300_000, LAG) > 60_000_000, "on again, and behind");
    assert!(mysql.number(4_800_000, LAG) < 600_000);
    let drift: Vec<i64> = (10..40).map(|m| idle.number(m * 60_000, LAG) / 1_000_000).collect();
    let (least, most) = (drift.iter().min().unwrap(), drift.iter().max().unwrap());
    assert!(*least < 65 && (235..=300).contains(most), "an idle primary drifts up to five minutes: {drift:?}");
}

#[test]
fn a_health_check_says_what_it_makes_of_its_endpoint() {
    let check = |inverted, disabled| {
        let plan = plan_of(Vec::new(), |plan| {
            let Source::Metric(status) = metric(false) else { unreachable!() };
            let check = Source::HealthCheck { id: "probing".into(), status };
            plan.monitors.push(monitor("check", Some("us-east-1"), check));
            plan.drill.metrics.insert(plan.monitors.len() - 1, DrillMetric::HealthCheck("probing".into()));
            let probing = DrillHealthCheck { inverted, disabled, ..probing(FRANKFURT) };
            plan.drill.health_checks = vec![DrillHealthCheck { id: "probing".into(), ..probing }];
        });
        let id = plan.monitors.len() - 1;
        Sim::new(plan, vec![fault(600_000, None, FaultKind::RegionDown(FRANKFURT.into()))]).and_then_value(id)
    };
    assert_eq!(check(false, false), ["healthy", "unhealthy"]);
    assert_eq!(check(true, false), ["unhealthy (inverted: the endpoint answers)", "healthy (inverted: the endpoint fails)"]);
    assert_eq!(check(false, true), ["disabled: counts as healthy"; 2]);
}

impl Sim {
    /// The words of a monitor before and after what goes wrong in the tenth minute.
    fn and_then_value(mut self, id: usize) -> [String; 2] {
        [300_000, 1_200_000].map(|at| match self.value(at, id) {
            Value::Status(word) => word,
            other => panic!("{other:?}"),
        })
    }
}

#[test]
fn rule_33_the_status_of_a_health_check_is_read_in_us_east_1_only_and_lost_with_it() {
    let statuses = |plan: &mut Plan| {
        plan.monitors.push(monitor("status", Some("us-east-1"), metric(false)));
        plan.monitors.push(monitor("elsewhere", Some(IRELAND), metric(false)));
        for id in [8, 9] {
            plan.drill.metrics.insert(id, DrillMetric::HealthCheck("hc-eu-central-1".into()));
        }
        plan.drill.health_checks = vec![probing(FRANKFURT)];
    };
    let records = vec![record("ireland", 100, 60), checked("frankfurt", 100, "hc-eu-central-1")];
    let faults = vec![down(600_000, FRANKFURT, Some(1_200_000)), away(3_600_000, "us-east-1", Some(600_000))];
    let mut sim = Sim::new(plan_of(records, statuses), faults);
    assert_eq!((sim.number(600_000, 8), sim.number(900_000, 8), sim.number(2_400_000, 8)), (1_000_000, 0, 1_000_000));
    assert!(matches!(sim.value(600_000, 9), Value::Missing(_)), "it is published nowhere else");
    assert!(matches!(sim.value(3_900_000, 8), Value::Missing(_)), "lost when it would be wanted");
    assert_eq!(sim.number(4_500_000, 8), 1_000_000);
}

#[test]
fn rule_33_the_newest_minute_is_not_counted_to_its_end() {
    let mut sim = Sim::calm();
    let (_, early) = sim.reading(621_000, REQUESTS_IRELAND);
    let (_, later) = sim.reading(679_000, REQUESTS_IRELAND);
    assert_eq!(early.at, later.at, "the same minute");
    let (Value::Number(early), Value::Number(later)) = (early.value, later.value) else { panic!() };
    assert!(early < later && later < 2_352_000_000, "{early} {later}: 2 400 in the end, give or take two per cent");
}

#[test]
fn a_brownout_fails_a_share_and_slows_the_rest() {
    let kind = FaultKind::Brownout { region: FRANKFURT.into(), errors_ppm: 200_000, latency_us: 800_000 };
    let mut sim = Sim::new(plan(), vec![fault(3_600_000, Some(600_000), kind)]);
    sim.shift(600_000, (100, 0), (0, 100)).unwrap();
    let seen: Vec<Value> = (0..100).map(|i| sim.value(3_600_000 + i * 5_000, PINNED)).collect();
    let failed = seen.iter().filter(|v| **v == Value::Failed("status 503".into())).count();
    assert!((10..30).contains(&failed), "{failed} of 100");
    assert!(seen.iter().all(|v| !matches!(v, Value::Number(us) if *us < 800_000)), "nobody is served quickly");
    assert_eq!(sim.number(4_100_000, ERRORS_FRANKFURT), 200_000);
    assert_eq!(sim.world.requests_failed(START, START + 10_000_000), 600 * 40 / 5);
    assert!(matches!(sim.value(4_300_000, PINNED), Value::Number(us) if us < 100_000));
    assert!(sim.stack(3_700_000, "old").is_some(), "the APIs are not concerned");
}
