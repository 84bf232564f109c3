//! The spool: where entries stand while the journal cannot be written, so that a rollback need not wait for a disk.
//!
//! A file in the run's folder. All of its bytes are written when the run is opened, so that a full volume has nothing
//! to refuse later (a file system that never writes in place may refuse all the same). One record is one line:
//!
//! ```text
//! LENGTH CHECKSUM JSON
//! ```
//!
//! with the JSON's length in bytes (8 hex digits) and the first 8 bytes of a SHA-256 (16 hex digits) over the checksum
//! of the record before and the JSON. The first line that is not whole ends the spool: it was being written when its
//! writer died, and nothing was done on the strength of it. What follows the last record is zeros.
//!
//! A record carries the sequence number that its entry has in the run, so that entries join the journal once however
//! often they are joined. An entry that comes to the journal this way, or that had to wait for it, is *late*: its body
//! has one field more, [`LATE`], which says when it came. Nothing else tells it from others, so journals with and
//! without late entries are read the same way.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;

use super::chain::{Draft, Stored};
use super::error::JournalError;

/// Name of the spool inside a run's folder.
pub const SPOOL: &str = "spool";

/// Bytes of a spool: some five hundred entries, and a rollback writes a few dozen.
pub const CAPACITY: u64 = 256 * 1024;

/// Bytes that only a rollback may use: what else is written while the journal is away must not take them from it.
pub const RESERVE: u64 = CAPACITY / 2;

/// The field that a late entry's body has more: when it joined the journal, Unix milliseconds.
pub const LATE: &str = "late";

/// Bytes of a line beside its JSON.
const FRAME: u64 = 8 + 1 + 16 + 1 + 1;

type Sum = u64;

/// An entry in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The sequence number that the entry has in the run.
    pub seq: u64,
    /// Epoch of the engine that wrote it.
    pub epoch: u64,
    /// When it happened, Unix milliseconds (virtual in a drill).
    pub at: i64,
    /// Kind of entry.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// JSON text.
    pub body: String,
}

impl Record {
    /// A draft with its place in the run.
    #[must_use]
    pub fn new(seq: u64, epoch: u64, draft: Draft) -> Record {
        Record { seq, epoch, at: draft.at, kind: draft.kind, actor: draft.actor, body: draft.body }
    }

    /// The record as one line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the journal's entry is this one, however late it came.
    fn is(&self, stored: &Stored) -> bool {
        let plain = |body: &str| {
            let mut value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            value.as_object_mut().map(|object| object.remove(LATE));
            value
        };
        (self.at, &self.kind, &self.actor) == (stored.at, &stored.kind, &stored.actor) && plain(&self.body) == plain(&stored.body)
    }
}

/// A body that says when its entry joined the journal, Unix milliseconds.
#[must_use]
pub fn late(body: &str, joined: i64) -> String {
    match serde_json::from_str(body) {
        Ok(serde_json::Value::Object(mut object)) => {
            object.insert(LATE.into(), joined.into());
            serde_json::Value::Object(object).to_string()
        }
        // A body that is no object has no room for it, and is worth more than the mark.
        _ => body.to_owned(),
    }
}

/// When an entry joined the journal, Unix milliseconds, if it was late.
#[must_use]
pub fn joined(body: &str) -> Option<i64> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    value.get(LATE)?.as_i64()
}

/// A run's spool, open to write to it.
#[derive(Debug)]
pub struct Spool {
    file: File,
    path: PathBuf,
    /// Where the next record begins.
    used: u64,
    /// Checksum of the newest record.
    sum: Sum,
}

impl Spool {
    /// Opens the spool of a run and writes all of its bytes, if they are not there yet. Only the holder of the run's
    /// lease may do so.
    ///
    /// # Errors
    /// When it cannot be read or written; a run can go on without one, but see [`read`].
    pub fn open(folder: &Path) -> Result<Spool, JournalError> {
        let path = folder.join(SPOOL);
        let fresh = !path.exists();
        let failed = |e| JournalError::io(&path, "prepare the spool", e);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (_, used, sum) = parse(&bytes);
        let spool = Spool { file, path: path.clone(), used: used as u64, sum };
        // A torn record must not stand in front of the next one.
        let clean = bytes.len() as u64 >= CAPACITY && bytes[used..].iter().all(|b| *b == 0);
        if !clean {
            spool.zero(spool.used, CAPACITY.max(bytes.len() as u64)).map_err(failed)?;
        }
        if fresh {
            File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
        }
        Ok(spool)
    }

    /// A spool in a file that the caller has prepared; what is in it does not count.
    #[must_use]
    pub fn in_file(file: File, path: PathBuf) -> Spool {
        Spool { file, path, used: 0, sum: Sum::default() }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Adds records. All of them are durable when this returns.
    ///
    /// # Errors
    /// When they cannot be written or there is no room; none of them counts then.
    pub fn keep(&mut self, records: &[Record]) -> Result<(), JournalError> {
        let (mut bytes, mut sum) = (Vec::new(), self.sum);
        for record in records {
            let json = record.json();
            sum = chained(sum, json.as_bytes());
            bytes.extend(format!("{:08x} {sum:016x} {json}\n", json.len()).into_bytes());
        }
        let failed = |e| JournalError::io(&self.path, "write the spool", e);
        if self.used + bytes.len() as u64 > CAPACITY {
            return Err(failed(io::Error::new(io::ErrorKind::StorageFull, "the spool is full")));
        }
        self.file.write_all_at(&bytes, self.used).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        self.used += bytes.len() as u64;
        self.sum = sum;
        Ok(())
    }

    /// Forgets every record: they are in the journal.
    ///
    /// # Errors
    /// When it cannot be written; the records are then still there, and joining them again does no harm.
    pub fn empty(&mut self) -> Result<(), JournalError> {
        self.zero(0, CAPACITY).map_err(|e| JournalError::io(&self.path, "empty the spool", e))?;
        (self.used, self.sum) = (0, Sum::default());
        Ok(())
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
        self.file.write_all_at(&zeros, from)?;
        self.file.sync_all()
    }
}

/// The records in a run's spool, oldest first; none when there is no spool. Reading changes nothing.
///
/// # Errors
/// When it cannot be read: entries may be in it that the journal does not have.
pub fn read(folder: &Path) -> Result<Vec<Record>, JournalError> {
    let path = folder.join(SPOOL);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(parse(&bytes).0),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(JournalError::io(&path, "read the spool", e)),
    }
}

/// The records of a run's spool that are not in its journal, given all of the journal's entries. Where both are read
/// while an engine writes, the spool must be read first.
///
/// # Errors
/// When the spool tells of entries that are not those of the journal.
pub fn missing(folder: &Path, records: Vec<Record>, entries: &[Stored]) -> Result<Vec<Record>, JournalError> {
    let foreign = |what: String| JournalError::Spool { file: folder.join(SPOOL), what };
    let end = entries.last().map_or(0, |e| e.seq);
    let mut missing = Vec::new();
    for record in records {
        if record.seq > end {
            missing.push(record);
        } else if !entries.iter().rev().find(|e| e.seq == record.seq).is_some_and(|e| record.is(e)) {
            return Err(foreign(format!("its entry {} is not the journal's entry {}", record.seq, record.seq)));
        }
    }
    match missing.first() {
        Some(first) if first.seq != end + 1 => {
            Err(foreign(format!("it begins with entry {}, and the journal ends with entry {end}", first.seq)))
        }
        _ => Ok(missing),
    }
}

/// The whole records at the beginning of some bytes, where they end, and the last one's checksum.
fn parse(bytes: &[u8]) -> (Vec<Record>, usize, Sum) {
    let (mut records, mut at, mut sum) = (Vec::<Record>::new(), 0, Sum::default());
    while let Some((record, next, checksum)) = parse_line(&bytes[at..], sum) {
        // Entries have no gaps, so records have none either.
        if records.last().is_some_and(|last| last.seq + 1 != record.seq) {
            break;
        }
        records.push(record);
        (at, sum) = (at + next, checksum);
    }
    (records, at, sum)
}

fn parse_line(bytes: &[u8], before: Sum) -> Option<(Record, usize, Sum)> {
    let head = std::str::from_utf8(bytes.get(..26)?).ok()?;
    let length = usize::from_str_radix(head.get(..8)?, 16).ok()?;
    let json = bytes.get(26..)?.get(..length)?;
    let sum = chained(before, json);
    let whole = head.get(8..9)? == " " && head.get(9..25)? == format!("{sum:016x}") && head.get(25..)? == " ";
    if !whole || bytes.get(26 + length) != Some(&b'\n') {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, 26 + length + 1, sum))
}

fn chained(before: Sum, json: &[u8]) -> Sum {
    let hash = Sha256::new().chain_update(before.to_be_bytes()).chain_update(json).finalize();
    hash.iter().take(8).fold(0, |sum, byte| sum << 8 | Sum::from(*byte))
}

/// What became of records, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Every record up to this sequence number is durable.
    Durable(u64),
    /// Records could not be written, and why. Nothing more will be until the spool was emptied.
    Failed(String),
    /// The spool is empty.
    Empty,
}

#[derive(Debug)]
enum Job {
    Keep(Vec<Record>),
    Empty,
}

/// Handle of the thread that writes a spool, so that the loop that owns order never waits for a disk. Dropping it
/// finishes what was handed over and ends the thread.
#[derive(Debug)]
pub struct Keeper {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Bytes used when everything that was handed over is written.
    used: u64,
}

impl Keeper {
    /// Starts the thread. What became of records goes to `answers`, in their order.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(spool: Spool, answers: UnboundedSender<Kept>) -> io::Result<Keeper> {
        let (jobs, work) = mpsc::channel();
        let used = spool.used;
        let thread = thread::Builder::new().name("spool".into()).spawn(move || run(spool, &work, &answers))?;
        Ok(Keeper { jobs: Some(jobs), thread: Some(thread), used })
    }

    /// Hands records over and says whether there is room for them, up to this many bytes of the spool. Never waits
    /// for the disk.
    pub fn keep(&mut self, records: Vec<Record>, limit: u64) -> bool {
        let size: u64 = records.iter().map(|r| r.json().len() as u64 + FRAME).sum();
        if self.used + size > limit.min(CAPACITY) {
            return false;
        }
        self.used += size;
        self.hand_over(Job::Keep(records));
        true
    }

    /// Forgets every record.
    pub fn empty(&mut self) {
        self.used = 0;
        self.hand_over(Job::Empty);
    }

    fn hand_over(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A thread that is gone has crashed; nothing it was given is ever called durable.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

fn run(mut spool: Spool, work: &mpsc::Receiver<Job>, answers: &UnboundedSender<Kept>) {
    // A record behind a lost one would tell a story that did not happen.
    let mut broken: Option<String> = None;
    while let Ok(job) = work.recv() {
        let done = match (job, &broken) {
            (Job::Keep(_), Some(why)) => Kept::Failed(why.clone()),
            (Job::Keep(records), None) => match spool.keep(&records) {
                Ok(()) => Kept::Durable(records.last().map_or(0, |r| r.seq)),
                Err(error) => Kept::Failed(error.to_string()),
            },
            (Job::Empty, _) => match spool.empty() {
                Ok(()) => Kept::Empty,
                Err(error) => Kept::Failed(error.to_string()),
            },
        };
        broken = if let Kept::Failed(why) = &done { Some(why.clone()) } else { None };
        // Nobody listens any more when the engine is going down.
        let _ = answers.send(done);
    }
}

#[cfg(test)]
mod tests;
