//! The run core: a pure state machine. No clock, no I/O, no async, no SDK, no terminal.

pub mod command;
pub mod event;
pub mod snapshot;
