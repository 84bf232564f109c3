//! Three weeks with fifty monitors: memory and disk stay what they were after two days. A binary of its own, so that what
//! it measures is its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::fs;

use cutover::commands::drill::build;
use cutover::drill::EPOCH;
use cutover::drill::auto::{Until, rehearse};
use cutover::drill::judge::Judge;
use cutover::drill::operator::Operator;
use cutover::engine::Backend;
use cutover::plan::{Action, Plan, Source};
use cutover::samples::DATABASE;
use support::{SEED, calm};

#[path = "support/calm.rs"]
mod support;

const DAY: i64 = 86_400_000;
const MONITORS: usize = 50;
/// By how much memory may have grown from the second day to the last, in kilobytes. Rings that are read every five minutes
/// need a week to be full (fifty of them: 2.4 MB), a history a day and a half for each of its doublings (1 MB).
const GROWTH_MAX_KB: i64 = 8_000;
/// What the samples of three weeks may take, in bytes. Most of it are minutes: 20 kB a day for one monitor.
const SAMPLES_MAX: u64 = 20_000_000;

/// Memory of this process that is resident, in kilobytes.
fn resident_kb() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Gives the plan fifty monitors, all new ones probes, and lets every soak depend on the new ones as well, so that they are read often.
fn widen(plan: &mut Plan) {
    let probes: Vec<usize> = (0..plan.monitors.len()).filter(|id| matches!(plan.monitors[*id].source, Source::Http(_))).collect();
    let mut copies = Vec::new();
    for copy in 0..MONITORS - plan.monitors.len() {
        let of = probes[copy % probes.len()];
        let mut monitor = plan.monitors[of].clone();
        monitor.name = format!("{}-{copy}", monitor.name);
        copies.push((of, plan.monitors.len()));
        plan.monitors.push(monitor);
    }
    let Plan { steps, conditions: all, .. } = plan;
    for step in steps {
        let Action::Soak { conditions, .. } = &mut step.action else { continue };
        for condition in conditions.clone() {
            let read = all[condition].monitor;
            for (_, copy) in copies.iter().filter(|(of, _)| *of == read) {
                let mut more = all[condition].clone();
                more.monitor = *copy;
                conditions.push(all.len());
                all.push(more);
            }
        }
    }
}

#[tokio::test]
async fn memory_is_flat_from_the_second_day_to_the_last() {
    let (mut loaded, scenario, meta) = calm("medzen");
    widen(&mut loaded.plan);
    assert_eq!(loaded.plan.monitors.len(), MONITORS);
    let folder = tempfile::tempdir().unwrap();
    let mut engine = build(&loaded, &scenario, folder.path(), &meta, "auto".into()).unwrap();
    let (mut days, mut samples) = (Vec::new(), 0_u64);
    rehearse(&mut engine, &mut Operator::new(SEED), &mut Judge::new(&scenario), Until::End, |engine| {
        let day = usize::try_from((engine.backend.now() - EPOCH) / DAY).unwrap();
        if day > days.len() {
            days.push(resident_kb());
        }
    })
    .await;
    let until = engine.backend.now();
    let snapshot = engine.snapshot();
    assert!(snapshot.result.is_some(), "{:?}", snapshot.status);
    for monitor in &snapshot.monitors {
        samples += monitor.chart.past.run.iter().map(|point| u64::from(point.samples)).sum::<u64>();
    }
    drop(snapshot);
    days.push(resident_kb());
    engine.close();
    let size = fs::metadata(folder.path().join(DATABASE)).unwrap().len();
    println!("{samples} samples in {} days; kB by day {days:?}; samples.db {size} bytes", (until - EPOCH) / DAY);
    assert!(days.len() >= 20, "the drill was over after {} days", days.len());
    assert!(samples > 500_000, "{samples} samples are too few to show anything");
    let growth = days.last().unwrap() - days[1];
    assert!(growth < GROWTH_MAX_KB, "{growth} kB more than after two days: {days:?}");
    assert!(size < SAMPLES_MAX, "{size} bytes of samples");
}
