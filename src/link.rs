//! The link between an engine and a cockpit: snapshots one way, requests the other.
//!
//! Neither side knows the other, so that a script or a test can sit at either end.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::run::command::{Command, Reply};
use crate::run::snapshot::Snapshot;

pub mod socket;

/// What a driver's cockpit holds of an engine.
#[derive(Debug)]
pub struct Link {
    /// The newest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Where commands go.
    pub commands: mpsc::Sender<Request>,
}

/// A command and where its answer is awaited.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}
