//! Rollback works when the journal does not: its entries stand in the spool, or on standard error after a typed word,
//! and join the journal in order when it is back. Everything else holds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod case;
mod entries;
mod failures;
mod from_every_prefix;
mod trouble;

#[path = "../support/calm.rs"]
mod calm;

#[path = "../support/prefixes.rs"]
mod prefixes;

#[path = "../support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;
