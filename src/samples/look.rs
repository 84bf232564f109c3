//! Reading what was kept without keeping anything: for whoever only looks at a run. SQLite leaves traces beside a
//! database that it reads through a write-ahead log, and a reader may have to repair that log. So a copy is read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::keeper::unrolled;
use super::store::{Store, Trouble};
use super::{DATABASE, Kept};

/// Attempts to copy a database to which an engine is writing.
const ATTEMPTS: u32 = 5;
/// Length of the beginning of a write-ahead log. It is another one each time that the log begins anew.
const WAL_HEADER: usize = 32;

/// What is kept in a run's folder; nothing when nothing was kept. The folder is as it was afterwards, and an engine may be
/// writing to it. `names` are the plan's monitors by number.
///
/// # Errors
/// In one line, when the database is damaged, newer than this release or cannot be read.
pub fn look(folder: &Path, names: &[String]) -> Result<Kept, String> {
    let file = folder.join(DATABASE);
    let said = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let copy = match Copy::of(&file) {
        Ok(copy) => copy,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(said(&error)),
    };
    let mut kept = Store::open(&copy.file(), names).and_then(|store| store.read()).map_err(|trouble| match trouble {
        Trouble::Now(why) | Trouble::Never(why) => said(&why),
    })?;
    // What an engine that was killed, or still lives, has not rolled up.
    let late = unrolled(&kept);
    kept.minutes.extend(late);
    Ok(kept)
}

/// How many copies this process has made: each has a name of its own.
static ORDINAL: AtomicU32 = AtomicU32::new(0);

/// A copy in a folder of its own, which goes with it.
struct Copy {
    folder: PathBuf,
}

impl Copy {
    fn of(file: &Path) -> io::Result<Copy> {
        // Nothing is made for what is not there.
        File::open(file)?;
        let ordinal = ORDINAL.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("cutover-samples-{}-{ordinal}", process::id()));
        fs::create_dir(&folder)?;
        let copy = Copy { folder };
        let log = beside(file);
        for _ in 0..ATTEMPTS {
            // While the log has not begun anew, everything that was moved from it to the database is still in it: then a
            // database copied before its log is whole together with it.
            let before = beginning(&log)?;
            fs::copy(file, copy.file())?;
            match fs::copy(&log, beside(&copy.file())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if beginning(&log)? == before {
                return Ok(copy);
            }
            // What was copied of a log that is gone by now.
            let _ = fs::remove_file(beside(&copy.file()));
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "it changes too quickly to be read"))
    }

    fn file(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Nothing depends on it, and a folder for what is temporary is cleared in any case.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The write-ahead log of a database.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// How a log begins; empty when there is none.
fn beginning(log: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(WAL_HEADER);
    match File::open(log) {
        Ok(file) => file.take(WAL_HEADER as u64).read_to_end(&mut bytes).map(|_| bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
        Err(error) => Err(error),
    }
}
