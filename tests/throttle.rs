//! A service that is asked too often is asked less often; what a rollback needs is not held back by it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use cutover::builtin;
use cutover::cloud::{Answer, Effect, Failure, FailureKind, Millis, PollKind, Query, poll_groups};
use cutover::plan::Plan;
use cutover::run::command::Command;
use cutover::run::event::Event;
use cutover::run::snapshot::Level;
use cutover::run::view::alerts::alerts;
use cutover::run::watch::Watch;
use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const IDLE: i64 = 300_000;

fn plan() -> Arc<Plan> {
    Arc::new(builtin::find("medzen").unwrap().plan)
}

/// The first group of stacks or metrics of a region.
fn group(plan: &Plan, kind: PollKind, region: &str) -> usize {
    poll_groups(plan).iter().position(|g| g.kind == kind && g.region == region).unwrap()
}

/// The conditions on the monitors of a group.
fn conditions_of(plan: &Plan, group: usize) -> Vec<usize> {
    let monitors = &poll_groups(plan)[group].monitors;
    (0..plan.conditions.len()).filter(|id| monitors.contains(&plan.conditions[*id].monitor)).collect()
}

fn throttled() -> Result<Answer, Failure> {
    Err(Failure { kind: FailureKind::Throttled, message: "Throttling: Rate exceeded".into() })
}

/// Asks a group as soon as it is due and has it answered so: when it was asked, each time.
fn asked(
    watch: &mut Watch,
    plan: &Plan,
    group: usize,
    times: usize,
    result: &Result<Answer, Failure>,
    now: &mut Millis,
) -> Vec<Millis> {
    let mut asked = Vec::new();
    while asked.len() < times {
        let (due, wake) = watch.due(*now);
        if due.contains(&group) {
            asked.push(*now);
            let query = Query::Poll(group);
            watch.released(*now, &Effect::Ask(query.clone()));
            watch.observe(plan, *now, &Event::Answer { query, result: result.clone() });
        } else {
            // The other groups are due all the time: nobody asks them here.
            *now = if due.is_empty() { wake } else { *now + 1_000 };
        }
    }
    asked
}

fn gaps(times: &[Millis]) -> Vec<i64> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_throttled_service_is_asked_after_pauses_that_double_up_to_the_idle_interval() {
    let plan = plan();
    let region = group(&plan, PollKind::Stacks, "af-south-1");
    let of_stacks = conditions_of(&plan, region);
    let mut watch = Watch::new(&plan);
    let mut now = 0;
    watch.attend(&plan, now, &of_stacks, (Vec::new(), 60_000));
    assert_eq!(gaps(&asked(&mut watch, &plan, region, 4, &Ok(Answer::Readings(vec![])), &mut now)), [10_000; 3]);

    let pauses = gaps(&asked(&mut watch, &plan, region, 9, &throttled(), &mut now));
    for (pause, most) in pauses.iter().zip([20_000, 40_000, 80_000, 160_000, IDLE, IDLE, IDLE, IDLE]) {
        assert!((most * 3 / 4 - 1_000..=most + 1_000).contains(pause), "{pauses:?}");
    }
    assert_eq!(watch.throttled().count(), 1);
    // One good answer, and everything is as before.
    asked(&mut watch, &plan, region, 1, &Ok(Answer::Readings(vec![])), &mut now);
    assert_eq!(watch.throttled().count(), 0);
    assert_eq!(gaps(&asked(&mut watch, &plan, region, 3, &Ok(Answer::Readings(vec![])), &mut now)), [10_000; 2]);
}

#[test]
fn groups_that_were_turned_away_together_come_back_one_by_one_and_always_the_same() {
    let plan = plan();
    let pauses = || {
        let mut watch = Watch::new(&plan);
        watch.attend(&plan, 0, &[], (Vec::new(), 60_000));
        for group in 0..watch.groups.len() {
            watch.released(0, &Effect::Ask(Query::Poll(group)));
            watch.observe(&plan, 0, &Event::Answer { query: Query::Poll(group), result: throttled() });
        }
        watch.throttled().map(|(_, throttled)| throttled.until).collect::<Vec<_>>()
    };
    let first = pauses();
    let mut different = first.clone();
    different.sort_unstable();
    different.dedup();
    assert!(different.len() > first.len() / 2, "{first:?}");
    assert_eq!(first, pauses());
}

#[test]
fn what_a_rollback_is_armed_on_is_asked_once_a_minute_and_in_a_rollback_at_once() {
    let plan = plan();
    let metrics = group(&plan, PollKind::Metrics, "eu-west-1");
    let proof = poll_groups(&plan)[metrics].monitors[0];
    let mut watch = Watch::new(&plan);
    let mut now = 0;
    watch.attend(&plan, now, &[], (vec![proof], 60_000));
    let pauses = gaps(&asked(&mut watch, &plan, metrics, 8, &throttled(), &mut now));
    assert!(pauses.iter().all(|pause| *pause <= 61_000), "{pauses:?}");

    // A group that is wanted every ten seconds and waits for minutes does not wait in an outage or in a rollback.
    let stacks = group(&plan, PollKind::Stacks, "af-south-1");
    let of_stacks = conditions_of(&plan, stacks);
    watch.attend(&plan, now, &of_stacks, (Vec::new(), 60_000));
    asked(&mut watch, &plan, stacks, 8, &throttled(), &mut now);
    let due_soon = |watch: &Watch| watch.due(now + 10_000).0.contains(&stacks);
    assert!(!due_soon(&watch));
    watch.rolling_back = true;
    assert!(due_soon(&watch), "a rollback waits for nobody");
    watch.rolling_back = false;
    assert!(!due_soon(&watch));
    watch.attend(&plan, now, &of_stacks, (Vec::new(), 0));
    assert!(due_soon(&watch), "nor does an outage");
}

#[test]
fn throttling_is_told_and_a_rollback_that_is_looked_at_reads_on() {
    let mut stand = Stand::new("medzen", "calm", 3);
    let index = group(&stand.core.plan, PollKind::Stacks, "eu-central-1");
    let now = stand.now;
    stand.core.watch.released(now, &Effect::Ask(Query::Poll(index)));
    let _ = stand.core.handle(now, Event::Answer { query: Query::Poll(index), result: throttled() });
    let shown = alerts(stand.core.ctx(now)).into_iter().map(|a| a.view).find(|a| a.text.starts_with("throttled by ")).unwrap();
    assert_eq!(shown.text, "throttled by CloudFormation in eu-central-1: it is asked less often");
    assert_eq!(shown.level, Level::Advisory);
    assert!(!stand.core.watch.due(now + 10_000).0.contains(&index));

    let outcome = stand
        .core
        .handle(now, Event::Command { by: "test".into(), command: Command::PrepareRollback { name: Some("immediate".into()) } });
    assert!(outcome.reply.is_some());
    assert!(stand.core.watch.prepared.is_some(), "{:?}", outcome.reply);
    assert!(stand.core.watch.due(now + 5_000).0.contains(&index), "what a rollback may need is read every five seconds");
}
