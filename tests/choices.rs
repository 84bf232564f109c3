//! What a person may choose when the plan's own way does not go on, and what the run does by itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use cutover::builtin;
use cutover::drill::operator::Operator;
use cutover::plan::{Condition, FaultKind, Limit, Plan, Quantity, Stat, Test, Unit};
use cutover::run::command::Command;
use cutover::run::entry::{Entry, JobRef};
use cutover::run::snapshot::{Armed, StepState};

use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const MINUTE: i64 = 60_000;

/// The small plan, driven until a step is done.
fn after(step: &str) -> Stand {
    let mut stand = Stand::new("failover-drill", "calm", 5);
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done(step)), "{:#?}", stand.tail());
    stand
}

fn changed(change: impl Fn(&mut Plan)) -> Stand {
    let loaded = builtin::find("failover-drill").unwrap();
    let scenario = loaded.scenarios.iter().find(|s| s.name == "calm").unwrap().clone();
    let mut plan = loaded.plan;
    change(&mut plan);
    Stand::of(Arc::new(plan), &scenario, 5)
}

fn state(stand: &Stand, step: &str) -> StepState {
    stand.core.run.steps[stand.core.plan.step_named(step).unwrap()].state
}

fn weights(stand: &mut Stand) -> Vec<u8> {
    stand.traffic().iter().map(|r| r.weight.unwrap()).collect()
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// Shut by a region that does not answer: the gate of shift-50 wants a latency.
fn before_a_shut_gate() -> Stand {
    let mut stand = after("shift-10");
    stand.inject(FaultKind::RegionDown("eu-central-1".into()));
    stand.run_for(2 * MINUTE);
    if stand.core.run.hold.is_some() {
        stand.must(Command::Continue);
    }
    stand
}

#[test]
fn a_shut_gate_is_overridden_with_a_reason_only() {
    let mut stand = before_a_shut_gate();
    let why = stand.refused(Command::Start { step: text("shift-50") });
    assert!(why.contains("api-frankfurt"), "{why}");
    let why = stand.refused(Command::Override { step: text("shift-50"), reason: text("  ") });
    assert!(why.contains("say why"), "{why}");
    let why = stand.refused(Command::Override { step: text("shift-100"), reason: text("hurry") });
    assert!(why.contains("next step is 'shift-50'"), "{why}");
    stand.must(Command::Override { step: text("shift-50"), reason: text("the probe is wrong") });
    let started = stand.log.iter().rev().find_map(|d| match &d.entry {
        Entry::Started { job: JobRef::Step(id), overridden, evidence } if id == "shift-50" => {
            Some((overridden.clone(), evidence.len()))
        }
        _ => None,
    });
    assert_eq!(started, Some((Some(text("the probe is wrong")), 1)));
    // What it did is still verified, and Frankfurt does not answer.
    assert!(!stand.run_until(20 * MINUTE, |s| s.is_done("shift-50")), "done without its verify");
    assert_eq!(weights(&mut stand), [50, 50]);
}

#[test]
fn an_open_gate_is_not_overridden() {
    let mut stand = after("shift-10");
    stand.run_for(5 * MINUTE);
    let why = stand.refused(Command::Override { step: text("shift-50"), reason: text("why not") });
    assert!(why.contains("open"), "{why}");
}

#[test]
fn where_the_plan_asks_for_it_an_override_takes_two_people() {
    let mut stand = changed(|plan| plan.steps[2].override_people = 2);
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("shift-10")));
    stand.inject(FaultKind::RegionDown("eu-central-1".into()));
    stand.run_for(2 * MINUTE);
    if stand.core.run.hold.is_some() {
        stand.must(Command::Continue);
    }
    let wanted = Command::Override { step: text("shift-50"), reason: text("the probe is wrong") };
    stand.command_by("ann", wanted.clone());
    assert_eq!(state(&stand, "shift-50"), StepState::Pending);
    // The same person again is not a second one.
    stand.command_by("ann", wanted.clone());
    assert_eq!(state(&stand, "shift-50"), StepState::Pending);
    stand.command_by("bob", wanted);
    assert_eq!(state(&stand, "shift-50"), StepState::Running);
}

#[test]
fn saying_that_it_was_done_by_hand_is_no_way_around_the_second_person() {
    let mut stand = changed(|plan| plan.steps[2].override_people = 2);
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("shift-10")));
    stand.inject(FaultKind::RegionDown("eu-central-1".into()));
    stand.run_for(2 * MINUTE);
    if stand.core.run.hold.is_some() {
        stand.must(Command::Continue);
    }
    let done = Command::DoneByHand { step: text("shift-50"), reason: text("set in the console") };
    for _ in 0..2 {
        stand.command_by("ann", done.clone());
        assert_eq!(state(&stand, "shift-50"), StepState::Pending, "{:#?}", stand.tail());
    }
    stand.command_by("bob", done.clone());
    assert_eq!(state(&stand, "shift-50"), StepState::Verifying);
    // Behind an open gate there is nothing to override.
    let mut stand = changed(|plan| plan.steps[2].override_people = 2);
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("shift-10")));
    stand.run_for(5 * MINUTE);
    stand.command_by("ann", done);
    assert_eq!(state(&stand, "shift-50"), StepState::Verifying, "{:#?}", stand.tail());
}

#[test]
fn a_skipped_step_lets_the_next_one_go_on_and_is_never_called_done() {
    let mut stand = after("baseline");
    let why = stand.refused(Command::Skip { step: text("shift-10"), reason: String::new() });
    assert!(why.contains("say why"), "{why}");
    stand.must(Command::Skip { step: text("shift-10"), reason: text("straight to half") });
    assert_eq!(state(&stand, "shift-10"), StepState::Skipped);
    assert_eq!(weights(&mut stand), [0, 100], "skipping changes nothing");
    stand.run_for(5 * MINUTE);
    stand.must(Command::Start { step: text("shift-50") });
    assert!(stand.run_until(30 * MINUTE, |s| s.is_done("shift-50")), "{:#?}", stand.tail());
}

#[test]
fn a_step_is_not_left_while_its_call_is_on_its_way() {
    let mut stand = after("shift-10");
    stand.run_for(5 * MINUTE);
    stand.must(Command::Start { step: text("shift-50") });
    assert!(stand.run_until(MINUTE, |s| !s.core.unsettled().is_empty()));
    let why = stand.refused(Command::Skip { step: text("shift-50"), reason: text("no") });
    assert!(why.contains("not settled"), "{why}");
    let why = stand.refused(Command::DoneByHand { step: text("shift-50"), reason: text("no") });
    assert!(why.contains("not settled"), "{why}");
}

#[test]
fn done_by_hand_is_believed_but_verified() {
    let mut stand = after("shift-10");
    stand.run_for(5 * MINUTE);
    stand.third_party(|r| r.weight = Some(50));
    stand.must(Command::DoneByHand { step: text("shift-50"), reason: text("weights set in the console") });
    assert_eq!(state(&stand, "shift-50"), StepState::Verifying);
    assert!(stand.run_until(30 * MINUTE, |s| s.is_done("shift-50")), "{:#?}", stand.tail());
    // What somebody said they did is no conflict.
    stand.run_for(3 * MINUTE);
    assert_eq!(stand.snapshot().undo.armed, Armed::Armed);
    // And a verify that does not hold keeps it from being done.
    stand.inject(FaultKind::RegionDown("eu-central-1".into()));
    stand.run_for(2 * MINUTE);
    if stand.core.run.hold.is_some() {
        stand.must(Command::Continue);
    }
    stand.must(Command::DoneByHand { step: text("shift-100"), reason: text("set in the console") });
    assert!(!stand.run_until(20 * MINUTE, |s| s.is_done("shift-100")));
}

#[test]
fn a_ramp_goes_back_one_stage_and_can_go_forward_again() {
    let mut stand = after("shift-50");
    assert_eq!(weights(&mut stand), [50, 50]);
    stand.must(Command::PrepareBackOff);
    assert!(stand.run_until(MINUTE, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())));
    let offer = stand.snapshot().offer.unwrap();
    stand.must(Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: None });
    assert!(stand.run_until(5 * MINUTE, |s| state(s, "shift-50") == StepState::Undone && s.core.run.active_rollback().is_none()));
    assert_eq!(weights(&mut stand), [10, 90]);
    assert!(stand.core.run.finished.is_none(), "one stage back is not the end");
    stand.must(Command::Continue);
    stand.run_for(5 * MINUTE);
    stand.must(Command::Start { step: text("shift-50") });
    assert!(stand.run_until(30 * MINUTE, |s| s.is_done("shift-50")), "{:#?}", stand.tail());
}

#[test]
fn before_the_first_stage_there_is_none_to_go_back() {
    let mut stand = after("baseline");
    assert!(stand.refused(Command::PrepareBackOff).contains("no stage"));
}

#[test]
fn a_rollback_step_that_failed_is_tried_again_or_left_out() {
    let mut stand = after("shift-50");
    stand.must(Command::PrepareRollback { name: None });
    assert!(stand.run_until(MINUTE, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())));
    let offer = stand.snapshot().offer.unwrap();
    // Between the confirmation and every read somebody changes the record: the rollback stops and shows it.
    stand.must(Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: None });
    let mut weight = 60;
    let failed = (0..2_000).any(|_| {
        weight = if weight == 60 { 61 } else { 60 };
        stand.third_party(|r| r.weight = Some(weight));
        stand.step();
        stand.core.run.job.is_none() && stand.core.run.hold.is_some()
    });
    assert!(failed, "{:#?}", stand.tail());
    let mut left = stand.clone();
    // Tried again, when the third party has stopped. What it wrote last was not shown yet, so that is shown first.
    let mut shown = String::new();
    for _ in 0..4 {
        if let Some(conflict) = stand.snapshot().work.and_then(|work| work.conflict) {
            shown = conflict.now;
            stand.must(Command::Continue);
        }
        let stands = |s: &Stand| s.core.run.active_rollback().is_none() || s.core.run.hold.is_some();
        assert!(stand.run_until(10 * MINUTE, stands), "{:#?}", stand.tail());
    }
    assert!(stand.core.run.active_rollback().is_none(), "{:#?}", stand.tail());
    assert!(shown.contains(&format!("weight {weight}")), "{shown}");
    assert_eq!(weights(&mut stand), [0, 100]);
    // Left out, with a reason: the rollback is over and the record is as the third party left it.
    left.must(Command::Skip { step: text("immediate/traffic-back"), reason: text("set in the console") });
    assert!(left.run_until(10 * MINUTE, |s| s.core.run.active_rollback().is_none()), "{:#?}", left.tail());
    assert_eq!(weights(&mut left), [weight, weight]);
}

#[test]
fn an_outage_holds_the_run_once() {
    let mut stand = after("shift-50");
    stand.must(Command::GoOn);
    stand.inject(FaultKind::RegionDown("eu-central-1".into()));
    assert!(stand.run_until(3 * MINUTE, |s| s.core.run.hold.as_ref().is_some_and(|h| h.reason == "users are failing")));
    // A person who continues all the same knows it.
    stand.must(Command::Continue);
    stand.run_for(5 * MINUTE);
    assert_eq!(stand.core.run.hold, None);
}

fn lag_plan() -> Stand {
    changed(|plan| {
        let id = plan.monitor_named("api-frankfurt").unwrap();
        let micros = 100_000;
        plan.monitors[id].limit = Some(Limit { stat: Stat::Errors, above: Quantity { micros, unit: Unit::Share } });
        plan.monitors[id].holds = true;
    })
}

#[test]
fn a_breach_holds_what_goes_forward_where_the_plan_says_so() {
    let mut stand = lag_plan();
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("baseline")));
    stand.run_for(5 * MINUTE);
    stand.must(Command::Start { step: text("shift-10") });
    stand.run_for(MINUTE);
    assert_eq!(stand.core.run.hold, None);
    stand.inject(FaultKind::RegionDown("eu-central-1".into()));
    assert!(stand.run_until(2 * MINUTE, |s| s.core.run.hold.is_some()), "{:#?}", stand.tail());
    let mut reasons = Vec::new();
    while let Some(hold) = stand.core.run.hold.clone() {
        reasons.push(hold.reason);
        stand.must(Command::Continue);
        stand.run_for(3 * MINUTE);
    }
    // Each is news once: what was breached when somebody continued is known to them.
    reasons.sort();
    assert_eq!(reasons, ["api-frankfurt errors is 100%, limit 10%", "users are failing"]);
}

/// A plan whose rollback begins by itself when a fifth of the users' requests fail for a minute.
fn automatic() -> Stand {
    changed(|plan| {
        let monitor = plan.monitor_named("api-users").unwrap();
        let test = Test::Above(Stat::Errors, Quantity { micros: 200_000, unit: Unit::Share });
        plan.conditions.push(Condition { monitor, test, over_ms: MINUTE, for_ms: MINUTE, samples: 0 });
        plan.rollbacks[0].auto = vec![plan.conditions.len() - 1];
    })
}

#[test]
fn a_rollback_begins_by_itself_only_where_the_plan_asks_for_it() {
    for (mut stand, begins) in [(automatic(), true), (changed(|_| ()), false)] {
        assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("shift-50")));
        stand.inject(FaultKind::RegionDown("eu-central-1".into()));
        let began = stand.run_until(10 * MINUTE, |s| s.core.run.rollback.is_some());
        assert_eq!(began, begins, "{:#?}", stand.tail());
        if begins {
            let entry = stand.log.iter().find(|d| matches!(d.entry, Entry::RollbackConfirmed { .. })).unwrap();
            assert!(entry.entry.line().contains("begun by the plan"), "{}", entry.entry.line());
            assert_eq!(entry.actor, "engine");
            assert!(stand.run_until(10 * MINUTE, |s| s.core.run.active_rollback().is_none()));
            assert_eq!(weights(&mut stand), [0, 100]);
        }
    }
}

#[test]
fn a_rollback_does_not_begin_by_itself_into_a_sick_region() {
    let mut stand = automatic();
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("shift-50")));
    stand.inject(FaultKind::RegionDown("eu-central-1".into()));
    stand.inject(FaultKind::RegionDown("eu-west-1".into()));
    assert!(!stand.run_until(10 * MINUTE, |s| s.core.run.rollback.is_some()), "{:#?}", stand.tail());
}
