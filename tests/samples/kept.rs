//! The database of samples: what goes in comes out, it stays small, and trouble with it stays its own.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use cutover::run::minute::{Gathering, Minute};
use cutover::samples::{Batch, DATABASE, KEEP_MS, Keeper, Kept};
use rusqlite::Connection;

const START: i64 = 1_767_600_000_000;
const DAY: i64 = 86_400_000;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|monitor| format!("monitor-{monitor}")).collect()
}

/// Latencies as they are: around 20 ms, with a failure now and then. No dice, so that sizes are the same every time.
fn number(monitor: usize, ordinal: i64) -> Option<i64> {
    let bits = (ordinal % 1_000_003 * 654_435 + i64::try_from(monitor).unwrap() * 40_503) % 1_000_003;
    (bits % 997 != 5).then_some(18_000 + bits % 4_001)
}

/// What monitors give from one time to another.
struct Source {
    every_ms: i64,
    gathering: Vec<Gathering>,
}

impl Source {
    fn new(monitors: usize, every_ms: i64) -> Source {
        Source { every_ms, gathering: vec![Gathering::default(); monitors] }
    }

    fn gives(&mut self, from: i64, until: i64) -> Batch {
        let mut batch = Batch::default();
        let mut at = from;
        while at < until {
            for (monitor, gathering) in self.gathering.iter_mut().enumerate() {
                // Answers do not come on the dot.
                let at = at + number(monitor, at).unwrap_or(0) % 97;
                let sample = number(monitor, at / self.every_ms);
                batch.samples.push((monitor, at, sample));
                batch.minutes.extend(gathering.add(at, sample).map(|minute| (monitor, minute)));
            }
            at += self.every_ms;
        }
        batch
    }

    fn rest(&mut self) -> Batch {
        let ended = self.gathering.iter_mut().enumerate();
        let minutes = ended.filter_map(|(monitor, gathering)| Some((monitor, gathering.end_before(i64::MAX, 0)?))).collect();
        Batch { samples: Vec::new(), minutes }
    }
}

fn open(folder: &Path, monitors: usize) -> (Keeper, Kept) {
    Keeper::open(folder, names(monitors)).unwrap()
}

fn kept(folder: &Path, monitors: usize) -> Kept {
    let (keeper, kept) = open(folder, monitors);
    assert_eq!(keeper.failure(), None);
    kept
}

fn size(folder: &Path) -> u64 {
    fs::metadata(folder.join(DATABASE)).unwrap().len()
}

#[test]
fn what_was_kept_is_read_back_in_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = Source::new(3, 5_000);
    let (mut keeper, nothing) = open(folder.path(), 3);
    assert!(nothing.minutes.is_empty() && nothing.samples.is_empty());
    let mut given: Vec<(usize, Minute)> = Vec::new();
    let mut samples = Vec::new();
    for hour in 0..30 {
        let batch = source.gives(START + hour * 3_600_000, START + (hour + 1) * 3_600_000);
        given.extend(&batch.minutes);
        samples.extend(batch.samples.iter().copied());
        keeper.offer(batch);
    }
    let rest = source.rest();
    given.extend(&rest.minutes);
    keeper.offer(rest);
    drop(keeper);

    let kept = kept(folder.path(), 3);
    given.sort_by_key(|(_, minute)| minute.first);
    assert_eq!(kept.minutes.len(), 3 * 30 * 60);
    assert_eq!(kept.minutes, given);
    // Of the samples there is at least what a chart shows, and nothing else than what was given.
    let newest = samples.last().unwrap().1;
    let recent: Vec<_> = samples.iter().filter(|s| s.1 > newest - 5 * 3_600_000).copied().collect();
    for monitor in 0..3 {
        let of = |all: &[(usize, i64, Option<i64>)]| all.iter().filter(|s| s.0 == monitor).copied().collect::<Vec<_>>();
        assert!(of(&kept.samples).ends_with(&of(&recent)));
        assert!(of(&samples).ends_with(&of(&kept.samples)));
    }
}

#[test]
fn monitors_are_found_by_name_when_the_plan_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut keeper, _) = Keeper::open(folder.path(), vec!["lag".into(), "api".into(), "gone".into()]).unwrap();
    keeper.offer(Batch { samples: vec![(0, START, Some(1)), (1, START, Some(2)), (2, START, Some(3))], minutes: Vec::new() });
    drop(keeper);
    let (_, kept) = Keeper::open(folder.path(), vec!["new".into(), "api".into(), "lag".into()]).unwrap();
    assert_eq!(kept.samples, [(2, START, Some(1)), (1, START, Some(2))]);
}

#[test]
fn what_a_killed_engine_had_not_rolled_up_is_rolled_up_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = Source::new(1, 5_000);
    let (mut keeper, _) = open(folder.path(), 1);
    let batch = source.gives(START, START + 600_000);
    let mut wanted = batch.minutes.clone();
    keeper.offer(batch);
    // The rest is in no batch: the engine was killed.
    drop(keeper);
    wanted.extend(source.rest().minutes);
    assert_eq!(wanted.len(), 10);
    assert_eq!(kept(folder.path(), 1).minutes, wanted);
    assert_eq!(kept(folder.path(), 1).minutes, wanted, "it was kept as well");
}

/// Bytes that one monitor takes, probed every five seconds without a pause: raw for a day, and by the minute for each day.
const RAW_DAY_MAX: u64 = 90_000;
const MINUTES_DAY_MAX: u64 = 30_000;

#[test]
fn three_weeks_are_small_old_samples_go_and_reading_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let monitors = 20;
    let mut source = Source::new(monitors, 60_000);
    let (mut keeper, _) = open(folder.path(), monitors);
    let mut sizes = Vec::new();
    for day in 0..21 {
        for hour in 0..24 {
            let from = START + day * DAY + hour * 3_600_000;
            keeper.offer(source.gives(from, from + 3_600_000));
        }
        drop(keeper);
        sizes.push(size(folder.path()));
        keeper = open(folder.path(), monitors).0;
    }
    drop(keeper);
    let begun = Instant::now();
    let kept = kept(folder.path(), monitors);
    let took = begun.elapsed();
    println!("sizes by day {sizes:?}, {} minutes read in {took:?}", kept.minutes.len());
    assert_eq!(kept.minutes.len(), 21 * 24 * 60 * monitors);
    // After the second day nothing is added but minutes.
    let growth = (sizes[20] - sizes[2]) / 18;
    assert!(growth < monitors as u64 * MINUTES_DAY_MAX, "{growth} bytes a day");
    let conn = Connection::open(folder.path().join(DATABASE)).unwrap();
    let oldest: i64 = conn.query_row("SELECT min(begins) FROM samples", [], |row| row.get(0)).unwrap();
    assert!((START + 21 * DAY - oldest - KEEP_MS).abs() < 3 * 3_600_000, "{}", START + 21 * DAY - oldest);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_probe_every_five_seconds_takes_so_many_bytes_a_day() {
    let measure = |raw: bool| {
        let folder = tempfile::tempdir().unwrap();
        let mut source = Source::new(10, 5_000);
        let (mut keeper, _) = open(folder.path(), 10);
        for part in 0..24 * 60 {
            let from = START + part * 60_000;
            let batch = source.gives(from, from + 60_000);
            keeper.offer(if raw { Batch { minutes: Vec::new(), ..batch } } else { Batch { samples: Vec::new(), ..batch } });
            // As often as a live run writes: packs that grow are written again and again.
            if part % 60 == 0 {
                drop(keeper);
                keeper = open(folder.path(), 10).0;
            }
        }
        drop(keeper);
        if raw {
            let conn = Connection::open(folder.path().join(DATABASE)).unwrap();
            conn.execute_batch("DELETE FROM minutes; VACUUM").unwrap();
        }
        size(folder.path()) / 10
    };
    let (raw, minutes) = (measure(true), measure(false));
    println!("per monitor and day: {raw} bytes of samples, {minutes} bytes of minutes");
    assert!(raw < RAW_DAY_MAX && raw > RAW_DAY_MAX / 3, "{raw}");
    assert!(minutes < MINUTES_DAY_MAX && minutes > MINUTES_DAY_MAX / 3, "{minutes}");
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside_and_not_deleted() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &str); 4] = [
        (|file| fs::write(file, vec![b'x'; 8_192]).unwrap(), "file is not a database"),
        (
            |file| Connection::open(file).unwrap().pragma_update(None, "user_version", 2).unwrap(),
            "format 2, this release knows 1",
        ),
        (|file| Connection::open(file).unwrap().pragma_update(None, "application_id", 7).unwrap(), "of another program"),
        (
            |file| {
                let mut bytes = fs::read(file).unwrap();
                let half = bytes.len() / 4..;
                bytes[half].fill(0xa5);
                fs::write(file, bytes).unwrap();
            },
            "malformed",
        ),
    ];
    for (spoil, why) in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DATABASE);
        let (mut keeper, _) = open(folder.path(), 2);
        keeper.offer(Source::new(2, 5_000).gives(START, START + 3 * 3_600_000));
        drop(keeper);
        spoil(&file);
        let spoilt = fs::read(&file).unwrap();

        let (mut keeper, kept) = open(folder.path(), 2);
        let said = keeper.failure().unwrap();
        assert!(said.contains(why) && said.contains("samples.db.set-aside-1"), "{said}");
        assert!(kept.samples.is_empty() && kept.minutes.is_empty());
        assert_eq!(fs::read(folder.path().join("samples.db.set-aside-1")).unwrap(), spoilt, "{why}");
        keeper.offer(Batch { samples: vec![(0, START, Some(1))], minutes: Vec::new() });
        drop(keeper);
        assert_eq!(self::kept(folder.path(), 2).samples, [(0, START, Some(1))], "{why}");
    }
}

#[test]
fn a_locked_file_loses_samples_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (mut keeper, _) = open(folder.path(), 1);
    keeper.offer(Batch { samples: vec![(0, START, Some(1))], minutes: Vec::new() });
    drop(keeper);
    let other = Connection::open(folder.path().join(DATABASE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (mut keeper, kept) = open(folder.path(), 1);
    assert!(kept.samples.is_empty());
    let said = keeper.failure().unwrap();
    assert!(said.contains("locked"), "{said}");
    // Whoever hands over never waits, and what does not fit is lost.
    let begun = Instant::now();
    for ordinal in 0..3_000 {
        keeper.offer(Batch { samples: vec![(0, START + ordinal, Some(1))], minutes: Vec::new() });
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    other.execute_batch("COMMIT").unwrap();
    // It is tried again by itself.
    while keeper.failure().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", keeper.failure());
        sleep(Duration::from_millis(20));
        keeper.offer(Batch { samples: vec![(0, START + 3_000, Some(1))], minutes: Vec::new() });
    }
    drop(keeper);
    assert!(self::kept(folder.path(), 1).samples.len() > 1_000);
}

#[test]
fn a_folder_in_the_place_of_the_file_is_said_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(DATABASE)).unwrap();
    let (keeper, kept) = open(folder.path(), 1);
    assert!(kept.minutes.is_empty());
    let said = keeper.failure().unwrap();
    assert!(said.starts_with("samples are not kept: ") && said.contains("unable to open"), "{said}");
    assert!(folder.path().join(DATABASE).is_dir());
}
