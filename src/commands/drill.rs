//! `cutover drill`: a rehearsal in the simulated cloud.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;

use super::record::{self, Camera, Recording};
use super::{Ends, cockpit, journal_failed};
use crate::cli::Drill as Args;
use crate::drill::auto::{self, Until};
use crate::drill::judge::Judge;
use crate::drill::operator::Operator;
use crate::drill::{Drill, EPOCH};
use crate::engine::{Backend, Engine};
use crate::exit::{Exit, Failed};
use crate::journal::{JournalError, Meta, Runs, Store, Writer};
use crate::plan::load::Loaded;
use crate::plan::{Scenario, StepId, format_ms};
use crate::run::command::DrillCommand;
use crate::run::entry::Entry;
use crate::run::snapshot::{DrillView, Snapshot, StepState, Verdict};
use crate::run::view::Surroundings;
use crate::sim::{RULES_VERSION, World};

/// How fast a cockpit's drill runs when neither the plan nor the command line says.
const SPEED: u32 = 20;

/// Runs a drill.
///
/// # Errors
/// When the plan is invalid or the drill cannot be kept anywhere.
pub async fn drill(args: &Args, ascii: bool) -> Ends {
    if let Some(folder) = left(args)? {
        return Box::pin(resume(args, ascii, &folder)).await;
    }
    let loaded = super::load(&args.plan)?;
    if !args.auto {
        super::needs_terminal("cutover drill --auto runs a drill without one")?;
    }
    let opening = loaded.plan.drill.opening.clone();
    let name = match (&args.scenario, &opening) {
        (Some(name), _) => name.clone(),
        (None, Some(opening)) if !args.auto => opening.scenario.clone(),
        _ => "calm".to_owned(),
    };
    let scenario = super::scenario(&loaded, &name)?;
    let until = start_step(&loaded, args, opening.as_ref().map(|o| o.until))?;
    let speed = args.speed.or(opening.map(|o| o.speed)).unwrap_or(SPEED);
    // A file that cannot be recorded to is told before anything is begun.
    let recording = Recording::begin(args, &loaded.plan.name, &name, args.seed)?;
    let (folder, meta) = super::new_run(&loaded, &args.plan, Some((&scenario, args.seed)))?;
    let mut engine = build(&loaded, &scenario, &folder, &meta, driver(args))?;
    if let Some(heartbeat) = &loaded.plan.heartbeat {
        let (to, every) = (heartbeat.to.words(), format_ms(heartbeat.every_ms));
        let said = format!("heartbeat: a live run would call {to} every {every}; a drill does not");
        if args.auto { eprintln!("{said}") } else { engine.advise(said) }
    }
    if args.auto {
        return headless(engine, args, (ascii, recording), &scenario, &meta).await;
    }
    if until > 0 {
        // The first frame says that the days before are being rehearsed.
        engine.backend.drill(&DrillCommand::SkipAhead).map_err(|why| Failed::new(Exit::Internal, why))?;
    }
    let mut operator = Operator::new(args.seed);
    let prepare = async move |mut engine: Engine<Drill>| {
        // The days before are rehearsed by the auto-operator, and then the person takes over.
        auto::drive(&mut engine, &mut operator, Until::Step(until)).await;
        engine.backend.set_speed(speed);
        engine
    };
    seen(engine, (ascii, recording), &folder, &meta, prepare).await
}

/// Opens the cockpit, and records it if that is asked for.
async fn seen<P: Future<Output = Engine<Drill>>>(
    engine: Engine<Drill>,
    (ascii, recording): (bool, Option<Recording>),
    folder: &Path,
    meta: &Meta,
    prepare: impl FnOnce(Engine<Drill>) -> P,
) -> Ends {
    let (tape, path) = record::live(recording);
    let (engine, left) = Box::pin(cockpit::open(engine, ascii, tape.clone(), folder, prepare)).await?;
    let exit = farewell(engine, left, meta);
    if let Some(tape) = tape {
        record::ended(tape.end(), &path)?;
        println!("recorded: {}", path.display());
    }
    Ok(exit)
}

fn driver(args: &Args) -> String {
    if args.auto { "auto".into() } else { super::identity() }
}

/// The folder of the drill that is meant, if it is not a plan.
fn left(args: &Args) -> Result<Option<std::path::PathBuf>, Failed> {
    let is_run = Path::new(&args.plan).join(crate::journal::DATABASE).exists();
    if !is_run && (Path::new(&args.plan).exists() || crate::builtin::NAMES.contains(&args.plan.as_str())) {
        return Ok(None);
    }
    let runs = Runs::of_user().map_err(|e| journal_failed(&e))?;
    match runs.find(Some(&args.plan)) {
        Ok(folder) => Ok(Some(folder)),
        // What is no run either is answered as a plan that is not there.
        Err(JournalError::NoRun { .. } | JournalError::NoJournal { .. }) => Ok(None),
        Err(error) => Err(journal_failed(&error)),
    }
}

/// Goes on with a drill that was left.
async fn resume(args: &Args, ascii: bool, folder: &Path) -> Ends {
    let meta = Store::open_read(folder).and_then(|s| s.meta()).map_err(|e| journal_failed(&e))?;
    if !meta.drill {
        return Err(Failed::new(Exit::Usage, format!("{} is a live run: cutover run {}", meta.run_id, meta.run_id)));
    }
    let loaded = super::pinned(&meta)?;
    let scenario = super::scenario(&loaded, meta.scenario.as_deref().unwrap_or("calm"))?;
    let recording = Recording::begin(args, &meta.plan_name, &scenario.name, meta.seed.unwrap_or(0))?;
    let engine = build(&loaded, &scenario, folder, &meta, driver(args))?;
    if args.auto {
        return headless(engine, args, (ascii, recording), &scenario, &meta).await;
    }
    let speed = args.speed.or(loaded.plan.drill.opening.map(|o| o.speed)).unwrap_or(SPEED);
    let prepare = async move |mut engine: Engine<Drill>| {
        engine.backend.set_speed(speed);
        engine
    };
    seen(engine, (ascii, recording), folder, &meta, prepare).await
}

/// Closes a drill whose cockpit was left, and says how to look at it again.
fn farewell(engine: Engine<Drill>, left: crate::ui::Exit, meta: &Meta) -> Exit {
    let snapshot = engine.snapshot();
    let head = engine.head().to_owned();
    engine.close();
    if !matches!(left, crate::ui::Exit::Signal(_)) {
        println!("drill {}: {} entries, head {head}", meta.run_id, snapshot.ledger.seq);
        println!("what happened: cutover log {}", meta.run_id);
        if snapshot.result.is_none() {
            println!("to go on with it: cutover drill {}", meta.run_id);
        }
    }
    cockpit::exit_of(&snapshot)
}

/// The step at which a cockpit's drill begins.
fn start_step(loaded: &Loaded, args: &Args, opening: Option<StepId>) -> Result<StepId, Failed> {
    match args.from {
        None => Ok(opening.filter(|_| args.scenario.is_none()).unwrap_or(0)),
        Some(day) => loaded.plan.steps.iter().position(|s| s.day >= day).ok_or_else(|| {
            Failed::new(Exit::Usage, format!("no step on day {day} or later: the plan has {} days", loaded.plan.days))
        }),
    }
}

/// The engine of a drill: a new one with its first entries, or one that was left, as its folder tells.
///
/// # Errors
/// When its folder cannot be written or read.
pub fn build(loaded: &Loaded, scenario: &Scenario, folder: &Path, meta: &Meta, driver: String) -> Result<Engine<Drill>, Failed> {
    let internal = |what: &str, e: &dyn std::fmt::Display| Failed::new(Exit::Internal, format!("{what}: {e}"));
    let plan = Arc::new(loaded.plan.clone());
    let seed = meta.seed.unwrap_or(0);
    if !folder.join(crate::journal::DATABASE).exists() {
        Store::create(folder, meta).map_err(|e| journal_failed(&e))?;
    }
    let opened = super::open::open(Arc::clone(&plan), folder)?;
    let (epoch, ledger, newest_at) = (opened.epoch, opened.told.ledger(), opened.told.newest_at());
    let (sender, acks) = mpsc::unbounded_channel();
    let writer = Writer::spawn(opened.store, epoch, sender).map_err(|e| internal("cannot start the journal's thread", &e))?;
    let log = Drill::read_log(folder).map_err(|e| internal("cannot read the simulated world's log", &e))?;
    // Time goes on where the drill was left.
    let now = newest_at.unwrap_or(EPOCH).max(log.last().map_or(EPOCH, |r| r.at));
    let world = World::restore(Arc::clone(&plan), scenario, seed, EPOCH, &log)
        .map_err(|e| internal("the simulated world is not what it was", &format!("{e:?}")))?;
    let mut backend = Drill::new(world, Arc::clone(&plan), now);
    backend.keep_log(folder).map_err(|e| internal("cannot write the simulated world's log", &e))?;
    let around = Surroundings {
        run: meta.run_id.clone(),
        account: plan.account.clone(),
        driver,
        epoch,
        drill: Some(DrillView { speed: 0, skipping_to: None, faults: Vec::new() }),
        scenario: Some(scenario.name.clone()),
        seed: Some(seed),
        ledger,
    };
    let core = opened.told.core;
    let mut first = Vec::new();
    if newest_at.is_none() {
        first.push(Entry::Genesis {
            plan: plan.name.clone(),
            plan_hash: plan.manifest.hash.clone(),
            scenario: Some(scenario.name.clone()),
            scenario_hash: Some(scenario.hash.clone()),
            seed: Some(seed),
            rules: Some(RULES_VERSION),
            token_base: format!("drill {seed}"),
        });
    }
    first.push(Entry::EngineStarted { resumed: newest_at.is_some(), open: core.unsettled() });
    let mut engine = Engine::new(core, backend, around, writer, acks);
    engine.keep(opened.spool, opened.told.left);
    engine.keep_runbook(folder.to_path_buf());
    engine.keep_samples(folder);
    engine.open("auto", first);
    Ok(engine)
}

/// A store that keeps the lease for as long as it is written to.
pub struct Leased {
    store: Store,
    /// Given back when the store is closed.
    lease: crate::journal::Lease,
}

impl Leased {
    /// Ties the two together.
    #[must_use]
    pub fn new(store: Store, lease: crate::journal::Lease) -> Leased {
        Leased { store, lease }
    }
}

impl crate::journal::Append for Leased {
    fn append(
        &mut self,
        epoch: u64,
        drafts: &[crate::journal::Draft],
    ) -> Result<crate::journal::Head, crate::journal::JournalError> {
        self.lease.settle(&self.store)?;
        crate::journal::Append::append(&mut self.store, epoch, drafts)
    }
}

async fn headless(
    mut engine: Engine<Drill>,
    args: &Args,
    (ascii, recording): (bool, Option<Recording>),
    scenario: &Scenario,
    meta: &Meta,
) -> Ends {
    let mut operator = Operator::new(meta.seed.unwrap_or(args.seed));
    let mut camera = Camera::on(recording, ascii)?;
    let mut judge = Judge::new(scenario);
    auto::rehearse(&mut engine, &mut operator, &mut judge, Until::End, |engine| {
        if let Some(camera) = &mut camera {
            camera.look(engine);
        }
    })
    .await;
    cockpit::end(&mut engine).await;
    if let Some(why) = engine.failed() {
        return Err(Failed::new(Exit::Internal, format!("the journal cannot be written: {why}")));
    }
    let snapshot = engine.snapshot();
    let report = judged(report(&snapshot, engine.head(), scenario, meta.seed.unwrap_or(0), meta), &judge);
    let recorded = camera.map(|camera| camera.end(&engine));
    engine.close();
    if args.json {
        println!("{report:#}");
    } else {
        print_report(&report);
    }
    if let Some(path) = recorded.transpose()? {
        eprintln!("recorded: {}", path.display());
    }
    Ok(cockpit::exit_of(&snapshot))
}

/// The JSON object that a headless drill prints.
#[must_use]
pub fn report(screen: &Snapshot, head: &str, scenario: &Scenario, seed: u64, meta: &Meta) -> serde_json::Value {
    let count = |state: StepState| screen.steps.iter().filter(|s| s.state == state).count();
    let outcome = screen.result.as_ref().map_or("held".into(), |r| serde_json::to_value(r.outcome).unwrap_or_default());
    let rollback = screen.result.as_ref().and_then(|r| r.rollback.as_ref());
    let rto = screen.result.as_ref().and_then(|r| r.rto.as_ref());
    let rpo_ms = screen.result.as_ref().and_then(|r| r.rpo_ms);
    let seconds = |ms: i64| ms / 1_000;
    json!({
        "run": meta.run_id,
        "outcome": outcome,
        "plan": screen.identity.plan,
        "scenario": scenario.name,
        "seed": seed,
        "simulated": true,
        "virtual_seconds": seconds(screen.now - screen.started),
        "steps": {
            "total": screen.steps.len(),
            "done": count(StepState::Done),
            "undone": count(StepState::Undone),
            "skipped": count(StepState::Skipped),
            "interrupted": count(StepState::Interrupted),
            "failed": count(StepState::Failed),
            "running": count(StepState::Running) + count(StepState::Verifying),
            "pending": count(StepState::Pending),
        },
        "rollback": rollback.map(|(name, at, took)| {
            json!({ "name": name, "started_at": super::log::time(*at), "seconds": seconds(*took) })
        }),
        "rto_seconds": rto.map(|r| seconds(r.total_ms)),
        "rto": rto.map(|r| json!({ "detect": seconds(r.detect_ms), "decide": seconds(r.decide_ms), "act": seconds(r.act_ms),
                                   "recover": seconds(r.recover_ms) })),
        "rpo_seconds": rpo_ms.map(seconds),
        "downtime_seconds": seconds(screen.downtime_ms),
        "downtime_budget_seconds": seconds(screen.budget_ms),
        "failed_requests": screen.result.as_ref().and_then(|r| r.failed_requests),
        "journal_entries": screen.ledger.seq,
        "journal_head": head,
    })
}

/// Adds what the judge of a drill says.
#[must_use]
pub fn judged(mut report: serde_json::Value, judge: &Judge) -> serde_json::Value {
    report["steady_state"] = judge.steady().map(|verdict| *verdict == Verdict::Pass).into();
    report["given_up"] = judge.given_up().into();
    report
}

fn print_report(report: &serde_json::Value) {
    let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    println!("{} of {} in scenario {}, seed {}", text("outcome"), text("plan"), text("scenario"), report["seed"]);
    println!("steps: {} of {} done", report["steps"]["done"], report["steps"]["total"]);
    if let Some(why) = report["given_up"].as_str() {
        println!("given up: {why}");
    }
    if let Some(name) = report["rollback"]["name"].as_str() {
        println!("rollback {name} in {} s", report["rollback"]["seconds"]);
    }
    if report["rto_seconds"].is_i64() {
        println!("RTO {} s, RPO {} s (SIMULATED)", report["rto_seconds"], report["rpo_seconds"]);
    }
    println!("downtime {} s of {} s", report["downtime_seconds"], report["downtime_budget_seconds"]);
    if report["failed_requests"].is_u64() {
        println!("{} requests of users failed (SIMULATED)", report["failed_requests"]);
    }
    println!("journal: run {}, {} entries, head {}", text("run"), report["journal_entries"], text("journal_head"));
}
