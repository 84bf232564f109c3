//! The journal: what happened in a run, in order, durable before anything acts on it.
//!
//! A run is a folder named by the run id. In it `journal.db` (SQLite) holds the entries, `engine.lock` says
//! which process may write. Each entry carries the SHA-256 of the entry before it ([`chain`]), so edits, drops
//! and swaps show. A cut tail, a changed newest entry, and a chain that was written anew from some entry on show
//! only against a head that was kept elsewhere.
//!
//! Nothing here knows what an entry means: kind, actor and body are texts that the run core makes and reads.
//!
//! | Part | What it does |
//! |---|---|
//! | [`chain`] | the entry, its canonical bytes, its hash, and the check of a whole chain |
//! | [`sqlite`] | the durable [`Store`] |
//! | [`memory`] | the same chain without a disk, for simulations |
//! | [`lease`] | one engine per run: a file lock that dies with its process, and an epoch that outlives it |
//! | [`writer`] | the thread that commits in groups and acknowledges |
//! | [`spool`] | where entries stand while the journal cannot be written |
//! | [`runs`] | where runs live, and which one is meant |

pub mod chain;
pub mod error;
pub mod lease;
pub mod memory;
pub mod runs;
pub mod spool;
pub mod sqlite;
pub mod writer;

pub use chain::{Damage, Draft, GENESIS, Hash, Head, Stored, Verified, hex, parse_hex};
pub use error::JournalError;
pub use lease::Lease;
pub use memory::Memory;
pub use runs::{FINISHED, Listing, RunInfo, Runs, Unreadable, new_run_id, random_bits};
pub use spool::{Keeper, Kept, Record, Spool};
pub use sqlite::{Meta, Store};
pub use writer::{Ack, Append, Writer};

/// Name of the database inside a run's folder.
pub const DATABASE: &str = "journal.db";

/// Name of the lock file inside a run's folder.
pub const LOCK: &str = "engine.lock";
