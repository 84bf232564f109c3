//! The durable log of what was done to a world: apart from the engine's journal, so that a test can compare
//! the two and count "exactly once".

use serde::{Deserialize, Serialize};

use crate::cloud::{Call, CallId, FailureKind, Millis};
use crate::plan::{FaultKind, RecordSet, StepId};

/// One thing done to the world. Replaying all of them in order gives an identical world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// When it was received, in Unix milliseconds of virtual time.
    pub at: Millis,
    /// What was done.
    pub deed: Deed,
}

/// What can be done to a world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "nearly all deeds are calls, and a log is read far more often than it grows")]
pub enum Deed {
    /// A mutating call arrived.
    Call {
        /// The engine's number for it.
        id: CallId,
        /// Its idempotency token.
        token: String,
        /// The call.
        call: Box<Call>,
        /// The template text that came with it.
        template: Option<String>,
        /// What came of it.
        outcome: Outcome,
    },
    /// A fault was injected by hand.
    Fault(FaultKind),
    /// A step was reached, so the faults that wait for it got their time.
    Step(StepId),
    /// A script was told to end.
    Stop {
        /// The engine's number for it.
        id: CallId,
    },
    /// A call that was late arrived after all.
    Landed {
        /// The engine's number for it.
        id: CallId,
        /// Its idempotency token.
        token: String,
        /// The call.
        call: Box<Call>,
        /// What came of it.
        outcome: Outcome,
    },
    /// Somebody else changed a record.
    Edit {
        /// Hosted zone id.
        zone: String,
        /// As it was.
        before: RecordSet,
        /// As it is.
        after: RecordSet,
    },
}

/// What came of a mutating call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It changed the world. The receipt's id; empty where the service gives none.
    Applied(String),
    /// It was accepted, but the world was already so (a token or a change set seen before, a stack already gone).
    Repeated(String),
    /// It changed nothing.
    Refused(FailureKind, String),
    /// It is late: what comes of it is told by its [`Deed::Landed`].
    Late,
}

impl CallRecord {
    /// Token and call, if this is a call that changed the world.
    #[must_use]
    pub fn applied(&self) -> Option<(&str, &Call)> {
        match &self.deed {
            Deed::Call { token, call, outcome: Outcome::Applied(_), .. }
            | Deed::Landed { token, call, outcome: Outcome::Applied(_), .. } => Some((token, call)),
            Deed::Call { .. } | Deed::Landed { .. } | Deed::Fault(_) | Deed::Step(_) | Deed::Stop { .. } | Deed::Edit { .. } => {
                None
            }
        }
    }
}
