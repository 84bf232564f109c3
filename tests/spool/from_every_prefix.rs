//! From every prefix of the flagship plan before its one-way step: every rollback that applies there runs while the
//! journal cannot be written, and gives back what it says. The journal is kept in memory, the spool in its file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use cutover::cloud::Call;
use cutover::drill::Drill;
use cutover::drill::operator::{Move, Operator};
use cutover::engine::{Backend, Engine, ledger};
use cutover::journal::spool::joined;
use cutover::journal::{self, Append, Head, JournalError, Memory, Spool, Stored, Writer, hex, spool};
use cutover::run::command::Command;
use cutover::run::core::{Core, Draft};
use cutover::run::decide::moves_traffic;
use cutover::run::entry::Entry;
use cutover::run::view::Surroundings;
use cutover::sim::Deed;
use tokio::sync::mpsc;

use crate::case::{Checked, applied_once, go, ok};
use crate::prefixes::{Promised, applying, once, prefixes, restored};
use crate::support::Stand;
use crate::trouble::{FULL, Failing, GONE, Said, Trouble};

const DAY: i64 = 86_400_000;

/// A journal in memory that the test can read while it is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Memory>>);

impl Kept {
    /// A journal that holds what a prefix has written, under its first lease.
    fn of(prefix: &Stand) -> Kept {
        let kept = Kept::default();
        kept.0.lock().unwrap().take_over();
        let drafts = prefix.log.iter().map(|draft| {
            let (kind, body) = draft.entry.to_parts();
            journal::Draft { at: draft.at, kind, actor: draft.actor.clone(), body }
        });
        kept.clone().append(1, &drafts.collect::<Vec<_>>()).unwrap();
        kept
    }

    fn entries(&self) -> Vec<Stored> {
        self.0.lock().unwrap().entries().to_vec()
    }

    /// What a reader of the journal alone knows.
    fn told(&self) -> Vec<Draft> {
        let read = |e: Stored| Draft { at: e.at, entry: Entry::from_parts(&e.kind, &e.body).unwrap(), actor: e.actor };
        self.entries().into_iter().map(read).collect()
    }
}

impl Append for Kept {
    fn append(&mut self, epoch: u64, drafts: &[journal::Draft]) -> Result<Head, JournalError> {
        let mut memory = self.0.lock().unwrap();
        memory.append(epoch, drafts)?;
        Ok(memory.head())
    }
}

/// An engine that takes over where a prefix ends.
fn engine(prefix: &Stand, kept: &Kept, trouble: &Trouble, folder: &Path) -> Engine<Checked> {
    let (plan, core, head) = (Arc::clone(&prefix.core.plan), prefix.fold(), kept.0.lock().unwrap().head());
    let around = Surroundings {
        run: "TEST".into(),
        account: plan.account.clone(),
        driver: "anna".into(),
        epoch: 1,
        drill: None,
        scenario: None,
        seed: None,
        ledger: ledger(head.seq, hex(&head.hash)),
    };
    let (sender, acks) = mpsc::unbounded_channel();
    let writer = Writer::spawn(Failing { store: kept.clone(), end: head.seq, trouble: trouble.clone() }, 1, sender).unwrap();
    let reader = kept.clone();
    let backend = Checked {
        drill: Drill::new(prefix.world.clone(), plan, prefix.now),
        folder: folder.to_owned(),
        said: Said::default(),
        sent: core.run.calls.iter().map(|(id, call)| (*id, call.sendings as usize)).collect(),
        stored: Box::new(move || reader.entries()),
    };
    let open = core.unsettled();
    let mut engine = Engine::new(core, backend, around, writer, acks);
    engine.keep(Spool::open(folder), Vec::new());
    engine.open("anna", vec![Entry::EngineStarted { resumed: true, open }]);
    engine
}

fn is_done(engine: &Engine<Checked>) -> bool {
    engine.core.run.rollback.as_ref().is_some_and(|r| r.done.is_some())
}

/// Lets the rollback go on, with a person who does what it asks of people, until it is done or held.
async fn goes_on(engine: &mut Engine<Checked>, why: &str) {
    let mut operator = Operator::new(9);
    let limit = engine.backend.drill.now() + DAY;
    let (mut look_at, mut seen) = (i64::MIN, 0);
    loop {
        engine.settle().await;
        if is_done(engine) || engine.core.run.hold.is_some() {
            return;
        }
        let now = engine.backend.drill.now();
        let tail: Vec<&str> = engine.core.tail.iter().rev().take(9).rev().map(|l| l.text.as_str()).collect();
        assert!(now < limit, "{why}: it does not end: {tail:#?}");
        if now >= look_at || seen != engine.core.run.entries {
            seen = engine.core.run.entries;
            look_at = match operator.look(&engine.snapshot()) {
                Move::Look(at) => at.max(now + 1),
                Move::Command(_, command) => {
                    ok(&engine.command(command));
                    now + 1
                }
                Move::GiveUp => panic!("{why}: the operator gives up: {tail:#?}"),
            };
            continue;
        }
        let event = engine.backend.drill.pop(engine.wake().min(look_at));
        engine.handle(event);
    }
}

/// How many stacks somebody has asked the cloud to delete.
fn deletions(engine: &Engine<Checked>) -> usize {
    let is_deletion = |deed: &Deed| matches!(deed, Deed::Call { call, .. } if matches!(**call, Call::DeleteStack { .. }));
    engine.backend.drill.world.calls().iter().filter(|c| is_deletion(&c.deed)).count()
}

/// A rollback whose confirmation is entry 1 of those that count, with a journal that cannot be written from `entry` on.
async fn without_journal(prefix: &Stand, name: &str, promised: &Promised, entry: u64, how: u8, folder: &Path) {
    let last = prefix.log.last().unwrap().entry.line();
    let why = &format!("{name} after entry {}: {last}; no journal from its entry {entry} on ({how})", prefix.log.len());
    let (kept, trouble) = (Kept::of(prefix), Trouble::never());
    trouble.how.store(how, Ordering::SeqCst);
    let mut engine = engine(prefix, &kept, &trouble, folder);
    ok(&engine.command(Command::PrepareRollback { name: Some(name.to_owned()) }));
    go(&mut engine, why, |e| e.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())).await;
    let offer = engine.snapshot().offer.unwrap();
    let (began, deleted) = (engine.core.run.entries, deletions(&engine));
    trouble.set(began + entry);
    ok(&engine.command(Command::ConfirmRollback {
        name: offer.name,
        offer: offer.fingerprint.unwrap(),
        word: offer.confirm_word,
    }));
    goes_on(&mut engine, why).await;

    assert!(engine.failed().is_some(), "{why}: the journal was written all the time");
    let first = kept.entries().len() as u64 + 1;
    assert!(first > began && first <= began + entry, "{why}: the journal ends before {first}");
    let spooled = spool::read(folder).unwrap().iter().filter(|r| r.seq >= first).count() as u64;
    assert_eq!(first + spooled, engine.core.run.entries + 1, "{why}: journal and spool together are not the run");
    assert_eq!(deletions(&engine), deleted, "{why}: a stack was deleted without a journal");
    let rollback = engine.core.plan.rollbacks.iter().find(|r| r.name == name).unwrap();
    if let Some(hold) = engine.core.run.hold.as_ref().filter(|_| !is_done(&engine)) {
        assert!(hold.reason.contains("journal could not be written"), "{why}: {}", hold.reason);
        let done = engine.core.run.rollback.as_ref().unwrap().steps_done;
        let waits = &rollback.steps[done];
        assert!(!moves_traffic(&waits.action), "{why}: {} waits, and moves traffic", waits.id);
    }

    trouble.over();
    engine.try_again().await;
    assert_eq!(engine.failed(), None, "{why}");
    if !is_done(&engine) {
        ok(&engine.command(Command::Continue));
        goes_on(&mut engine, why).await;
    }
    assert!(is_done(&engine), "{why}: {:?}", engine.core.run.hold);
    applied_once(&engine, why);
    let run = engine.core.run.clone();
    let backend = engine.close();

    let entries = kept.entries();
    kept.0.lock().unwrap().verify(None).unwrap_or_else(|d| panic!("{why}: entry {}: {}", d.seq, d.what));
    let late: Vec<u64> = entries.iter().filter(|e| joined(&e.body).is_some()).map(|e| e.seq).collect();
    assert_eq!(late, (first..first + spooled).collect::<Vec<_>>(), "{why}: others are marked late than were");
    assert_eq!(spool::read(folder).unwrap(), [], "{why}: the spool was not emptied");
    let (now, world) = (backend.drill.now(), backend.drill.world);
    let mut core = Core::new(Arc::clone(&prefix.core.plan));
    for draft in &kept.told() {
        core.replay(draft.at, &draft.actor, &draft.entry);
    }
    assert_eq!(core.run, run, "{why}: the fold of the journal is not the run");
    let mut stand = Stand::taken_over(core.plan, world, now, kept.told());
    // Changes that were under way when it was called may still land.
    stand.run_for(120_000);
    restored(&mut stand, name, promised, why);
    once(&stand, why);
}

#[tokio::test]
async fn every_rollback_gives_back_what_it_says_with_a_full_disk_and_without_a_store() {
    let (promised, prefixes) = prefixes();
    let home = tempfile::tempdir().unwrap();
    let mut tried = BTreeMap::<String, u64>::new();
    for prefix in &prefixes {
        for name in applying(prefix) {
            // The confirmation itself cannot be written, or one of the next entries.
            let turn = tried.entry(name.clone()).or_default();
            let later = 2 + *turn % 4;
            *turn += 1;
            without_journal(prefix, &name, &promised, 1, FULL, home.path()).await;
            without_journal(prefix, &name, &promised, later, GONE, home.path()).await;
        }
    }
    println!("rollbacks from {} prefixes, twice: {tried:?}", prefixes.len());
    for name in ["immediate", "partial", "full", "switch", "forward"] {
        assert!(tried.get(name).is_some_and(|n| *n > 5), "{name} was hardly tried: {tried:?}");
    }
}
