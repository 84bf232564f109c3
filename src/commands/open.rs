//! A run's journal and spool, read: to look at them, or to go on with them.

use std::path::Path;
use std::sync::Arc;

use super::drill::Leased;
use super::{fold, journal_failed};
use crate::exit::{Exit, Failed};
use crate::journal::{JournalError, Record, Spool, Store, Stored, hex, spool};
use crate::plan::Plan;
use crate::run::core::{Core, Draft};
use crate::run::entry::Entry;
use crate::run::snapshot::LedgerView;

/// What a run's files say.
pub struct Told {
    /// The run: the journal's entries and, behind them, those of the spool.
    pub core: Core,
    /// The journal's entries, the chain checked.
    pub entries: Vec<Stored>,
    /// Entries that are in the spool only, oldest first.
    pub left: Vec<Draft>,
}

impl Told {
    /// When the newest entry was written, Unix milliseconds; nothing for a run before its first.
    #[must_use]
    pub fn newest_at(&self) -> Option<i64> {
        self.left.last().map(|d| d.at).or(self.entries.last().map(|e| e.at))
    }

    /// State of the journal.
    #[must_use]
    pub fn ledger(&self) -> LedgerView {
        let newest = self.entries.last();
        let mut view = crate::engine::ledger(newest.map_or(0, |e| e.seq), newest.map_or_else(String::new, |e| hex(&e.hash)));
        view.seq += self.left.len() as u64;
        view.spool.entries = self.left.len() as u64;
        view
    }
}

/// Reads what a run's files say. Nothing is changed, and an engine may be writing to them.
///
/// # Errors
/// Exit code 8 when the journal is damaged or the spool does not fit it.
pub fn read(plan: Arc<Plan>, store: &Store) -> Result<Told, Failed> {
    // The spool first: what joins the journal meanwhile is in both then, and not in neither.
    let folder = store.folder();
    let seen = spool::read(folder).map_err(|e| journal_failed(&e))?;
    let entries = store.read_all().map_err(|e| journal_failed(&e))?;
    let left = spool::missing(folder, seen, &entries).map_err(|e| journal_failed(&e))?;
    let mut core = fold(plan, &entries)?;
    let left = left.into_iter().map(draft).collect::<Result<Vec<Draft>, Failed>>()?;
    for draft in &left {
        core.replay(draft.at, &draft.actor, &draft.entry);
    }
    Ok(Told { core, entries, left })
}

fn draft(record: Record) -> Result<Draft, Failed> {
    let entry = Entry::from_parts(&record.kind, &record.body)
        .map_err(|e| Failed::new(Exit::JournalDamaged, format!("entry {} of the spool: {e}", record.seq)))?;
    Ok(Draft { at: record.at, actor: record.actor, entry })
}

/// A run that this process goes on with.
pub struct Opened {
    /// What its files say.
    pub told: Told,
    /// Its journal, with the lease that lets this process write to it.
    pub store: Leased,
    /// Epoch of the lease.
    pub epoch: u64,
    /// Its spool, for when the journal cannot be written.
    pub spool: Result<Spool, JournalError>,
}

/// Takes the lease of a run and reads what its files say.
///
/// # Errors
/// Exit code 6 when another engine has it, 8 when the journal is damaged or the spool does not fit it.
pub fn open(plan: Arc<Plan>, folder: &Path) -> Result<Opened, Failed> {
    let (lease, epoch) = super::lease(folder)?;
    let store = Store::open(folder).map_err(|e| journal_failed(&e))?;
    let told = read(plan, &store)?;
    Ok(Opened { told, spool: Spool::open(folder), store: Leased::new(store, lease), epoch })
}
