//! Every prefix of the flagship plan before its one-way step, the rollbacks that apply there, and what they restore.

use cutover::cloud::{Answer, Call, Effect, Query};
use cutover::drill::operator::Operator;
use cutover::plan::{Action, RecordSet, Rollback, StackChange, Undo};
use cutover::run::entry::JobRef;
use cutover::run::event::Event;

use crate::support::Stand;

/// What the rollbacks promise to restore.
pub struct Promised {
    /// The traffic's record before the run.
    pub before: Vec<RecordSet>,
    /// The traffic's record when it had become weighted.
    pub weighted: Option<Vec<RecordSet>>,
}

/// A stand at the moment after each entry of the plan's way forward, up to the first one-way step behind the first shift:
/// the ones before it are about data, and no rollback takes data back.
pub fn prefixes() -> (Promised, Vec<Stand>) {
    let mut stand = Stand::new("medzen", "calm", 3);
    let mut promised = Promised { before: stand.traffic(), weighted: None };
    let plan = stand.core.plan.clone();
    let shifts = plan.steps.iter().position(|s| matches!(s.action, Action::Shift(_))).unwrap();
    let one_way = shifts + plan.steps[shifts..].iter().position(|s| matches!(s.undo, Undo::OneWay(_))).unwrap();
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

/// The rollbacks whose step has started, and that have something to start from.
pub fn applying(stand: &Stand) -> Vec<String> {
    let begun = |r: &&Rollback| r.after.is_none_or(|s| stand.core.run.steps[s].first_started.is_some());
    let can = |r: &&Rollback| r.name != "forward" || stand.is_done("weights-zero");
    stand.core.plan.rollbacks.iter().filter(begun).filter(can).map(|r| r.name.clone()).collect()
}

fn stack_is_gone(stand: &mut Stand, region: &str, stack: &str) -> bool {
    let query = Query::Stack { region: region.into(), stack: stack.into() };
    match stand.world.perform(stand.now, &Effect::Ask(query)).1 {
        Event::Answer { result: Ok(Answer::Stack(info)), .. } => info.is_none_or(|i| i.status == "DELETE_COMPLETE"),
        other => panic!("{other:?}"),
    }
}

/// What each rollback says that it restores, looked at in the cloud and not in the run.
pub fn restored(stand: &mut Stand, name: &str, promised: &Promised, why: &str) {
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
        // It shifts weights, so the record must have been weighted before.
        "forward" => {
            let wanted = [("eu-central-1-primary".to_owned(), Some(100)), ("eu-west-1-failover".to_owned(), Some(0))];
            assert_eq!(weights(&now), wanted, "{why}");
        }
        other => panic!("{other} has no test of what it restores"),
    }
}

/// Every change that the cloud took on was applied once.
pub fn once(stand: &Stand, why: &str) {
    let mut tokens: Vec<&str> = stand.world.calls().iter().filter_map(|c| c.applied()).map(|(token, _)| token).collect();
    let all = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), all, "{why}: something was done twice");
}
