//! Cadence follows activity, and a gate is decided at full cadence: what was read at idle cadence opens nothing.

use cutover::cloud::{Answer, Effect, Failure, FailureKind, Millis, Query, Reading, Value};
use cutover::plan::{Condition, Plan, Quantity, Stat, Test, Unit};
use cutover::run::event::Event;
use cutover::run::gate;
use cutover::run::snapshot::Verdict;
use cutover::run::watch::Watch;

use crate::support::{metric, monitor, plan};

const MINUTE: Millis = 60_000;
const IDLE: Millis = 300_000;

/// A metric every ten seconds, and a condition on it that wants nothing but one good value.
fn one() -> Plan {
    let mut lag = monitor("lag", metric("N", "Lag", "all", 1_000_000, false));
    lag.every_ms = 10_000;
    let mut plan = plan(vec![lag]);
    let test = Test::Below(Stat::Last, Quantity { micros: 5, unit: Unit::Time });
    plan.conditions = vec![Condition { monitor: 0, test, over_ms: MINUTE, for_ms: 0, samples: 0 }];
    plan
}

/// Reads the one group whenever it is due until a time, and says when that was.
fn read(watch: &mut Watch, plan: &Plan, from: Millis, until: Millis) -> Vec<Millis> {
    let (mut now, mut times) = (from, Vec::new());
    while now < until {
        let (due, wake) = watch.due(now);
        if due.is_empty() {
            now = wake.max(now + 1);
            continue;
        }
        times.push(now);
        let query = Query::Poll(0);
        watch.released(now, &Effect::Ask(query.clone()));
        let reading = Reading { at: now, value: Value::Number(1) };
        watch.observe(plan, now, &Event::Answer { query, result: Ok(Answer::Readings(vec![(0, reading)])) });
    }
    times
}

#[test]
fn a_monitor_is_read_at_its_full_interval_from_the_moment_that_something_depends_on_it() {
    let plan = one();
    let mut watch = Watch::new(&plan);
    watch.attend(&plan, 0, &[], (Vec::new(), MINUTE));
    let idle = read(&mut watch, &plan, 0, 10 * IDLE);
    assert!(idle.windows(2).all(|pair| pair[1] - pair[0] == IDLE), "{idle:?}");
    // Somewhere between two idle readings a condition becomes active: it does not wait for the next of them.
    let active = idle.last().unwrap() + 77_000;
    watch.attend(&plan, active, &[0], (Vec::new(), MINUTE));
    let full = read(&mut watch, &plan, active, active + IDLE);
    assert_eq!(full[0], active, "read at once");
    assert!(full.windows(2).all(|pair| pair[1] - pair[0] == 10_000), "{full:?}");
    // And when nothing depends on it any more, it is read seldom again.
    let over = active + IDLE;
    watch.attend(&plan, over, &[], (Vec::new(), MINUTE));
    let again = read(&mut watch, &plan, over, over + 5 * IDLE);
    assert!(again.windows(2).all(|pair| pair[1] - pair[0] == IDLE), "{again:?}");
}

#[test]
fn what_was_read_at_idle_cadence_opens_no_gate() {
    let plan = one();
    // It is fresh all the while: nothing but the cadence at which it was read is against it.
    for (age, opens) in [(0, true), (10_000, true), (10_001, false), (MINUTE, false), (IDLE - 1, false), (2 * IDLE, false)] {
        let mut watch = Watch::new(&plan);
        watch.attend(&plan, 0, &[], (Vec::new(), MINUTE));
        let last = *read(&mut watch, &plan, 0, 3 * IDLE).last().unwrap();
        let active = last + age;
        watch.attend(&plan, active, &[0], (Vec::new(), MINUTE));
        let verdict = gate::all(&plan, &watch, &[0], active);
        assert_eq!(verdict == Verdict::Pass, opens, "{age}: {verdict:?}");
        assert!(opens || matches!(verdict, Verdict::Unknown(_)), "{age}: {verdict:?}");
        // A reading that did not come settles nothing.
        let (query, failure) = (Query::Poll(0), Failure { kind: FailureKind::Unreachable, message: "gone".into() });
        watch.observe(&plan, active, &Event::Answer { query, result: Err(failure) });
        assert_eq!(gate::all(&plan, &watch, &[0], active) == Verdict::Pass, opens, "{age}");
        // One at full cadence does. It comes at once if the last one is older than one full interval.
        let next = read(&mut watch, &plan, active, active + 30_000);
        assert_eq!(next[0], active.max(last + 10_000));
        assert_eq!(gate::all(&plan, &watch, &[0], *next.last().unwrap()), Verdict::Pass, "{age}");
    }
}

#[test]
fn steps_that_follow_each_other_at_full_cadence_do_not_wait_for_another_reading() {
    let mut plan = one();
    plan.conditions.push(plan.conditions[0].clone());
    // As often as what nothing depends on, or seldom in any case: it is always at full cadence.
    for every_ms in [10_000, IDLE, 4 * IDLE] {
        plan.monitors[0].every_ms = every_ms;
        let mut watch = Watch::new(&plan);
        watch.attend(&plan, 0, if every_ms < IDLE { &[0] } else { &[] }, (Vec::new(), MINUTE));
        let last = *read(&mut watch, &plan, 0, 3 * every_ms).last().unwrap();
        let next = last + every_ms - 1;
        watch.attend(&plan, next, &[1], (Vec::new(), MINUTE));
        let verdict = gate::all(&plan, &watch, &[1], next);
        assert_eq!(verdict, Verdict::Pass, "{every_ms}");
    }
}
