//! The database: `SQLite` like the journal, with other promises. Write-ahead log and `synchronous=NORMAL`: a commit waits
//! for no disk, so a power cut may take the newest seconds, and never the file. The journal's promise would cost a write
//! to the disk every few seconds, for what no decision and no chain depends on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

use super::pack::{self, Pack};
use super::{Kept, RECALL_MS};
use crate::cloud::Millis;

/// The format that this release reads and writes (`user_version`).
const FORMAT: i32 = 1;
/// Marks the database as ours (`application_id`, "cuts" in ASCII).
const APPLICATION_ID: i32 = 0x6375_7473;
/// How long a statement waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Keys are times first, so that what is new stands at the end and what is old goes from the beginning.
const SCHEMA: &str = "
    CREATE TABLE monitors (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE samples (begins INTEGER, monitor INTEGER, pack BLOB NOT NULL, PRIMARY KEY (begins, monitor))
        STRICT, WITHOUT ROWID;
    CREATE TABLE minutes (begins INTEGER, monitor INTEGER, pack BLOB NOT NULL, PRIMARY KEY (begins, monitor))
        STRICT, WITHOUT ROWID;
";

/// What is kept in a table of packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Samples,
    Minutes,
}

/// Why it cannot be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Now: the disk is full, somebody holds it, it may not be opened.
    Now(String),
    /// As it is: damaged, newer than this release, or something else altogether.
    Never(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Never(error.to_string()),
            _ => Trouble::Now(error.to_string()),
        }
    }
}

/// An open database.
#[derive(Debug)]
pub(super) struct Store {
    conn: Connection,
    /// The number under which each monitor of the plan is kept. Plans are amended, so it is found by name.
    ids: Vec<i64>,
}

impl Store {
    /// Opens it, or makes it.
    pub(super) fn open(file: &Path, names: &[String]) -> Result<Store, Trouble> {
        let mut conn = Connection::open(file)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let (application, format) = (pragma("application_id")?, pragma("user_version")?);
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables > 0 && application != APPLICATION_ID {
            return Err(Trouble::Never("it is the database of another program".into()));
        }
        if tables > 0 && format != FORMAT {
            return Err(Trouble::Never(format!("it has format {format}, this release knows {FORMAT}")));
        }
        conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        conn.pragma_update(None, "synchronous", "normal")?;
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if tables == 0 {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            transaction.execute("INSERT INTO monitors (name) VALUES (?1) ON CONFLICT DO NOTHING", [name])?;
            ids.push(transaction.query_row("SELECT id FROM monitors WHERE name = ?1", [name], |row| row.get(0))?);
        }
        transaction.commit()?;
        Ok(Store { conn, ids })
    }

    /// What is in it of the monitors of the plan.
    pub(super) fn read(&self) -> Result<Kept, Trouble> {
        let mut kept = Kept::default();
        self.packs("SELECT begins, monitor, pack FROM minutes ORDER BY begins, monitor", i64::MIN, |monitor, begins, bytes| {
            kept.minutes.extend(pack::minutes(begins, bytes).into_iter().map(|minute| (monitor, minute)));
        })?;
        // Packs lie side by side, so they are in order of time for each monitor and have to be brought into that of all.
        kept.minutes.sort_by_key(|(_, minute)| minute.first);
        let mut newest = vec![Millis::MIN; self.ids.len()];
        // An engine that came after a crash may have read again what the last one had kept.
        kept.minutes.retain(|(monitor, minute)| {
            let is_new = minute.last > newest[*monitor];
            newest[*monitor] = newest[*monitor].max(minute.last);
            is_new
        });
        let last: Option<Millis> = self.conn.query_row("SELECT max(begins) FROM samples", [], |row| row.get(0))?;
        let from = last.map_or(0, |last| last.saturating_sub(RECALL_MS));
        newest.fill(Millis::MIN);
        let recent = "SELECT begins, monitor, pack FROM samples WHERE begins >= ?1 ORDER BY begins, monitor";
        self.packs(recent, from, |monitor, begins, bytes| {
            for (at, number) in pack::samples(begins, bytes) {
                if at > newest[monitor] {
                    newest[monitor] = at;
                    kept.samples.push((monitor, at, number));
                }
            }
        })?;
        Ok(kept)
    }

    fn packs(&self, query: &str, from: Millis, mut each: impl FnMut(usize, Millis, &[u8])) -> Result<(), Trouble> {
        let mut statement = self.conn.prepare(query)?;
        let mut rows = if statement.parameter_count() == 1 { statement.query([from])? } else { statement.query([])? };
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(1)?;
            // The plan may have dropped a monitor.
            if let Some(monitor) = self.ids.iter().position(|other| *other == id) {
                each(monitor, row.get(0)?, row.get_ref(2)?.as_blob().unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Writes packs in one transaction, each in the place of what was there under its key, and drops samples that began
    /// before `oldest`.
    pub(super) fn write<'a>(
        &mut self,
        packs: impl Iterator<Item = (Table, usize, &'a Pack)>,
        oldest: Option<Millis>,
    ) -> Result<(), Trouble> {
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        put(&transaction, &self.ids, packs)?;
        if let Some(oldest) = oldest {
            transaction.execute("DELETE FROM samples WHERE begins < ?1", [oldest])?;
        }
        transaction.commit()?;
        Ok(())
    }
}

fn put<'a>(
    transaction: &Transaction,
    ids: &[i64],
    packs: impl Iterator<Item = (Table, usize, &'a Pack)>,
) -> rusqlite::Result<()> {
    let mut samples = transaction.prepare_cached("INSERT OR REPLACE INTO samples VALUES (?1, ?2, ?3)")?;
    let mut minutes = transaction.prepare_cached("INSERT OR REPLACE INTO minutes VALUES (?1, ?2, ?3)")?;
    for (table, monitor, pack) in packs {
        let statement = if table == Table::Samples { &mut samples } else { &mut minutes };
        if let Some(id) = ids.get(monitor) {
            statement.execute(params![pack.begins, id, pack.bytes])?;
        }
    }
    Ok(())
}

/// Gives a file that cannot be used another name, with what `SQLite` keeps beside it. Nothing is deleted.
pub(super) fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let beside = |of: &Path, what: &str| {
        let mut name = of.as_os_str().to_owned();
        name.push(what);
        PathBuf::from(name)
    };
    let mut number = 1;
    let mut target = beside(file, ".set-aside-1");
    while target.exists() {
        number += 1;
        target = beside(file, &format!(".set-aside-{number}"));
    }
    fs::rename(file, &target)?;
    for what in ["-wal", "-shm"] {
        match fs::rename(beside(file, what), beside(&target, what)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(target)
}
