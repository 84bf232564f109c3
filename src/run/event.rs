//! What can happen to a run. Events carry no time: whoever hands one over says when it is.

use serde::{Deserialize, Serialize};

use super::command::Command;
use crate::cloud::{Answer, CallId, Failure, Query, Receipt};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Somebody asks for something.
    Command {
        /// Who, as the operating system says.
        by: String,
        /// What.
        command: Command,
    },
    /// A query was answered, or failed.
    Answer {
        /// The query.
        query: Query,
        /// What came of it.
        result: Result<Answer, Failure>,
    },
    /// A call was answered, or its answer was lost.
    Sent {
        /// The call's number.
        id: CallId,
        /// Which of its sendings was answered, from 1.
        sending: u32,
        /// What came of it.
        result: Result<Receipt, Failure>,
    },
    /// Time has passed.
    Tick,
}
