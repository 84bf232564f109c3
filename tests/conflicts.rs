//! Somebody else edits the zone while a run goes on: nothing of it is overwritten before it was shown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use cutover::drill::operator::Operator;
use cutover::run::command::Command;
use cutover::run::snapshot::{Conflict, Status, StepState};

use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const MINUTE: i64 = 60_000;

fn after(step: &str) -> Stand {
    let mut stand = Stand::new("failover-drill", "calm", 5);
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done(step)), "{:#?}", stand.tail());
    stand
}

fn weights(stand: &mut Stand) -> Vec<u8> {
    stand.traffic().iter().map(|r| r.weight.unwrap()).collect()
}

fn start(stand: &mut Stand, step: &str) {
    let gate = stand.run_until(30 * MINUTE, |s| s.snapshot().work.is_some_and(|w| w.blocked.is_none()));
    assert!(gate, "{:#?}", stand.tail());
    stand.must(Command::Start { step: step.to_owned() });
}

fn state(stand: &Stand, step: &str) -> StepState {
    stand.core.run.steps[stand.core.plan.step_named(step).unwrap()].state
}

/// What is shown of a conflict now.
fn shown(stand: &Stand) -> Conflict {
    let work = stand.snapshot().work.unwrap();
    work.conflict.unwrap_or_else(|| panic!("no conflict is shown: {} {:#?}", work.doing, stand.tail()))
}

#[test]
fn an_edit_between_two_stages_is_shown_before_the_next_stage_replaces_it() {
    let mut stand = after("shift-10");
    stand.third_party(|r| r.weight = Some(33));
    start(&mut stand, "shift-50");
    assert!(stand.run_until(5 * MINUTE, |s| state(s, "shift-50") == StepState::Failed), "{:#?}", stand.tail());
    assert_eq!(weights(&mut stand), [33, 33], "nothing was sent over it");
    let conflict = shown(&stand);
    for (text, weights) in
        [(&conflict.before, ["weight 10", "weight 90"]), (&conflict.now, ["weight 33"; 2]), (&conflict.wanted, ["weight 50"; 2])]
    {
        assert!(weights.iter().all(|w| text.contains(w)), "{conflict:?}");
    }
    // Changed once more: what was shown is not what is there.
    stand.third_party(|r| r.weight = Some(34));
    start(&mut stand, "shift-50");
    assert!(stand.run_until(5 * MINUTE, |s| state(s, "shift-50") == StepState::Failed), "{:#?}", stand.tail());
    assert_eq!(weights(&mut stand), [34, 34]);
    assert!(shown(&stand).now.contains("weight 34"));
    // A crash forgets neither what was left nor what was shown.
    stand.crash();
    start(&mut stand, "shift-50");
    assert!(stand.run_until(30 * MINUTE, |s| s.is_done("shift-50")), "{:#?}", stand.tail());
    assert_eq!(weights(&mut stand), [50, 50]);
}

#[test]
fn going_on_by_itself_does_not_start_over_a_conflict() {
    let mut stand = after("shift-10");
    stand.third_party(|r| r.weight = Some(33));
    stand.must(Command::GoOn);
    assert!(stand.run_until(30 * MINUTE, |s| state(s, "shift-50") == StepState::Failed), "{:#?}", stand.tail());
    stand.run_for(30 * MINUTE);
    assert_eq!(weights(&mut stand), [33, 33]);
}

#[test]
fn what_was_edited_back_is_no_conflict() {
    let mut stand = after("shift-10");
    stand.third_party(|r| r.weight = Some(33));
    stand.third_party(|r| r.weight = Some(if r.set.as_deref() == Some("frankfurt") { 10 } else { 90 }));
    start(&mut stand, "shift-50");
    assert!(stand.run_until(30 * MINUTE, |s| s.is_done("shift-50")), "{:#?}", stand.tail());
}

#[test]
fn an_edit_after_the_confirmation_of_a_rollback_is_shown_before_it_is_replaced() {
    let mut stand = after("shift-50");
    stand.must(Command::PrepareRollback { name: Some("immediate".into()) });
    assert!(stand.run_until(MINUTE, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())));
    let offer = stand.snapshot().offer.unwrap();
    // Whoever confirms has not seen this yet, and neither has the engine.
    stand.third_party(|r| r.weight = Some(77));
    stand.must(Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: None });
    let stopped = |s: &Stand| matches!(s.snapshot().status, Status::Held { .. });
    assert!(stand.run_until(5 * MINUTE, stopped), "{:#?}", stand.tail());
    assert_eq!(weights(&mut stand), [77, 77], "nothing was sent over it");
    let conflict = shown(&stand);
    assert!(conflict.now.contains("weight 77") && conflict.before.contains("weight 50"), "{conflict:?}");
    assert!(conflict.wanted.contains("weight 0") && conflict.wanted.contains("weight 100"), "{conflict:?}");
    stand.must(Command::Continue);
    assert!(stand.run_until(10 * MINUTE, |s| s.core.run.active_rollback().is_none()), "{:#?}", stand.tail());
    assert_eq!(weights(&mut stand), [0, 100]);
}

#[test]
fn an_edit_after_the_rollbacks_own_change_is_shown_as_well() {
    let mut stand = after("shift-50");
    stand.roll_back("immediate");
    let accepted = |s: &Stand| s.log.last().is_some_and(|d| d.entry.line().contains("accepted"));
    assert!(stand.run_until(5 * MINUTE, accepted), "{:#?}", stand.tail());
    stand.third_party(|r| r.weight = Some(50));
    assert!(stand.run_until(5 * MINUTE, |s| s.core.run.hold.is_some()), "{:#?}", stand.tail());
    assert_eq!(weights(&mut stand), [50, 50], "what was shown beforehand was shown as it was then");
    assert!(shown(&stand).before.contains("weight 100"), "{:?}", shown(&stand));
}
