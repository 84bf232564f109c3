//! Stacks that are monitored: their events are read while they move and not otherwise, and a change that is not this run's
//! is pointed out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use cutover::cloud::{Answer, Effect, Failure, FailureKind, Millis, Query, Reading, StackEvent, StackSight, Value, poll_groups};
use cutover::plan::{Plan, Source};
use cutover::run::core::{Core, Outcome};
use cutover::run::entry::Entry;
use cutover::run::event::Event;
use cutover::run::snapshot::LedgerView;
use cutover::run::snapshot::{Level, Snapshot};
use cutover::run::view::{Surroundings, snapshot};

#[path = "support/plan.rs"]
#[expect(dead_code, reason = "no metric is needed here")]
mod support;

const MINUTE: i64 = 60_000;
const NAME: &str = "app";
/// Id of a stack that is nested in it.
const NESTED: &str = "arn:inner";

/// A run that does nothing but look at a stack.
struct Stage {
    core: Core,
    now: Millis,
    wake: Millis,
    status: String,
    updated: Millis,
    /// What the service knows, newest first; `Err` when it does not say.
    events: Result<Vec<StackEvent>, Failure>,
    /// The events of a stack that is nested in it, newest first.
    nested: Vec<StackEvent>,
    /// When events were asked for, and after which.
    asked: Vec<(Millis, Option<String>)>,
}

fn plan() -> Arc<Plan> {
    let mut plan = support::plan(vec![support::monitor("stack", Source::Stack { stack: NAME.into() })]);
    // Without a step a run would be over.
    plan.steps.push(cutover::plan::Step {
        id: "wait".into(),
        phase: 0,
        day: 1,
        title: "Wait".into(),
        note: String::new(),
        action: cutover::plan::Action::Approve { count: 1, what: "it".into() },
        windows: Vec::new(),
        gate: Vec::new(),
        verify: Vec::new(),
        undo: cutover::plan::Undo::Nothing,
        expected_ms: MINUTE,
        owner: String::new(),
        needs: Vec::new(),
        control_planes: Vec::new(),
        override_people: 1,
        stand_in: cutover::plan::StandIn::default(),
        parts: Vec::new(),
    });
    Arc::new(plan)
}

impl Stage {
    fn new(status: &str) -> Stage {
        let plan = plan();
        let genesis = Entry::Genesis {
            plan: plan.name.clone(),
            plan_hash: String::new(),
            scenario: None,
            scenario_hash: None,
            seed: None,
            rules: None,
            token_base: "stacks".into(),
        };
        let (core, events, nested, asked) = (Core::new(plan), Ok(Vec::new()), Vec::new(), Vec::new());
        let mut stage = Stage { core, now: 10 * MINUTE, wake: 0, status: status.into(), updated: 0, events, nested, asked };
        let first = vec![genesis, Entry::EngineStarted { resumed: false, open: vec![] }];
        let outcome = stage.core.open(stage.now, "test", first);
        stage.take(outcome);
        stage
    }

    fn take(&mut self, outcome: Outcome) {
        self.wake = outcome.wake.max(self.now + 1);
        for effect in outcome.effects {
            let Effect::Ask(query) = effect else { panic!("nothing is sent here: {effect:?}") };
            let result = match &query {
                Query::Poll(_) => {
                    let reading = Reading { at: self.now, value: Value::Status(self.status.clone()) };
                    let sight = StackSight { monitor: 0, id: "arn:app".into(), updated: Some(self.updated) };
                    Ok(Answer::Stacks(vec![(0, reading)], if self.status == "ABSENT" { vec![] } else { vec![sight] }))
                }
                Query::StackEvents { stack, .. } if stack == NESTED => {
                    self.asked.push((self.now, Some(stack.clone())));
                    Ok(Answer::StackEvents(self.nested.clone()))
                }
                Query::StackEvents { after, .. } => {
                    self.asked.push((self.now, after.clone()));
                    let newer =
                        |all: &Vec<StackEvent>| all.iter().take_while(|e| Some(&e.id) != after.as_ref()).cloned().collect();
                    self.events.as_ref().map(newer).map(Answer::StackEvents).map_err(Clone::clone)
                }
                Query::Credentials => Ok(Answer::Credentials { expires: None }),
                other => panic!("nobody should ask for {other:?}"),
            };
            let outcome = self.core.handle(self.now, Event::Answer { query, result });
            self.take(outcome);
        }
    }

    fn run(&mut self, length: i64) {
        let until = self.now + length;
        while self.wake <= until {
            self.now = self.wake;
            let outcome = self.core.handle(self.now, Event::Tick);
            self.take(outcome);
        }
        self.now = until;
    }

    /// Something happens to the stack, or to a resource in it.
    fn happens(&mut self, logical_id: &str, status: &str, token: &str) {
        let own = logical_id == NAME;
        if own {
            self.status = status.into();
            self.updated = if status == "UPDATE_IN_PROGRESS" { self.now } else { self.updated };
        }
        let events = self.events.as_mut().unwrap();
        let event = StackEvent {
            id: format!("event-{}", events.len()),
            at: self.now,
            logical_id: logical_id.into(),
            resource_type: if own { "AWS::CloudFormation::Stack" } else { "AWS::SNS::Topic" }.into(),
            status: status.into(),
            reason: if status.ends_with("FAILED") { "it is in use" } else { "" }.into(),
            own,
            physical_id: if own { "arn:app" } else { "" }.into(),
            token: token.into(),
        };
        events.insert(0, event);
    }

    fn snapshot(&self) -> Snapshot {
        let around = Surroundings {
            run: "run".into(),
            account: String::new(),
            driver: String::new(),
            epoch: 1,
            drill: None,
            scenario: None,
            seed: None,
            ledger: LedgerView::default(),
        };
        snapshot(&self.core, self.now, &around)
    }

    /// What is said about changes that are not this run's.
    fn said(&self) -> Vec<String> {
        let alerts = self.snapshot().alerts.into_iter();
        let foreign = alerts.filter(|a| a.text.contains("somebody else") || a.text.contains("by whom"));
        foreign.inspect(|a| assert_eq!(a.level, Level::Caution)).map(|a| a.text).collect()
    }
}

#[test]
fn of_a_stack_that_rests_no_event_is_read() {
    let mut stage = Stage::new("CREATE_COMPLETE");
    stage.run(24 * 60 * MINUTE);
    assert_eq!(stage.asked, []);
    // It may wait in review for weeks (rule 35).
    let mut stage = Stage::new("REVIEW_IN_PROGRESS");
    stage.run(24 * 60 * MINUTE);
    assert_eq!(stage.asked, []);
}

#[test]
fn while_a_stack_moves_its_events_are_read_from_the_last_one_on_and_then_no_more() {
    let mut stage = Stage::new("CREATE_COMPLETE");
    stage.run(MINUTE);
    stage.happens(NAME, "UPDATE_IN_PROGRESS", "theirs");
    stage.happens("Topic", "UPDATE_IN_PROGRESS", "theirs");
    stage.run(6 * MINUTE);
    let moving = stage.asked.clone();
    assert!(moving.len() > 5 && moving.windows(2).all(|two| two[1].0 - two[0].0 == 10_000), "{moving:?}");
    assert_eq!(moving[0].1, None);
    assert!(moving[1..].iter().all(|(_, after)| after.as_deref() == Some("event-1")), "{moving:?}");
    let view = &stage.snapshot().monitors[0];
    assert_eq!((view.value.as_str(), view.detail.as_str()), ("UPDATE_IN_PROGRESS", "Topic UPDATE_IN_PROGRESS"));

    stage.happens(NAME, "UPDATE_COMPLETE", "theirs");
    stage.run(20_000);
    let ended = stage.asked.len();
    stage.run(60 * MINUTE);
    assert_eq!(stage.asked.len(), ended, "its events have told that it rests, before the next poll does");
}

#[test]
fn a_change_by_somebody_else_is_pointed_out_with_who_and_what() {
    for (token, who) in [
        ("Console-UpdateStack-5f1c", "in the console, token Console-UpdateStack-5f1c"),
        ("9f86d081884c7d65", "token 9f86d081884c7d65"),
        ("", "without a token"),
    ] {
        let mut stage = Stage::new("CREATE_COMPLETE");
        stage.run(MINUTE);
        stage.happens(NAME, "UPDATE_IN_PROGRESS", token);
        stage.happens("Topic", "UPDATE_IN_PROGRESS", token);
        stage.run(6 * MINUTE);
        assert_eq!(stage.said(), [format!("stack: somebody else's update of app ({who}): Topic UPDATE_IN_PROGRESS")]);
        stage.happens(NAME, "UPDATE_COMPLETE", token);
        stage.run(5 * MINUTE);
        assert_eq!(stage.said().len(), 1);
        assert!(stage.said()[0].contains("ended 5m ago"), "{:?}", stage.said());
        stage.run(60 * MINUTE);
        assert_eq!(stage.said(), [] as [String; 0], "after an hour it is no news");
    }
}

#[test]
fn a_change_between_two_polls_is_seen_by_its_time_and_explained_by_its_events() {
    let mut stage = Stage::new("UPDATE_COMPLETE");
    stage.run(MINUTE);
    stage.happens(NAME, "UPDATE_IN_PROGRESS", "theirs");
    stage.happens(NAME, "UPDATE_COMPLETE", "theirs");
    stage.run(6 * MINUTE);
    assert_eq!(stage.asked.len(), 1, "{:?}", stage.asked);
    assert!(stage.said()[0].contains("update of app (token theirs), ended"), "{:?}", stage.said());
    // Once more: the status is what the newest event says, but the time is another.
    stage.happens(NAME, "UPDATE_IN_PROGRESS", "others");
    stage.happens(NAME, "UPDATE_COMPLETE", "others");
    stage.run(6 * MINUTE);
    assert_eq!(stage.asked.len(), 2, "{:?}", stage.asked);
    assert!(stage.said()[0].contains("(token others)"), "{:?}", stage.said());
}

#[test]
fn a_stack_that_is_gone_is_asked_about_by_its_id() {
    let mut stage = Stage::new("CREATE_COMPLETE");
    stage.run(MINUTE);
    stage.happens(NAME, "DELETE_IN_PROGRESS", "theirs");
    stage.happens("Topic", "DELETE_COMPLETE", "theirs");
    stage.happens(NAME, "DELETE_COMPLETE", "theirs");
    stage.status = "ABSENT".into();
    let group = poll_groups(&stage.core.plan)[0].region.clone();
    stage.run(6 * MINUTE);
    assert!(matches!(stage.core.watch.stacks.query(&group, "arn:app"), Query::StackEvents { after: Some(_), .. }));
    assert!(stage.said()[0].contains("somebody else's delete of app"), "{:?}", stage.said());
}

#[test]
fn what_this_run_did_is_nobody_elses() {
    let mut stage = Stage::new("CREATE_COMPLETE");
    stage.run(MINUTE);
    let call = cutover::cloud::Call::DeleteStack { region: support::REGION.into(), stack: NAME.into() };
    let intent = Entry::Intent { id: 1, job: cutover::run::entry::JobRef::Step("wait".into()), token: "ours".into(), call };
    stage.core.replay(
        stage.now,
        "engine",
        &Entry::Started { job: cutover::run::entry::JobRef::Step("wait".into()), evidence: vec![], overridden: None },
    );
    stage.core.replay(stage.now, "engine", &intent);
    stage.core.replay(
        stage.now,
        "engine",
        &Entry::Outcome { id: 1, outcome: cutover::run::entry::CallOutcome::Refused("it is only here for its token".into()) },
    );
    stage.happens(NAME, "UPDATE_IN_PROGRESS", "ours");
    stage.run(6 * MINUTE);
    assert!(!stage.asked.is_empty());
    assert_eq!(stage.said(), [] as [String; 0]);
    stage.happens(NAME, "UPDATE_IN_PROGRESS", "theirs");
    stage.run(MINUTE);
    assert_eq!(stage.said().len(), 1);
}

#[test]
fn events_that_cannot_be_read_hold_nothing_up_and_are_said_to_be_missing() {
    let mut stage = Stage::new("UPDATE_COMPLETE");
    stage.run(MINUTE);
    stage.happens(NAME, "UPDATE_COMPLETE", "theirs");
    stage.updated = stage.now;
    stage.events = Err(Failure { kind: FailureKind::Refused, message: "AccessDenied".into() });
    stage.run(30 * MINUTE);
    assert!(stage.asked.windows(2).all(|two| two[1].0 - two[0].0 >= MINUTE), "{:?}", stage.asked);
    assert_eq!(stage.said(), ["stack: app has changed, and by whom cannot be read: AccessDenied"]);
    assert_eq!(stage.core.watch.failures, 0);
}

#[test]
fn a_status_that_nobody_knows_is_shown_and_read_like_any_other() {
    let mut stage = Stage::new("CREATE_COMPLETE");
    stage.run(MINUTE);
    stage.happens(NAME, "REFURBISH_IN_PROGRESS", "theirs");
    stage.run(6 * MINUTE);
    assert!(stage.asked.len() > 2);
    assert_eq!(stage.snapshot().monitors[0].value, "REFURBISH_IN_PROGRESS");
    assert!(stage.said()[0].contains("somebody else's REFURBISH_IN_PROGRESS of app"), "{:?}", stage.said());
}

#[test]
fn a_monitored_stack_that_failed_says_why() {
    let mut stage = Stage::new("CREATE_COMPLETE");
    stage.run(MINUTE);
    stage.happens(NAME, "UPDATE_IN_PROGRESS", "theirs");
    stage.happens("Topic", "UPDATE_FAILED", "theirs");
    stage.happens(NAME, "UPDATE_ROLLBACK_IN_PROGRESS", "theirs");
    stage.happens(NAME, "UPDATE_ROLLBACK_COMPLETE", "theirs");
    stage.run(6 * MINUTE);
    assert_eq!(stage.snapshot().monitors[0].detail, "Topic UPDATE_FAILED: it is in use");
}

#[test]
fn of_a_monitored_stack_that_failed_the_nested_stack_is_read_too_and_once() {
    let mut stage = Stage::new("CREATE_COMPLETE");
    stage.run(MINUTE);
    stage.happens(NAME, "UPDATE_IN_PROGRESS", "theirs");
    stage.happens("Inner", "UPDATE_FAILED", "theirs");
    let inner = &mut stage.events.as_mut().unwrap()[0];
    (inner.resource_type, inner.physical_id) = ("AWS::CloudFormation::Stack".into(), NESTED.into());
    stage.nested = vec![StackEvent { logical_id: "Topic".into(), resource_type: "AWS::SNS::Topic".into(), ..inner.clone() }];
    stage.happens(NAME, "UPDATE_ROLLBACK_COMPLETE", "theirs");
    stage.run(30 * MINUTE);
    assert_eq!(stage.snapshot().monitors[0].detail, "Inner > Topic UPDATE_FAILED: it is in use");
    assert_eq!(stage.asked.iter().filter(|(_, after)| after.as_deref() == Some(NESTED)).count(), 1, "{:?}", stage.asked);
}
