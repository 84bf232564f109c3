//! The core gathers every number, once, in the minute in which it was taken.

use cutover::cloud::{Answer, Effect, Millis, Query, Reading, Value};
use cutover::plan::{Plan, Source};
use cutover::run::event::Event;
use cutover::run::minute::Minute;
use cutover::run::watch::Watch;

use crate::support::{metric, monitor, plan};

fn hears(watch: &mut Watch, plan: &Plan, now: Millis, readings: Vec<(usize, Reading)>) {
    let query = Query::Poll(watch.groups.iter().position(|g| g.monitors.contains(&readings[0].0)).unwrap());
    watch.released(now, &Effect::Ask(query.clone()));
    watch.observe(plan, now, &Event::Answer { query, result: Ok(Answer::Readings(readings)) });
}

fn taken(watch: &mut Watch) -> Vec<(usize, Minute)> {
    std::mem::take(&mut watch.closed)
}

#[test]
fn every_number_and_every_failure_is_in_one_minute() {
    let plan = plan(vec![
        monitor("lag", metric("N", "Lag", "all", 1_000_000, false)),
        monitor("stack", Source::Stack { stack: "s".into() }),
    ]);
    let mut watch = Watch::new(&plan);
    let reading = |at, value| (0, Reading { at, value });
    let mut minutes = Vec::new();
    for second in 0..600 {
        let now = second * 1_000;
        let value = match second % 10 {
            3 => Value::Failed("refused".into()),
            // The same reading again, and silence, are no samples.
            4 => Value::Missing("throttled".into()),
            _ => Value::Number(second),
        };
        hears(&mut watch, &plan, now, vec![reading(now, value.clone()), reading(now, value)]);
        hears(&mut watch, &plan, now, vec![(1, Reading { at: now, value: Value::Status("CREATE_COMPLETE".into()) })]);
        minutes.extend(taken(&mut watch));
    }
    assert_eq!(minutes.len(), 9, "a minute ends with the first sample of the next: {minutes:?}");

    // Then nothing more comes, and the last minute ends by the passing of time alone.
    watch.observe(&plan, 659_999, &Event::Tick);
    assert_eq!(taken(&mut watch), []);
    watch.observe(&plan, 660_000, &Event::Tick);
    minutes.extend(taken(&mut watch));
    for (index, (monitor, minute)) in minutes.iter().enumerate() {
        let begins = i64::try_from(index).unwrap() * 60_000;
        assert_eq!((*monitor, minute.begins), (0, begins));
        assert_eq!((minute.samples, minute.failed, minute.first, minute.last), (54, 6, begins, begins + 59_000));
        assert_eq!(minute.numbers.map(|n| (n.min, n.max)), Some((begins / 1_000, begins / 1_000 + 59)));
    }
    assert_eq!(minutes.len(), 10);
    watch.observe(&plan, 6_000_000, &Event::Tick);
    assert_eq!(taken(&mut watch), [], "a minute is told once");
}
