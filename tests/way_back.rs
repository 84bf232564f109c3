//! From every prefix of the flagship plan before its one-way step, every rollback that applies gives back what it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use cutover::cloud::{Answer, Call, Effect, Query};
use cutover::drill::operator::Operator;
use cutover::plan::{Action, RecordSet, StackChange, Undo};
use cutover::run::entry::JobRef;
use cutover::run::event::Event;
use cutover::run::snapshot::StepState;
use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const DAY: i64 = 86_400_000;

/// Chance for crash points; the seed is the test's, so that a failure can be repeated.
struct Points(u64);

impl Points {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// What the rollbacks promise to restore.
struct Promised {
    /// The traffic's record before the run.
    before: Vec<RecordSet>,
    /// The traffic's record when it had become weighted.
    weighted: Option<Vec<RecordSet>>,
}

/// A stand at the moment after each entry of the plan's way forward, up to its first one-way step.
fn prefixes() -> (Promised, Vec<Stand>) {
    let mut stand = Stand::new("medzen", "calm", 3);
    let mut promised = Promised { before: stand.traffic(), weighted: None };
    let plan = stand.core.plan.clone();
    let one_way = plan.steps.iter().position(|s| matches!(s.undo, Undo::OneWay(_))).unwrap();
    let mut operator = Operator::new(3);
    let mut all = Vec::new();
    loop {
        let entries = stand.log.len();
        assert!(stand.drive(&mut operator, |s| s.log.len() > entries), "{:#?}", stand.tail());
        if stand.core.run.steps[one_way].attempts > 0 {
            return (promised, all);
        }
        if promised.weighted.is_none() && stand.is_done("weights-zero") {
            promised.weighted = Some(stand.traffic());
        }
        all.push(stand.clone());
    }
}

/// The rollbacks whose step has started.
fn applying(stand: &Stand) -> Vec<String> {
    let begun = |r: &&cutover::plan::Rollback| r.after.is_none_or(|s| stand.core.run.steps[s].first_started.is_some());
    stand.core.plan.rollbacks.iter().filter(begun).map(|r| r.name.clone()).collect()
}

/// Lets a rollback that was confirmed run to its end.
fn finish(stand: &mut Stand, name: &str, why: &str) {
    let over = |s: &Stand| s.core.run.rollback.as_ref().is_some_and(|r| r.done.is_some());
    let limit = stand.now + DAY;
    stand.drive(&mut Operator::new(9), |s| over(s) || s.now > limit);
    assert!(over(stand), "{why}: {name} did not end: {:#?}", stand.tail());
    // Changes that were under way when it was called may still land.
    stand.run_for(120_000);
}

fn stack_is_gone(stand: &mut Stand, region: &str, stack: &str) -> bool {
    let query = Query::Stack { region: region.into(), stack: stack.into() };
    match stand.world.perform(stand.now, &Effect::Ask(query)).1 {
        Event::Answer { result: Ok(Answer::Stack(info)), .. } => info.is_none_or(|i| i.status == "DELETE_COMPLETE"),
        other => panic!("{other:?}"),
    }
}

/// What each rollback says that it restores, looked at in the cloud and not in the run.
fn restored(stand: &mut Stand, name: &str, promised: &Promised, why: &str) {
    let now = stand.traffic();
    let weights = |sets: &[RecordSet]| sets.iter().map(|r| (r.set.clone().unwrap_or_default(), r.weight)).collect::<Vec<_>>();
    match name {
        "immediate" => assert_eq!(now, promised.before, "{why}"),
        "full" => {
            assert_eq!(now, promised.before, "{why}");
            let plan = stand.core.plan.clone();
            let full = plan.rollbacks.iter().find(|r| r.name == "full").unwrap();
            for step in &full.steps {
                if let Action::Stack(stack) = &step.action {
                    assert_eq!(stack.change, StackChange::Delete);
                    assert!(stack_is_gone(stand, &stack.region, &stack.name), "{why}: {} is still there", stack.name);
                }
            }
        }
        "partial" => assert_eq!(Some(&now), promised.weighted.as_ref(), "{why}"),
        "switch" => {
            let calls = stand.core.run.calls.values().filter(|c| matches!(c.job, JobRef::Rollback(..)));
            let others = calls.filter(|c| !matches!(c.call, Call::PutMetric { .. })).count();
            assert_eq!(others, 0, "{why}: the switch needs no control plane");
            // INSYNC of what was under way, the health check, the longest answer's life, and a minute's metric.
            stand.run_for(420_000);
            let frankfurt = stand.snapshot().traffic.into_iter().find(|t| t.region == "eu-central-1").unwrap();
            assert_eq!(frankfurt.seen, Some(0), "{why}: {:#?}", stand.tail());
        }
        "forward" => {
            let wanted = [("eu-central-1-primary".to_owned(), Some(100)), ("eu-west-1-failover".to_owned(), Some(0))];
            assert_eq!(weights(&now), wanted, "{why}");
        }
        other => panic!("{other} has no test of what it restores"),
    }
}

/// Every change that the cloud took on was applied once.
fn once(stand: &Stand, why: &str) {
    let mut tokens: Vec<&str> = stand.world.calls().iter().filter_map(|c| c.applied()).map(|(token, _)| token).collect();
    let all = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), all, "{why}: something was done twice");
}

#[test]
fn every_rollback_gives_back_what_it_says_from_every_entry_before_a_one_way_step() {
    let (promised, prefixes) = prefixes();
    let mut tried = std::collections::BTreeMap::<String, usize>::new();
    for prefix in &prefixes {
        let why = format!("after entry {}: {}", prefix.log.len(), prefix.log.last().unwrap().entry.line());
        for name in applying(prefix) {
            if name == "forward" && !ready_to_go_forward(prefix) {
                continue;
            }
            let mut stand = prefix.clone();
            stand.roll_back(&name);
            finish(&mut stand, &name, &why);
            restored(&mut stand, &name, &promised, &format!("{name} {why}"));
            once(&stand, &why);
            *tried.entry(name).or_default() += 1;
        }
    }
    println!("rollbacks from {} prefixes: {tried:?}", prefixes.len());
    for name in ["immediate", "partial", "full", "switch", "forward"] {
        assert!(tried.get(name).is_some_and(|n| *n > 5), "{name} was hardly tried: {tried:?}");
    }
}

/// The way forward shifts weights, so the record must be weighted first.
fn ready_to_go_forward(stand: &Stand) -> bool {
    let id = stand.core.plan.step_named("weights-zero").unwrap();
    matches!(stand.core.run.steps[id].state, StepState::Done)
}

#[test]
fn a_crash_at_any_step_of_a_rollback_changes_nothing_of_that() {
    let (promised, prefixes) = prefixes();
    let mut points = Points(7);
    let last = prefixes.len() - 1;
    let mut crashes = 0;
    for (number, prefix) in prefixes.iter().enumerate() {
        // Every point from the last prefix, some from every ninth of the others.
        if number % 9 != 0 && number != last {
            continue;
        }
        for name in applying(prefix) {
            if name == "forward" && !ready_to_go_forward(prefix) {
                continue;
            }
            let mut whole = prefix.clone();
            whole.roll_back(&name);
            let begun = whole.log.len();
            finish(&mut whole, &name, "");
            let entries = whole.log.len() - begun;
            let chosen: Vec<usize> =
                if number == last { (0..entries).collect() } else { (0..3).map(|_| points.below(entries)).collect() };
            for point in chosen {
                for swallow in [false, true] {
                    let why = format!("{name} after entry {}, crash at its entry {point}, swallow {swallow}", prefix.log.len());
                    let mut stand = prefix.clone();
                    stand.roll_back(&name);
                    let at = stand.log.len() + point;
                    stand.drive(&mut Operator::new(9), |s| s.log.len() >= at);
                    stand.swallow = swallow;
                    stand.run_for(400);
                    stand.crash();
                    finish(&mut stand, &name, &why);
                    restored(&mut stand, &name, &promised, &why);
                    once(&stand, &why);
                    crashes += 1;
                }
            }
        }
    }
    println!("{crashes} crashes");
    assert!(crashes > 100, "{crashes}");
}
