//! What monitors give is gathered by the minute, kept, and read back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod cadence;
mod gathered;
mod kept;
mod run;

#[path = "../support/calm.rs"]
mod calm;
#[path = "../support/plan.rs"]
mod support;
