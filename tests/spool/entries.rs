//! The journal fails at every entry of a rollback, and the engine is killed at every entry after that.

use std::fs;

use cutover::journal::spool::SPOOL;
use cutover::journal::{Store, spool};

use crate::case::{Case, applied_once, before_anything, clean, go, joined_the_journal, ok, records, shown, to_the_end};
use crate::trouble::Trouble;

/// From `entry` on nothing can be written any more, for good; the rollback runs to its end all the same.
async fn without_journal_from(case: &Case, entry: u64) {
    let why = format!("no journal from entry {entry} on");
    let folder = case.copy("base", "run");
    let trouble = Trouble::from(entry);
    let mut engine = case.open(&folder, &trouble);
    let confirm = shown(&mut engine).await;
    ok(&engine.command(confirm));
    to_the_end(&mut engine).await;
    assert_eq!(records(&mut engine), before_anything(&engine.core.plan), "{why}");
    applied_once(&engine, &why);

    let seen = engine.snapshot();
    assert!(seen.ledger.failed.is_some(), "{why}");
    let left = case.told(&folder);
    assert_eq!(left.core.run, engine.core.run, "{why}: journal and spool together are not the run");
    let first = left.entries.len() as u64 + 1;
    assert!(first <= entry && !left.left.is_empty(), "{why}: the journal goes on to {first}");
    assert_eq!(seen.ledger.spool.entries, left.left.len() as u64, "{why}");
    let alert = &seen.alerts[0].text;
    assert!(alert.contains("go to the spool") && alert.contains(&format!("({})", left.left.len())), "{why}: {alert}");

    trouble.over();
    engine.try_again().await;
    assert_eq!(engine.failed(), None, "{why}");
    let run = engine.core.run.clone();
    engine.close();
    joined_the_journal(case, &folder, &run, first, &why);
}

#[tokio::test]
async fn a_rollback_runs_to_its_end_from_every_entry_at_which_the_journal_fails() {
    for (plan, step) in [("failover-drill", "shift-100"), ("medzen", "shift-50")] {
        let case = Case::before(plan, step).await;
        let (first, last) = clean(&case).await;
        // Not the engine's own first entry: nobody rolls back before a run is open.
        for entry in first + 1..=last {
            without_journal_from(&case, entry).await;
        }
    }
}

/// Dies at `death` after the journal failed at `entry`; what is left goes on, with or without a journal.
async fn killed_without_journal(case: &Case, entry: u64, death: u64) {
    let folder = case.copy("base", "run");
    let mut engine = case.open(&folder, &Trouble::from(entry));
    let confirm = shown(&mut engine).await;
    ok(&engine.command(confirm));
    go(&mut engine, "the moment to die", |e| e.core.run.entries >= death).await;
    case.copy("run", "corpse");
    let known = engine.core.run.clone();
    drop(engine);
    let left = case.told(&case.folder("corpse"));
    assert_eq!(left.core.run, known, "no journal from {entry} on, killed at {death}: what was durable is not all there was");
    let first = left.entries.len() as u64 + 1;

    for back in [true, false] {
        let why = format!("no journal from {entry} on, killed at {death}, back then: {back}");
        let folder = case.copy("corpse", "next");
        let trouble = if back { Trouble::never() } else { Trouble::from(0) };
        let mut engine = case.open(&folder, &trouble);
        if engine.core.run.active_rollback().is_some() {
            to_the_end(&mut engine).await;
        }
        assert_eq!(records(&mut engine), before_anything(&engine.core.plan), "{why}");
        applied_once(&engine, &why);
        engine.settle().await;
        if !back {
            assert_eq!(case.told(&folder).core.run, engine.core.run, "{why}");
            // A third engine finds it all, and only then the journal is well.
            drop(engine);
            engine = case.open(&folder, &Trouble::never());
        }
        engine.try_again().await;
        let run = engine.core.run.clone();
        engine.close();
        if left.left.is_empty() {
            Store::open_read(&folder).unwrap().verify(None).unwrap();
            assert_eq!(case.told(&folder).core.run, run, "{why}");
        } else {
            joined_the_journal(case, &folder, &run, first, &why);
        }
    }
}

#[tokio::test]
async fn killed_at_every_entry_after_the_journal_failed_nothing_is_lost_or_done_twice() {
    let case = Case::before("failover-drill", "shift-100").await;
    let (first, last) = clean(&case).await;
    for entry in first + 2..=last {
        for death in entry..=last {
            killed_without_journal(&case, entry, death).await;
        }
    }
}

#[tokio::test]
async fn killed_while_the_spool_joins_the_journal_it_joins_once() {
    let case = Case::before("failover-drill", "shift-100").await;
    let folder = case.copy("base", "run");
    let mut engine = case.open(&folder, &Trouble::from(case.told(&folder).entries.len() as u64 + 2));
    let confirm = shown(&mut engine).await;
    ok(&engine.command(confirm));
    to_the_end(&mut engine).await;
    case.copy("run", "corpse");
    let full = fs::read(folder.join(SPOOL)).unwrap();
    drop(engine);

    let next = case.copy("corpse", "next");
    let mut engine = case.open(&next, &Trouble::never());
    engine.settle().await;
    engine.close();
    let joined = case.told(&next);
    assert!(joined.left.is_empty() && spool::read(&next).unwrap().is_empty());
    // Killed after its entries had joined, and before it was emptied: the spool is as it was before.
    fs::write(next.join(SPOOL), &full).unwrap();
    assert!(!spool::read(&next).unwrap().is_empty());
    let again = case.told(&next);
    assert_eq!((again.left.len(), &again.core.run), (0, &joined.core.run));
    let mut engine = case.open(&next, &Trouble::never());
    engine.settle().await;
    assert_eq!(engine.core.run.entries, joined.core.run.entries + 1, "one entry for the engine that started");
    engine.close();
    Store::open_read(&next).unwrap().verify(None).unwrap();
    assert_eq!(spool::read(&next).unwrap(), []);
}
