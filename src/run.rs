//! The run core: a pure state machine. No clock, no I/O, no async, no SDK, no terminal.
//!
//! [`decide`](decide::decide) turns an event into entries and effects, [`Run::apply`](state::Run::apply) folds entries
//! into the state, [`Watch`](watch::Watch) holds what is observed, [`Core`](core::Core) puts the three together and
//! [`view`] makes the snapshot that a screen shows.

pub mod budget;
pub mod change;
pub mod choice;
pub mod command;
pub mod conflict;
pub mod core;
pub mod decide;
pub mod downtime;
pub mod edit;
pub mod entry;
pub mod event;
pub mod gate;
pub mod history;
pub mod job;
pub mod local;
pub mod minute;
pub mod moved;
pub mod outage;
pub mod ready;
pub mod rollback;
pub mod runbook;
pub mod snapshot;
pub mod span;
pub mod stacks;
pub mod state;
pub mod view;
pub mod watch;
pub mod window;
