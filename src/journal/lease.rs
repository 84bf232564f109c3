//! One engine per run.
//!
//! Two things together: an exclusive lock on `engine.lock`, which the kernel lets go when its process dies,
//! however it dies, and an epoch in the database, which every append checks in its own transaction. The lock
//! keeps a second engine out; the epoch stops one that lost the lock without noticing (a frozen machine, a
//! file system that forgets locks).
//!
//! On a full volume the epoch cannot be written, and just then somebody may need a rollback. So the lock alone is
//! enough to begin with: the epoch is then owed, and has to be written before the first entry ([`Lease::settle`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fs4::fs_std::FileExt;
use serde::{Deserialize, Serialize};

use super::error::JournalError;
use super::sqlite::Store;
use super::{DATABASE, LOCK};

/// How often and how long the lock is asked for: someone who lists the runs holds it for an instant.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// The right to write to a run, held until this value is dropped or its process ends.
#[derive(Debug)]
pub struct Lease {
    /// Dropping the file lets the lock go. The file itself stays: removing it would let two processes lock
    /// two files of the same name.
    _file: File,
    folder: PathBuf,
    epoch: u64,
    /// The epoch has still to be written.
    owed: bool,
}

/// What the lock file says about its holder; only ever shown to people.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Card {
    pid: Option<u32>,
    since: Option<i64>,
    identity: Option<String>,
}

impl Lease {
    /// Takes the run in `folder` for this process and begins a new epoch.
    ///
    /// # Errors
    /// [`JournalError::Busy`] when another engine holds it; otherwise when the folder holds no sound journal
    /// or the operating system refuses.
    pub fn take(folder: &Path) -> Result<(Lease, u64), JournalError> {
        if !folder.join(DATABASE).exists() {
            return Err(JournalError::NoJournal { folder: folder.to_path_buf() });
        }
        let path = folder.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| JournalError::io(&path, "open the lock file", e))?;
        if !lock(&file).map_err(|e| JournalError::io(&path, "lock the run", e))? {
            let Card { pid, since, identity } = read_card(&mut file);
            return Err(JournalError::Busy { folder: folder.to_path_buf(), pid, since, identity });
        }
        if let Err(error) = write_card(&mut file) {
            // It is only for people, and the lock is ours.
            tracing::warn!(%error, "the lock file does not say who holds it");
        }
        let (epoch, owed) = begin(&Store::open(folder)?)?;
        Ok((Lease { _file: file, folder: folder.to_path_buf(), epoch, owed }, epoch))
    }

    /// Writes the epoch, if that was not possible when the lease was taken. Whoever appends calls this first.
    ///
    /// # Errors
    /// When it still cannot be written, or another engine has begun an epoch meanwhile.
    pub fn settle(&mut self, store: &Store) -> Result<(), JournalError> {
        if self.owed {
            let current = store.next_epoch()?;
            if current != self.epoch {
                return Err(JournalError::Fenced { folder: self.folder.clone(), held: self.epoch, current });
            }
            self.owed = false;
        }
        Ok(())
    }

    /// The epoch under which this engine writes.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Whether some process holds the run in `folder`. Asking holds a shared lock for an instant; a lock file
/// that cannot be read counts as not held, because then no engine of this user runs it.
#[must_use]
pub fn is_held(folder: &Path) -> bool {
    // Dropping the file lets a lock go that was granted.
    File::open(folder.join(LOCK)).is_ok_and(|file| matches!(FileExt::try_lock_shared(&file), Ok(false)))
}

/// Begins the next epoch, and says whether it is still to be written.
fn begin(store: &Store) -> Result<(u64, bool), JournalError> {
    match store.next_epoch() {
        Ok(epoch) => Ok((epoch, false)),
        Err(error) if error.is_unwritable() => {
            tracing::error!(%error, "the epoch is owed");
            Ok((store.epoch()? + 1, true))
        }
        Err(error) => Err(error),
    }
}

fn lock(file: &File) -> io::Result<bool> {
    for _ in 1..TRIES {
        if file.try_lock_exclusive()? {
            return Ok(true);
        }
        std::thread::sleep(PAUSE);
    }
    file.try_lock_exclusive()
}

fn read_card(file: &mut File) -> Card {
    let mut text = String::new();
    // A card that is being written just now is as good as none.
    match file.rewind().and_then(|()| file.take(4096).read_to_string(&mut text)) {
        Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Card::default(),
    }
}

fn write_card(file: &mut File) -> io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_millis()).ok());
    let card = Card { pid: Some(std::process::id()), since, identity: identity() };
    let text = serde_json::to_vec(&card)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&text)
}

/// `user@host` as the environment and the system say; good enough to find the person, not to prove who it is.
fn identity() -> Option<String> {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok();
    let host = fs::read_to_string("/etc/hostname").ok().map(|h| h.trim().to_owned()).filter(|h| !h.is_empty());
    match (user, host) {
        (Some(user), Some(host)) => Some(format!("{user}@{host}")),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::sqlite::Meta;

    fn store(folder: &Path) -> Store {
        let meta = Meta {
            run_id: "R".into(),
            plan_name: "p".into(),
            plan_ref: "p".into(),
            plan_hash: String::new(),
            drill: true,
            scenario: None,
            seed: None,
            day_one: None,
            created_at: 0,
            cutover_version: "0".into(),
            workdir: ".".into(),
        };
        Store::create(folder, &meta).unwrap()
    }

    #[test]
    fn an_epoch_that_cannot_be_written_is_owed_and_fences_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let writable = |yes: bool| store.conn.pragma_update(None, "query_only", !yes).unwrap();
        writable(false);
        assert_eq!(begin(&store).unwrap(), (1, true));
        let owing = |epoch| {
            let file = File::create(dir.path().join("lock")).unwrap();
            Lease { _file: file, folder: dir.path().to_path_buf(), epoch, owed: true }
        };
        let mut lease = owing(1);
        assert!(lease.settle(&store).unwrap_err().is_unwritable());
        writable(true);
        lease.settle(&store).unwrap();
        lease.settle(&store).unwrap();
        assert_eq!((store.epoch().unwrap(), lease.owed), (1, false));
        // Somebody else was quicker: what is owed now is not the next epoch any more.
        assert!(matches!(owing(1).settle(&store), Err(JournalError::Fenced { held: 1, current: 2, .. })));
    }
}
