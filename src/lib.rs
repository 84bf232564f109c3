//! `cutover`: a terminal cockpit for cloud-region migrations and failovers.
//!
//! ARCHITECTURE.md has the picture; in one sentence: events go into the pure core ([`run`]), entries and
//! effects come out, entries become durable before effects are performed, and a screen shows snapshots.

pub mod aws;
pub mod builtin;
pub mod cli;
pub mod cloud;
pub mod commands;
pub mod drill;
pub mod engine;
pub mod exit;
pub mod journal;
pub mod link;
pub mod live;
pub mod local;
pub mod plan;
pub mod probe;
pub mod run;
pub mod samples;
pub mod sim;
pub mod ui;
