//! Samples of a run: what gates read is what a screen shows, what was kept opens no gate, and trouble with the file is no
//! trouble of the run.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cutover::commands::drill::build;
use cutover::drill::Drill;
use cutover::drill::auto::{Until, drive};
use cutover::drill::operator::Operator;
use cutover::engine::{Backend, Engine};
use cutover::run::gate;
use cutover::run::snapshot::{Level, Verdict};
use cutover::samples::{DATABASE, Keeper};

use crate::calm::{SEED, calm};

fn open(folder: &Path) -> Engine<Drill> {
    let (loaded, scenario, meta) = calm("failover-drill");
    build(&loaded, &scenario, folder, &meta, "auto".into()).unwrap()
}

async fn driven(folder: &Path, until: Until) -> Engine<Drill> {
    let mut engine = open(folder);
    drive(&mut engine, &mut Operator::new(SEED), until).await;
    engine
}

#[tokio::test]
async fn a_screen_shows_the_very_samples_that_gates_read() {
    let folder = tempfile::tempdir().unwrap();
    let engine = driven(folder.path(), Until::Entries(12)).await;
    let seen = engine.snapshot();
    let mut samples = 0;
    for (view, ring) in seen.monitors.iter().zip(&engine.core.watch.rings) {
        assert!(Arc::ptr_eq(&view.chart.samples, &ring.samples), "{}", view.name);
        let newest: Vec<Option<i64>> = ring.samples.iter().rev().take(view.spark.len()).rev().map(|sample| sample.1).collect();
        assert_eq!(view.spark, newest, "{}", view.name);
        samples += view.chart.samples.len();
    }
    assert!(samples > 50, "{samples}");
    // What a program reads does not grow with the run.
    let json = serde_json::to_value(&seen).unwrap();
    assert!(json["monitors"][0].get("chart").is_none() && json["monitors"][0].get("spark").is_some());
}

#[tokio::test]
async fn what_was_kept_goes_to_the_charts_and_opens_no_gate() {
    let folder = tempfile::tempdir().unwrap();
    let before = driven(folder.path(), Until::Entries(12)).await;
    let rings: Vec<_> = before.core.watch.rings.iter().map(|ring| ring.samples.clone()).collect();
    before.close();

    let engine = open(folder.path());
    let now = engine.backend.now();
    let (core, seen) = (&engine.core, engine.snapshot());
    let mut shown = 0;
    for ((view, ring), old) in seen.monitors.iter().zip(&core.watch.rings).zip(&rings) {
        assert!(ring.samples.is_empty(), "a ring begins anew");
        assert!(view.chart.past.before.iter().eq(old.iter()), "{}: all of it is there", view.name);
        assert_eq!(view.spark.len(), old.len().min(60), "{}", view.name);
        let minutes: u32 = view.chart.past.run.iter().map(|point| point.samples).sum();
        assert_eq!(usize::try_from(minutes).unwrap(), old.len(), "{}: each sample is in one minute", view.name);
        shown += old.len();
    }
    assert!(shown > 50, "{shown}");
    for id in 0..core.plan.conditions.len() {
        let verdict = gate::verdict(&core.plan, &core.watch, id, now);
        assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    }
}

#[tokio::test]
async fn trouble_with_samples_is_one_advisory_and_changes_nothing_else() {
    let good = tempfile::tempdir().unwrap();
    let engine = driven(good.path(), Until::End).await;
    let (head, alerts) = (engine.head().to_owned(), engine.snapshot().alerts.len());
    engine.close();

    let bad = tempfile::tempdir().unwrap();
    fs::create_dir(bad.path().join(DATABASE)).unwrap();
    let engine = driven(bad.path(), Until::End).await;
    assert_eq!(engine.head(), head);
    let seen = engine.snapshot();
    let said: Vec<_> = seen.alerts.iter().filter(|alert| alert.text.contains("samples are not kept")).collect();
    assert_eq!((said.len(), said[0].level, seen.alerts.len()), (1, Level::Advisory, alerts + 1));
    engine.close();

    let names: Vec<String> = calm("failover-drill").0.plan.monitors.iter().map(|monitor| monitor.name.clone()).collect();
    let (_, kept) = Keeper::open(good.path(), names).unwrap();
    assert!(kept.minutes.len() > 10, "while the other one kept what it saw: {}", kept.minutes.len());
}
