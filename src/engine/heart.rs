//! The heartbeat, on the engine's side: it is the loop itself that says "now", each time that it is due. Whoever calls the
//! outside world does so only when told, so that a loop that hangs is not covered up by a task that goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cloud::Millis;

/// Says when it is time for a heartbeat, and knows what came of the last one.
#[derive(Debug)]
pub struct Heart {
    every: Duration,
    due: Option<Instant>,
    beats: mpsc::Sender<()>,
    state: Arc<Mutex<Option<Trouble>>>,
}

/// The other end: whoever makes the calls.
#[derive(Debug)]
pub struct Pulse {
    beats: mpsc::Receiver<()>,
    state: Arc<Mutex<Option<Trouble>>>,
}

/// Why the heartbeat does not get out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Millis,
    /// Why, as of the last call.
    pub why: String,
}

fn locked(state: &Mutex<Option<Trouble>>) -> MutexGuard<'_, Option<Trouble>> {
    // A panic cannot leave it half changed.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heart {
    /// A heart that beats once in `every`, and where its beats arrive.
    #[must_use]
    pub fn new(every: Duration) -> (Heart, Pulse) {
        let (beats, receiver) = mpsc::channel(1);
        let state = Arc::new(Mutex::new(None));
        (Heart { every, due: None, beats, state: Arc::clone(&state) }, Pulse { beats: receiver, state })
    }

    /// The loop has come round. Never waits: a call that is still under way makes the next one fall out.
    pub(super) fn turn(&mut self) {
        let now = Instant::now();
        let due = self.due.unwrap_or(now);
        if due <= now {
            // On its schedule, so that an alarm with the same period is not late by a little more each time; what was missed
            // is not caught up with.
            self.due = Some(if due + self.every > now { due + self.every } else { now + self.every });
            let _ = self.beats.try_send(());
        }
    }

    /// Why the last call did not arrive, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        locked(&self.state).clone()
    }
}

impl Pulse {
    /// The next beat; `None` when the engine has ended.
    pub async fn next(&mut self) -> Option<()> {
        self.beats.recv().await
    }

    /// What came of the call: a success ends the trouble, a failure begins or goes on with it.
    pub fn called(&self, now: Millis, result: Result<(), String>) {
        let mut state = locked(&self.state);
        *state = result.err().map(|why| Trouble { since: state.as_ref().map_or(now, |before| before.since), why });
    }
}
