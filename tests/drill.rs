//! Drills end as their scenarios say, the same way every time, also when the engine is killed in the middle.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cutover::builtin;
use cutover::cloud::Call;
use cutover::commands::drill::{build, judged, report};
use cutover::drill::auto::{Until, drive, rehearse};
use cutover::drill::judge::Judge;
use cutover::drill::operator::Operator;
use cutover::drill::{Drill, EPOCH, WORLD_LOG};
use cutover::engine::{Backend, Engine};
use cutover::journal::{DATABASE, Meta, Store};
use cutover::plan::load::Loaded;
use cutover::plan::{Condition, FaultKind, Quantity, Scenario, Stat, Test, Unit};
use cutover::run::command::{Command, DrillCommand};
use cutover::run::entry::Entry;
use cutover::run::snapshot::{Armed, Outcome, Snapshot, Status};
use cutover::sim::{CallRecord, Deed, World};

fn meta(loaded: &Loaded, scenario: &str, seed: u64) -> Meta {
    Meta {
        run_id: "TEST".into(),
        plan_name: loaded.plan.name.clone(),
        plan_ref: loaded.plan.name.clone(),
        plan_hash: loaded.plan.manifest.hash.clone(),
        drill: true,
        scenario: Some(scenario.into()),
        seed: Some(seed),
        day_one: None,
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

    /// The same drill from its beginning.
    fn again(&self) -> Case {
        let folder = tempfile::tempdir().unwrap();
        Case { loaded: self.loaded.clone(), scenario: self.scenario.clone(), meta: self.meta.clone(), folder }
    }

    /// The scenario with something else about it.
    fn but(mut self, change: impl FnOnce(&mut Scenario, &Loaded)) -> Case {
        change(&mut self.scenario, &self.loaded);
        self
    }

    fn engine(&self) -> Engine<Drill> {
        build(&self.loaded, &self.scenario, &self.folder.path().join("run"), &self.meta, "auto".into())
            .map_err(|f| f.message)
            .unwrap()
    }

    async fn to_the_end(&self) -> (serde_json::Value, Engine<Drill>) {
        let mut engine = self.engine();
        let seed = self.meta.seed.unwrap();
        let mut judge = Judge::new(&self.scenario);
        rehearse(&mut engine, &mut Operator::new(seed), &mut judge, Until::End, |_| {}).await;
        engine.settle().await;
        let report = judged(report(&engine.snapshot(), engine.head(), &self.scenario, seed, &self.meta), &judge);
        (report, engine)
    }

    /// What is on the screen when the rollback that this drill comes to is looked at.
    async fn at_the_rollback(&self) -> Snapshot {
        let (_, engine) = self.to_the_end().await;
        engine.close();
        let entries = Store::open_read(&self.folder()).unwrap().read_all().unwrap();
        let confirmed = entries.iter().find(|e| e.kind == "rollback-confirmed").unwrap().seq;
        let again = self.again();
        let mut engine = again.engine();
        drive(&mut engine, &mut Operator::new(self.meta.seed.unwrap()), Until::Entries(confirmed - 1)).await;
        engine.command(Command::PrepareRollback { name: None });
        while engine.snapshot().offer.unwrap().fingerprint.is_none() {
            let event = engine.backend.pop(engine.wake());
            engine.handle(event);
            engine.settle().await;
        }
        engine.snapshot()
    }

    fn folder(&self) -> std::path::PathBuf {
        self.folder.path().join("run")
    }
}

/// Every drill that there is, with these seeds, on as many threads as there are processors.
fn every_drill(seeds: std::ops::RangeInclusive<u64>, look: impl Fn(&Case, &serde_json::Value, Engine<Drill>) + Sync) {
    let all: Vec<(&str, String, u64)> = builtin::NAMES
        .iter()
        .flat_map(|plan| builtin::find(plan).unwrap().scenarios.into_iter().map(|s| (*plan, s.name)))
        .flat_map(|(plan, scenario)| seeds.clone().map(move |seed| (plan, scenario.clone(), seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        while let Some((plan, scenario, seed)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let case = Case::new(plan, scenario, *seed);
            let (report, engine) = runtime.block_on(case.to_the_end());
            look(&case, &report, engine);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

#[test]
fn every_scenario_ends_as_it_says() {
    every_drill(7..=7, |Case { scenario, loaded, .. }, report, _| {
        let why = format!("{} {}: {report:#}", loaded.plan.name, scenario.name);
        assert_eq!(report["outcome"], scenario.expect, "{why}");
        if !scenario.steady_state.is_empty() {
            assert_eq!(report["steady_state"], true, "{why}");
        }
        assert!(scenario.expect == "held" || report["given_up"].is_null(), "{why}");
        if scenario.expect == "rolled_back" {
            let rto = report["rto_seconds"].as_i64().unwrap();
            assert!(rto > 0, "{why}");
            assert_eq!(report["rto_seconds"], report["downtime_seconds"], "{why}");
            assert!(scenario.expect_rto_ms.is_none_or(|most| rto * 1_000 <= most), "{why}");
            let parts = ["detect", "decide", "act", "recover"].map(|part| report["rto"][part].as_i64().unwrap());
            assert!(parts.iter().all(|seconds| *seconds >= 0), "{why}");
        }
        if let Some(name) = &scenario.expect_rollback {
            assert_eq!(report["rollback"]["name"], **name, "{why}");
        }
        if scenario.expect == "completed" {
            assert_eq!(report["downtime_seconds"], 0, "nobody fails: {why}");
        }
    });
}

/// The file that says how every drill of this release ends, to the last bit of its journal.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/drill-heads.txt");

#[test]
fn golden_heads_are_those_of_this_release() {
    let lines = Mutex::new(Vec::new());
    every_drill(1..=3, |Case { scenario, loaded, .. }, report, _| {
        let words = [&report["seed"].to_string(), report["outcome"].as_str().unwrap(), report["journal_head"].as_str().unwrap()];
        lines.lock().unwrap().push(format!("{} {} {}", loaded.plan.name, scenario.name, words.join(" ")));
    });
    let mut lines = lines.into_inner().unwrap();
    lines.sort();
    let found = lines.join("\n") + "\n";
    if std::env::var_os("CUTOVER_GOLDEN").is_some_and(|what| what == "write") {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    let expected = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let missing: Vec<&str> = expected.lines().filter(|line| !found.contains(line)).collect();
    assert!(
        found == expected,
        "not as the file says any more: {missing:#?}\nif that is meant: CUTOVER_GOLDEN=write cargo test --test drill golden"
    );
}

/// Calls that the world took on, with their times.
fn calls(world: &World) -> Vec<(i64, &Call)> {
    world.calls().iter().filter_map(|r| Some((r.at, r.applied()?.1))).collect()
}

#[tokio::test]
async fn the_failover_test_moves_everybody_there_and_back_and_nobody_fails() {
    let case = Case::new("medzen", "failover-test", 7);
    let (_, engine) = case.to_the_end().await;
    let world = &engine.backend.world;
    let inverted: Vec<(i64, bool)> = calls(world)
        .into_iter()
        .filter_map(|(at, call)| if let Call::UpdateHealthCheck { inverted, .. } = call { Some((at, *inverted)) } else { None })
        .collect();
    let [(there, true), (back, false)] = inverted[..] else { panic!("{inverted:?}") };
    let frankfurt = |from: i64| world.share("eu-central-1", from, from + 60_000);
    assert_eq!(frankfurt(there - 60_000), 1_000_000);
    assert_eq!(frankfurt(there + 120_000), 0, "INSYNC and one minute later nobody is left in Frankfurt");
    assert_eq!((frankfurt(back - 60_000), frankfurt(back + 120_000)), (0, 1_000_000));
    assert_eq!(world.requests_failed(EPOCH, engine.backend.now()), 0);
}

/// Which rollbacks are armed, of those that apply.
fn armed(seen: &Snapshot) -> Vec<&str> {
    seen.rollbacks.iter().filter(|r| r.armed == Armed::Armed).map(|r| r.name.as_str()).collect()
}

/// Why a rollback is not armed.
fn unarmed<'a>(seen: &'a Snapshot, name: &str) -> &'a str {
    match &seen.rollbacks.iter().find(|r| r.name == name).unwrap().armed {
        Armed::NotArmed(why) => why,
        other => panic!("{name} is {other:?}"),
    }
}

#[tokio::test]
async fn without_us_east_1_the_switch_alone_is_armed_and_calls_nobody_there() {
    let case = Case::new("medzen", "control-plane-away", 7);
    let seen = case.at_the_rollback().await;
    assert_eq!(armed(&seen), ["switch"]);
    for name in ["partial", "full"] {
        assert!(unarmed(&seen, name).contains("us-east-1"), "{name}: {}", unarmed(&seen, name));
    }
    assert!(unarmed(&seen, "immediate").contains("window closed"), "{}", unarmed(&seen, "immediate"));
    assert!(unarmed(&seen, "forward").contains("Frankfurt is not healthy"), "{}", unarmed(&seen, "forward"));
    let offer = seen.offer.unwrap();
    assert_eq!((offer.name.as_str(), offer.calls.len()), ("switch", 1));
    assert_eq!(offer.calls[0].control_plane, None);
    let (_, engine) = case.again().to_the_end().await;
    let world = &engine.backend.world;
    let sent: Vec<&Call> = world
        .calls()
        .iter()
        .filter(|r| r.at > world.first_fault().unwrap())
        .filter_map(|r| if let Deed::Call { call, .. } = &r.deed { Some(&**call) } else { None })
        .collect();
    assert!(matches!(sent[..], [Call::PutMetric { .. }]), "{sent:?}");
    let soon = engine.backend.now() + 60_000;
    assert_eq!(world.share("eu-central-1", soon, soon + 60_000), 0, "everybody has left Frankfurt");
}

#[tokio::test]
async fn a_dead_source_arms_the_way_forward_only() {
    let seen = Case::new("medzen", "source-outage", 7).at_the_rollback().await;
    assert_eq!(armed(&seen), ["forward"]);
    for name in ["partial", "full", "switch"] {
        assert!(unarmed(&seen, name).contains("Ireland is not healthy"), "{name}: {}", unarmed(&seen, name));
    }
    assert_eq!(seen.offer.unwrap().to, "eu-central-1");
}

#[tokio::test]
async fn a_third_partys_edit_is_shown_and_never_overwritten_unseen() {
    let case = Case::new("medzen", "third-party-edit", 7);
    let seen = case.at_the_rollback().await;
    assert_eq!(armed(&seen), ["switch"]);
    assert!(unarmed(&seen, "partial").contains("somebody else changed it"), "{}", unarmed(&seen, "partial"));
    let (_, engine) = case.again().to_the_end().await;
    let log = engine.backend.world.calls();
    let edited = log.iter().position(|r| matches!(r.deed, Deed::Edit { .. })).unwrap();
    let after = log[edited..].iter().filter_map(CallRecord::applied);
    assert!(after.map(|(_, call)| call).all(|call| !matches!(call, Call::ChangeRecords { .. })), "the edit is still there");

    let seen = Case::new("failover-drill", "third-party-edit", 7).at_the_rollback().await;
    let conflict = seen.offer.unwrap().conflict.unwrap();
    let shown = [&conflict.before, &conflict.now, &conflict.wanted].map(|text| text.contains("[frankfurt]"));
    assert_eq!(shown, [true; 3], "{conflict:?}");
    let weights = [(&conflict.before, "weight 50"), (&conflict.now, "weight 200"), (&conflict.wanted, "weight 0")];
    assert!(weights.iter().all(|(text, weight)| text.contains(weight)), "{conflict:?}");
}

#[tokio::test]
async fn lost_and_late_calls_are_settled_and_nothing_is_done_twice() {
    for (plan, scenario) in [("medzen", "lost-answers"), ("failover-drill", "late-answers")] {
        let (report, engine) = Case::new(plan, scenario, 7).to_the_end().await;
        let log = engine.backend.world.calls();
        let doubtful = log.iter().filter(|r| match &r.deed {
            Deed::Call { token, outcome: cutover::sim::Outcome::Applied(_), .. } => {
                // Applied, and yet sent again: its answer was lost.
                log.iter().filter(|o| matches!(&o.deed, Deed::Call { token: t, .. } if t == token)).count() > 1
            }
            Deed::Landed { .. } => true,
            _ => false,
        });
        assert!(doubtful.count() >= 3, "{plan}: there was nothing to settle");
        for (token, count) in applied(log) {
            assert_eq!(count, 1, "{plan}: {token}");
        }
        assert_eq!(report["steps"]["failed"], 0, "{report:#}");
    }
}

#[tokio::test]
async fn expired_credentials_hold_the_run_and_fail_nothing() {
    let case = Case::new("medzen", "credentials-expire", 7);
    let (_, engine) = case.to_the_end().await;
    engine.close();
    let entries = Store::open_read(&case.folder()).unwrap().read_all().unwrap();
    let entries: Vec<(i64, Entry)> = entries.iter().map(|e| (e.at, Entry::from_parts(&e.kind, &e.body).unwrap())).collect();
    assert!(!entries.iter().any(|(_, e)| matches!(e, Entry::Failed { .. })), "no step fails");
    let held: Vec<&(i64, Entry)> = entries.iter().filter(|(_, e)| matches!(e, Entry::Held { .. })).collect();
    let [(at, Entry::Held { reason })] = held[..] else { panic!("{held:?}") };
    assert!(reason.starts_with("credentials: ExpiredToken"), "{reason}");
    let continued = entries.iter().find(|(_, e)| matches!(e, Entry::Continued {})).unwrap().0;
    let away = (continued - at) / 60_000;
    assert!((39..=50).contains(&away), "held for {away} min; somebody logged in after 40");
}

/// That a monitor's statistic is above a percentage.
fn above(loaded: &Loaded, monitor: &str, stat: Stat, percent: i64) -> Condition {
    let limit = Quantity { micros: percent * 10_000, unit: Unit::Share };
    let monitor = loaded.plan.monitor_named(monitor).unwrap();
    Condition { monitor, test: Test::Above(stat, limit), over_ms: 60_000, for_ms: 0, samples: 0 }
}

#[tokio::test]
async fn a_drill_that_begins_in_no_normal_state_shows_nothing_and_is_given_up() {
    let case = Case::new("failover-drill", "region-outage", 7)
        .but(|scenario, loaded| scenario.steady_state = vec![above(loaded, "api-users", Stat::Errors, 50)]);
    let (report, engine) = case.to_the_end().await;
    assert_eq!((&report["outcome"], &report["steady_state"]), (&"held".into(), &false.into()));
    let why = report["given_up"].as_str().unwrap();
    assert!(
        why.starts_with("all was not normal before the first fault: ") && why.contains("errors is 0%, wanted > 50%"),
        "{why}"
    );
    assert!(matches!(engine.snapshot().status, Status::Held { .. }));
    assert!(engine.core.tail.back().unwrap().text.contains("the drill is given up"), "{:?}", engine.core.tail.back());
    assert!(report["rollback"].is_null(), "nothing was shown: {report:#}");
}

#[tokio::test]
async fn a_drill_is_given_up_when_its_abort_condition_holds() {
    let case = Case::new("failover-drill", "region-outage", 7)
        .but(|scenario, loaded| scenario.abort = vec![above(loaded, "api-users", Stat::Errors, 5)]);
    let (report, engine) = case.to_the_end().await;
    assert_eq!((&report["outcome"], &report["steady_state"]), (&"held".into(), &true.into()));
    assert!(report["given_up"].as_str().unwrap().contains("errors > 5%"), "{report:#}");
    let (until_then, fault) = (engine.backend.now(), engine.backend.world.first_fault().unwrap());
    assert!((0..60_000).contains(&(until_then - fault)), "at once, not after {} ms", until_then - fault);
    // Without it the drill takes its course.
    let (report, _) = Case::new("failover-drill", "region-outage", 7).but(|s, _| s.abort.clear()).to_the_end().await;
    assert_eq!((&report["outcome"], &report["given_up"]), (&"rolled_back".into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn who_judges_a_drill_does_not_change_it() {
    let case = Case::new("medzen", "brownout", 5);
    let judged = case.to_the_end().await.0["journal_head"].clone();
    let unjudged = case.again().but(|scenario, _| {
        scenario.steady_state.clear();
        scenario.abort.clear();
    });
    assert_eq!(unjudged.to_the_end().await.0["journal_head"], judged);
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
        if let Entry::Intent { token, call, .. } = Entry::from_parts(&stored.kind, &stored.body).unwrap() {
            intended.push((token, call));
        }
    }
    for token in applied(world).keys() {
        assert!(intended.iter().any(|(t, _)| t == token), "{why}: {token} was done without an intent");
    }
    // A script or a request whose engine died is not made again blindly, so its intent may be all that there is of it.
    let again = |call: &Call| !matches!(call, Call::RunScript { .. } | Call::MakeRequest { .. });
    for (token, _) in intended.iter().filter(|(_, call)| again(call)) {
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
