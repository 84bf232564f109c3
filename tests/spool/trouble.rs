//! A journal that fails, and standard error as a test reads it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::journal::{Append, DATABASE, Draft, Head, JournalError, Record};

/// How the journal fails.
pub const FULL: u8 = 0;
pub const TAKEN: u8 = 1;
pub const HANGS: u8 = 2;
pub const GONE: u8 = 3;

/// A journal that fails from some entry on.
pub struct Failing<S> {
    pub store: S,
    pub end: u64,
    pub trouble: Trouble,
}

/// Shared with the test: from which entry on the journal fails, and how.
#[derive(Clone)]
pub struct Trouble {
    pub from: Arc<AtomicU64>,
    pub how: Arc<AtomicU8>,
}

impl Trouble {
    pub fn from(entry: u64) -> Trouble {
        Trouble { from: Arc::new(AtomicU64::new(entry)), how: Arc::new(AtomicU8::new(FULL)) }
    }

    pub fn never() -> Trouble {
        Trouble::from(u64::MAX)
    }

    pub fn set(&self, entry: u64) {
        self.from.store(entry, Ordering::SeqCst);
    }

    pub fn over(&self) {
        self.set(u64::MAX);
    }

    pub fn hangs(&self) -> bool {
        self.how.load(Ordering::SeqCst) == HANGS
    }
}

impl<S: Append> Append for Failing<S> {
    fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<Head, JournalError> {
        while self.trouble.hangs() && self.end + drafts.len() as u64 >= self.trouble.from.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.end + drafts.len() as u64 >= self.trouble.from.load(Ordering::SeqCst) {
            return Err(match self.trouble.how.load(Ordering::SeqCst) {
                TAKEN => JournalError::Fenced { folder: PathBuf::from("run"), held: epoch, current: epoch + 1 },
                GONE => failed(io::ErrorKind::NotFound, "no such file or directory"),
                _ => failed(io::ErrorKind::StorageFull, "no space left on device"),
            });
        }
        let head = self.store.append(epoch, drafts)?;
        self.end = head.seq;
        Ok(head)
    }
}

fn failed(kind: io::ErrorKind, why: &str) -> JournalError {
    JournalError::Io { path: PathBuf::from(DATABASE), doing: "append to the journal", source: io::Error::new(kind, why) }
}

/// Standard error, as a test reads it.
#[derive(Clone, Default)]
pub struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    pub fn records(&self) -> Vec<Record> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
