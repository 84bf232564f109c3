//! What goes wrong between the engine and the services: nobody there, too many, lost, late, expired, somebody else.

use super::*;

/// How many of 200 calls, made a second apart, come to what.
fn many(sim: &mut Sim, from: i64) -> Vec<Result<Receipt, cutover::cloud::Failure>> {
    (0..200).map(|i| sim.flip(from + i * 1_000, i % 2)).collect()
}

fn kinds(results: &[Result<Receipt, cutover::cloud::Failure>], kind: FailureKind) -> usize {
    results.iter().filter(|r| matches!(r, Err(f) if f.kind == kind)).count()
}

#[test]
fn a_control_plane_that_is_away_takes_its_calls_and_reads_with_it_and_nothing_else() {
    let mut sim = Sim::new(plan(), vec![away(600_000, FRANKFURT, Some(600_000))]);
    let at = 700_000;
    assert_eq!(sim.send(at, delete("old")).unwrap_err().kind, FailureKind::Unreachable);
    let query = Query::Stack { region: FRANKFURT.into(), stack: "old".into() };
    assert_eq!(sim.ask(at, query.clone()).unwrap_err().kind, FailureKind::Unreachable);
    assert_eq!(sim.failure(at, STACK), FailureKind::Unreachable);
    assert!(matches!(sim.value(at, LAG), Value::Number(_)), "metrics are data plane");
    assert!(matches!(sim.value(at, PINNED), Value::Number(_)), "and so is the service");
    sim.shift(at, (100, 0), (0, 100)).expect("Route 53's control plane is elsewhere");
    assert!(matches!(sim.ask(1_200_000, query), Ok(Answer::Stack(Some(_)))), "back, and nothing was done");
}

#[test]
fn throttling_refuses_its_share_and_nothing_of_it_is_applied() {
    let mut sim = Sim::new(plan(), vec![fault(0, Some(600_000), FaultKind::Throttle { share_ppm: 300_000 })]);
    let results = many(&mut sim, 0);
    let throttled = kinds(&results, FailureKind::Throttled);
    assert!((40..80).contains(&throttled), "{throttled} of 200");
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 200 - throttled);
    let refused = outcomes(&sim).iter().filter(|o| matches!(o, Outcome::Refused(FailureKind::Throttled, _))).count();
    assert_eq!(refused, throttled);
    let asked: Vec<_> =
        (0..200).map(|i| sim.ask(i * 1_000, Query::Stack { region: FRANKFURT.into(), stack: "old".into() })).collect();
    let throttled = asked.iter().filter(|r| matches!(r, Err(f) if f.kind == FailureKind::Throttled)).count();
    assert!((40..80).contains(&throttled), "{throttled} of 200");
    let polled = (0..200).filter(|i| sim.poll(i * 1_000, LAG).1.is_err()).count();
    assert!((40..80).contains(&polled), "{polled} of 200");
    assert!((0..200).all(|i| sim.poll(i * 1_000, PINNED).1.is_ok()), "probes are no calls to AWS");
    assert_eq!(kinds(&many(&mut sim, 600_000), FailureKind::Throttled), 0);
}

#[test]
fn of_a_lost_call_nobody_knows_and_the_log_tells_what_became_of_it() {
    let lose = |lost| vec![fault(0, None, FaultKind::LoseAnswers { share_ppm: 500_000, lost })];
    for (lost, applied) in [(Lost::Answer, 200..=200), (Lost::Request, 60..=140), (Lost::Either, 110..=190)] {
        let mut sim = Sim::new(plan(), lose(lost));
        let results = many(&mut sim, 0);
        let unknown = kinds(&results, FailureKind::Unknown);
        assert!((70..130).contains(&unknown), "{unknown} of 200");
        let arrived = outcomes(&sim).iter().filter(|o| matches!(o, Outcome::Applied(_) | Outcome::Repeated(_))).count();
        assert!(applied.contains(&arrived), "{lost:?}: {arrived} arrived");
        assert!(sim.ask(1_000, Query::Stack { region: FRANKFURT.into(), stack: "old".into() }).is_ok(), "reads are not lost");
    }
}

#[test]
fn a_late_call_lands_when_nobody_waits_any_more() {
    let mut sim = Sim::new(plan(), vec![fault(0, Some(10_000), FaultKind::LateAnswers { by_ms: 30_000 })]);
    assert_eq!(sim.shift(1_000, (100, 0), (90, 10)).unwrap_err().kind, FailureKind::Unknown);
    assert_eq!(outcomes(&sim), [Outcome::Late]);
    assert_eq!(sim.records(20_000)[0].weight, Some(0), "a read in between shows the old");
    assert_eq!(sim.records(31_000)[0].weight, Some(10));
    let landed = sim.world.calls().last().unwrap();
    assert_eq!(landed.at, START + 31_000);
    assert!(matches!(&landed.deed, Deed::Landed { outcome: Outcome::Applied(_), .. }));
    assert_eq!(landed.applied(), Some(("token-1", &shift((100, 0), (90, 10)))));
}

#[test]
fn a_late_call_finds_what_the_second_sending_has_done_and_is_refused() {
    let mut sim = Sim::new(plan(), vec![fault(0, Some(10_000), FaultKind::LateAnswers { by_ms: 30_000 })]);
    sim.shift(1_000, (100, 0), (90, 10)).unwrap_err();
    sim.shift(20_000, (100, 0), (90, 10)).expect("the identical change, sent again, comes first");
    assert_eq!(sim.records(40_000)[0].weight, Some(10));
    let landed = sim.world.calls().last().unwrap();
    assert!(matches!(&landed.deed, Deed::Landed { outcome: Outcome::Refused(FailureKind::Refused, _), .. }), "{landed:?}");
    assert_eq!(sim.world.calls().iter().filter_map(CallRecord::applied).count(), 1, "applied once");
}

#[test]
fn expired_credentials_refuse_everything_until_somebody_logs_in() {
    let kind = FaultKind::CredentialsExpire { notice_ms: 600_000 };
    let mut sim = Sim::new(plan(), vec![fault(3_600_000, Some(1_200_000), kind)]);
    let expires = |sim: &mut Sim, at| match sim.ask(at, Query::Credentials) {
        Ok(Answer::Credentials { expires }) => expires.map(|at| at - START),
        other => panic!("{other:?}"),
    };
    assert_eq!(expires(&mut sim, 2_999_999), None, "far away");
    assert_eq!(expires(&mut sim, 3_000_000), Some(3_600_000));
    sim.flip(3_599_000, 1).unwrap();
    let at = 3_600_000;
    let failure = sim.shift(at, (100, 0), (0, 100)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Credentials);
    assert!(failure.message.starts_with("ExpiredToken"), "{}", failure.message);
    assert_eq!(sim.ask(at, Query::Records { zone: ZONE.into(), name: API.into() }).unwrap_err().kind, FailureKind::Credentials);
    assert_eq!(sim.failure(at, LAG), FailureKind::Credentials);
    assert_eq!(sim.flip(at, 0).unwrap_err().kind, FailureKind::Credentials);
    assert!(matches!(sim.value(at, PINNED), Value::Number(_)), "a probe needs none");
    assert_eq!(expires(&mut sim, 4_799_999), Some(3_600_000));
    assert_eq!(expires(&mut sim, 4_800_000), None);
    sim.shift(4_800_000, (100, 0), (0, 100)).unwrap();
}

#[test]
fn a_third_party_sets_a_weight_and_our_compare_and_swap_finds_out() {
    let edit = |weight| FaultKind::ThirdPartyEdit { zone: ZONE.into(), record: API.into(), set: "frankfurt".into(), weight };
    let mut sim = Sim::new(plan(), vec![fault(600_000, None, edit(70)), fault(900_000, None, edit(70))]);
    assert_eq!(sim.records(599_000)[0].weight, Some(0));
    assert_eq!(sim.records(601_000)[0].weight, Some(70));
    assert!((30..55).contains(&sim.in_frankfurt(760_000)), "70 of 170: {}", sim.in_frankfurt(760_000));
    assert!(sim.shift(1_000_000, (100, 0), (90, 10)).unwrap_err().message.contains("do not match"));
    sim.shift(1_001_000, (100, 70), (90, 10)).unwrap();
    let edits: Vec<_> = sim.world.calls().iter().filter(|c| matches!(c.deed, Deed::Edit { .. })).collect();
    assert_eq!(edits.len(), 1, "the second one changed nothing");
    assert_eq!(edits[0].at, START + 600_000);
    let mut sim = Sim::new(plan(), vec![away(0, "us-east-1", None), fault(600_000, None, edit(70))]);
    sim.flip(700_000, 1).unwrap();
    assert!(
        !sim.world.calls().iter().any(|c| matches!(c.deed, Deed::Edit { .. })),
        "the console needs the control plane as well"
    );
}

/// Everything at once, so that a log of it can be replayed.
fn storm() -> Scenario {
    let edit = FaultKind::ThirdPartyEdit { zone: ZONE.into(), record: API.into(), set: "frankfurt".into(), weight: 7 };
    scenario(vec![
        fault(0, None, FaultKind::LoseAnswers { share_ppm: 300_000, lost: Lost::Either }),
        fault(0, None, FaultKind::Throttle { share_ppm: 200_000 }),
        fault(100_000, Some(100_000), FaultKind::LateAnswers { by_ms: 45_000 }),
        fault(150_000, None, edit),
        fault(300_000, Some(60_000), FaultKind::CredentialsExpire { notice_ms: 0 }),
        fault(400_000, Some(60_000), FaultKind::ControlPlaneAway("us-east-1".into())),
        down(450_000, FRANKFURT, Some(200_000)),
        fault(0, None, FaultKind::StackFails { region: FRANKFURT.into(), stack: "app".into() }),
    ])
}

fn stormy_plan() -> Arc<Plan> {
    let records = vec![record("ireland", 50, 60), checked("frankfurt", 50, "switch")];
    plan_of(records, |plan| plan.drill.health_checks = vec![switched()])
}

/// Calls of every kind, again and again, with polls in between if wanted.
fn weather(world: &mut World, from: i64, until: i64, polls: bool) -> Vec<(Millis, Event)> {
    let pair = |a, b| vec![record("ireland", a, 60), checked("frankfurt", b, "switch")];
    let mut answers = Vec::new();
    for at in (from..until).step_by(1_000) {
        let id = u64::try_from(at / 9_000).unwrap();
        let call = match id % 6 {
            0 => Call::ChangeRecords { zone: ZONE.into(), delete: pair(50, 50), create: pair(40, 60) },
            1 => Call::ChangeRecords { zone: ZONE.into(), delete: pair(40, 60), create: pair(50, 50) },
            2 => Call::UpdateHealthCheck { id: "switch".into(), version: at / 108_000 + 1, inverted: id % 12 < 6 },
            3 => switch(i64::try_from(id / 6 % 2).unwrap()),
            4 => create_change_set("app", "c1", true, "aa"),
            _ => execute("app", "c1"),
        };
        if at % 9_000 == 0 {
            let template = matches!(call, Call::CreateChangeSet { .. }).then(|| TEMPLATE.to_owned());
            answers
                .push(world.perform(START + at, &Effect::Send { id, sending: 1, token: format!("t{id}"), call, text: template }));
        }
        if polls && at % 5_000 == 0 {
            answers.extend((0..5).map(|group| world.perform(START + at, &Effect::Ask(Query::Poll(group)))));
        }
    }
    answers
}

#[test]
fn a_storm_is_replayed_from_its_log_to_the_letter() {
    let mut world = World::new(stormy_plan(), &storm(), 3, START);
    weather(&mut world, 0, 500_000, true);
    let kinds: Vec<&str> = world
        .calls()
        .iter()
        .map(|c| match &c.deed {
            Deed::Landed { .. } => "landed",
            Deed::Edit { .. } => "edit",
            Deed::Call { outcome: Outcome::Late, .. } => "late",
            Deed::Call { outcome: Outcome::Applied(_), .. } => "applied",
            _ => "other",
        })
        .collect();
    for kind in ["landed", "edit", "late", "applied"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    let log: Vec<CallRecord> = serde_json::from_str(&world.export().to_string()).unwrap();
    let mut restored = World::restore(stormy_plan(), &storm(), 3, START, &log).unwrap();
    assert_eq!(restored.calls(), world.calls());
    assert_eq!(weather(&mut restored, 500_000, 900_000, true), weather(&mut world, 500_000, 900_000, true));
    assert_eq!(restored.calls(), world.calls());
    let failed = |world: &World| world.requests_failed(START, START + 900_000);
    assert_eq!(failed(&restored), failed(&world));
    assert!(failed(&world) > 0);
}

#[test]
fn looking_on_in_a_storm_changes_nothing() {
    let mut watched = World::new(stormy_plan(), &storm(), 3, START);
    let mut unwatched = watched.clone();
    weather(&mut watched, 0, 900_000, true);
    weather(&mut unwatched, 0, 900_000, false);
    assert_eq!(unwatched.calls(), watched.calls(), "polls in between made a difference");
    assert_eq!(weather(&mut unwatched, 900_000, 1_500_000, true), weather(&mut watched, 900_000, 1_500_000, true));
}

#[test]
fn what_is_injected_by_hand_lasts_for_good_unless_somebody_would_mend_it() {
    let mut sim = Sim::calm();
    sim.world.inject(START + 1_000, FaultKind::CredentialsExpire { notice_ms: 0 });
    assert_eq!(sim.flip(2_000, 1).unwrap_err().kind, FailureKind::Credentials);
    sim.flip(700_000, 1).expect("somebody has logged in");
    sim.world.inject(START + 800_000, FaultKind::RegionDown(FRANKFURT.into()));
    assert_eq!(sim.failure(100_000_000, LAG), FailureKind::Unreachable);
    let log: Vec<CallRecord> = serde_json::from_str(&sim.world.export().to_string()).unwrap();
    let mut restored = World::restore(plan(), &scenario(Vec::new()), 7, START, &log).unwrap();
    let ask = Effect::Ask(Query::Poll(0));
    assert_eq!(restored.perform(START + 100_001_000, &ask), sim.world.perform(START + 100_001_000, &ask));
}
