//! A rollback is armed while everything that it needs is proved, and says what is missing as soon as it is not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use cutover::builtin;
use cutover::cloud::{Call, Failure, FailureKind, Query};
use cutover::drill::operator::Operator;
use cutover::plan::{Action, FaultKind, Lost, Plan};
use cutover::run::command::Command;
use cutover::run::event::Event;
use cutover::run::snapshot::{Armed, Verdict};
use cutover::run::state::CallState;
use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const MINUTE: i64 = 60_000;

/// medzen with half of the traffic in Frankfurt, some minutes later.
fn half() -> Stand {
    half_of(|_| ())
}

fn half_of(change: impl Fn(&mut Plan)) -> Stand {
    let loaded = builtin::find("medzen").unwrap();
    let scenario = loaded.scenarios.iter().find(|s| s.name == "calm").unwrap().clone();
    let mut plan = loaded.plan;
    change(&mut plan);
    let mut stand = Stand::of(Arc::new(plan), &scenario, 2);
    assert!(stand.drive(&mut Operator::new(2), |s| s.is_done("shift-50")), "{:#?}", stand.tail());
    stand.run_for(5 * MINUTE);
    stand
}

/// State of a rollback as the screen shows it.
fn armed(stand: &Stand, name: &str) -> Armed {
    stand.snapshot().rollbacks.into_iter().find(|r| r.name == name).unwrap().armed
}

fn why(stand: &Stand, name: &str) -> String {
    match armed(stand, name) {
        Armed::NotArmed(why) => why,
        other => panic!("{name} is {other:?}"),
    }
}

/// Waits until a rollback is not armed, and says why and after how long.
fn disarmed(stand: &mut Stand, name: &str) -> (String, i64) {
    let from = stand.now;
    assert!(stand.run_until(5 * MINUTE, |s| armed(s, name) != Armed::Armed), "{name} is still armed");
    (why(stand, name), stand.now - from)
}

fn offered(stand: &Stand) -> String {
    stand.snapshot().undo.name
}

#[test]
fn with_everything_proved_it_is_armed_and_says_on_what() {
    let stand = half();
    let undo = stand.snapshot().undo;
    assert_eq!((undo.name.as_str(), &undo.armed), ("partial", &Armed::Armed));
    let whats: Vec<&str> = undo.proofs.iter().map(|p| p.what.as_str()).collect();
    let wanted = ["window open", "target healthy", "records read, unchanged", "credentials last"];
    assert_eq!(whats[..4], wanted);
    assert_eq!(whats[4..], ["replication back is up"; 3]);
    assert!(undo.proofs.iter().all(|p| p.verdict == Verdict::Pass && !p.seen.is_empty()), "{:#?}", undo.proofs);
    assert!(undo.at_risk.contains("not replicated"), "{}", undo.at_risk);
}

#[test]
fn a_window_that_has_closed_disarms_and_the_next_rollback_is_offered() {
    let stand = half();
    // Half is sent on day 9; the window of an hour began on day 7.
    assert!(why(&stand, "immediate").contains("its window closed"), "{}", why(&stand, "immediate"));
    assert_eq!(offered(&stand), "partial");
    assert_eq!(armed(&stand, "full"), Armed::Armed, "it has no window");
}

#[test]
fn a_rollback_that_has_not_begun_to_apply_is_neither() {
    let mut stand = Stand::new("medzen", "calm", 2);
    stand.run_for(MINUTE);
    assert!(stand.snapshot().rollbacks.iter().all(|r| r.armed == Armed::Nothing));
    assert_eq!(stand.snapshot().undo.armed, Armed::Nothing);
}

#[test]
fn a_sick_target_disarms_whatever_the_window_says_and_the_way_out_is_forward() {
    let mut stand = half();
    stand.inject(FaultKind::RegionDown("eu-west-1".into()));
    let (reason, after) = disarmed(&mut stand, "partial");
    assert!(reason.contains("Ireland"), "{reason}");
    assert!(after <= 90_000, "noticed after {after} ms");
    stand.run_for(MINUTE);
    for name in ["immediate", "partial", "full", "switch"] {
        assert_ne!(armed(&stand, name), Armed::Armed, "{name} leads into a sick region");
    }
    assert_eq!((offered(&stand), armed(&stand, "forward")), ("forward".into(), Armed::Armed));
    // And R without a name takes it.
    stand.must(Command::PrepareRollback { name: None });
    assert_eq!(stand.snapshot().offer.unwrap().name, "forward");
    stand.roll_back("forward");
    assert!(stand.run_until(5 * MINUTE, |s| s.core.run.active_rollback().is_none()), "{:#?}", stand.tail());
    let weights: Vec<_> = stand.traffic().iter().map(|r| r.weight).collect();
    assert_eq!(weights, [Some(100), Some(0)]);
}

#[test]
fn without_route_53s_control_plane_only_the_switch_is_armed_and_it_makes_no_call_there() {
    let mut stand = half();
    let before = stand.traffic();
    stand.inject(FaultKind::RegionDown("us-east-1".into()));
    let (reason, _) = disarmed(&mut stand, "partial");
    assert!(reason.contains("us-east-1") && reason.contains("control plane"), "{reason}");
    for name in ["immediate", "partial", "full", "forward"] {
        assert_ne!(armed(&stand, name), Armed::Armed, "{name} needs Route 53's control plane");
    }
    assert_eq!((offered(&stand), armed(&stand, "switch")), ("switch".into(), Armed::Armed));
    let calls = stand.world.calls().len();
    stand.roll_back("switch");
    assert!(stand.run_until(5 * MINUTE, |s| s.core.run.active_rollback().is_none()), "{:#?}", stand.tail());
    let made: Vec<Call> = stand.core.run.calls.values().rev().take(1).map(|c| c.call.clone()).collect();
    assert!(matches!(&made[0], Call::PutMetric { region, .. } if region == "eu-west-1"), "{made:?}");
    assert_eq!(stand.world.calls().len(), calls + 1, "one call, and no other");
    assert_eq!(
        stand.core.run.calls.values().filter(|c| c.call.region() == "us-east-1" && c.changed > stand.now - 5 * MINUTE).count(),
        0
    );
    // Nothing was changed in the zone, and yet Ireland answers.
    stand.run_for(5 * MINUTE);
    let shares: Vec<_> = stand.snapshot().traffic.iter().map(|t| (t.region.clone(), t.seen)).collect();
    assert_eq!(shares, [("eu-central-1".into(), Some(0)), ("eu-west-1".into(), Some(100))], "{before:?}");
}

#[test]
fn a_switch_that_nothing_follows_is_not_armed() {
    // The record carries another health check than the one that follows the switch.
    let stand = half_of(|plan| {
        for rollback in &mut plan.rollbacks {
            for step in &mut rollback.steps {
                if let Action::Switch(switch) = &mut step.action {
                    switch.health_check = "another".into();
                }
            }
        }
    });
    let reason = why(&stand, "switch");
    assert!(reason.contains("does not carry health check another"), "{reason}");
}

#[test]
fn somebody_elses_edit_disarms_and_is_shown_side_by_side_and_one_more_confirmation_plans_again_from_there() {
    let mut stand = half();
    stand.third_party(|r| r.weight = Some(if r.set.as_deref() == Some("eu-central-1-primary") { 70 } else { 30 }));
    let (reason, after) = disarmed(&mut stand, "partial");
    assert!(reason.contains("somebody else changed it") && reason.contains("70"), "{reason}");
    assert!(after <= 90_000, "noticed after {after} ms");
    stand.must(Command::PrepareRollback { name: Some("partial".into()) });
    assert!(stand.run_until(MINUTE, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())));
    let conflict = stand.snapshot().offer.unwrap().conflict.unwrap();
    assert!(conflict.before.contains("50") && conflict.now.contains("70") && conflict.wanted.contains('0'), "{conflict:?}");
    // Shown once, changed again: what was shown is not what would run.
    let stale = stand.snapshot().offer.unwrap().fingerprint.unwrap();
    stand.third_party(|r| r.weight = Some(40));
    stand.run_for(10_000);
    let refused = stand.refused(Command::ConfirmRollback { name: "partial".into(), offer: stale, word: None });
    assert!(refused.contains("changed since this was shown"), "{refused}");
    let now = stand.snapshot().offer.unwrap().fingerprint.unwrap();
    stand.must(Command::ConfirmRollback { name: "partial".into(), offer: now, word: None });
    assert!(
        stand.run_until(5 * MINUTE, |s| s.core.run.rollback.as_ref().is_some_and(|r| r.steps_done > 0)),
        "{:#?}",
        stand.tail()
    );
    let weights: Vec<_> = stand.traffic().iter().map(|r| r.weight).collect();
    assert_eq!(weights, [Some(0), Some(100)]);
}

#[test]
fn credentials_must_outlast_the_rollback() {
    let mut stand = half();
    // partial may take 15 minutes and asks for five more.
    stand.expires = Some(stand.now + 40 * MINUTE);
    stand.run_for(6 * MINUTE);
    assert_eq!(armed(&stand, "partial"), Armed::Armed);
    assert!(why(&stand, "full").contains("the credentials expire in"), "full takes an hour and a half");
    stand.run_for(15 * MINUTE);
    assert!(why(&stand, "partial").contains("the credentials expire in"), "{}", why(&stand, "partial"));
    stand.run_for(20 * MINUTE);
    assert!(why(&stand, "partial").contains("expired"), "{}", why(&stand, "partial"));
    // Somebody logs in.
    stand.expires = Some(stand.now + 600 * MINUTE);
    stand.run_for(6 * MINUTE);
    assert_eq!(armed(&stand, "partial"), Armed::Armed);
}

#[test]
fn credentials_that_a_service_refused_arm_nothing_until_one_takes_them_again() {
    let mut stand = half();
    let failure = Failure { kind: FailureKind::Credentials, message: "ExpiredToken".into() };
    let refused = Event::Answer { query: Query::Change { id: "C1".into() }, result: Err(failure) };
    let (plan, now) = (Arc::clone(&stand.core.plan), stand.now);
    stand.core.watch.observe(&plan, now, &refused);
    assert_eq!(why(&stand, "partial"), "log in again: ExpiredToken");
    stand.run_for(2 * MINUTE);
    assert_eq!(armed(&stand, "partial"), Armed::Armed, "the records were read since then");
}

#[test]
fn replication_back_is_asked_for_once_traffic_was_sent_away() {
    let mut stand = half();
    let lag = stand.core.plan.monitor_named("recordings-lag-back").unwrap();
    stand.inject(FaultKind::Lag(lag, 20 * 60_000_000));
    let (reason, _) = disarmed(&mut stand, "partial");
    assert!(reason.contains("recordings back is 20m"), "{reason}");
    // Forward is another direction, and its replication is as it was.
    assert_eq!(armed(&stand, "forward"), Armed::Armed);
    assert!(stand.snapshot().undo.at_risk.contains("20m") || offered(&stand) == "forward", "{}", stand.snapshot().undo.at_risk);
}

#[test]
fn before_any_traffic_was_sent_away_nothing_has_to_come_back() {
    let loaded = builtin::find("medzen").unwrap();
    let scenario = loaded.scenarios.iter().find(|s| s.name == "calm").unwrap().clone();
    let mut stand = Stand::of(Arc::new(loaded.plan), &scenario, 2);
    assert!(stand.drive(&mut Operator::new(2), |s| s.is_done("weights-zero")));
    let lag = stand.core.plan.monitor_named("recordings-lag-back").unwrap();
    stand.inject(FaultKind::Lag(lag, 20 * 60_000_000));
    stand.run_for(5 * MINUTE);
    assert_eq!(armed(&stand, "immediate"), Armed::Armed);
}

#[test]
fn a_hold_stops_the_next_sending_of_the_switch_too() {
    let mut stand = half();
    stand.inject(FaultKind::LoseAnswers { share_ppm: 1_000_000, lost: Lost::Answer });
    stand.roll_back("switch");
    let switch = |s: &Stand| s.core.run.calls.values().rev().find(|c| matches!(c.call, Call::PutMetric { .. })).cloned();
    assert!(stand.run_until(MINUTE, |s| switch(s).is_some_and(|c| matches!(c.state, CallState::Unknown(_)))));
    stand.must(Command::Hold { reason: "wait".into() });
    let sendings = switch(&stand).unwrap().sendings;
    stand.run_for(5 * MINUTE);
    assert_eq!(switch(&stand).unwrap().sendings, sendings, "{:#?}", stand.tail());
    stand.must(Command::Continue);
    assert!(stand.run_until(30 * MINUTE, |s| s.core.run.active_rollback().is_none()), "{:#?}", stand.tail());
    assert!(switch(&stand).unwrap().sendings > sendings);
}
