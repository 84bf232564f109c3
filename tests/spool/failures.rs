//! The ways in which journal and spool can fail, and what waits for them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutover::commands::open::{self, Opened};
use cutover::drill::{Drill, EPOCH};
use cutover::engine::Engine;
use cutover::journal::{Append, Draft, Head, JournalError, Spool, Store, Writer, spool};
use cutover::link::Request;
use cutover::run::command::Command;
use cutover::run::core::Draft as RunDraft;
use cutover::run::entry::Entry;
use cutover::run::snapshot::Status;
use cutover::run::view::Surroundings;
use cutover::sim::World;
use tokio::sync::{mpsc, oneshot, watch};

use crate::calm::SEED;
use crate::case::{
    Case, Checked, applied_once, before_anything, go, joined_the_journal, ok, records, refused, shown, stored_in, to_the_end,
};
use crate::trouble::{HANGS, Said, TAKEN, Trouble};

/// A file that may be read and not written.
fn unwritable(folder: &Path) -> Spool {
    let path = folder.join("unwritable");
    fs::write(&path, "").unwrap();
    Spool::in_file(File::open(&path).unwrap(), path)
}

#[tokio::test]
async fn without_a_spool_either_a_rollback_wants_its_word() {
    let case = Case::before("failover-drill", "shift-100").await;
    let folder = case.copy("base", "run");
    let (trouble, said) = (Trouble::never(), Said::default());
    let mut engine = case.open_with(&folder, &trouble, &said, Some(unwritable(&folder)));
    engine.settle().await;
    let well = engine.core.run.entries;
    assert!(refused(engine.command(Command::WithoutJournal { word: "eu-west-1".into() })).contains("can be written"));
    trouble.set(well + 1);
    let confirm = shown(&mut engine).await;
    let Command::ConfirmRollback { name, offer, word } = confirm else { panic!() };
    assert_eq!(word.as_deref(), Some("eu-west-1"), "the dialog asks for the word");
    for wrong in [None, Some("eu-central-1".to_owned())] {
        let why = refused(engine.command(Command::ConfirmRollback { name: name.clone(), offer: offer.clone(), word: wrong }));
        assert!(why.contains("type eu-west-1"), "{why}");
    }
    let stale = Command::ConfirmRollback { name: name.clone(), offer: "stale".into(), word: word.clone() };
    refused(engine.command(stale));
    assert!(engine.word().is_some(), "the word was for a rollback that is not what is shown");
    let calls = engine.backend.drill.world.calls().len();
    assert_eq!(said.records(), [], "nothing is told before the word");
    ok(&engine.command(Command::ConfirmRollback { name, offer, word }));
    to_the_end(&mut engine).await;
    assert!(engine.backend.drill.world.calls().len() > calls);
    assert_eq!(records(&mut engine), before_anything(&engine.core.plan));

    let told: Vec<u64> = said.records().iter().map(|r| r.seq).collect();
    assert_eq!(told, (well + 1..=engine.core.run.entries).collect::<Vec<_>>(), "every entry is told once");
    let seen = engine.snapshot();
    assert!(seen.alerts[0].text.contains("standard error"), "{}", seen.alerts[0].text);
    assert_eq!(seen.ledger.spool.told, told.len() as u64);
    trouble.over();
    engine.try_again().await;
    let run = engine.core.run.clone();
    engine.close();
    joined_the_journal(&case, &folder, &run, well + 1, "told and then joined");
}

#[tokio::test]
async fn a_spool_that_fails_in_the_middle_holds_the_rollback_until_the_word_is_typed() {
    let case = Case::before("failover-drill", "shift-100").await;
    let folder = case.copy("base", "run");
    let (trouble, said) = (Trouble::never(), Said::default());
    let mut engine = case.open_with(&folder, &trouble, &said, Some(unwritable(&folder)));
    let confirm = shown(&mut engine).await;
    ok(&engine.command(confirm));
    engine.settle().await;
    trouble.set(engine.core.run.entries + 1);
    let calls = engine.backend.drill.world.calls().len();
    go(&mut engine, "the hold", |e| matches!(e.snapshot().status, Status::Held { .. })).await;
    let seen = engine.snapshot();
    assert_eq!(seen.ledger.spool.word.as_deref(), Some("eu-west-1"));
    assert!(seen.alerts[0].text.contains("typed"), "{}", seen.alerts[0].text);
    for _ in 0..200 {
        let event = engine.backend.drill.pop(engine.wake());
        engine.handle(event);
        engine.settle().await;
    }
    assert_eq!(engine.backend.drill.world.calls().len(), calls, "nothing is sent without the word");
    assert!(refused(engine.command(Command::WithoutJournal { word: "ireland".into() })).contains("type eu-west-1"));
    ok(&engine.command(Command::WithoutJournal { word: "eu-west-1".into() }));
    to_the_end(&mut engine).await;
    assert_eq!(records(&mut engine), before_anything(&engine.core.plan));
    assert!(!said.records().is_empty());
}

#[tokio::test]
async fn work_that_goes_forward_is_not_sent_and_does_not_go_on_by_itself() {
    let case = Case::before("failover-drill", "shift-100").await;
    for entry in 1..=3 {
        let folder = case.copy("base", "run");
        let trouble = Trouble::never();
        let mut engine = case.open(&folder, &trouble);
        go(&mut engine, "an open gate", |e| e.snapshot().work.is_some_and(|w| w.blocked.is_none())).await;
        // 1 is the start of the step, 2 its intent, 3 the outcome of its call.
        trouble.set(engine.core.run.entries + entry);
        let before = records(&mut engine);
        ok(&engine.command(Command::Start { step: "shift-100".into() }));
        go(&mut engine, "the hold", |e| matches!(e.snapshot().status, Status::Held { .. })).await;
        let sent = |e: &Engine<Checked>| e.backend.sent.values().sum::<usize>();
        let calls = sent(&engine);
        for command in [Command::GoOn, Command::Note { text: "a note".into() }, Command::Start { step: "shift-100".into() }] {
            assert!(refused(engine.command(command)).contains("everything holds"));
        }
        if entry < 3 {
            assert_eq!(records(&mut engine), before, "entry {entry}");
        }
        trouble.over();
        engine.try_again().await;
        assert_eq!(engine.failed(), None);
        let Status::Held { reason, by, .. } = engine.snapshot().status else { panic!("it goes on by itself") };
        assert!(reason.contains("journal could not be written") && by == "engine", "{reason}");
        for _ in 0..200 {
            let event = engine.backend.drill.pop(engine.wake());
            engine.handle(event);
            engine.settle().await;
        }
        assert_eq!(sent(&engine), calls, "entry {entry}: sent while it holds");
        ok(&engine.command(Command::Continue));
        go(&mut engine, "the verify", |e| e.snapshot().work.is_some_and(|w| w.id == "final-soak")).await;
        applied_once(&engine, "forward");
        let run = engine.core.run.clone();
        engine.close();
        assert_eq!(case.told(&folder).core.run, run);
    }
}

#[tokio::test]
async fn a_shift_that_was_never_sent_is_not_sent_after_the_rollback_either() {
    let case = Case::before("failover-drill", "shift-100").await;
    let folder = case.copy("base", "run");
    let trouble = Trouble::never();
    let mut engine = case.open(&folder, &trouble);
    go(&mut engine, "an open gate", |e| e.snapshot().work.is_some_and(|w| w.blocked.is_none())).await;
    trouble.set(engine.core.run.entries + 2);
    ok(&engine.command(Command::Start { step: "shift-100".into() }));
    go(&mut engine, "the hold", |e| matches!(e.snapshot().status, Status::Held { .. })).await;
    let confirm = shown(&mut engine).await;
    ok(&engine.command(confirm));
    to_the_end(&mut engine).await;
    trouble.over();
    engine.try_again().await;
    for _ in 0..200 {
        let event = engine.backend.drill.pop(engine.wake());
        engine.handle(event);
        engine.settle().await;
    }
    assert_eq!(records(&mut engine), before_anything(&engine.core.plan));
}

#[tokio::test]
async fn taking_back_one_step_waits_for_the_journal() {
    let case = Case::before("failover-drill", "shift-100").await;
    let folder = case.copy("base", "run");
    let trouble = Trouble::never();
    let mut engine = case.open(&folder, &trouble);
    ok(&engine.command(Command::PrepareUndo { step: "shift-50".into() }));
    go(&mut engine, "the offer", |e| e.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())).await;
    let offer = engine.snapshot().offer.unwrap();
    trouble.set(engine.core.run.entries + 1);
    let confirm = Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: None };
    // The journal fails at the confirmation itself: it was accepted, and nothing is sent.
    ok(&engine.command(confirm.clone()));
    let before = records(&mut engine);
    go(&mut engine, "the hold", |e| matches!(e.snapshot().status, Status::Held { .. })).await;
    assert_eq!(records(&mut engine), before);
    assert!(refused(engine.command(Command::PrepareUndo { step: "shift-50".into() })).contains("everything holds"));
    assert!(refused(engine.command(confirm)).contains("waits for the journal"));
    trouble.over();
    ok(&engine.command(Command::Continue));
    go(&mut engine, "the undo", |e| e.core.run.rollback.as_ref().is_some_and(|r| r.done.is_some())).await;
    assert_ne!(records(&mut engine), before);
}

#[tokio::test]
async fn an_engine_that_lost_the_run_neither_spools_nor_sends() {
    let case = Case::before("failover-drill", "shift-100").await;
    // Lost at the confirmation, or lost while the journal cannot be written: then the next attempt tells, made by
    // somebody or by itself.
    for (failed_before, by_itself) in [(false, false), (true, false), (true, true)] {
        let folder = case.copy("base", "run");
        let trouble = Trouble::never();
        let mut engine = case.open(&folder, &trouble);
        let confirm = shown(&mut engine).await;
        trouble.set(engine.core.run.entries + 1);
        if failed_before {
            ok(&engine.command(Command::Hold { reason: "to write something".into() }));
            ok(&engine.command(confirm.clone()));
            // Its first call is on its way, so there is more to write.
            engine.settle().await;
        }
        let (calls, spooled) = (engine.backend.sent.clone(), spool::read(&folder).unwrap());
        trouble.how.store(TAKEN, Ordering::SeqCst);
        if by_itself {
            tokio::time::sleep(Duration::from_millis(5_200)).await;
            engine.catch_up();
            while engine.fenced().is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                engine.catch_up();
            }
            assert!(engine.failed().is_some(), "the journal is not taken to be well before it has said so");
        } else if failed_before {
            engine.try_again().await;
        } else {
            ok(&engine.command(confirm.clone()));
        }
        engine.settle().await;
        assert!(engine.fenced().is_some());
        for _ in 0..200 {
            let event = engine.backend.drill.pop(engine.wake());
            engine.handle(event);
            engine.settle().await;
        }
        refused(engine.command(confirm));
        let sent: usize = engine.backend.sent.values().sum();
        assert_eq!(sent, calls.values().sum::<usize>(), "sent by an engine that lost the run");
        assert_eq!(spool::read(&folder).unwrap(), spooled, "spooled by an engine that lost the run");
    }
}

#[tokio::test]
async fn the_journal_is_tried_again_by_itself() {
    let case = Case::before("failover-drill", "shift-100").await;
    let folder = case.copy("base", "run");
    let trouble = Trouble::never();
    let mut engine = case.open(&folder, &trouble);
    let confirm = shown(&mut engine).await;
    trouble.set(engine.core.run.entries + 1);
    engine.backend.drill.set_speed(600);
    let (commands, requests) = mpsc::channel(4);
    let (publish, mut snapshots) = watch::channel(Arc::new(engine.snapshot()));
    let person = async {
        let (reply, answer) = oneshot::channel();
        commands.send(Request { command: confirm, reply }).await.unwrap();
        ok(&answer.await.unwrap());
        snapshots.wait_for(|s| matches!(s.status, Status::Finished(_)) && s.ledger.spool.entries > 5).await.unwrap();
        trouble.over();
        snapshots.wait_for(|s| s.ledger.failed.is_none() && s.ledger.durable == s.ledger.seq).await.unwrap();
        drop(commands);
    };
    let both = async { tokio::join!(person, engine.run(requests, &publish)) };
    tokio::time::timeout(Duration::from_secs(40), both).await.unwrap();
    let run = engine.core.run.clone();
    engine.close();
    assert_eq!(case.told(&folder).core.run, run);
    assert_eq!(spool::read(&folder).unwrap(), []);
}

#[tokio::test]
async fn a_journal_that_does_not_answer_has_failed_and_may_still_answer() {
    let case = Case::before("failover-drill", "shift-100").await;
    let folder = case.copy("base", "run");
    let trouble = Trouble::never();
    let mut engine = case.open(&folder, &trouble);
    let confirm = shown(&mut engine).await;
    engine.settle().await;
    trouble.how.store(HANGS, Ordering::SeqCst);
    trouble.set(engine.core.run.entries + 1);
    ok(&engine.command(confirm));
    to_the_end(&mut engine).await;
    assert_eq!(records(&mut engine), before_anything(&engine.core.plan));
    assert!(engine.failed().unwrap().contains("not answered for 10 s"), "{:?}", engine.failed());
    assert_eq!(case.told(&folder).core.run, engine.core.run);
    // What it was given before is written after all, and nothing is written twice.
    trouble.over();
    while engine.failed().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        engine.catch_up();
    }
    engine.settle().await;
    let run = engine.core.run.clone();
    engine.close();
    let told = case.told(&folder);
    assert_eq!((told.left.len(), &told.core.run), (0, &run));
    Store::open_read(&folder).unwrap().verify(None).unwrap();
    assert_eq!(spool::read(&folder).unwrap(), []);
}

/// SQLite itself refuses to let the file grow, exactly as on a full volume.
struct Full {
    store: Store,
    full: Trouble,
}

impl Append for Full {
    fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<Head, JournalError> {
        self.store.may_grow(self.full.from.load(Ordering::SeqCst) != 0)?;
        Append::append(&mut self.store, epoch, drafts)
    }
}

#[tokio::test]
async fn a_full_volume_is_what_it_is_for() {
    let case = Case::before("failover-drill", "shift-100").await;
    let folder = case.copy("base", "run");
    let plan = case.plan();
    let Opened { told, store, epoch, spool } = open::open(Arc::clone(&plan), &folder).map_err(|f| f.message).unwrap();
    let log = Drill::read_log(&folder).unwrap();
    let world = World::restore(Arc::clone(&plan), &case.scenario, SEED, EPOCH, &log).unwrap();
    let drill = Drill::new(world, Arc::clone(&plan), told.newest_at().unwrap());
    let full = Trouble::never();
    let (sender, acks) = mpsc::unbounded_channel();
    let real = Full { store: Store::open(&folder).unwrap(), full: full.clone() };
    let writer = Writer::spawn(real, epoch, sender).unwrap();
    let around = Surroundings {
        run: "TEST".into(),
        account: plan.account.clone(),
        driver: "anna".into(),
        epoch,
        drill: None,
        scenario: None,
        seed: None,
        ledger: told.ledger(),
    };
    let sent = BTreeMap::new();
    let backend = Checked { drill, folder: folder.clone(), said: Said::default(), sent, stored: stored_in(&folder) };
    let mut engine = Engine::new(told.core, backend, around, writer, acks);
    engine.keep(spool, told.left);
    engine.open("anna", vec![Entry::EngineStarted { resumed: true, open: Vec::new() }]);
    engine.settle().await;
    let well = engine.core.run.entries;
    full.set(0);
    // The last page has some room left; a long note fills it.
    let filler = RunDraft { at: 0, actor: String::new(), entry: Entry::Note { text: "x".repeat(6_000) } };
    let Entry::Note { text } = filler.entry else { panic!() };
    ok(&engine.command(Command::Note { text }));
    engine.settle().await;
    let why = engine.failed().unwrap().to_owned();
    assert!(why.contains("full") && why.contains("free some space"), "{why}");
    let confirm = shown(&mut engine).await;
    ok(&engine.command(confirm));
    to_the_end(&mut engine).await;
    assert_eq!(records(&mut engine), before_anything(&engine.core.plan));
    full.over();
    engine.try_again().await;
    let run = engine.core.run.clone();
    engine.close();
    drop(store);
    joined_the_journal(&case, &folder, &run, well + 1, "a full volume");
}
