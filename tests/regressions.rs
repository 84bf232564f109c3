//! Faults that the simulation or a reader has found, each told in a few lines, so that none of them comes back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use cutover::cloud::{Call, Effect, Failure, FailureKind, Receipt};
use cutover::drill::operator::Operator;
use cutover::plan::{FaultKind, Lost, RecordSet};
use cutover::run::command::Command;
use cutover::run::event::Event;
use cutover::run::snapshot::StepState;
use cutover::run::state::CallState;
use cutover::sim::{Deed, Outcome};

use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const MINUTE: i64 = 60_000;

/// A plan in calm weather, driven until a step is done.
fn after(plan: &str, step: &str) -> Stand {
    let mut stand = Stand::new(plan, "calm", 5);
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done(step)), "{:#?}", stand.tail());
    stand
}

fn weights(stand: &mut Stand) -> Vec<u8> {
    stand.traffic().iter().map(|r| r.weight.unwrap()).collect()
}

fn state(stand: &Stand, step: &str) -> StepState {
    stand.core.run.steps[stand.core.plan.step_named(step).unwrap()].state
}

/// Starts a step as soon as its gate is open.
fn start(stand: &mut Stand, step: &str) {
    if stand.core.run.hold.is_some() {
        stand.must(Command::Continue);
    }
    stand.run_for(5 * MINUTE);
    stand.must(Command::Start { step: step.to_owned() });
}

/// Starts a step and waits until it is done.
fn again(stand: &mut Stand, step: &str) {
    start(stand, step);
    assert!(stand.run_until(30 * MINUTE, |s| s.is_done(step)), "{:#?}", stand.tail());
}

/// Confirms what is shown and waits until it is over.
fn confirm(stand: &mut Stand) {
    let shown = stand.run_until(10 * MINUTE, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some()));
    assert!(shown, "{:#?} {:#?}", stand.snapshot().offer, stand.tail());
    let offer = stand.snapshot().offer.unwrap();
    let (name, word) = (offer.name, offer.confirm_word);
    stand.must(Command::ConfirmRollback { name, offer: offer.fingerprint.unwrap(), word });
    over(stand);
}

/// Waits until the rollback that is going on is over.
fn over(stand: &mut Stand) {
    let over = stand.run_until(30 * MINUTE, |s| s.core.run.active_rollback().is_none());
    assert!(over, "{:#?}", stand.tail());
}

fn undo(stand: &mut Stand, step: &str) {
    stand.must(Command::PrepareUndo { step: step.to_owned() });
    confirm(stand);
    assert_eq!(state(stand, step), StepState::Undone);
}

/// An undo made the run forget every earlier change of the same record, so that a rollback found nothing to put back.
#[test]
fn a_rollback_after_an_undo_goes_back_to_before_the_first_stage() {
    let mut stand = after("failover-drill", "shift-50");
    undo(&mut stand, "shift-50");
    assert_eq!(weights(&mut stand), [10, 90]);
    stand.roll_back("immediate");
    over(&mut stand);
    assert_eq!(weights(&mut stand), [0, 100]);
}

/// Both jobs that take a step back have the same name, so that the second one restored the records of the first time.
#[test]
fn a_step_that_is_taken_back_twice_is_put_back_as_it_was_the_second_time() {
    let mut stand = after("failover-drill", "shift-50");
    undo(&mut stand, "shift-50");
    // Meanwhile Ireland gets another address.
    let moved = |record: &mut RecordSet| {
        if record.set.as_deref() == Some("ireland") {
            record.values = vec!["192.0.2.21".to_owned()];
        }
    };
    stand.third_party(moved);
    let wanted = stand.traffic();
    // The step shows that first; whoever starts it again has seen it.
    start(&mut stand, "shift-50");
    assert!(stand.run_until(MINUTE, |s| state(s, "shift-50") == StepState::Failed), "{:#?}", stand.tail());
    again(&mut stand, "shift-50");
    assert_eq!(weights(&mut stand), [50, 50]);
    undo(&mut stand, "shift-50");
    assert_eq!(stand.traffic(), wanted, "{:#?}", stand.tail());
}

/// The window of a rollback began with one step and no other, so that after a skip nothing could be rolled back.
#[test]
fn a_rollback_applies_also_when_the_step_that_it_comes_after_was_left_out() {
    let mut stand = after("failover-drill", "baseline");
    stand.must(Command::Skip { step: "shift-10".into(), reason: "straight to half".into() });
    assert!(stand.refused(Command::PrepareRollback { name: None }).contains("no rollback applies"));
    again(&mut stand, "shift-50");
    stand.must(Command::PrepareRollback { name: None });
    confirm(&mut stand);
    assert_eq!(weights(&mut stand), [0, 100]);
}

/// A rollback read the record, found nothing to put back and was done; then a change that was late moved the traffic.
#[test]
fn a_rollback_that_finds_nothing_to_put_back_waits_for_what_is_under_way() {
    let mut stand = after("failover-drill", "baseline");
    stand.inject(FaultKind::LateAnswers { by_ms: 40_000 });
    start(&mut stand, "shift-10");
    assert!(stand.run_until(MINUTE, |s| !s.core.run.calls.is_empty()), "{:#?}", stand.tail());
    let asked = stand.now;
    assert_eq!(weights(&mut stand), [0, 100], "the change is late");
    stand.roll_back("immediate");
    assert!(stand.now < asked + 40_000, "the rollback begins before the change lands");
    over(&mut stand);
    stand.run_for(5 * MINUTE);
    assert_eq!(weights(&mut stand), [0, 100], "{:#?}", stand.tail());
    let landed = stand.world.calls().iter().filter(|c| c.applied().is_some()).count();
    assert_eq!(landed, 2, "the late change landed, and was put back");
}

/// The later stage still counted as done when an earlier one had been taken back beneath it, and the plan went on.
#[test]
fn an_earlier_stage_of_a_ramp_is_not_taken_back_beneath_a_later_one() {
    let mut stand = after("failover-drill", "shift-50");
    let why = stand.refused(Command::PrepareUndo { step: "shift-10".into() });
    assert!(why.contains("take back 'shift-50' first"), "{why}");
    undo(&mut stand, "shift-50");
    undo(&mut stand, "shift-10");
    assert_eq!(weights(&mut stand), [0, 100]);
}

/// Somebody else's weighted record stood where the simple one had to go, so the rollback was refused again and again.
#[test]
fn a_rollback_to_a_simple_record_makes_room_for_it() {
    let mut stand = Stand::new("medzen", "calm", 5);
    let before = stand.traffic();
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("weights-zero")), "{:#?}", stand.tail());
    let mut other = stand.traffic()[0].clone();
    (other.set, other.weight) = (Some("somebody-else".into()), Some(1));
    let zone = stand.core.plan.traffic.clone().unwrap().zone;
    let call = Call::ChangeRecords { zone, delete: Vec::new(), create: vec![other] };
    let (_, event) =
        stand.world.perform(stand.now, &Effect::Send { id: 9_999, sending: 1, token: "console".into(), call, text: None });
    assert!(matches!(event, Event::Sent { result: Ok(_), .. }), "{event:?}");
    stand.run_for(1_000);
    stand.roll_back("immediate");
    over(&mut stand);
    assert_eq!(stand.traffic(), before, "{:#?}", stand.tail());
}

/// What the first sending of the first call is answered.
fn answer(stand: &mut Stand, result: Result<Receipt, FailureKind>) {
    let result = result.map_err(|kind| Failure { kind, message: "late".into() });
    stand.tell(Event::Sent { id: 1, sending: 1, result });
}

/// The first step's call, whose first sending was throttled and whose second one is under way.
fn sent_twice() -> Stand {
    let mut stand = after("failover-drill", "baseline");
    stand.swallow = true;
    start(&mut stand, "shift-10");
    assert!(stand.run_until(MINUTE, |s| !s.core.run.calls.is_empty()));
    stand.swallow = false;
    answer(&mut stand, Err(FailureKind::Throttled));
    assert!(stand.run_until(MINUTE, |s| s.core.run.calls[&1].sendings == 2), "{:#?}", stand.tail());
    stand
}

/// What an earlier sending was answered, heard late or twice, counted as the answer to the sending under way. The step
/// failed, its change was forgotten, and a rollback found nothing to put back.
#[test]
fn an_answer_to_an_earlier_sending_says_nothing_about_a_later_one() {
    for kind in [FailureKind::Refused, FailureKind::Throttled, FailureKind::Unknown] {
        let mut stand = sent_twice();
        answer(&mut stand, Err(kind));
        assert_eq!(stand.core.run.calls[&1].state, CallState::Open, "{:#?}", stand.tail());
        assert!(stand.run_until(30 * MINUTE, |s| s.is_done("shift-10")), "{:#?}", stand.tail());
        assert_eq!(stand.core.run.calls[&1].sendings, 2, "it is sent once more although nobody knows what came of it");
        stand.roll_back("immediate");
        over(&mut stand);
        assert_eq!(weights(&mut stand), [0, 100], "{:#?}", stand.tail());
    }
}

/// That an earlier sending was applied is certain, whatever a later one is answered.
#[test]
fn an_earlier_sending_that_was_applied_after_all_settles_the_call() {
    let mut stand = after("failover-drill", "baseline");
    stand.inject(FaultKind::LoseAnswers { share_ppm: 1_000_000, lost: Lost::Answer });
    start(&mut stand, "shift-10");
    assert!(stand.run_until(MINUTE, |s| s.core.run.calls.get(&1).is_some_and(|c| c.sendings == 2)), "{:#?}", stand.tail());
    let applied = |deed: &Deed| match deed {
        Deed::Call { outcome: Outcome::Applied(id), .. } => Some(id.clone()),
        _ => None,
    };
    let id = stand.world.calls().iter().find_map(|c| applied(&c.deed)).unwrap();
    answer(&mut stand, Ok(Receipt::of(id.clone())));
    assert_eq!(stand.core.run.calls[&1].state, CallState::Applied(Receipt::of(id), None));
    assert!(stand.run_until(30 * MINUTE, |s| s.is_done("shift-10")), "{:#?}", stand.tail());
    assert_eq!(stand.core.run.calls[&1].sendings, 2);
}
