//! Where runs live and which one is meant.

use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use super::DATABASE;
use super::chain::Stored;
use super::error::JournalError;
use super::lease;
use super::sqlite::{Meta, Store};

/// Kind of the entry that ends a run. The journal knows this one kind, so that it can tell which runs are
/// unfinished without reading bodies: a run is finished when its newest entry is of this kind.
pub const FINISHED: &str = "finished";

/// The digits of Crockford's base 32: no I, L, O or U.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Length of a run id in characters.
const RUN_ID_LEN: usize = 26;

/// A new run id in the manner of a ULID: 26 characters that sort by time. `now_ms` is Unix milliseconds
/// (below 0 counts as 0); of `random` the lowest 80 bits are used.
#[must_use]
pub fn new_run_id(now_ms: i64, random: u128) -> String {
    let time = u128::from(u64::try_from(now_ms).unwrap_or(0)) & ((1 << 48) - 1);
    let mut rest = (time << 80) | (random & ((1 << 80) - 1));
    let mut digits = [b'0'; RUN_ID_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = CROCKFORD[(rest & 31) as usize];
        rest >>= 5;
    }
    digits.iter().copied().map(char::from).collect()
}

/// Randomness for a run id, from the seeds that the standard library asks the system for; not for secrets.
#[must_use]
pub fn random_bits() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    (half() << 64) | half()
}

/// A run that can be read.
#[derive(Debug)]
pub struct RunInfo {
    /// Its folder.
    pub folder: PathBuf,
    /// Facts about it.
    pub meta: Meta,
    /// Its newest entry.
    pub last: Option<Stored>,
    /// Whether an engine holds it now.
    pub live: bool,
}

impl RunInfo {
    /// Whether its newest entry ended it (see [`FINISHED`]).
    #[must_use]
    pub fn finished(&self) -> bool {
        self.last.as_ref().is_some_and(|entry| entry.kind == FINISHED)
    }

    fn read(folder: &Path) -> Result<RunInfo, JournalError> {
        let store = Store::open_read(folder)?;
        let last = store.tail(1)?.pop();
        Ok(RunInfo { folder: folder.to_path_buf(), meta: store.meta()?, last, live: lease::is_held(folder) })
    }
}

/// A run whose journal cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its folder.
    pub folder: PathBuf,
    /// Why.
    pub why: JournalError,
}

/// All runs.
#[derive(Debug, Default)]
pub struct Listing {
    /// The runs that can be read, newest first.
    pub runs: Vec<RunInfo>,
    /// The others, by folder: one bad journal neither hides the rest nor goes unseen.
    pub unreadable: Vec<Unreadable>,
}

/// The folder that holds the runs, one folder each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    dir: PathBuf,
}

impl Runs {
    /// Runs kept in `dir`, which need not exist yet.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Runs {
        Runs { dir: dir.into() }
    }

    /// Runs of this user: `$CUTOVER_STATE_DIR`, else `$XDG_STATE_HOME/cutover/runs`, else
    /// `~/.local/state/cutover/runs`.
    ///
    /// # Errors
    /// [`JournalError::NoStateDir`] when none of them can be told.
    pub fn of_user() -> Result<Runs, JournalError> {
        Runs::from_env(|name| std::env::var_os(name))
    }

    /// As [`Runs::of_user`], from an environment that is given.
    ///
    /// # Errors
    /// As [`Runs::of_user`].
    pub fn from_env(get: impl Fn(&str) -> Option<OsString>) -> Result<Runs, JournalError> {
        let path = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(dir) = path("CUTOVER_STATE_DIR") {
            return Ok(Runs { dir });
        }
        // The XDG specification says that relative paths are to be ignored.
        let state = path("XDG_STATE_HOME").filter(|dir| dir.is_absolute());
        let state = state.or_else(|| path("HOME").map(|home| home.join(".local/state")));
        state.map(|dir| Runs { dir: dir.join("cutover/runs") }).ok_or(JournalError::NoStateDir)
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of one run, existing or not.
    #[must_use]
    pub fn folder(&self, run_id: &str) -> PathBuf {
        self.dir.join(run_id)
    }

    /// Every run, with its newest entry.
    ///
    /// # Errors
    /// When the folder cannot be read; that it does not exist only means that there are no runs.
    pub fn list(&self) -> Result<Listing, JournalError> {
        let mut listing = Listing::default();
        for id in self.ids()? {
            let folder = self.folder(&id);
            match RunInfo::read(&folder) {
                Ok(info) => listing.runs.push(info),
                Err(why) => listing.unreadable.push(Unreadable { folder, why }),
            }
        }
        Ok(listing)
    }

    /// The folder of the run that is meant: by its id, by the path of its folder, or by the beginning of its
    /// id if no other begins so (in either case of letters). Without any of these, the only live run, or if
    /// none is live the newest unfinished one.
    ///
    /// # Errors
    /// [`JournalError::NoRun`] or [`JournalError::Ambiguous`] with the ids to choose from.
    pub fn find(&self, run: Option<&str>) -> Result<PathBuf, JournalError> {
        match run {
            Some(run) => self.find_named(run),
            None => self.find_obvious(),
        }
    }

    fn find_named(&self, run: &str) -> Result<PathBuf, JournalError> {
        let ids = self.ids()?;
        if let Some(id) = ids.iter().find(|id| id.eq_ignore_ascii_case(run)) {
            return Ok(self.folder(id));
        }
        let path = Path::new(run);
        if path.join(DATABASE).exists() {
            return Ok(path.to_path_buf());
        }
        // Something that can only be a path is answered as a path.
        if path.components().count() > 1 || path.is_dir() {
            return Err(JournalError::NoJournal { folder: path.to_path_buf() });
        }
        let begins = |id: &&String| id.get(..run.len()).is_some_and(|start| start.eq_ignore_ascii_case(run));
        let fitting: Vec<String> = if run.is_empty() { Vec::new() } else { ids.iter().filter(begins).cloned().collect() };
        match fitting.as_slice() {
            [id] => Ok(self.folder(id)),
            [] => Err(JournalError::NoRun { wanted: format!("{run:?}"), dir: self.dir.clone(), known: ids }),
            _ => Err(JournalError::Ambiguous { wanted: format!("{run:?}"), dir: self.dir.clone(), candidates: fitting }),
        }
    }

    fn find_obvious(&self) -> Result<PathBuf, JournalError> {
        // Asking for locks is cheap; journals are opened only when no run is live.
        let ids = self.ids()?;
        let live: Vec<String> = ids.iter().filter(|id| lease::is_held(&self.folder(id))).cloned().collect();
        match live.as_slice() {
            [id] => return Ok(self.folder(id)),
            [] => {}
            _ => {
                return Err(JournalError::Ambiguous { wanted: "live run".into(), dir: self.dir.clone(), candidates: live });
            }
        }
        for id in &ids {
            let folder = self.folder(id);
            // A journal that cannot be read is not passed over: it may be the very run that is meant.
            if !RunInfo::read(&folder)?.finished() {
                return Ok(folder);
            }
        }
        Err(JournalError::NoRun { wanted: "unfinished run".into(), dir: self.dir.clone(), known: ids })
    }

    /// Names of the folders that hold a journal, newest first.
    fn ids(&self) -> Result<Vec<String>, JournalError> {
        let failed = |e| JournalError::io(&self.dir, "list the runs", e);
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // Names that are not Unicode are not ours.
            if let Ok(name) = entry.file_name().into_string()
                && entry.path().join(DATABASE).exists()
            {
                ids.push(name);
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_time_and_are_stable() {
        assert_eq!(new_run_id(0, 0), "0".repeat(26));
        assert_eq!(new_run_id(1_469_918_176_385, 0), "01ARYZ6S410000000000000000");
        assert_eq!(new_run_id(-5, 31), format!("{}Z", "0".repeat(25)));
        assert_eq!(new_run_id((1 << 48) - 1, u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert!(new_run_id(1, u128::MAX) < new_run_id(2, 0));
        assert_ne!(random_bits(), random_bits());
    }

    #[test]
    fn state_folder_by_environment() {
        let dir = |pairs: &'static [(&str, &str)]| {
            Runs::from_env(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
                .map(|runs| runs.dir().display().to_string())
                .ok()
        };
        assert_eq!(dir(&[("CUTOVER_STATE_DIR", "x"), ("HOME", "/h")]).unwrap(), "x");
        assert_eq!(dir(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]).unwrap(), "/s/cutover/runs");
        assert_eq!(dir(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]).unwrap(), "/h/.local/state/cutover/runs");
        assert_eq!(dir(&[("CUTOVER_STATE_DIR", ""), ("HOME", "/h")]).unwrap(), "/h/.local/state/cutover/runs");
        assert_eq!(dir(&[]), None);
    }
}
