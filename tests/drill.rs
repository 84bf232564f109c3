//! Drills end as their scenarios say, the same way every time, also when the engine is killed in the middle.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeMap;
use std::path::Path;

use cutover::builtin;
use cutover::cloud::Call;
use cutover::commands::drill::{build, report};
use cutover::drill::auto::{Until, drive};
use cutover::drill::operator::Operator;
use cutover::drill::{Drill, WORLD_LOG};
use cutover::engine::{Backend, Engine};
use cutover::journal::{DATABASE, Meta, Store};
use cutover::plan::load::Loaded;
use cutover::plan::{FaultKind, Scenario};
use cutover::run::command::DrillCommand;
use cutover::run::entry::Entry;
use cutover::run::snapshot::{Outcome, Status};
use cutover::sim::{CallRecord, Deed};

fn meta(loaded: &Loaded, scenario: &str, seed: u64) -> Meta {
    Meta {
        run_id: "TEST".into(),
        plan_name: loaded.plan.name.clone(),
        plan_ref: loaded.plan.name.clone(),
        plan_hash: loaded.plan.manifest.hash.clone(),
        drill: true,
        scenario: Some(scenario.into()),
        seed: Some(seed),
        created_at: 0,
        cutover_version: "test".into(),
        workdir: ".".into(),
    }
}

struct Case {
    loaded: Loaded,
    scenario: Scenario,
    meta: Meta,
    folder: tempfile::TempDir,
}

impl Case {
    fn new(plan: &str, scenario: &str, seed: u64) -> Case {
        let loaded = builtin::find(plan).unwrap();
        let found = loaded.scenarios.iter().find(|s| s.name == scenario).unwrap().clone();
        let meta = meta(&loaded, scenario, seed);
        Case { loaded, scenario: found, meta, folder: tempfile::tempdir().unwrap() }
    }

    fn engine(&self) -> Engine<Drill> {
        build(&self.loaded, &self.scenario, &self.folder.path().join("run"), &self.meta, "auto".into())
            .map_err(|f| f.message)
            .unwrap()
    }

    async fn to_the_end(&self) -> (serde_json::Value, Engine<Drill>) {
        let mut engine = self.engine();
        drive(&mut engine, &mut Operator::new(self.meta.seed.unwrap()), Until::End).await;
        engine.settle().await;
        let report = report(&engine.snapshot(), engine.head(), &self.scenario, self.meta.seed.unwrap(), &self.meta);
        (report, engine)
    }

    fn folder(&self) -> std::path::PathBuf {
        self.folder.path().join("run")
    }
}

#[tokio::test]
async fn every_scenario_ends_as_it_says() {
    for plan in builtin::NAMES {
        for scenario in builtin::find(plan).unwrap().scenarios {
            let case = Case::new(plan, &scenario.name, 7);
            let (report, _) = case.to_the_end().await;
            assert_eq!(report["outcome"], scenario.expect, "{plan} {}: {report:#}", scenario.name);
            if scenario.expect == "rolled_back" {
                assert!(report["rto_seconds"].as_i64().unwrap() > 0, "{report:#}");
                assert_eq!(report["rto_seconds"], report["downtime_seconds"]);
            } else {
                assert_eq!(report["downtime_seconds"], 0, "a calm drill fails nobody");
            }
        }
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_journal() {
    let head = async |seed| Case::new("medzen", "region-outage", seed).to_the_end().await.0["journal_head"].clone();
    let first = head(3).await;
    assert_eq!(first, head(3).await);
    assert_ne!(first, head(4).await);
}

#[tokio::test]
async fn the_whole_plan_takes_its_days() {
    let (report, engine) = Case::new("medzen", "calm", 1).to_the_end().await;
    assert_eq!(report["steps"]["done"], report["steps"]["total"]);
    let days = report["virtual_seconds"].as_i64().unwrap() / 86_400;
    assert!((19..=21).contains(&days), "{days} days");
    assert_eq!(engine.snapshot().traffic.iter().map(|t| t.asked).collect::<Vec<_>>(), [Some(100), Some(0)]);
}

/// A generator for kill points; the seed is the test's, so that a failure can be repeated.
struct Points(u64);

impl Points {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Copies what a killed process leaves behind. The copy is taken while the engine lives, so nothing is tidied up.
fn corpse(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in [DATABASE.to_owned(), format!("{DATABASE}-wal"), WORLD_LOG.to_owned()] {
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

/// Every change that the world took on, by token: how often it was applied.
fn applied(log: &[CallRecord]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (token, _) in log.iter().filter_map(CallRecord::applied) {
        *counts.entry(token.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn killed_at_a_hundred_points_nothing_is_lost_or_done_twice() {
    for (plan, scenario, points) in
        [("failover-drill", "region-outage", 40), ("failover-drill", "calm", 40), ("medzen", "region-outage", 20)]
    {
        let whole = Case::new(plan, scenario, 11);
        let (expected, finished) = whole.to_the_end().await;
        let entries = finished.core.run.entries;
        let end = finished.snapshot();
        let records_at_end = last_records(finished.backend.world.calls());
        drop(finished);
        let mut random = Points(42);
        for _ in 0..points {
            let point = 3 + random.below(entries - 3);
            let case = Case::new(plan, scenario, 11);
            let killed = tempfile::tempdir().unwrap();
            {
                let mut engine = build(&case.loaded, &case.scenario, &killed.path().join("run"), &case.meta, "auto".into())
                    .map_err(|f| f.message)
                    .unwrap();
                drive(&mut engine, &mut Operator::new(11), Until::Entries(point)).await;
                corpse(&killed.path().join("run"), &case.folder());
            }
            // In half of the cases the last call never reached the cloud: killed after its intent, before it was sent.
            if random.below(2) == 0 {
                forget_unanswered_call(&case.folder());
            }
            let (report, engine) = case.to_the_end().await;
            let why = format!("{plan} {scenario} killed at entry {point}");
            let tail: Vec<String> =
                engine.core.tail.iter().rev().take(12).rev().map(|l| format!("{} {}", l.at, l.text)).collect();
            assert_eq!(report["outcome"], expected["outcome"], "{why}: {tail:#?} {report:#}");
            let world = engine.backend.world.calls();
            for (token, count) in applied(world) {
                assert_eq!(count, 1, "{why}: {token} was applied {count} times");
            }
            assert_eq!(last_records(world), records_at_end, "{why}: the records end up elsewhere");
            assert_eq!(states(&engine.snapshot()), states(&end), "{why}");
            engine.close();
            everything_intended_and_verified(&case.folder(), world_log(&case.folder()).as_slice(), &why);
        }
    }
}

fn states(snapshot: &cutover::run::snapshot::Snapshot) -> Vec<String> {
    assert!(matches!(snapshot.status, Status::Finished(_)));
    snapshot.steps.iter().map(|s| format!("{} {:?}", s.id, s.state)).collect()
}

fn world_log(folder: &Path) -> Vec<CallRecord> {
    Drill::read_log(folder).unwrap()
}

/// The record sets that the last change of each name left.
fn last_records(log: &[CallRecord]) -> BTreeMap<String, String> {
    let mut last = BTreeMap::new();
    for (_, call) in log.iter().filter_map(CallRecord::applied) {
        if let Call::ChangeRecords { delete, create, .. } = call {
            for record in delete {
                last.remove(&format!("{:?}", record.key()));
            }
            for record in create {
                last.insert(format!("{:?}", record.key()), record.to_string());
            }
        }
    }
    last
}

/// The journal verifies, and every change in the world was intended before it was made.
fn everything_intended_and_verified(folder: &Path, world: &[CallRecord], why: &str) {
    let store = Store::open_read(folder).unwrap();
    store.verify(None).unwrap_or_else(|d| panic!("{why}: entry {}: {}", d.seq, d.what));
    let mut intended = Vec::new();
    for stored in store.read_all().unwrap() {
        if let Entry::Intent { token, .. } = Entry::from_parts(&stored.kind, &stored.body).unwrap() {
            intended.push(token);
        }
    }
    for token in applied(world).keys() {
        assert!(intended.contains(token), "{why}: {token} was done without an intent");
    }
    for token in &intended {
        let known = world.iter().any(|r| matches!(&r.deed, Deed::Call { token: t, .. } if t == token));
        assert!(known, "{why}: the intent {token} was forgotten");
    }
}

/// Cuts the last call off the world's log, if the journal has no outcome for it: as if it had never been sent.
fn forget_unanswered_call(folder: &Path) {
    let log = world_log(folder);
    let Some(Deed::Call { id, .. }) = log.last().map(|r| &r.deed) else { return };
    let store = Store::open_read(folder).unwrap();
    let answered = store.read_all().unwrap().iter().any(|stored| {
        matches!(Entry::from_parts(&stored.kind, &stored.body).unwrap(), Entry::Outcome { id: known, .. } if known == *id)
    });
    if !answered {
        let lines: Vec<String> = log[..log.len() - 1].iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        std::fs::write(folder.join(WORLD_LOG), lines.concat()).unwrap();
    }
}

#[tokio::test]
async fn an_outage_is_noticed_when_nothing_is_going_on() {
    let case = Case::new("medzen", "calm", 5);
    let mut engine = case.engine();
    // Everything is in Frankfurt, the run waits for the next day, and then Frankfurt fails.
    let step = case.loaded.plan.step_named("shift-100").unwrap() + 1;
    drive(&mut engine, &mut Operator::new(5), Until::Step(step)).await;
    let failed_at = engine.snapshot().now;
    engine.backend.drill(&DrillCommand::Inject(FaultKind::RegionDown("eu-central-1".into()))).unwrap();
    drive(&mut engine, &mut Operator::new(5), Until::End).await;
    let seen = engine.snapshot();
    let outage = seen.outage.unwrap();
    assert!(outage.detected - failed_at < 120_000, "noticed after {} ms", outage.detected - failed_at);
    assert_eq!(seen.status, Status::Finished(Outcome::RolledBack));
}

#[tokio::test]
async fn a_skip_stops_at_a_new_alert_although_nothing_is_written() {
    use cutover::link::Request;
    use cutover::run::command::Command;

    let case = Case::new("medzen", "calm", 5);
    let mut engine = case.engine();
    // Nothing goes on, no gate looks at Cape Town, and nobody's requests fail there: all that comes is an alert.
    let step = case.loaded.plan.step_named("canary-10").unwrap();
    drive(&mut engine, &mut Operator::new(5), Until::Step(step)).await;
    // A gate that opens would be a reason to stop as well.
    while engine.snapshot().work.unwrap().blocked.is_some() {
        let event = engine.backend.pop(engine.wake());
        engine.handle(event);
    }
    engine.settle().await;
    engine.backend.set_speed(1);
    let before = engine.snapshot();
    assert!(before.alerts.is_empty(), "{:?}", before.alerts);
    let entries = before.ledger.seq;
    let (sender, requests) = tokio::sync::mpsc::channel(4);
    let (snapshots, mut seen) = tokio::sync::watch::channel(std::sync::Arc::new(before.clone()));
    let keys = async move {
        for what in [DrillCommand::Inject(FaultKind::RegionDown("af-south-1".into())), DrillCommand::SkipAhead] {
            let (reply, answer) = tokio::sync::oneshot::channel();
            sender.send(Request { command: Command::Drill { what }, reply }).await.unwrap();
            answer.await.unwrap();
        }
        let skipping = |s: &cutover::run::snapshot::Snapshot| s.drill.as_ref().unwrap().skipping_to.is_some();
        while skipping(&seen.borrow_and_update()) {
            seen.changed().await.unwrap();
        }

        seen.borrow().clone()
    };
    let (_, stopped) = tokio::join!(engine.run(requests, &snapshots), keys);
    let skipped = stopped.now - before.now;
    assert_eq!(stopped.ledger.seq, entries + 1, "nothing but the fault was written");
    assert!(!stopped.alerts.is_empty(), "no alert stopped it, {skipped} ms later: {:?}", stopped.work);
    assert!(skipped < 400_000, "it went on for {skipped} ms");
}
