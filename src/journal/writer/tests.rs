//! Tests that need to stand beside the thread or inside the store.

use std::sync::mpsc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::lease::Lease;
use super::super::sqlite::Meta;
use super::*;

fn draft(n: usize) -> Draft {
    Draft { at: 1_000, kind: "note".into(), actor: "anna".into(), body: format!("{{\"n\":{n}}}") }
}

fn run(folder: &std::path::Path) -> (Lease, u64, Store) {
    let meta = Meta {
        run_id: "R".into(),
        plan_name: "p".into(),
        plan_ref: "p".into(),
        plan_hash: String::new(),
        drill: true,
        scenario: None,
        seed: Some(u64::MAX),
        day_one: None,
        created_at: 0,
        cutover_version: "0".into(),
        workdir: ".".into(),
    };
    let store = Store::create(folder, &meta).unwrap();
    let (lease, epoch) = Lease::take(folder).unwrap();
    (lease, epoch, store)
}

/// A journal that waits for leave before each commit and tells the size of each group.
struct Gated {
    memory: Memory,
    leave: mpsc::Receiver<()>,
    started: mpsc::Sender<usize>,
}

impl Append for Gated {
    fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<Head, JournalError> {
        self.started.send(drafts.len()).unwrap();
        self.leave.recv().expect("the test gives leave");
        Append::append(&mut self.memory, epoch, drafts)
    }
}

type Handles = (Writer, mpsc::Sender<()>, mpsc::Receiver<usize>, UnboundedReceiver<Ack>);

fn gated() -> Handles {
    let (give, leave) = mpsc::channel();
    let (started, sizes) = mpsc::channel();
    let (acks, answers) = unbounded_channel();
    let mut memory = Memory::new();
    let epoch = memory.take_over();
    (Writer::spawn(Gated { memory, leave, started }, epoch, acks).unwrap(), give, sizes, answers)
}

fn durable_seqs(answers: &mut UnboundedReceiver<Ack>) -> Vec<u64> {
    std::iter::from_fn(|| answers.try_recv().ok())
        .map(|ack| match ack {
            Ack::Durable { seq, .. } => seq,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn what_waits_is_committed_as_one_group_and_acknowledged_in_order() {
    let (writer, give, sizes, mut answers) = gated();
    writer.append(vec![draft(1)]);
    assert_eq!(sizes.recv().unwrap(), 1);
    // The thread is inside a commit; these three wait for the next.
    writer.append(vec![draft(2)]);
    writer.append(vec![draft(3), draft(4)]);
    writer.append(vec![draft(5)]);
    writer.append(Vec::new());
    assert!(answers.try_recv().is_err(), "nothing is durable yet");
    give.send(()).unwrap();
    assert_eq!(sizes.recv().unwrap(), 4);
    give.send(()).unwrap();
    writer.close();
    assert_eq!(durable_seqs(&mut answers), [1, 5]);
}

#[test]
fn a_full_queue_refuses_behind_what_is_still_written() {
    let (writer, give, sizes, mut answers) = gated();
    writer.append(vec![draft(0)]);
    assert_eq!(sizes.recv().unwrap(), 1);
    writer.append((0..QUEUE_MAX).map(draft).collect());
    writer.append(vec![draft(1)]);
    writer.append(vec![draft(2)]);
    assert!(!writer.resume(), "earlier appends are still being written");
    give.send(()).unwrap();
    give.send(()).unwrap();
    assert!(matches!(answers.blocking_recv(), Some(Ack::Durable { seq: 1, .. })));
    let all = QUEUE_MAX as u64 + 1;
    assert!(matches!(answers.blocking_recv(), Some(Ack::Durable { seq, .. }) if seq == all));
    assert!(matches!(answers.blocking_recv(), Some(Ack::Failed(_))));
    assert!(matches!(answers.blocking_recv(), Some(Ack::Failed(_))));
    assert!(writer.resume());
    give.send(()).unwrap();
    writer.append(vec![draft(1)]);
    assert!(matches!(answers.blocking_recv(), Some(Ack::Durable { seq, .. }) if seq == all + 1));
    writer.close();
}

#[test]
fn a_crash_of_the_thread_refuses_everything_for_good() {
    let (writer, give, _sizes, mut answers) = gated();
    drop(give);
    writer.append(vec![draft(1)]);
    assert!(matches!(answers.blocking_recv(), Some(Ack::Failed(why)) if why.contains("crashed")));
    assert!(!writer.resume());
    writer.append(vec![draft(2)]);
    assert!(matches!(answers.blocking_recv(), Some(Ack::Failed(_))));
    writer.close();
}

#[test]
fn a_full_disk_refuses_until_resumed_and_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let (_lease, epoch, store) = run(dir.path());
    // SQLite reports a file that may not grow exactly as it reports a full disk (SQLITE_FULL).
    let pages: i64 = store.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.conn.pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(())).unwrap();
    let (acks, mut answers) = unbounded_channel();
    let writer = Writer::spawn(store, epoch, acks).unwrap();

    writer.append(vec![draft(1), draft(2)]);
    let first = answers.blocking_recv().unwrap();
    assert!(matches!(first, Ack::Durable { seq: 2, .. }));
    let big = Draft { body: "x".repeat(8_000), ..draft(3) };
    writer.append(vec![draft(3), big.clone(), big.clone(), big]);
    let Some(Ack::Failed(why)) = answers.blocking_recv() else { panic!("the disk is full") };
    assert!(why.contains("journal.db") && why.contains("free some space"), "{why}");
    writer.append(vec![draft(4)]);
    assert!(matches!(answers.blocking_recv(), Some(Ack::Failed(_))), "it would fit, but stands behind a lost one");

    let reader = Store::open_read(dir.path()).unwrap();
    assert_eq!(reader.verify(None).unwrap().entries, 2);
    assert!(writer.resume());
    writer.append(vec![draft(4)]);
    assert!(matches!(answers.blocking_recv(), Some(Ack::Durable { seq: 3, .. })));
    writer.close();
    assert_eq!(reader.read_all().unwrap()[2].body, draft(4).body);
}

#[test]
fn a_fenced_writer_stays_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let (lease, epoch, store) = run(dir.path());
    let (acks, mut answers) = unbounded_channel();
    let writer = Writer::spawn(store, epoch, acks).unwrap();
    writer.append(vec![draft(1)]);
    assert!(matches!(answers.blocking_recv(), Some(Ack::Durable { seq: 1, .. })));
    drop(lease);
    let (_other, _) = Lease::take(dir.path()).unwrap();
    writer.append(vec![draft(2)]);
    assert!(matches!(answers.blocking_recv(), Some(Ack::Fenced(_))));
    assert!(!writer.resume());
    writer.append(vec![draft(3)]);
    assert!(matches!(answers.blocking_recv(), Some(Ack::Fenced(_))));
    drop(writer);
    assert_eq!(Store::open_read(dir.path()).unwrap().verify(None).unwrap().entries, 1);
}
