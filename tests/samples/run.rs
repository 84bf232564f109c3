//! Samples of a run: what gates read is what a screen shows, what was kept opens no gate, and trouble with the file is no
//! trouble of the run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cutover::commands::drill::build;
use cutover::commands::status::of_folder;
use cutover::drill::Drill;
use cutover::drill::auto::{Until, drive};
use cutover::drill::operator::Operator;
use cutover::engine::{Backend, Engine};
use cutover::run::gate;
use cutover::run::snapshot::{Level, Verdict};
use cutover::samples::{DATABASE, Keeper};
use rusqlite::Connection;

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

/// What makes a database unreadable.
type Spoil = fn(&Path);

/// Every file of a folder whose name begins so, with what is in it.
fn beginning(folder: &Path, name: &str) -> BTreeMap<String, Vec<u8>> {
    files(folder).into_iter().filter(|(file, _)| file.starts_with(name)).collect()
}

/// Every file of a folder with what is in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[tokio::test]
async fn without_an_engine_the_error_budget_is_what_the_last_one_showed() {
    let (loaded, _, mut meta) = calm("failover-drill");
    let scenario = loaded.scenarios.iter().find(|s| s.name == "region-outage").unwrap();
    meta.scenario = Some(scenario.name.clone());
    let folder = tempfile::tempdir().unwrap();
    let mut engine = build(&loaded, scenario, folder.path(), &meta, "auto".into()).unwrap();
    drive(&mut engine, &mut Operator::new(SEED), Until::End).await;
    let living = engine.snapshot().availability;
    assert!(living.service.certain_ms > 60_000 && living.service.certain_ms < living.service.possible_ms, "{living:?}");

    // An engine that is killed leaves its newest samples in the log beside the database.
    let reader = Connection::open(folder.path().join(DATABASE)).unwrap();
    reader.query_row("SELECT count(*) FROM minutes", [], |row| row.get::<_, i64>(0)).unwrap();
    engine.close();
    let killed = tempfile::tempdir().unwrap();
    for (name, bytes) in files(folder.path()) {
        fs::write(killed.path().join(name), bytes).unwrap();
    }
    drop(reader);
    let log = format!("{DATABASE}-wal");
    assert!(files(killed.path())[&log].len() > 1_000 && !files(folder.path()).contains_key(&log));
    for folder in [folder.path(), killed.path()] {
        let before = beginning(folder, DATABASE);
        assert_eq!(of_folder(folder).unwrap().availability, living);
        assert_eq!(of_folder(folder).unwrap().availability, living);
        assert!(beginning(folder, DATABASE) == before, "{:?}", files(folder).keys());
    }

    // What cannot be read costs the error budget, which is then unmeasured, and nothing else.
    let spoils: [Spoil; 3] = [
        |file| fs::write(file, vec![b'x'; 8_192]).unwrap(),
        |file| fs::remove_file(file).unwrap(),
        |file| fs::create_dir(file).unwrap(),
    ];
    for spoil in spoils {
        spoil(&folder.path().join(DATABASE));
        let before = beginning(folder.path(), DATABASE);
        let seen = of_folder(folder.path()).unwrap();
        let service = &seen.availability.service;
        assert_eq!((service.certain_ms, service.unmeasured_ms), (0, service.possible_ms));
        assert!(service.possible_ms > living.service.possible_ms && seen.result.is_some(), "{service:?}");
        assert!(beginning(folder.path(), DATABASE) == before, "{:?}", files(folder.path()).keys());
    }
}
