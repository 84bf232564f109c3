//! Records that are whole come back, and nothing else does.

use super::*;

fn record(seq: u64) -> Record {
    let body = format!("{{\"n\":{seq},\"text\":\"é\\n{}\"}}", "x".repeat(usize::try_from(seq).unwrap() * 7));
    Record { seq, epoch: 3, at: 1_000, kind: "note".into(), actor: "anna".into(), body }
}

/// What of the spool is not among these entries.
fn missing(folder: &Path, entries: &[Stored]) -> Result<Vec<Record>, JournalError> {
    super::missing(folder, read(folder)?, entries)
}

fn stored(record: &Record) -> Stored {
    let draft = Draft { at: record.at, kind: record.kind.clone(), actor: record.actor.clone(), body: record.body.clone() };
    Stored { seq: record.seq, ..Stored::seal(super::super::chain::Head::EMPTY, 1, &draft) }
}

#[test]
fn all_bytes_are_there_before_anything_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()).unwrap(), []);
    let mut spool = Spool::open(dir.path()).unwrap();
    let length = || std::fs::metadata(dir.path().join(SPOOL)).unwrap().len();
    assert_eq!(length(), CAPACITY);
    spool.keep(&[record(7), record(8)]).unwrap();
    spool.keep(&[record(9)]).unwrap();
    assert_eq!(length(), CAPACITY);
    assert_eq!(read(dir.path()).unwrap(), [record(7), record(8), record(9)]);
    drop(spool);
    let mut spool = Spool::open(dir.path()).unwrap();
    spool.keep(&[record(10)]).unwrap();
    assert_eq!(read(dir.path()).unwrap().len(), 4);
    spool.empty().unwrap();
    assert_eq!(read(dir.path()).unwrap(), []);
    spool.keep(&[record(1)]).unwrap();
    assert_eq!(read(dir.path()).unwrap(), [record(1)]);
}

#[test]
fn a_torn_tail_and_a_flipped_byte_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path()).unwrap();
    let records: Vec<Record> = (1..=4).map(record).collect();
    let mut ends = vec![0];
    for record in &records {
        spool.keep(std::slice::from_ref(record)).unwrap();
        ends.push(usize::try_from(spool.used).unwrap());
    }
    let good = std::fs::read(dir.path().join(SPOOL)).unwrap();
    for cut in 0..ends[4] {
        let whole = ends.iter().filter(|end| **end <= cut && **end > 0).count();
        let mut torn = good.clone();
        torn[cut..].fill(0);
        assert_eq!(parse(&torn).0, records[..whole], "cut at {cut}");
        let mut flipped = good.clone();
        flipped[cut] ^= 0x01;
        assert_eq!(parse(&flipped).0, records[..whole], "flipped at {cut}");
    }
    // A record of an earlier time that stands just where the next one would does not count.
    let mut stale = good.clone();
    stale.copy_within(ends[3]..ends[4], ends[1]);
    assert_eq!(parse(&stale).0, records[..1]);
    // What is torn is gone when the spool is opened, and the next record follows what is whole.
    std::fs::write(dir.path().join(SPOOL), &good[..ends[4] - 3]).unwrap();
    let mut spool = Spool::open(dir.path()).unwrap();
    spool.keep(&[record(4)]).unwrap();
    assert_eq!(read(dir.path()).unwrap(), records);
    assert_eq!(std::fs::metadata(dir.path().join(SPOOL)).unwrap().len(), CAPACITY);
}

#[test]
fn only_what_the_journal_does_not_have_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path()).unwrap();
    let journal: Vec<Stored> = (1..=6).map(|n| stored(&record(n))).collect();
    assert_eq!(missing(dir.path(), &journal).unwrap(), []);
    spool.keep(&[record(5), record(6), record(7)]).unwrap();
    assert_eq!(missing(dir.path(), &journal[..4]).unwrap().len(), 3);
    assert_eq!(missing(dir.path(), &journal).unwrap(), [record(7)]);
    // Late or not, it is the same entry.
    let mut joined = journal.clone();
    joined[5].body = late(&joined[5].body, 99);
    assert_eq!(missing(dir.path(), &joined).unwrap(), [record(7)]);

    let why = |entries: &[Stored]| missing(dir.path(), entries).unwrap_err();
    assert!(why(&journal[..3]).to_string().contains("begins with entry 5"), "{}", why(&journal[..3]));
    joined[4].actor = "mallory".into();
    let error = why(&joined);
    assert!(error.is_damage() && error.to_string().contains("entry 5"), "{error}");
}

#[test]
fn late_is_one_field_more() {
    assert_eq!(late("{\"a\":1}", 5), "{\"a\":1,\"late\":5}");
    assert_eq!(late("{}", 5), "{\"late\":5}");
    assert_eq!(late("nonsense", 5), "nonsense");
    assert_eq!((joined("{\"late\":5}"), joined("{}"), joined("nonsense")), (Some(5), None, None));
}

#[test]
fn a_rollback_has_room_that_nothing_else_may_use() {
    let dir = tempfile::tempdir().unwrap();
    let (answers, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let mut keeper = Keeper::spawn(Spool::open(dir.path()).unwrap(), answers).unwrap();
    let big = |seq| vec![Record { body: "x".repeat(50_000), ..record(seq) }];
    assert!(keeper.keep(big(1), RESERVE) && keeper.keep(big(2), RESERVE));
    assert!(!keeper.keep(big(3), RESERVE), "the half that is left is the rollback's");
    assert!(keeper.keep(big(3), CAPACITY) && keeper.keep(big(4), CAPACITY) && keeper.keep(big(5), CAPACITY));
    assert!(!keeper.keep(big(6), CAPACITY), "full");
    drop(keeper);
    for seq in 1..=5 {
        assert_eq!(kept.blocking_recv(), Some(Kept::Durable(seq)));
    }
    assert_eq!(read(dir.path()).unwrap().len(), 5);
}

#[test]
fn a_spool_that_cannot_be_written_says_so_until_it_was_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SPOOL);
    std::fs::write(&path, "").unwrap();
    let (answers, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let spool = Spool::in_file(File::open(&path).unwrap(), path);
    let mut keeper = Keeper::spawn(spool, answers).unwrap();
    assert!(keeper.keep(vec![record(1)], CAPACITY));
    assert!(keeper.keep(vec![record(2)], CAPACITY));
    keeper.empty();
    drop(keeper);
    let failed = |kept: Option<Kept>| matches!(kept, Some(Kept::Failed(why)) if why.contains("spool"));
    assert!(failed(kept.blocking_recv()) && failed(kept.blocking_recv()) && failed(kept.blocking_recv()));
    assert_eq!(kept.blocking_recv(), None);
}
