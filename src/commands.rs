//! The commands: each a function that says how the process ends.

use std::path::Path;
use std::sync::Arc;

use crate::exit::{Exit, Failed};
use crate::journal::{JournalError, Lease, Meta, Stored};
use crate::plan::load::Loaded;
use crate::plan::{Plan, Scenario};
use crate::run::core::Core;
use crate::run::entry::Entry;

pub mod check;
pub mod cockpit;
pub mod drill;
pub mod log;
pub mod open;
pub mod place;
pub mod probe;
pub mod prove;
pub mod record;
pub mod rollback;
pub mod run;
pub mod runbook;
pub mod schema;
pub mod status;

/// How a command ends.
pub type Ends = Result<Exit, Failed>;

/// Loads a plan; its problems are printed as they are.
///
/// # Errors
/// Exit code 3 with every problem.
pub fn load(plan: &str) -> Result<Loaded, Failed> {
    crate::builtin::find(plan).map_err(|problems| {
        let count = problems.0.iter().filter(|problem| !problem.warning).count();
        let color = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
        Failed::new(Exit::PlanInvalid, format!("{}\n{plan}: {count} error(s)", problems.render(color).trim_end()))
    })
}

/// Turns an error of the journal into one with its exit code.
#[must_use]
pub fn journal_failed(error: &JournalError) -> Failed {
    let exit = if error.is_lease() {
        Exit::Busy
    } else if error.is_damage() {
        Exit::JournalDamaged
    } else if matches!(error, JournalError::NoRun { .. } | JournalError::Ambiguous { .. } | JournalError::NoJournal { .. }) {
        Exit::Usage
    } else {
        Exit::Internal
    };
    Failed::new(exit, error.to_string())
}

/// Takes the lease of a run.
///
/// # Errors
/// Exit code 6 when another engine has it.
pub fn lease(folder: &Path) -> Result<(Lease, u64), Failed> {
    Lease::take(folder).map_err(|e| journal_failed(&e))
}

/// Folds stored entries into a core.
///
/// # Errors
/// Exit code 8 when an entry cannot be read.
pub fn fold(plan: Arc<Plan>, entries: &[Stored]) -> Result<Core, Failed> {
    let mut core = Core::new(plan);
    for stored in entries {
        let entry = Entry::from_parts(&stored.kind, &stored.body)
            .map_err(|e| Failed::new(Exit::JournalDamaged, format!("journal entry {}: {e}", stored.seq)))?;
        core.replay(stored.at, &stored.actor, &entry);
    }
    Ok(core)
}

/// Loads the plan that a run is pinned to.
///
/// # Errors
/// Exit code 3 when the plan is not what it was when the run began.
pub fn pinned(meta: &Meta) -> Result<Loaded, Failed> {
    let loaded = load(&meta.plan_ref)?;
    if loaded.plan.manifest.hash != meta.plan_hash {
        return Err(Failed::new(
            Exit::PlanInvalid,
            format!(
                "the plan '{}' has changed since the run began: it was {}, it is {}; put the old files back to go on \
                 (changing a plan under a run is not possible in this release)",
                meta.plan_ref,
                meta.plan_hash.get(..12).unwrap_or_default(),
                loaded.plan.manifest.hash.get(..12).unwrap_or_default(),
            ),
        ));
    }
    Ok(loaded)
}

/// The folder in which a plan's own files are, if they are on this machine.
#[must_use]
pub fn plan_folder(plan_ref: &str) -> Option<std::path::PathBuf> {
    let path = std::path::Path::new(plan_ref).canonicalize().ok()?;
    if path.is_dir() { Some(path) } else { path.parent().map(std::path::Path::to_path_buf) }
}

/// The scenario of that name.
///
/// # Errors
/// Exit code 2 with the names there are.
pub fn scenario(loaded: &Loaded, name: &str) -> Result<Scenario, Failed> {
    loaded.scenarios.iter().find(|s| s.name == name).cloned().ok_or_else(|| {
        let known: Vec<&str> = loaded.scenarios.iter().map(|s| s.name.as_str()).collect();
        Failed::new(Exit::Usage, format!("no scenario '{name}' beside this plan; there are: {}", known.join(", ")))
    })
}

/// Who sits at this machine: the user as the operating system knows them (not as the environment says), and the host.
#[must_use]
pub fn identity() -> String {
    use std::os::unix::fs::MetadataExt;
    // A process's own folder belongs to its user.
    let uid = std::fs::metadata("/proc/self").map(|m| m.uid().to_string()).unwrap_or_default();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|fields| fields.get(2) == Some(&uid.as_str()));
    let user = match named.and_then(|fields| fields.first().map(|name| (*name).to_owned())) {
        Some(name) => name,
        None if uid.is_empty() => "unknown".into(),
        None => format!("uid {uid}"),
    };
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    match host.trim() {
        "" => user,
        host => format!("{user}@{host}"),
    }
}

/// Refuses to open a cockpit where there is no terminal, before anything is written.
///
/// # Errors
/// Exit code 2 with what to do instead.
pub fn needs_terminal(instead: &str) -> Result<(), Failed> {
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return Ok(());
    }
    Err(Failed::new(Exit::Usage, format!("the cockpit needs a terminal; {instead}")))
}

/// Lets diagnostics go to a file beside the runs, never under the screen. `CUTOVER_LOG` sets what (such as `debug`);
/// without it, warnings. Where there is no such place, they are dropped.
pub fn diagnostics() {
    let Ok(runs) = crate::journal::Runs::of_user() else { return };
    let opened = std::fs::create_dir_all(runs.dir())
        .and_then(|()| std::fs::File::options().create(true).append(true).open(runs.dir().join("cutover.log")));
    if let Ok(file) = opened {
        let filter = tracing_subscriber::EnvFilter::try_from_env("CUTOVER_LOG").unwrap_or_else(|_| "warn".into());
        // A second subscriber could only be installed by a test; then the first one stays.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::sync::Mutex::new(file))
            .with_ansi(false)
            .try_init();
    }
}

/// The folder and metadata of a new run.
///
/// # Errors
/// When there is nowhere to put it.
pub fn new_run(loaded: &Loaded, plan_ref: &str, drill: Option<(&Scenario, u64)>) -> Result<(std::path::PathBuf, Meta), Failed> {
    let runs = crate::journal::Runs::of_user().map_err(|e| journal_failed(&e))?;
    let now = crate::live::system_now();
    let run_id = crate::journal::new_run_id(now, crate::journal::random_bits());
    // A path has to be found again from anywhere.
    let plan_ref = std::fs::canonicalize(plan_ref).map_or_else(|_| plan_ref.to_owned(), |p| p.display().to_string());
    let meta = Meta {
        run_id: run_id.clone(),
        plan_name: loaded.plan.name.clone(),
        plan_ref,
        plan_hash: loaded.plan.manifest.hash.clone(),
        drill: drill.is_some(),
        scenario: drill.map(|(s, _)| s.name.clone()),
        seed: drill.map(|(_, seed)| seed),
        day_one: None,
        created_at: now,
        cutover_version: env!("CARGO_PKG_VERSION").into(),
        workdir: crate::cli::working_directory(),
    };
    Ok((runs.folder(&run_id), meta))
}
