//! The samples of a run, kept beside its journal in a database of their own: every one for a day, and minutes for the
//! whole run. They are for charts and for the error budget. They are no part of the chain, and nothing waits for them: on
//! a full, locked or damaged disk they are lost, the screen says so, and the run goes on.

mod keeper;
mod look;
mod pack;
mod store;

pub use keeper::{Batch, Keeper};
pub use look::look;

use crate::cloud::Millis;
use crate::run::minute::Minute;

/// Name of the database inside a run's folder.
pub const DATABASE: &str = "samples.db";

/// How long every sample is kept, in milliseconds of the run's clock. Minutes are kept as long as the run.
pub const KEEP_MS: i64 = 86_400_000;

/// How much of it a new engine is given, in milliseconds before the newest sample.
pub const RECALL_MS: i64 = 6 * 3_600_000;

/// What was kept by earlier engines of a run. Monitors are numbers of the plan that the run has now: what a monitor gave
/// that the plan has no more stays in the file.
#[derive(Debug, Default)]
pub struct Kept {
    /// Minutes of the whole run, in order of time.
    pub minutes: Vec<(usize, Minute)>,
    /// Samples of the last [`RECALL_MS`], in order of time for each monitor; `None` for a failed one.
    pub samples: Vec<(usize, Millis, Option<i64>)>,
}
