//! The journal's promises: what is acknowledged stays, what was changed shows, and one engine writes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cutover::journal::{
    DATABASE, Draft, FINISHED, GENESIS, Head, JournalError, Lease, Memory, Meta, Runs, Store, Stored, hex, lease, new_run_id,
};
use rusqlite::{Connection, params};

const HELPER: &str = "CUTOVER_TEST_LEASE_FOLDER";

fn meta(run_id: &str) -> Meta {
    Meta {
        run_id: run_id.into(),
        plan_name: "medzen".into(),
        plan_ref: "plans/medzen/plan.yaml".into(),
        plan_hash: "ab".repeat(32),
        drill: true,
        scenario: Some("source-dies".into()),
        seed: Some(u64::MAX),
        day_one: None,
        created_at: 1_750_000_000_123,
        cutover_version: "0.1.0".into(),
        workdir: "work".into(),
    }
}

fn draft(n: i64) -> Draft {
    Draft { at: 1_750_000_000_000 + n, kind: "note".into(), actor: "anna".into(), body: format!("{{\"n\":{n},\"s\":\"é\"}}") }
}

/// A run with `n` entries, each in a transaction of its own.
fn run(folder: &Path, n: i64) -> (Store, Lease, Vec<Stored>) {
    let mut store = Store::create(folder, &meta("R")).unwrap();
    let (lease, epoch) = Lease::take(folder).unwrap();
    let entries = (1..=n).flat_map(|i| store.append(epoch, &[draft(i)]).unwrap()).collect();
    (store, lease, entries)
}

/// Changes a closed journal behind the library's back.
fn tamper(folder: &Path, sql: &str) {
    Connection::open(folder.join(DATABASE)).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("deep/R");
    let (mut store, lease, mut entries) = run(&folder, 3);
    entries.extend(store.append(lease.epoch(), &[draft(4), draft(5)]).unwrap());
    assert!(store.append(lease.epoch(), &[]).unwrap().is_empty());
    assert_eq!(store.read_all().unwrap(), entries);

    // Another connection sees them while the first one lives.
    let reader = Store::open_read(&folder).unwrap();
    assert_eq!(reader.read_all().unwrap(), entries);
    assert_eq!(reader.meta().unwrap(), meta("R"));
    assert_eq!(reader.tail(2).unwrap(), entries[3..]);
    assert_eq!(reader.tail(0).unwrap(), []);
    assert_eq!(reader.tail(99).unwrap(), entries);
    assert_eq!(reader.read_after(1, 2).unwrap(), entries[1..3]);
    assert_eq!(reader.head().unwrap(), Head { seq: 5, hash: entries[4].hash });
    assert_eq!(entries[0].prev, GENESIS);
    assert_eq!(entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let mut reader = reader;
    assert!(reader.append(lease.epoch(), &[draft(6)]).is_err(), "opened to read");

    drop((store, lease, reader));
    assert_eq!(Store::open(&folder).unwrap().read_all().unwrap(), entries);
    assert!(matches!(Store::create(&folder, &meta("R")), Err(JournalError::Exists { .. })));
}

#[test]
fn more_than_a_page_of_entries() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, lease, _) = run(dir.path(), 0);
    let drafts: Vec<Draft> = (0..2_500).map(draft).collect();
    let entries = store.append(lease.epoch(), &drafts).unwrap();
    assert_eq!(store.read_all().unwrap(), entries);
    assert_eq!(store.verify(None).unwrap().entries, 2_500);
}

/// The head was also computed by a separate program from the documentation of the canonical bytes. If this
/// fails, older journals no longer verify: make a new entry version instead.
#[test]
fn golden_head() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _lease, _) = run(dir.path(), 3);
    let mut memory = Memory::new();
    let epoch = memory.take_over();
    memory.append(epoch, &[draft(1)]).unwrap();
    memory.append(epoch, &[draft(2), draft(3)]).unwrap();
    let verified = store.verify(None).unwrap();
    assert_eq!(verified, memory.verify(None).unwrap());
    assert_eq!(store.read_all().unwrap(), memory.entries());
    assert_eq!(hex(&verified.head), "4f529334483372f95fd742dabdcfdf7332c07aa04be00c43798900001d29daaf");
}

#[test]
fn every_flipped_byte_of_an_entry_is_found() {
    let dir = tempfile::tempdir().unwrap();
    drop(run(dir.path(), 4));
    let raw = Connection::open(dir.path().join(DATABASE)).unwrap();
    let reader = Store::open_read(dir.path()).unwrap();
    let mut flips = 0;
    for column in ["kind", "actor", "body", "prev", "hash"] {
        let cast = if matches!(column, "prev" | "hash") { "BLOB" } else { "TEXT" };
        for seq in 1..=4 {
            let good: Vec<u8> = raw
                .query_row(&format!("SELECT CAST({column} AS BLOB) FROM entries WHERE seq = {seq}"), [], |r| r.get(0))
                .unwrap();
            let update = format!("UPDATE entries SET {column} = CAST(?1 AS {cast}) WHERE seq = {seq}");
            for at in 0..good.len() {
                for mask in [0x01, 0x20, 0x80, 0xff] {
                    let mut bad = good.clone();
                    bad[at] ^= mask;
                    raw.execute(&update, params![bad]).unwrap();
                    assert_eq!(reader.verify(None).unwrap_err().seq, seq, "{column} {at} {mask:x}");
                    flips += 1;
                }
            }
            raw.execute(&update, params![good]).unwrap();
        }
    }
    for column in ["seq", "epoch", "at", "version"] {
        for bit in 0..64 {
            for seq in 1..=4i64 {
                let good: i64 =
                    raw.query_row(&format!("SELECT {column} FROM entries WHERE seq = {seq}"), [], |r| r.get(0)).unwrap();
                let bad = good ^ (1i64 << bit);
                let update = format!("UPDATE entries SET {column} = ?1 WHERE seq = ?2");
                let now_at = if column == "seq" { bad } else { seq };
                // A number that another entry has cannot be given twice; SQLite refuses it.
                if raw.execute(&update, params![bad, seq]).is_ok() {
                    assert!(reader.verify(None).is_err(), "{column} of {seq}, bit {bit}");
                    flips += 1;
                    raw.execute(&update, params![good, now_at]).unwrap();
                }
            }
        }
    }
    assert!(flips > 1_500, "{flips}");
    assert_eq!(reader.verify(None).unwrap().entries, 4);
}

/// Bytes of the file itself: whatever is hit, nothing panics and no changed entry passes.
#[test]
fn no_flipped_byte_of_the_file_gives_a_changed_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease, entries) = run(dir.path(), 6);
    drop((store, lease));
    let file = dir.path().join(DATABASE);
    let good = fs::read(&file).unwrap();
    let (mut harmless, mut found) = (0, 0);
    for at in (0..good.len()).step_by(11) {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        fs::write(&file, bad).unwrap();
        match Store::open_read(dir.path()).and_then(|store| store.read_all()) {
            Ok(read) => {
                assert!(entries.starts_with(&read), "byte {at}");
                harmless += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains(DATABASE), "{error}");
                found += 1;
            }
        }
    }
    assert!(harmless > 0 && found > 50, "{harmless} {found}");
}

#[test]
fn dropped_and_swapped_entries_are_found() {
    let damage = |sql: &str| {
        let dir = tempfile::tempdir().unwrap();
        drop(run(dir.path(), 5));
        tamper(dir.path(), sql);
        let store = Store::open_read(dir.path()).unwrap();
        let error = store.read_all().unwrap_err();
        assert!(error.is_damage(), "{error}");
        store.verify(None).unwrap_err()
    };
    assert_eq!(damage("DELETE FROM entries WHERE seq = 3").seq, 3);
    assert_eq!(damage("DELETE FROM entries WHERE seq = 1").seq, 1);
    // Dropped, and the numbers behind it closed up.
    let closed_up = "DELETE FROM entries WHERE seq = 3; UPDATE entries SET seq = seq - 1 WHERE seq > 3";
    assert_eq!(damage(closed_up).seq, 3);
    let swapped = "UPDATE entries SET seq = 99 WHERE seq = 2; UPDATE entries SET seq = 2 WHERE seq = 4;
                   UPDATE entries SET seq = 4 WHERE seq = 99";
    assert_eq!(damage(swapped).seq, 2);
    assert_eq!(
        damage("INSERT INTO entries SELECT 0, epoch, at, version, kind, actor, body, prev, hash FROM entries LIMIT 1").seq,
        1
    );
    assert_eq!(damage("UPDATE entries SET hash = x'00' WHERE seq = 4").seq, 4);
}

/// A forger who gives the changed entry a hash that fits it is betrayed by the entry behind it, or by a head.
#[test]
fn an_entry_forged_with_its_own_hash_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease, entries) = run(dir.path(), 4);
    drop((store, lease));
    let raw = Connection::open(dir.path().join(DATABASE)).unwrap();
    let forge = |seq: usize| {
        let before = entries[seq - 2].head();
        let forged = Stored::seal(before, 1, &Draft { actor: "mallory".into(), ..draft(9) });
        raw.execute(
            "UPDATE entries SET at = ?2, actor = ?3, body = ?4, hash = ?5 WHERE seq = ?1",
            params![i64::try_from(seq).unwrap(), forged.at, forged.actor, forged.body, forged.hash],
        )
        .unwrap();
    };
    let store = Store::open_read(dir.path()).unwrap();
    forge(4);
    assert!(store.verify(None).is_ok(), "the newest entry has none behind it");
    assert_eq!(store.verify(Some(entries[3].hash)).unwrap_err().seq, 5);
    forge(2);
    assert_eq!(store.verify(None).unwrap_err().seq, 3);
}

#[test]
fn a_cut_tail_shows_only_against_a_head() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease, entries) = run(dir.path(), 5);
    let head = entries[4].hash;
    assert_eq!(store.verify(Some(head)).unwrap().expected_at, Some(5));
    drop((store, lease));
    tamper(dir.path(), "DELETE FROM entries WHERE seq > 3");
    let store = Store::open_read(dir.path()).unwrap();
    assert_eq!(store.verify(None).unwrap().entries, 3);
    let damage = store.verify(Some(head)).unwrap_err();
    assert_eq!(damage.seq, 4);
    assert!(damage.what.contains(&hex(&head)), "{damage}");
    // A head noted earlier is still in the chain.
    let earlier = store.verify(Some(entries[1].hash)).unwrap();
    assert_eq!((earlier.entries, earlier.expected_at), (3, Some(2)));
}

#[test]
fn a_stale_epoch_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, lease, _) = run(dir.path(), 1);
    let old = lease.epoch();
    assert!(matches!(store.append(0, &[draft(9)]), Err(JournalError::Fenced { held: 0, current: 1, .. })));
    assert!(matches!(store.append(old + 1, &[draft(9)]), Err(JournalError::Fenced { .. })));
    drop(lease);
    let (lease, new) = Lease::take(dir.path()).unwrap();
    assert_eq!((old, new), (1, 2));
    let error = store.append(old, &[draft(2)]).unwrap_err();
    assert!(error.is_lease() && matches!(error, JournalError::Fenced { held: 1, current: 2, .. }), "{error}");
    assert_eq!(store.append(lease.epoch(), &[draft(2)]).unwrap()[0].epoch, 2);
    assert_eq!(store.verify(None).unwrap().entries, 2);

    let mut memory = Memory::new();
    assert!(memory.append(0, &[draft(1)]).is_err());
    let old = memory.take_over();
    memory.take_over();
    assert!(matches!(memory.append(old, &[draft(1)]), Err(JournalError::Fenced { held: 1, current: 2, .. })));
}

/// Not a test of its own: the other process of the next one.
#[test]
fn helper_holds_a_lease() {
    let Some(folder) = std::env::var_os(HELPER) else { return };
    let (_lease, epoch) = Lease::take(Path::new(&folder)).unwrap();
    println!("\nheld {epoch}");
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn one_engine_per_run_also_across_processes() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Lease::take(dir.path()), Err(JournalError::NoJournal { .. })));
    drop(Store::create(dir.path(), &meta("R")).unwrap());
    assert!(!lease::is_held(dir.path()));
    {
        let (_held, _) = Lease::take(dir.path()).unwrap();
        assert!(lease::is_held(dir.path()));
        assert!(matches!(Lease::take(dir.path()), Err(JournalError::Busy { pid, .. }) if pid == Some(std::process::id())));
    }
    assert!(!lease::is_held(dir.path()));

    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_holds_a_lease", "--nocapture"])
        .env(HELPER, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held 2"), "the other process has the lease");
    let error = Lease::take(dir.path()).unwrap_err();
    assert!(matches!(&error, JournalError::Busy { pid, since: Some(_), .. } if *pid == Some(other.id())), "{error}");
    assert!(error.to_string().contains(&format!("process {}", other.id())), "{error}");

    // `kill` sends SIGKILL: the holder has no chance to tidy up.
    other.kill().unwrap();
    other.wait().unwrap();
    let asked = Instant::now();
    let (_lease, epoch) = Lease::take(dir.path()).unwrap();
    assert_eq!(epoch, 3, "a refused take does not begin an epoch");
    assert!(asked.elapsed() < Duration::from_secs(2));
}

/// Tears the write-ahead log: every complete commit in front of the tear is there, nothing else is.
#[test]
fn a_torn_write_loses_nothing_that_was_complete() {
    const ENTRIES: i64 = 12;
    let dir = tempfile::tempdir().unwrap();
    let (db, wal) = (DATABASE.to_owned(), format!("{DATABASE}-wal"));
    let mut store = Store::create(dir.path(), &meta("R")).unwrap();
    let (_lease, epoch) = Lease::take(dir.path()).unwrap();
    let wal_len = || usize::try_from(fs::metadata(dir.path().join(&wal)).unwrap().len()).unwrap();
    let mut ends = Vec::new();
    let mut entries = Vec::new();
    for n in 1..=ENTRIES {
        let body = format!("{{\"n\":{n},\"fill\":\"{}\"}}", "x".repeat(500));
        entries.extend(store.append(epoch, &[Draft { body, ..draft(n) }]).unwrap());
        ends.push(wal_len());
    }
    let (db_bytes, wal_bytes) = (fs::read(dir.path().join(&db)).unwrap(), fs::read(dir.path().join(&wal)).unwrap());
    assert_eq!(*ends.last().unwrap(), wal_bytes.len());

    // What stood in the log before the first entry made the tables; without those there is no journal to open.
    let last_two = ends[ends.len() - 3];
    let fine = if std::env::var_os("CUTOVER_EXHAUSTIVE").is_some() { 1 } else { 13 };
    let cuts = (0..wal_bytes.len()).step_by(97).chain((last_two..wal_bytes.len()).step_by(fine)).chain(ends.iter().copied());
    let copy = tempfile::tempdir().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for cut in cuts {
        let complete = ends.iter().filter(|end| **end <= cut).count();
        for name in ["-wal", "-shm"] {
            let _ = fs::remove_file(copy.path().join(format!("{DATABASE}{name}")));
        }
        fs::write(copy.path().join(&db), &db_bytes).unwrap();
        fs::write(copy.path().join(&wal), &wal_bytes[..cut]).unwrap();
        match Store::open(copy.path()) {
            Ok(store) => {
                assert_eq!(store.verify(None).unwrap().entries, complete as u64, "cut at {cut}");
                assert_eq!(store.read_all().unwrap(), entries[..complete], "cut at {cut}");
                seen.insert(complete);
            }
            Err(error) => assert!(complete == 0 && error.is_damage(), "cut at {cut}: {error}"),
        }
    }
    assert_eq!(seen.len(), entries.len() + 1, "every prefix was met: {seen:?}");
}

#[test]
fn damaged_and_foreign_files_are_told_apart_from_journals() {
    let open = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let read = Store::open_read(dir.path()).map(|s| s.verify(None)).unwrap_err();
        let write = Store::open(dir.path()).unwrap_err();
        assert_eq!(read.is_damage(), write.is_damage(), "{read} / {write}");
        // A lease is not worth having on a journal that cannot be written.
        assert!(Lease::take(dir.path()).is_err());
        (read.is_damage(), read.to_string())
    };
    let write = |bytes: &'static [u8]| move |folder: &Path| fs::write(folder.join(DATABASE), bytes).unwrap();

    let (damage, text) = open(&|_| {});
    assert!(!damage && text.contains("no journal.db in it"), "{text}");
    let (damage, text) = open(&write(b"this is no database, but it is long enough to look at, is it not? yes"));
    assert!(damage && text.contains("not an SQLite database"), "{text}");
    let (damage, text) = open(&write(b""));
    assert!(damage && text.contains("empty"), "{text}");
    let (damage, text) = open(&|folder| tamper(folder, "CREATE TABLE t (a); PRAGMA user_version = 1"));
    assert!(damage && text.contains("not a journal of cutover"), "{text}");
    let (damage, text) = open(&|folder| {
        drop(run(folder, 1));
        tamper(folder, "PRAGMA user_version = 2");
    });
    assert!(damage && text.contains("format 2"), "{text}");
    let (damage, text) = open(&|folder| {
        drop(run(folder, 1));
        tamper(folder, "DROP TABLE entries");
    });
    assert!(damage && text.contains("not laid out as a journal"), "{text}");
    let (damage, text) = open(&|folder| {
        drop(run(folder, 1));
        tamper(folder, "DELETE FROM lease");
    });
    assert!(damage, "{text}");
}

#[test]
fn a_truncated_file_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lease, entries) = run(dir.path(), 30);
    drop((store, lease));
    let file = dir.path().join(DATABASE);
    let good = fs::read(&file).unwrap();
    for cut in (0..good.len()).step_by(509) {
        fs::write(&file, &good[..cut]).unwrap();
        match Store::open_read(dir.path()).and_then(|store| store.read_all()) {
            Ok(read) => assert!(entries.starts_with(&read), "cut at {cut}"),
            Err(error) => assert!(error.is_damage(), "cut at {cut}: {error}"),
        }
    }
}

#[test]
fn runs_are_found_by_id_prefix_path_or_because_they_are_meant() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::at(dir.path().join("runs"));
    assert!(runs.list().unwrap().runs.is_empty());
    assert!(matches!(runs.find(None), Err(JournalError::NoRun { known, .. }) if known.is_empty()));

    let ids: Vec<String> = (0..3u8).map(|n| new_run_id(1_750_000_000_000 + i64::from(n) * 86_400_000, u128::from(n))).collect();
    for id in &ids {
        let mut store = Store::create(&runs.folder(id), &meta(id)).unwrap();
        let (lease, epoch) = Lease::take(&runs.folder(id)).unwrap();
        let kind = if *id == ids[2] { FINISHED } else { "note" };
        store.append(epoch, &[Draft { kind: kind.into(), ..draft(1) }]).unwrap();
        drop(lease);
    }
    fs::create_dir(runs.folder("not-a-run")).unwrap();

    let folder = |n: usize| runs.folder(&ids[n]);
    assert_eq!(runs.find(Some(&ids[0])).unwrap(), folder(0));
    assert_eq!(runs.find(Some(&ids[0].to_lowercase())).unwrap(), folder(0));
    assert_eq!(runs.find(Some(&ids[0][..9])).unwrap(), folder(0));
    let path = folder(1);
    assert_eq!(runs.find(path.to_str()).unwrap(), path);
    let error = runs.find(Some("0")).unwrap_err();
    assert!(ids.iter().all(|id| error.to_string().contains(id.as_str())), "{error}");
    for wrong in ["ZZZ", "", "é", "not-a-run"] {
        let error = runs.find(Some(wrong)).unwrap_err();
        assert!(matches!(error, JournalError::NoRun { .. }), "{error}");
    }
    assert!(matches!(runs.find(Some("some/where")), Err(JournalError::NoJournal { .. })));

    // The newest run is finished, so the one before it is meant, until another one is live.
    assert_eq!(runs.find(None).unwrap(), folder(1));
    let (live, _) = Lease::take(&folder(0)).unwrap();
    assert_eq!(runs.find(None).unwrap(), folder(0));
    let listing = runs.list().unwrap();
    let told: Vec<_> = listing.runs.iter().map(|r| (r.meta.run_id.as_str(), r.live, r.finished())).collect();
    assert_eq!(told, [(&*ids[2], false, true), (&*ids[1], false, false), (&*ids[0], true, false)]);
    let (also, _) = Lease::take(&folder(1)).unwrap();
    assert!(matches!(runs.find(None), Err(JournalError::Ambiguous { candidates, .. }) if candidates.len() == 2));
    drop((live, also));

    // A bad journal is listed with its reason and hides nothing.
    fs::write(folder(2).join(DATABASE), "garbage, and enough of it that SQLite takes a look at it at all").unwrap();
    let listing = runs.list().unwrap();
    assert_eq!((listing.runs.len(), listing.unreadable.len()), (2, 1));
    assert!(listing.unreadable[0].why.is_damage());
}
