//! The durable store: one SQLite database per run.
//!
//! Write-ahead log and `synchronous=FULL`: when [`Store::append`] returns, its entries survive a power cut.
//! Readers in other processes see every committed entry while an engine writes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::DATABASE;
use super::chain::{Checker, Damage, Draft, Hash, Head, Stored, Verified};
use super::error::JournalError;

/// Newest format of the database that this release reads, and the one that it writes (`user_version`).
pub const FORMAT: u32 = 1;

/// Marks the database as ours (`application_id`, "cuto" in ASCII).
const APPLICATION_ID: i32 = 0x6375_746f;

/// How long a statement waits for another process before it is refused.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many entries are read at a time, so that a reader never holds back a checkpoint for long.
const PAGE: usize = 1_000;

const SCHEMA: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE lease (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL) STRICT;
    INSERT INTO lease (id, epoch) VALUES (1, 0);
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, at INTEGER NOT NULL, version INTEGER NOT NULL,
        kind TEXT NOT NULL, actor TEXT NOT NULL, body TEXT NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL
    ) STRICT;
";

const COLUMNS: &str = "seq, epoch, at, version, kind, actor, body, prev, hash";

/// Facts about a run that stay outside the chain, so that the head of a drill is the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Run id (see [`super::new_run_id`]).
    pub run_id: String,
    /// The plan's own name.
    pub plan_name: String,
    /// Path of the plan, or the name of a built-in one.
    pub plan_ref: String,
    /// SHA-256 of the plan's manifest, hex.
    pub plan_hash: String,
    /// Whether the run is a drill.
    pub drill: bool,
    /// Scenario of the drill.
    pub scenario: Option<String>,
    /// Seed of the drill.
    pub seed: Option<u64>,
    /// Which date day 1 of a live run is, where somebody said so when it was made. It joins the chain with the first
    /// entries; here it outlives a process that dies before them.
    #[serde(default)]
    pub day_one: Option<String>,
    /// When the run was created, Unix milliseconds by the machine's clock.
    pub created_at: i64,
    /// Release that created it.
    pub cutover_version: String,
    /// Working tree that the run's actions use.
    pub workdir: PathBuf,
}

/// The journal of one run.
#[derive(Debug)]
pub struct Store {
    pub(super) conn: Connection,
    folder: PathBuf,
    file: PathBuf,
}

impl Store {
    /// Makes a new journal in `folder`, which is created if need be. It is durable when this returns.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already; otherwise what the operating system or SQLite said.
    pub fn create(folder: &Path, meta: &Meta) -> Result<Store, JournalError> {
        let rows = meta_rows(folder, meta)?;
        fs::create_dir_all(folder).map_err(|e| JournalError::io(folder, "create the folder", e))?;
        let file = folder.join(DATABASE);
        // Claiming the name first makes sure that two processes never lay out the same journal.
        match OpenOptions::new().write(true).create_new(true).open(&file) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(JournalError::Exists { folder: folder.to_path_buf() });
            }
            Err(e) => return Err(JournalError::io(&file, "create the journal", e)),
        }
        let mut store = Store::connect(folder, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        store.prepare_for_writing()?;
        store.lay_out(&rows).map_err(|e| store.refused("lay out the journal", e))?;
        sync_folder(folder)?;
        if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(store)
    }

    /// Opens a journal to write to it. Whoever appends needs the epoch of a [`super::Lease`].
    ///
    /// # Errors
    /// When there is none, when it is damaged, foreign or newer than this release, or cannot be opened.
    pub fn open(folder: &Path) -> Result<Store, JournalError> {
        let store = Store::connect(folder, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        store.check_format()?;
        store.prepare_for_writing()?;
        Ok(store)
    }

    /// Opens a journal to read it, also while an engine writes to it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_read(folder: &Path) -> Result<Store, JournalError> {
        let store = Store::connect(folder, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        store.check_format()?;
        Ok(store)
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Facts about the run.
    ///
    /// # Errors
    /// When they are damaged or cannot be read.
    pub fn meta(&self) -> Result<Meta, JournalError> {
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let mut statement = self.conn.prepare("SELECT key, value FROM meta")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let rows = read().map_err(|e| self.refused("read the facts about the run", e))?;
        let damaged = |what: String| JournalError::Foreign {
            file: self.file.clone(),
            what: format!("its table `meta` is damaged ({what})"),
        };
        let mut object = serde_json::Map::new();
        for (key, text) in rows {
            let value = serde_json::from_str(&text).map_err(|e| damaged(format!("{key}: {e}")))?;
            object.insert(key, value);
        }
        serde_json::from_value(serde_json::Value::Object(object)).map_err(|e| damaged(e.to_string()))
    }

    /// Appends entries in one transaction and gives them back in their places. All of them are durable when
    /// this returns, or none is written.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when `epoch` is not that of the newest lease; otherwise what SQLite said.
    pub fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<Vec<Stored>, JournalError> {
        match append(&mut self.conn, epoch, drafts) {
            Ok(Ok(stored)) => Ok(stored),
            Ok(Err(current)) => Err(JournalError::Fenced { folder: self.folder.clone(), held: epoch, current }),
            Err(e) => Err(self.refused("append to the journal", e)),
        }
    }

    /// Lets the database's file grow, or forbids it: SQLite then refuses as it does on a full volume. For rehearsals.
    ///
    /// # Errors
    /// When SQLite does not answer.
    pub fn may_grow(&self, yes: bool) -> Result<(), JournalError> {
        // As much as SQLite can count, or no page more than there are: SQLite never goes below that.
        let pages = if yes { 0xffff_fffe_i64 } else { 1 };
        self.conn
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .map_err(|e| self.refused("limit the journal's size", e))
    }

    /// The end of the chain, as the newest entry says it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn head(&self) -> Result<Head, JournalError> {
        head(&self.conn).map_err(|e| self.refused("read the newest entry", e))
    }

    /// Epoch of the newest lease, 0 when none was ever taken.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn epoch(&self) -> Result<u64, JournalError> {
        epoch(&self.conn).map_err(|e| self.refused("read the lease's epoch", e))
    }

    /// All entries, oldest first, each checked against the chain as it is read.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries { store: self, checker: Checker::new(None), page: Vec::new().into_iter(), done: false }
    }

    /// All entries, oldest first, checked against the chain: what a run is resumed from.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] with the first entry that does not hold; otherwise what SQLite said.
    pub fn read_all(&self) -> Result<Vec<Stored>, JournalError> {
        self.entries().collect()
    }

    /// At most `limit` entries behind number `seq`, oldest first, not checked: for following a journal.
    ///
    /// # Errors
    /// When an entry cannot be read.
    pub fn read_after(&self, seq: u64, limit: usize) -> Result<Vec<Stored>, JournalError> {
        self.select("WHERE seq > ?1 ORDER BY seq LIMIT ?2", clamp(seq), limit)
    }

    /// The newest `n` entries, oldest first, not checked.
    ///
    /// # Errors
    /// When an entry cannot be read.
    pub fn tail(&self, n: usize) -> Result<Vec<Stored>, JournalError> {
        // The first parameter is not needed here; it only keeps the two queries alike.
        let mut newest = self.select("WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2", i64::MIN, n)?;
        newest.reverse();
        Ok(newest)
    }

    /// Checks every entry from the first to the last, and that the expected head is among them if one is
    /// given. Without one, a tail that was cut off cannot be noticed.
    ///
    /// # Errors
    /// The first entry that is not as it was written or cannot be read.
    pub fn verify(&self, expected: Option<Hash>) -> Result<Verified, Damage> {
        let mut entries = self.entries();
        entries.checker = Checker::new(expected);
        for entry in &mut entries {
            match entry {
                Ok(_) => {}
                Err(JournalError::Damaged { damage, .. }) => return Err(damage),
                Err(error) => return Err(Damage { seq: entries.checker.next_seq(), what: format!("cannot be read: {error}") }),
            }
        }
        entries.checker.finish()
    }

    /// Begins the next epoch. Only the lease calls this, while it holds the lock.
    pub(super) fn next_epoch(&self) -> Result<u64, JournalError> {
        self.conn
            .query_row("UPDATE lease SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch", [], |row| unsigned(row, 0))
            .map_err(|e| self.refused("take the lease", e))
    }

    fn connect(folder: &Path, mode: OpenFlags) -> Result<Store, JournalError> {
        let file = folder.join(DATABASE);
        match file.try_exists() {
            Ok(true) => {}
            Ok(false) => return Err(JournalError::NoJournal { folder: folder.to_path_buf() }),
            Err(e) => return Err(JournalError::io(&file, "look for the journal", e)),
        }
        let conn = Connection::open_with_flags(&file, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|e| JournalError::sqlite(&file, "open the journal", e))?;
        let store = Store { conn, folder: folder.to_path_buf(), file };
        store.conn.busy_timeout(BUSY_TIMEOUT).map_err(|e| store.refused("open the journal", e))?;
        // A database that somebody else prepared must not make SQLite run its functions.
        store.conn.pragma_update(None, "trusted_schema", false).map_err(|e| store.refused("open the journal", e))?;
        Ok(store)
    }

    fn prepare_for_writing(&self) -> Result<(), JournalError> {
        let prepare = || -> rusqlite::Result<String> {
            let mode = self.conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            self.conn.pragma_update(None, "synchronous", "FULL")?;
            // On macOS only these two reach the medium; elsewhere they change nothing.
            self.conn.pragma_update(None, "fullfsync", true)?;
            self.conn.pragma_update(None, "checkpoint_fullfsync", true)?;
            Ok(mode)
        };
        let mode = prepare().map_err(|e| self.refused("prepare the journal for writing", e))?;
        if mode == "wal" {
            return Ok(());
        }
        let why = io::Error::other(format!("SQLite stays in journal mode {mode}; network file systems often cause this"));
        Err(JournalError::io(&self.file, "switch on the write-ahead log", why))
    }

    fn lay_out(&mut self, meta: &[(String, String)]) -> rusqlite::Result<()> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(SCHEMA)?;
        for (key, value) in meta {
            tx.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", params![key, value])?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", FORMAT)?;
        tx.commit()
    }

    fn check_format(&self) -> Result<(), JournalError> {
        let pragma = |name: &str| {
            self.conn
                .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
                .map_err(|e| self.refused("read the journal's header", e))
        };
        let foreign = |what: &str| Err(JournalError::Foreign { file: self.file.clone(), what: what.into() });
        match pragma("application_id")? {
            APPLICATION_ID => {}
            0 if self.file.metadata().is_ok_and(|m| m.len() == 0) => {
                return foreign("the file is empty (its creation was interrupted, or its content is lost)");
            }
            _ => return foreign("a database, but not a journal of cutover"),
        }
        match u32::try_from(pragma("user_version")?) {
            Ok(FORMAT) => {}
            Ok(found) if found > FORMAT => {
                return Err(JournalError::Newer { file: self.file.clone(), found, known: FORMAT });
            }
            _ => return foreign("the number of its format makes no sense"),
        }
        self.epoch()?;
        self.head()?;
        Ok(())
    }

    fn select(&self, clause: &str, seq: i64, limit: usize) -> Result<Vec<Stored>, JournalError> {
        let mut entries = Vec::new();
        self.select_into(clause, seq, limit, &mut |read| match read {
            Ok(entry) => {
                entries.push(entry);
                Ok(())
            }
            Err(damage) => Err(JournalError::Damaged { file: self.file.clone(), damage }),
        })?;
        Ok(entries)
    }

    fn select_into(
        &self,
        clause: &str,
        seq: i64,
        limit: usize,
        give: &mut dyn FnMut(Result<Stored, Damage>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let refused = |e| self.refused("read the journal", e);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.conn.prepare_cached(&format!("SELECT {COLUMNS} FROM entries {clause}")).map_err(refused)?;
        let mut rows = statement.query(params![seq, limit]).map_err(refused)?;
        while let Some(row) = rows.next().map_err(refused)? {
            give(stored(row))?;
        }
        Ok(())
    }

    fn refused(&self, doing: &'static str, source: rusqlite::Error) -> JournalError {
        // Columns and tables that are not as we made them are the file's fault, not a passing one.
        match source {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows => JournalError::Foreign {
                file: self.file.clone(),
                what: format!("the database is damaged (cannot {doing}: {source})"),
            },
            source if source.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => JournalError::Foreign {
                file: self.file.clone(),
                what: format!("the database is not laid out as a journal (cannot {doing}: {source})"),
            },
            source => JournalError::sqlite(&self.file, doing, source),
        }
    }
}

/// Iterates over a journal, checking the chain; ends behind the first error.
#[derive(Debug)]
pub struct Entries<'a> {
    store: &'a Store,
    checker: Checker,
    page: std::vec::IntoIter<Stored>,
    done: bool,
}

impl Entries<'_> {
    fn advance(&mut self) -> Result<Option<Stored>, JournalError> {
        if self.page.len() == 0 {
            let mut page = Vec::new();
            let mut next = self.checker.next_seq();
            let mut broken = None;
            self.store.select_into("WHERE seq > ?1 ORDER BY seq LIMIT ?2", clamp(next - 1), PAGE, &mut |read| {
                match read {
                    Ok(entry) if broken.is_none() => page.push(entry),
                    Err(damage) if broken.is_none() => broken = Some(damage),
                    _ => {}
                }
                next += 1;
                Ok(())
            })?;
            // Entries with a number below 1 are never written; a reader that starts at 1 would not see them.
            if self.checker.next_seq() == 1 && self.has_numbers_below_one()? {
                broken = Some(Damage { seq: 1, what: "there are entries with numbers below 1".into() });
                page.clear();
            }
            // What is readable before the damage is given first, so that the first fault is the one reported.
            if let (Some(damage), true) = (broken, page.is_empty()) {
                return Err(self.damaged(damage));
            }
            self.page = page.into_iter();
        }
        let Some(entry) = self.page.next() else { return Ok(None) };
        self.checker.take(&entry).map_err(|damage| self.damaged(damage))?;
        Ok(Some(entry))
    }

    fn has_numbers_below_one(&self) -> Result<bool, JournalError> {
        self.store
            .conn
            .query_row("SELECT EXISTS (SELECT 1 FROM entries WHERE seq < 1)", [], |row| row.get(0))
            .map_err(|e| self.store.refused("read the journal", e))
    }

    fn damaged(&self, damage: Damage) -> JournalError {
        JournalError::Damaged { file: self.store.file.clone(), damage }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Stored, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The transaction of an append: the entries in their places, or the current epoch if the caller's is stale.
fn append(conn: &mut Connection, held: u64, drafts: &[Draft]) -> rusqlite::Result<Result<Vec<Stored>, u64>> {
    let tx: Transaction<'_> = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let current = epoch(&tx)?;
    if held == 0 || held != current {
        return Ok(Err(current));
    }
    let mut end = head(&tx)?;
    let mut sealed = Vec::with_capacity(drafts.len());
    {
        let mut insert =
            tx.prepare_cached(&format!("INSERT INTO entries ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"))?;
        for draft in drafts {
            let entry = Stored::seal(end, held, draft);
            insert.execute(params![
                clamp(entry.seq),
                clamp(entry.epoch),
                entry.at,
                entry.version,
                entry.kind,
                entry.actor,
                entry.body,
                entry.prev,
                entry.hash
            ])?;
            end = entry.head();
            sealed.push(entry);
        }
    }
    tx.commit()?;
    Ok(Ok(sealed))
}

fn epoch(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("SELECT epoch FROM lease WHERE id = 1", [], |row| unsigned(row, 0))
}

fn head(conn: &Connection) -> rusqlite::Result<Head> {
    let newest = conn
        .query_row("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok(Head { seq: unsigned(row, 0)?, hash: row.get(1)? })
        })
        .optional()?;
    Ok(newest.unwrap_or(Head::EMPTY))
}

/// Reads a row, trusting none of its columns.
fn stored(row: &Row<'_>) -> Result<Stored, Damage> {
    let seq: i64 = row.get(0).unwrap_or_default();
    let read = || -> rusqlite::Result<Stored> {
        Ok(Stored {
            seq: unsigned(row, 0)?,
            epoch: unsigned(row, 1)?,
            at: row.get(2)?,
            version: row.get(3)?,
            kind: row.get(4)?,
            actor: row.get(5)?,
            body: row.get(6)?,
            prev: row.get(7)?,
            hash: row.get(8)?,
        })
    };
    read().map_err(|e| Damage { seq: u64::try_from(seq).unwrap_or_default(), what: format!("cannot be read ({e})") })
}

fn meta_rows(folder: &Path, meta: &Meta) -> Result<Vec<(String, String)>, JournalError> {
    let error = |what: String| JournalError::Meta { folder: folder.to_path_buf(), what };
    match serde_json::to_value(meta) {
        Ok(serde_json::Value::Object(object)) => Ok(object.into_iter().map(|(key, value)| (key, value.to_string())).collect()),
        Ok(other) => Err(error(format!("not an object: {other}"))),
        Err(e) => Err(error(e.to_string())),
    }
}

/// SQLite synchronises the files; that their names survive a power cut is up to whoever made them.
fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| JournalError::io(folder, "make the new folder durable", e))
}

/// Integers are signed in SQLite; below 0 is not one of ours.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// Integers are signed in SQLite; nobody counts as far as that.
fn clamp(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
