//! `cutover run`: drives a plan for real, or goes on with a run that was left.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Ends, cockpit, journal_failed};
use crate::aws::Aws;
use crate::cli::Run as Args;
use crate::cloud::FailureKind;
use crate::engine::Engine;
use crate::exit::{Exit, Failed};
use crate::journal::{JournalError, Meta, Runs, Store, Writer};
use crate::live::Live;
use crate::local::{Local, Settings};
use crate::plan::Plan;
use crate::plan::load::Loaded;
use crate::run::entry::Entry;
use crate::run::snapshot::Status;
use crate::run::view::Surroundings;

/// Opens the cockpit on a live run.
///
/// # Errors
/// Exit codes 3, 6, 7 and 8, each with what to do.
pub async fn run(args: &Args, ascii: bool) -> Ends {
    let (loaded, folder, meta, is_new) = choose(args)?;
    let engine = open(&loaded, &folder, &meta, is_new, true).await?;
    let (engine, left) = Box::pin(cockpit::open(engine, ascii, None, &folder, async |engine| engine)).await?;
    let snapshot = engine.snapshot();
    let head = engine.head().to_owned();
    engine.close();
    if !matches!(left, crate::ui::Exit::Signal(_)) {
        println!("run {}: {} entries, head {head}", meta.run_id, snapshot.ledger.seq);
        if !matches!(snapshot.status, Status::Finished(_)) {
            println!("it stands still until somebody goes on with it: cutover run {}", meta.run_id);
        }
    }
    Ok(cockpit::exit_of(&snapshot))
}

/// Which run is meant: an existing one by id or folder, one of this plan that was left, or a new one.
fn choose(args: &Args) -> Result<(Loaded, std::path::PathBuf, Meta, bool), Failed> {
    let runs = Runs::of_user().map_err(|e| journal_failed(&e))?;
    let is_plan = crate::builtin::NAMES.contains(&args.plan.as_str())
        || (Path::new(&args.plan).exists() && !Path::new(&args.plan).join(crate::journal::DATABASE).exists());
    if !is_plan {
        return match runs.find(Some(&args.plan)) {
            Ok(folder) => resumed(folder, args),
            // What is neither is most likely a plan that is not there: say so as a plan.
            Err(JournalError::NoRun { .. } | JournalError::NoJournal { .. }) => Err(Failed::new(
                Exit::PlanInvalid,
                format!("'{}' is neither a plan (a file, a folder, or medzen, failover-drill) nor a run", args.plan),
            )),
            Err(error) => Err(journal_failed(&error)),
        };
    }
    let loaded = super::load(&args.plan)?;
    if !args.new {
        let listing = runs.list().map_err(|e| journal_failed(&e))?;
        let left = listing.runs.into_iter().find(|r| !r.meta.drill && r.meta.plan_name == loaded.plan.name && !r.finished());
        if let Some(run) = left {
            eprintln!("going on with run {} of {} (--new starts another one)", run.meta.run_id, run.meta.plan_name);
            return resumed(run.folder, args);
        }
    }
    show_programs(&loaded.plan, args.yes)?;
    let (folder, mut meta) = super::new_run(&loaded, &args.plan, None)?;
    if let Some(workdir) = &args.workdir {
        let found = workdir.canonicalize().ok().filter(|path| path.is_dir());
        meta.workdir = found.ok_or_else(|| {
            Failed::new(Exit::Usage, format!("the working tree {} is not a folder that is there", workdir.display()))
        })?;
    }
    meta.day_one = args.start.map(|date| date.to_string());
    Ok((loaded, folder, meta, true))
}

/// A plan is code: what a run starts by itself is shown before it does so for the first time, and somebody has to agree.
/// A run that is gone on with has the same plan, by its pin, so nobody is asked again.
fn show_programs(plan: &Plan, yes: bool) -> Result<(), Failed> {
    let programs = super::check::programs(plan);
    if programs.is_empty() {
        return Ok(());
    }
    eprintln!("a run of this plan starts these programs here:");
    for program in &programs {
        eprintln!("  {program}");
    }
    if yes {
        return Ok(());
    }
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        let why = "there is nobody to ask whether they may be started: look at them, then say --yes";
        return Err(Failed::new(Exit::Usage, why));
    }
    eprint!("type yes to go on: ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| Failed::new(Exit::Internal, format!("cannot ask: {e}")))?;
    if line.trim() == "yes" { Ok(()) } else { Err(Failed::new(Exit::NotComplete, "nothing was started")) }
}

fn resumed(folder: std::path::PathBuf, args: &Args) -> Result<(Loaded, std::path::PathBuf, Meta, bool), Failed> {
    if args.start.is_some() {
        let why = "--start is for a new run (--new starts one): a run that is gone on with keeps the day on which it began";
        return Err(Failed::new(Exit::Usage, why));
    }
    let meta = Store::open_read(&folder).and_then(|s| s.meta()).map_err(|e| journal_failed(&e))?;
    if meta.drill {
        return Err(Failed::new(Exit::Usage, format!("{} is a drill; start a new one with cutover drill", meta.run_id)));
    }
    let loaded = super::pinned(&meta)?;
    Ok((loaded, folder, meta, false))
}

/// An engine for a live run, which is made first if it is new: identity first, then the lease, then the journal.
///
/// # Errors
/// Exit code 7 before anything but `GetCallerIdentity` was called, 6 when another engine has the run.
pub async fn open(loaded: &Loaded, folder: &Path, meta: &Meta, is_new: bool, screen: bool) -> Result<Engine<Live>, Failed> {
    let plan = Arc::new(loaded.plan.clone());
    let aws = Aws::connect().await;
    let arn = guard(&aws, &plan).await?;
    if screen {
        super::needs_terminal("cutover rollback RUN NAME runs a rollback without one")?;
    }
    if is_new {
        Store::create(folder, meta).map_err(|e| journal_failed(&e))?;
    }
    // Reading checks the chain: going on with a journal that somebody changed would make the next entries worthless.
    let opened = super::open::open(Arc::clone(&plan), folder)?;
    let (epoch, is_first) = (opened.epoch, opened.told.newest_at().is_none());
    let around = Surroundings {
        run: meta.run_id.clone(),
        account: plan.account.clone(),
        driver: format!("{} ({})", super::identity(), arn.rsplit(['/', ':']).next().unwrap_or_default()),
        epoch,
        drill: None,
        scenario: None,
        seed: None,
        ledger: opened.told.ledger(),
    };
    let (sender, acks) = mpsc::unbounded_channel();
    let writer = Writer::spawn(opened.store, epoch, sender)
        .map_err(|e| Failed::new(Exit::Internal, format!("cannot start the journal's thread: {e}")))?;
    let core = opened.told.core;
    let mut first = Vec::new();
    if is_first {
        first.push(Entry::Genesis {
            plan: plan.name.clone(),
            plan_hash: plan.manifest.hash.clone(),
            scenario: None,
            scenario_hash: None,
            seed: None,
            rules: None,
            token_base: meta.run_id.clone(),
        });
    }
    first.push(Entry::EngineStarted { resumed: !is_first, open: core.unsettled() });
    // Also for a run whose first process died before it came to this.
    if let Some(date) = meta.day_one.clone().filter(|_| core.run.day_one.is_none()) {
        first.push(Entry::DayOne { date });
    }
    let driver = around.driver.clone();
    let (heartbeat, place) = (plan.heartbeat.clone(), super::place::warning(&plan).await);
    let local = Local::new(Settings {
        folder: folder.to_path_buf(),
        workdir: meta.workdir.clone(),
        run: meta.run_id.clone(),
        plan: super::plan_folder(&meta.plan_ref),
        secrets: plan.secrets.clone(),
    });
    let mut engine = Engine::new(core, Live::new(aws, local, plan), around, writer, acks);
    if let Some(heartbeat) = heartbeat {
        engine.keep_beating(crate::live::heartbeat::begin(&heartbeat));
    }
    if let Some(place) = place {
        engine.advise(place);
    }
    engine.keep(opened.spool, opened.told.left);
    engine.keep_runbook(folder.to_path_buf());
    engine.keep_samples(folder);
    engine.open(&driver, first);
    Ok(engine)
}

/// Refuses credentials of another account. Returns the identity's ARN.
///
/// # Errors
/// Exit code 7; nothing but `GetCallerIdentity` was called.
pub async fn guard(aws: &Aws, plan: &Plan) -> Result<String, Failed> {
    let identity = aws.identity().await.map_err(|failure| {
        let hint = match failure.kind {
            FailureKind::Credentials => "log in (for example with aws sso login), then try again",
            FailureKind::Unreachable => "check the network, AWS_ENDPOINT_URL and the region",
            _ => "nothing was changed; try again",
        };
        Failed::new(Exit::Account, format!("cannot tell whose credentials these are: {}; {hint}", failure.message))
    })?;
    if identity.account != plan.account {
        return Err(Failed::new(
            Exit::Account,
            format!(
                "the plan belongs to account {}, the credentials to {} ({}); nothing was called but GetCallerIdentity",
                plan.account, identity.account, identity.arn
            ),
        ));
    }
    Ok(identity.arn)
}
