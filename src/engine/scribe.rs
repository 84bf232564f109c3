//! Keeps the runbook beside the run: written anew when there is something else to do, and otherwise once a minute, so
//! that its times say how old the proof is. On a thread of its own; a runbook that cannot be written stops nothing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::run::runbook::Runbook;

/// Name of the runbook inside a run's folder.
pub const RUNBOOK: &str = "runbook.md";

/// Without a new entry it is worked out again at most this often.
const LOOK: Duration = Duration::from_secs(1);
/// A runbook that says the same is written again after this long, for its times.
const AGAIN: Duration = Duration::from_mins(1);

/// Handle of the thread. Dropping it finishes what was handed over.
#[derive(Debug)]
pub(super) struct Scribe {
    texts: Option<std_mpsc::Sender<String>>,
    thread: Option<JoinHandle<()>>,
    outcomes: mpsc::UnboundedReceiver<Result<(), String>>,
    /// Entries there were when it was worked out last, and when that was.
    looked: Option<(u64, Instant)>,
    /// What was handed over last, and when.
    written: Option<(Runbook, Instant)>,
    failed: Option<String>,
}

impl Scribe {
    /// Starts the thread for a run's folder.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn spawn(folder: PathBuf) -> io::Result<Scribe> {
        let (texts, work) = std_mpsc::channel::<String>();
        let (said, outcomes) = mpsc::unbounded_channel();
        let thread = thread::Builder::new().name("runbook".into()).spawn(move || {
            while let Ok(mut text) = work.recv() {
                // Only the newest one matters.
                while let Ok(newer) = work.try_recv() {
                    text = newer;
                }
                let written = write(&folder, &text).map_err(|e| format!("{}: {e}", folder.join(RUNBOOK).display()));
                // Nobody listens any more when the engine is going down.
                let _ = said.send(written);
            }
        })?;
        Ok(Scribe { texts: Some(texts), thread: Some(thread), outcomes, looked: None, written: None, failed: None })
    }

    /// Whether it is time to work the runbook out again.
    pub(super) fn is_due(&mut self, entries: u64) -> bool {
        self.hear();
        let now = Instant::now();
        if self.looked.is_some_and(|(seen, at)| seen == entries && now < at + LOOK) {
            return false;
        }
        self.looked = Some((entries, now));
        true
    }

    /// Hands a runbook over, if it says something else than the last one or that is a minute old.
    pub(super) fn offer(&mut self, runbook: Runbook) {
        let now = Instant::now();
        let is_known = |(last, at): &(Runbook, Instant)| last.says_the_same(&runbook) && now < *at + AGAIN;
        if self.failed.is_none() && self.written.as_ref().is_some_and(is_known) {
            return;
        }
        if let Some(texts) = &self.texts {
            // A thread that is gone has crashed, and was reported where that happened.
            let _ = texts.send(runbook.text());
        }
        self.written = Some((runbook, now));
    }

    /// Takes in what became of what was handed over.
    fn hear(&mut self) {
        while let Ok(outcome) = self.outcomes.try_recv() {
            if let (Err(why), None) = (&outcome, &self.failed) {
                tracing::warn!(why, "the runbook cannot be written");
            }
            self.failed = outcome.err();
        }
    }

    /// Why the runbook cannot be written, if so.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.texts = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// A reader finds the old runbook or the new one, whole, also after a power cut.
fn write(folder: &Path, text: &str) -> io::Result<()> {
    let fresh = folder.join(format!("{RUNBOOK}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, folder.join(RUNBOOK))
}
