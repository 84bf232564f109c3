//! The thread that keeps samples. Batches reach it through a bounded channel, and who hands them over never waits: what
//! does not fit is lost, and said.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::pack::Pack;
use super::store::{Store, Table, Trouble, set_aside};
use super::{DATABASE, KEEP_MS, Kept};
use crate::cloud::Millis;
use crate::run::minute::{Gathering, Minute};

/// Batches that may wait for the thread.
const QUEUE: usize = 1_024;
/// How often what is new is written: what a crash may take.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// Packs that wait to be written are written sooner when there are so many; while they cannot be, no more are kept.
const WAITING_MAX: usize = 4_096;
/// A pack of samples holds an hour at most, so that what is a day old can go; one of minutes a day. In milliseconds.
const SPAN_MS: [i64; 2] = [3_600_000, 86_400_000];

/// What is to be kept.
#[derive(Debug, Default)]
pub struct Batch {
    /// Samples, in order of time for each monitor: monitor, Unix milliseconds, number or `None` for a failed one.
    pub samples: Vec<(usize, Millis, Option<i64>)>,
    /// Minutes that are over, in order of time for each monitor.
    pub minutes: Vec<(usize, Minute)>,
}

impl Batch {
    fn len(&self) -> usize {
        self.samples.len() + self.minutes.len()
    }
}

/// What the thread has to say.
#[derive(Debug, Default)]
struct Said {
    /// What could not be read and was given another name.
    aside: Option<String>,
    /// Why nothing can be written now.
    failed: Option<String>,
}

/// Handle of the thread. Dropping it writes what was handed over and ends it.
#[derive(Debug)]
pub struct Keeper {
    batches: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
    said: Arc<Mutex<Said>>,
    /// What found no room in the queue since it last had some.
    lost: usize,
}

impl Keeper {
    /// Opens or makes the database of a run and starts the thread. `names` are the plan's monitors by number. Whatever is
    /// wrong with the file, the run goes on: [`Keeper::failure`] says what.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn open(folder: &Path, names: Vec<String>) -> io::Result<(Keeper, Kept)> {
        let said = Arc::new(Mutex::new(Said::default()));
        let mut writer = Writer {
            file: folder.join(DATABASE),
            current: [names.iter().map(|_| None).collect(), names.iter().map(|_| None).collect()],
            names,
            store: None,
            done: Vec::new(),
            newest: Millis::MIN,
            dropped: Millis::MIN,
            said: Arc::clone(&said),
        };
        let mut kept = writer.begin();
        // What an engine that was killed had no time to roll up.
        let late = unrolled(&kept);
        kept.minutes.extend(late.iter().copied());
        writer.take(Batch { samples: Vec::new(), minutes: late });
        let (batches, work) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("samples".into()).spawn(move || writer.run(&work))?;
        Ok((Keeper { batches: Some(batches), thread: Some(thread), said, lost: 0 }, kept))
    }

    /// Hands a batch over. Never waits.
    pub fn offer(&mut self, batch: Batch) {
        let Some(batches) = &self.batches else { return };
        match batches.try_send(batch) {
            Ok(()) => self.lost = 0,
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => self.lost += batch.len(),
        }
    }

    /// Why samples are being lost, or what became of those that were kept before, in one line.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || (self.lost > 0).then(|| format!("{} samples are lost: the disk does not keep up", self.lost));
        let failed = said.failed.as_ref().map(|why| format!("samples are not kept: {why}"));
        failed.or_else(full).or_else(|| said.aside.clone())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Minutes of the samples that are in none that was kept.
pub(super) fn unrolled(kept: &Kept) -> Vec<(usize, Minute)> {
    let monitors = kept.samples.iter().map(|(monitor, ..)| monitor + 1).max().unwrap_or(0);
    let mut rolled = vec![Millis::MIN; monitors];
    for (monitor, minute) in &kept.minutes {
        if let Some(until) = rolled.get_mut(*monitor) {
            *until = minute.last;
        }
    }
    let mut gathering = vec![Gathering::default(); monitors];
    let mut minutes = Vec::new();
    for (monitor, at, number) in &kept.samples {
        if *at > rolled[*monitor] {
            minutes.extend(gathering[*monitor].add(*at, *number).map(|minute| (*monitor, minute)));
        }
    }
    for (monitor, gathering) in gathering.iter_mut().enumerate() {
        minutes.extend(gathering.end_before(Millis::MAX, 0).map(|minute| (monitor, minute)));
    }
    minutes.sort_by_key(|(_, minute)| minute.first);
    minutes
}

/// What the thread works with.
struct Writer {
    file: PathBuf,
    names: Vec<String>,
    store: Option<Store>,
    /// The packs to which something may still be added, and whether something was since they were written: samples and
    /// minutes, by monitor.
    current: [Vec<Option<(Pack, bool)>>; 2],
    /// Packs that are full and have not been written.
    done: Vec<(Table, usize, Pack)>,
    /// Time of the newest sample.
    newest: Millis,
    /// Time of the newest sample when old ones were dropped last.
    dropped: Millis,
    said: Arc<Mutex<Said>>,
}

impl Writer {
    fn run(mut self, work: &Receiver<Batch>) {
        let mut due = Instant::now() + WRITE_EVERY;
        loop {
            let ended = match work.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(batch) => {
                    self.take(batch);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            let is_full = self.done.len() >= WAITING_MAX && self.lock().failed.is_none();
            if ended || is_full || Instant::now() >= due {
                self.write();
                due = Instant::now() + WRITE_EVERY;
            }
            if ended {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the database and reads what is in it.
    fn begin(&mut self) -> Kept {
        match self.open().and_then(|()| self.store.as_ref().map_or_else(|| Ok(Kept::default()), Store::read)) {
            Ok(kept) => kept,
            Err(trouble) => {
                self.suffer(trouble);
                Kept::default()
            }
        }
    }

    fn open(&mut self) -> Result<(), Trouble> {
        if self.store.is_none() {
            self.store = Some(Store::open(&self.file, &self.names)?);
        }
        Ok(())
    }

    /// A file that can never be used is given another name, and the next attempt begins a new one.
    fn suffer(&mut self, trouble: Trouble) {
        let file = self.file.display();
        let why = match trouble {
            Trouble::Now(why) => format!("{file}: {why}"),
            Trouble::Never(why) => {
                self.store = None;
                match set_aside(&self.file) {
                    Ok(aside) => {
                        let said = format!("samples are kept anew: {file} cannot be read ({why}); it is {} now", aside.display());
                        tracing::warn!("{said}");
                        self.lock().aside = Some(said);
                        return;
                    }
                    Err(error) => format!("{file} cannot be read ({why}), nor set aside ({error})"),
                }
            }
        };
        if self.lock().failed.as_ref() != Some(&why) {
            tracing::warn!(why, "samples are not kept");
        }
        self.lock().failed = Some(why);
    }

    fn take(&mut self, batch: Batch) {
        for (monitor, at, number) in batch.samples {
            self.newest = self.newest.max(at);
            self.add(Table::Samples, monitor, at, |pack| pack.sample(at, number));
        }
        for (monitor, minute) in batch.minutes {
            self.add(Table::Minutes, monitor, minute.first, |pack| pack.minute(&minute));
        }
    }

    fn add(&mut self, table: Table, monitor: usize, at: Millis, add: impl FnOnce(&mut Pack)) {
        let Some(current) = self.current[table as usize].get_mut(monitor) else { return };
        if let Some((full, changed)) = current.take_if(|(pack, _)| !pack.takes(at, SPAN_MS[table as usize]))
            && changed
            && self.done.len() < WAITING_MAX * 2
        {
            self.done.push((table, monitor, full));
        }
        let (pack, changed) = current.get_or_insert_with(|| (Pack::new(at), true));
        add(pack);
        *changed = true;
    }

    /// Writes what is new.
    fn write(&mut self) {
        let tables = [Table::Samples, Table::Minutes];
        let changed = |p: &&Option<(Pack, bool)>| p.as_ref().is_some_and(|(_, changed)| *changed);
        if self.done.is_empty() && self.current.iter().flatten().filter(changed).count() == 0 {
            return;
        }
        // Once an hour: a little more is kept than is promised.
        let drops = self.newest.saturating_sub(self.dropped) >= SPAN_MS[0];
        let oldest = self.newest.saturating_sub(KEEP_MS + SPAN_MS[0]);
        // A drill that runs as fast as it can is days further by now: what would go at once is not written first.
        self.done.retain(|(table, _, pack)| *table != Table::Samples || pack.begins >= oldest);
        let outcome = self.open().and_then(|()| {
            let Some(store) = &mut self.store else { return Ok(()) };
            let done = self.done.iter().map(|(table, monitor, pack)| (*table, *monitor, pack));
            let growing = tables.into_iter().zip(&self.current).flat_map(|(table, packs)| {
                let changed = packs.iter().enumerate().filter_map(|(monitor, p)| Some((monitor, p.as_ref()?)));
                changed.filter(|(_, (_, changed))| *changed).map(move |(monitor, (pack, _))| (table, monitor, pack))
            });
            store.write(done.chain(growing), drops.then_some(oldest))
        });
        match outcome {
            Ok(()) => {
                self.done.clear();
                self.current.iter_mut().flatten().flatten().for_each(|(_, changed)| *changed = false);
                if drops {
                    self.dropped = self.newest;
                }
                self.lock().failed = None;
            }
            Err(trouble) => self.suffer(trouble),
        }
    }
}
