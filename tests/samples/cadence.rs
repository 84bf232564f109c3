//! Cadence follows activity, and a gate is decided at full cadence: what was read at idle cadence opens nothing once it is
//! older than full cadence allows.

use cutover::cloud::{Answer, Effect, Millis, Query, Reading, Value};
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
fn what_was_read_at_idle_cadence_opens_no_gate_when_it_is_old_at_full_cadence() {
    let plan = one();
    // Rule 33 at full cadence: three periods of a minute and two minutes of delay. At idle cadence it would be seventeen.
    let stale = 3 * MINUTE + 2 * MINUTE;
    for (age, opens) in [(IDLE - 1, true), (stale + 1, false), (2 * IDLE, false)] {
        let mut watch = Watch::new(&plan);
        watch.attend(&plan, 0, &[], (Vec::new(), MINUTE));
        let last = *read(&mut watch, &plan, 0, 3 * IDLE).last().unwrap();
        let active = last + age;
        watch.attend(&plan, active, &[0], (Vec::new(), MINUTE));
        let verdict = gate::all(&plan, &watch, &[0], active);
        assert_eq!(verdict == Verdict::Pass, opens, "{age}: {verdict:?}");
        // One reading at full cadence later it is open in any case.
        let next = read(&mut watch, &plan, active, active + 1);
        assert_eq!(next, [active]);
        assert_eq!(gate::all(&plan, &watch, &[0], active), Verdict::Pass);
    }
}
