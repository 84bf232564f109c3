//! What the engine needs of whatever performs its effects.

use std::future::Future;

use crate::cloud::{CallId, Effect, Millis};
use crate::plan::StepId;
use crate::run::command::DrillCommand;
use crate::run::core::Draft;
use crate::run::event::Event;
use crate::run::snapshot::DrillView;

/// Performs effects and says when it is. What differs between a live run and a drill is all in here.
pub trait Backend {
    /// The time, in Unix milliseconds; virtual in a drill.
    fn now(&self) -> Millis;

    /// Begins an effect. An answer to it comes out of [`Backend::next`], be it that there was none. Of a call's answer the
    /// number of the sending is a part: a second answer is known from that to a later sending, and does no harm.
    fn perform(&mut self, effect: Effect);

    /// The next thing that happens, or [`Event::Tick`] at `wake`. Dropping the future loses nothing.
    fn next(&mut self, wake: Millis) -> impl Future<Output = Event>;

    /// A step has made its first accepted change, or is done acting.
    fn reached(&mut self, _step: StepId) {}

    /// The newest lines that a script or a request has given, oldest first.
    fn output(&self, _id: CallId) -> Vec<String> {
        Vec::new()
    }

    /// Entries were written.
    fn noteworthy(&mut self, _drafts: &[Draft]) {}

    /// Does what only a drill can do.
    ///
    /// # Errors
    /// In a live run, always; else why not.
    fn drill(&mut self, _command: &DrillCommand) -> Result<(), String> {
        Err("only a drill can do that".into())
    }

    /// A drill's controls.
    fn drill_view(&self) -> Option<DrillView> {
        None
    }

    /// How many requests of users failed between two times, where that is known.
    fn requests_failed(&self, _from: Millis, _until: Millis) -> Option<u64> {
        None
    }

    /// True while time passes as fast as the machine can.
    fn is_flat_out(&self) -> bool {
        false
    }

    /// Time shall pass at its usual speed again.
    fn stop_skipping(&mut self) {}
}
