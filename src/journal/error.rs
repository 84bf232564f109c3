//! What can go wrong with a journal. Each message says where, what, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

use super::chain::Damage;

/// Why a journal could not be read or written.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Another engine holds the run (exit code 6).
    #[error(
        "{folder}: another engine runs this run ({holder}); attach to it, or stop that process and try again",
        folder = .folder.display(), holder = holder(*.pid, *.since, .identity.as_deref())
    )]
    Busy {
        /// The run's folder.
        folder: PathBuf,
        /// Process id of the holder, if the lock file says.
        pid: Option<u32>,
        /// When it took the lease, Unix milliseconds, if the lock file says.
        since: Option<i64>,
        /// Who runs it, `user@host`, if the lock file says.
        identity: Option<String>,
    },
    /// The lease under which this engine writes is no longer the newest (exit code 6).
    #[error(
        "{}: not written, the lease of epoch {held} has ended (the run is at epoch {current}); \
         this engine must stop, attach to the one that took over", .folder.display()
    )]
    Fenced {
        /// The run's folder.
        folder: PathBuf,
        /// Epoch the writer had.
        held: u64,
        /// Epoch the run is at.
        current: u64,
    },
    /// There is a journal already where one was to be made.
    #[error("{}: holds a journal already; open that run, or choose another folder", .folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no journal in the folder.
    #[error("{}: no journal.db in it; give the folder of a run", .folder.display())]
    NoJournal {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is not a journal of ours (exit code 8).
    #[error("{}: {what}; restore journal.db and journal.db-wal together from a copy, or remove the run's folder", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// The journal was written by a newer release (exit code 8).
    #[error("{}: format {found}, this release reads up to {known}; use the cutover release that wrote it", .file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Format of the file.
        found: u32,
        /// Newest format this release reads.
        known: u32,
    },
    /// The journal's content is not as it was written (exit code 8).
    #[error(
        "{}: damaged at {damage}; keep the file for evidence and restore journal.db and journal.db-wal together \
         from a copy", .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where and how.
        damage: Damage,
    },
    /// The spool tells of entries that are not those of the journal beside it (exit code 8).
    #[error(
        "{}: does not fit the journal beside it: {what}; keep it for evidence, and move it out of the folder to go on \
         without it", .file.display()
    )]
    Spool {
        /// The file.
        file: PathBuf,
        /// Where and how.
        what: String,
    },
    /// SQLite refused.
    #[error("{}: cannot {doing}: {source}; {}", .file.display(), remedy(.source))]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// What was tried, as in "cannot …".
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The operating system refused.
    #[error("{}: cannot {doing}: {source}; check that the path exists and that you may use it", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What was tried, as in "cannot …".
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The facts about the run cannot be stored as text.
    #[error("{}: cannot store the facts about the run: {what}; use names that are valid Unicode", .folder.display())]
    Meta {
        /// The run's folder.
        folder: PathBuf,
        /// Why.
        what: String,
    },
    /// No folder for runs can be derived from the environment.
    #[error("no folder for runs: set CUTOVER_STATE_DIR, or HOME")]
    NoStateDir,
    /// No run fits what was asked for.
    #[error("{wanted}: no such run in {}{}", .dir.display(), choice(.known))]
    NoRun {
        /// What was asked for.
        wanted: String,
        /// Where runs are kept.
        dir: PathBuf,
        /// Run ids that exist, newest first.
        known: Vec<String>,
    },
    /// More than one run fits what was asked for.
    #[error("{wanted}: more than one run fits in {}{}", .dir.display(), choice(.candidates))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Where runs are kept.
        dir: PathBuf,
        /// Run ids that fit, newest first.
        candidates: Vec<String>,
    },
}

impl JournalError {
    /// Whether the journal itself is at fault (exit code 8 at the command line).
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            JournalError::Foreign { .. } | JournalError::Newer { .. } | JournalError::Damaged { .. } | JournalError::Spool { .. }
        )
    }

    /// Whether another engine has the run (exit code 6 at the command line).
    #[must_use]
    pub fn is_lease(&self) -> bool {
        matches!(self, JournalError::Busy { .. } | JournalError::Fenced { .. })
    }

    /// Whether the volume, or the file on it, cannot be written, while what is there may still be read.
    #[must_use]
    pub fn is_unwritable(&self) -> bool {
        let JournalError::Sqlite { source, .. } = self else { return false };
        matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)
        )
    }

    /// Sorts what SQLite says: content that cannot be a journal is told apart from a refusal that may pass.
    pub(super) fn sqlite(file: &Path, doing: &'static str, source: rusqlite::Error) -> JournalError {
        let file = file.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => JournalError::Foreign { file, what: "not an SQLite database".into() },
            Some(ErrorCode::DatabaseCorrupt) => {
                JournalError::Foreign { file, what: format!("the database is damaged (cannot {doing}: {source})") }
            }
            _ => JournalError::Sqlite { file, doing, source },
        }
    }

    pub(super) fn io(path: &Path, doing: &'static str, source: io::Error) -> JournalError {
        JournalError::Io { path: path.to_path_buf(), doing, source }
    }
}

/// Says who holds a lease, as far as it is known.
fn holder(pid: Option<u32>, since: Option<i64>, identity: Option<&str>) -> String {
    let mut text = pid.map_or_else(|| "its process is not known".to_owned(), |pid| format!("process {pid}"));
    if let Some(identity) = identity {
        text.push_str(" of ");
        text.push_str(identity);
    }
    if let Some(since) = since.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
        // Whole seconds are enough to recognise a session.
        text = format!("{text} since {since:.0}");
    }
    text
}

fn remedy(source: &rusqlite::Error) -> &'static str {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space on its volume",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "make the file and its folder writable for you",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another program holds the file, end it and try again",
        Some(ErrorCode::CannotOpen) => "make sure that the folder is there and that you may write in it",
        Some(ErrorCode::SystemIoFailure) => "check the volume that it is on",
        _ => "see what SQLite says",
    }
}

/// How many candidates a message lists at most.
const CANDIDATES_MAX: usize = 10;

fn choice(ids: &[String]) -> String {
    if ids.is_empty() {
        return "; there are no runs yet, start one with `cutover drill` or `cutover run`".into();
    }
    let more = if ids.len() > CANDIDATES_MAX { ", …" } else { "" };
    format!("; give one of: {}{more}", ids.iter().take(CANDIDATES_MAX).map(String::as_str).collect::<Vec<_>>().join(", "))
}
