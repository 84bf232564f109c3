//! The thread that makes entries durable, so that the loop that owns order never waits for a disk.
//!
//! Batches wait in a queue; the thread takes all that wait and commits them as one transaction. After a
//! failure it latches: whatever waits and whatever comes is refused until [`Writer::resume`], because an entry
//! written behind a lost one would tell a story that did not happen.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::UnboundedSender;

use super::chain::{Draft, Hash, Head, Stored};
use super::error::JournalError;
use super::memory::Memory;
use super::sqlite::Store;

/// How many entries may wait; more than this and the disk is as good as gone.
pub const QUEUE_MAX: usize = 10_000;

/// What became of appends, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack {
    /// Every entry up to `seq` is durable. One acknowledgement may cover many appends.
    Durable {
        /// Sequence number of the newest durable entry.
        seq: u64,
        /// Its hash.
        head: Hash,
    },
    /// One append was refused: none of its entries was written, nor will be. Why, and what to do.
    Failed(String),
    /// One append was refused because another engine has taken over; this one must stop. [`Writer::resume`]
    /// does not lift this.
    Fenced(String),
}

/// Something that entries can be appended to.
pub trait Append: Send {
    /// Appends all entries durably, or none, and says where the chain ends.
    ///
    /// # Errors
    /// Why nothing was appended.
    fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<Head, JournalError>;
}

impl Append for Store {
    fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<Head, JournalError> {
        let stored = Store::append(self, epoch, drafts)?;
        stored.last().map_or_else(|| self.head(), |entry| Ok(entry.head()))
    }
}

impl Append for Memory {
    fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<Head, JournalError> {
        let end = Memory::append(self, epoch, drafts)?.last().map(Stored::head);
        Ok(end.unwrap_or_else(|| self.head()))
    }
}

/// Handle of the journal thread. Dropping it does what [`Writer::close`] does.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    acks: UnboundedSender<Ack>,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Vec<Draft>>,
    /// Entries in `batches`.
    waiting: usize,
    /// Appends that the thread has taken and not answered yet.
    taken: usize,
    /// Appends that were refused behind others which are not answered yet; they are answered after those.
    owed: usize,
    /// What every append is answered with until it is lifted.
    refusal: Option<Ack>,
    /// Set when the thread has crashed, so that nothing lifts the refusal.
    dead: bool,
    closing: bool,
}

impl Queue {
    fn idle(&self) -> bool {
        self.taken == 0 && self.batches.is_empty()
    }
}

impl Writer {
    /// Starts the thread. Acknowledgements go to `acks`, in the order of the appends.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(store: impl Append + 'static, epoch: u64, acks: UnboundedSender<Ack>) -> io::Result<Writer> {
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new(), acks });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("journal".into()).spawn(move || {
            let latch = LatchOnPanic(&theirs);
            theirs.run(store, epoch);
            drop(latch);
        })?;
        Ok(Writer { shared, thread: Some(thread) })
    }

    /// Queues entries that belong together: they become durable together or not at all. Never waits for the
    /// disk. Each call that is refused gets an [`Ack::Failed`] or [`Ack::Fenced`] of its own; a queue of more
    /// than [`QUEUE_MAX`] entries is a failure too.
    pub fn append(&self, drafts: Vec<Draft>) {
        if drafts.is_empty() {
            return;
        }
        let mut queue = self.shared.lock();
        if queue.refusal.is_none() && queue.waiting + drafts.len() > QUEUE_MAX {
            // What waits already stands before this append and will still be written.
            queue.refusal = Some(Ack::Failed(format!(
                "the journal does not keep up: {} entries wait for the disk; check the volume, then resume",
                queue.waiting
            )));
        }
        if let Some(refusal) = &queue.refusal {
            if queue.idle() {
                self.shared.answer(refusal.clone());
            } else {
                queue.owed += 1;
            }
            return;
        }
        queue.waiting += drafts.len();
        queue.batches.push_back(drafts);
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// Accepts appends again after a failure. When this gives true, everything appended so far has been
    /// answered: a caller that empties the channel now knows what to append again, namely whatever is not
    /// durable. It gives false while earlier appends are still being written (ask again later), and for good
    /// when another engine has taken over or the thread has crashed.
    #[must_use = "appends go on being refused when this is false"]
    pub fn resume(&self) -> bool {
        let mut queue = self.shared.lock();
        if !queue.idle() || queue.dead || matches!(queue.refusal, Some(Ack::Fenced(_))) {
            return false;
        }
        queue.refusal = None;
        true
    }

    /// Commits what waits, ends the thread and closes the store.
    pub fn close(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by its latch, and must not become a second one here.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between any two statements, so a panic elsewhere does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, ack: Ack) {
        // Nobody listens any more when the engine is going down; the entries matter, not the answer.
        let _ = self.acks.send(ack);
    }

    fn run(&self, mut store: impl Append, epoch: u64) {
        while let Some(batches) = self.next_group() {
            let drafts: Vec<Draft> = batches.into_iter().flatten().collect();
            match store.append(epoch, &drafts) {
                Ok(head) => self.acknowledge(head),
                Err(error @ JournalError::Fenced { .. }) => self.refuse(Ack::Fenced(error.to_string())),
                Err(error) => self.refuse(Ack::Failed(error.to_string())),
            }
        }
    }

    /// Waits for appends and takes all of them; `None` when there will be no more.
    fn next_group(&self) -> Option<VecDeque<Vec<Draft>>> {
        let mut queue = self.lock();
        loop {
            if !queue.batches.is_empty() {
                queue.waiting = 0;
                queue.taken = queue.batches.len();
                return Some(std::mem::take(&mut queue.batches));
            }
            if queue.closing {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn acknowledge(&self, head: Head) {
        let mut queue = self.lock();
        self.answer(Ack::Durable { seq: head.seq, head: head.hash });
        queue.taken = 0;
        if let (true, Some(refusal)) = (queue.idle(), &queue.refusal) {
            for _ in 0..queue.owed {
                self.answer(refusal.clone());
            }
            queue.owed = 0;
        }
    }

    /// Refuses what was taken, what waits, and what is to come, in one step.
    fn refuse(&self, refusal: Ack) {
        let mut queue = self.lock();
        for _ in 0..queue.taken + queue.batches.len() + queue.owed {
            self.answer(refusal.clone());
        }
        queue.batches.clear();
        (queue.waiting, queue.taken, queue.owed) = (0, 0, 0);
        queue.refusal = Some(refusal);
    }
}

/// Turns a panic of the thread into refusals: silence would look like a slow disk.
struct LatchOnPanic<'a>(&'a Shared);

impl Drop for LatchOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().dead = true;
            self.0.refuse(Ack::Failed("the journal thread has crashed; start the engine again".into()));
        }
    }
}

#[cfg(test)]
mod tests;
