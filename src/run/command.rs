//! What a cockpit, a script or a test may ask of a run, and what it is told.

use serde::{Deserialize, Serialize};

use crate::plan::FaultKind;

/// A request to the engine. Everything a key can do is one of these; nothing else changes a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Command {
    /// Start the step that is next (also: try again a step that failed). The id guards against a stale screen.
    Start {
        /// Step id.
        step: String,
    },
    /// Start the step that is next although its gate is shut. In a rollback: the step that waits for its proof.
    Override {
        /// Step id.
        step: String,
        /// Why; never empty.
        reason: String,
    },
    /// Leave out the step that is next, or the step of a rollback that failed.
    Skip {
        /// Step id.
        step: String,
        /// Why; never empty.
        reason: String,
    },
    /// The step's action was done by a person; its verify still runs.
    DoneByHand {
        /// Step id.
        step: String,
        /// What was done; never empty.
        reason: String,
    },
    /// Go on by itself until a gate that does not open, an approval, a one-way step or a failure.
    GoOn,
    /// Execute the change set that the current step shows.
    Execute {
        /// Step id.
        step: String,
        /// The region's name, typed, where the change set replaces or removes something.
        word: Option<String>,
    },
    /// Stop starting anything.
    Hold {
        /// Why.
        reason: String,
    },
    /// End a hold.
    Continue,
    /// Approve the current step.
    Approve {
        /// Step id.
        step: String,
    },
    /// Tick, or untick, an item of the current checklist.
    Tick {
        /// Step id.
        step: String,
        /// Index of the item.
        item: usize,
        /// The new state.
        done: bool,
    },
    /// Freeze, and show what a rollback would do. Without a name: the one that applies now.
    PrepareRollback {
        /// Name of a rollback of the plan.
        name: Option<String>,
    },
    /// Freeze, and show what taking back one step would do.
    PrepareUndo {
        /// Step id.
        step: String,
    },
    /// Freeze, and show what taking the ramp back one stage would do: the undo of the last shift.
    PrepareBackOff,
    /// Run the rollback that is shown.
    ConfirmRollback {
        /// Its name.
        name: String,
        /// The fingerprint of what was shown: another plan of calls is shown again instead of being run.
        offer: String,
        /// The region's name, typed, where a one-way step was passed.
        word: Option<String>,
    },
    /// Put the shown rollback away. The hold stays.
    CancelRollback,
    /// Let a rollback go on although neither journal nor spool can be written: its entries go to standard error.
    WithoutJournal {
        /// The name, typed, of the region that the rollback leads to.
        word: String,
    },
    /// Silence an alert's bell.
    Acknowledge,
    /// Write a note into the journal.
    Note {
        /// The note.
        text: String,
    },
    /// Something that only a drill can do.
    Drill {
        /// What.
        what: DrillCommand,
    },
}

impl Command {
    /// Whether it is carried out while the journal cannot be written: stopping, and going back by a rollback of the
    /// plan. While one is going on (`rolling_back`), that includes what its own steps ask of people.
    #[must_use]
    pub fn goes_without_journal(&self, rolling_back: bool) -> bool {
        match self {
            Command::Hold { .. }
            | Command::PrepareRollback { .. }
            | Command::ConfirmRollback { .. }
            | Command::CancelRollback
            | Command::WithoutJournal { .. }
            | Command::Acknowledge
            | Command::Drill { .. } => true,
            Command::Continue
            | Command::Approve { .. }
            | Command::Tick { .. }
            | Command::Override { .. }
            | Command::Skip { .. } => rolling_back,
            Command::Start { .. }
            | Command::DoneByHand { .. }
            | Command::GoOn
            | Command::Execute { .. }
            | Command::PrepareUndo { .. }
            | Command::PrepareBackOff
            | Command::Note { .. } => false,
        }
    }
}

/// Something that only a drill can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillCommand {
    /// Virtual seconds per real second; 0 stops the clock.
    Speed(u32),
    /// Let the simulator run ahead to the next thing that wants a human, or ten minutes.
    SkipAhead,
    /// Make something go wrong now, for good.
    Inject(FaultKind),
}

/// What the engine says to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Done or begun; what to tell the person.
    Ok(String),
    /// Not done, and why.
    Refused(String),
}

/// The verbs that the footer offers, in the footer's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Hold.
    Hold,
    /// End a hold.
    Continue,
    /// Roll back.
    Rollback,
    /// Start the next step, or execute the change set that is shown.
    Next,
    /// Go on by itself.
    GoOn,
    /// Approve.
    Approve,
    /// Tick an item.
    Tick,
    /// Undo this step.
    Undo,
    /// Take the ramp back one stage.
    BackOff,
    /// Start behind a shut gate.
    Override,
    /// Leave out a step.
    Skip,
    /// Say that a step was done by hand.
    DoneByHand,
    /// Acknowledge an alert.
    Acknowledge,
    /// Drill: speed, skip ahead, inject a fault.
    Drill,
}
