//! Rollback works when the journal does not: its entries stand in the spool, or on standard error after a typed word,
//! and join the journal in order when it is back. Everything else holds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod case;
mod entries;
mod failures;
mod trouble;

#[path = "../support/calm.rs"]
mod calm;
