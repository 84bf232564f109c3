//! Exit codes: documented, tested, never reused.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Internal error.
    Internal = 1,
    /// Usage: clap itself ends with this too.
    Usage = 2,
    /// The plan is invalid.
    PlanInvalid = 3,
    /// Not complete: held, a gate failed, or it was interrupted.
    NotComplete = 4,
    /// Rolled back.
    RolledBack = 5,
    /// Another engine has the lease.
    Busy = 6,
    /// Wrong account, or credentials that do not work.
    Account = 7,
    /// The journal is damaged.
    JournalDamaged = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error that knows its exit code.
#[derive(Debug)]
pub struct Failed {
    /// The code.
    pub exit: Exit,
    /// What went wrong and what to do, for people.
    pub message: String,
}

impl Failed {
    /// An error with its code.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Failed {
        Failed { exit, message: message.into() }
    }
}
