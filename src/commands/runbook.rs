//! `cutover runbook`: the rollbacks of a run as exact commands that work without this binary.

use std::path::Path;
use std::sync::Arc;

use super::{Ends, journal_failed};
use crate::cli::Runbook as Args;
use crate::engine::RUNBOOK;
use crate::exit::{Exit, Failed};
use crate::journal::{Runs, Store, lease};
use crate::live::system_now;
use crate::run::core::Core;
use crate::run::runbook::{Facts, Source, as_left, runbook as write, written_at_entry};

/// Prints the runbook of a run, or writes it to a file.
///
/// # Errors
/// Exit code 2 when there is no such run; else when there is no runbook and none can be made from the journal.
pub fn runbook(args: &Args) -> Ends {
    let runs = Runs::of_user().map_err(|e| journal_failed(&e))?;
    let folder = runs.find(Some(&args.run)).map_err(|e| journal_failed(&e))?;
    let text = text(&folder)?;
    match &args.output {
        Some(path) => {
            std::fs::write(path, &text).map_err(|e| Failed::new(Exit::Internal, format!("{}: {e}", path.display())))?;
            println!("written to {}", path.display());
        }
        None => print!("{text}"),
    }
    Ok(Exit::Done)
}

/// The runbook that an engine left, if it is as new as the journal; else one that is made from the journal.
///
/// # Errors
/// When there is neither.
pub fn text(folder: &Path) -> Result<String, Failed> {
    let left = std::fs::read_to_string(folder.join(RUNBOOK)).ok();
    if let Some(text) = left.as_ref().filter(|_| lease::is_held(folder)) {
        return Ok(text.clone());
    }
    match (left, from_journal(folder)) {
        // An engine read the records; the journal can only say what they should be.
        (Some(text), Ok((entry, _))) if written_at_entry(&text) >= Some(entry) => Ok(text),
        (Some(text), Err(why)) => {
            eprintln!("cutover: this runbook may be out of date, for the journal cannot be asked: {}", why.message);
            Ok(text)
        }
        (left, Ok((_, text))) => {
            let instead = if left.is_some() { "the one beside the run is older than its journal" } else { "no engine wrote one" };
            eprintln!("cutover: made from the journal alone, because {instead}: nobody has read the records");
            Ok(text)
        }
        (None, Err(why)) => Err(why),
    }
}

/// A runbook from journal and spool alone, and the run's newest entry.
fn from_journal(folder: &Path) -> Result<(u64, String), Failed> {
    let store = Store::open_read(folder).map_err(|e| journal_failed(&e))?;
    let meta = store.meta().map_err(|e| journal_failed(&e))?;
    let loaded = super::pinned(&meta)?;
    let told = super::open::read(Arc::new(loaded.plan), &store)?;
    let ledger = told.ledger();
    // A drill's clock stands still when nobody runs it.
    let now = if meta.drill { told.newest_at().unwrap_or(0) } else { system_now() };
    let watch = as_left(&told.core.plan, &told.core.run);
    let core = Core { watch, ..told.core };
    let facts = Facts { run: meta.run_id, drill: meta.drill, entry: ledger.seq, head: ledger.head, source: Source::Journal };
    Ok((ledger.seq, write(core.ctx(now), &facts).text()))
}
