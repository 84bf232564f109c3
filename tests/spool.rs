//! Rollback works when the journal does not: its entries stand in the spool, or on standard error after a typed word,
//! and join the journal in order when it is back. Everything else holds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::builtin;
use cutover::cloud::{Answer, Effect, Millis, Query};
use cutover::commands::drill::{Leased, build};
use cutover::commands::open::{self, Opened};
use cutover::drill::auto::{Until, drive};
use cutover::drill::operator::Operator;
use cutover::drill::{Drill, EPOCH, WORLD_LOG};
use cutover::engine::{Backend, Engine};
use cutover::journal::spool::{SPOOL, joined};
use cutover::journal::{Append, DATABASE, Draft, Head, JournalError, Meta, Record, Spool, Store, Writer, spool};
use cutover::link::Request;
use cutover::plan::load::Loaded;
use cutover::plan::{Plan, RecordSet, Scenario};
use cutover::run::command::{Command, DrillCommand, Reply};
use cutover::run::core::Draft as RunDraft;
use cutover::run::entry::Entry;
use cutover::run::event::Event;
use cutover::run::snapshot::{DrillView, Outcome, Status};
use cutover::run::state::Run;
use cutover::run::view::Surroundings;
use cutover::sim::{CallRecord, World};
use tokio::sync::{mpsc, oneshot, watch};

/// How the journal fails.
const FULL: u8 = 0;
const TAKEN: u8 = 1;
const HANGS: u8 = 2;

/// A journal that fails from some entry on.
struct Failing {
    store: Leased,
    end: u64,
    trouble: Trouble,
}

/// Shared with the test: from which entry on the journal fails, and how.
#[derive(Clone)]
struct Trouble {
    from: Arc<AtomicU64>,
    how: Arc<AtomicU8>,
}

impl Trouble {
    fn from(entry: u64) -> Trouble {
        Trouble { from: Arc::new(AtomicU64::new(entry)), how: Arc::new(AtomicU8::new(FULL)) }
    }

    fn never() -> Trouble {
        Trouble::from(u64::MAX)
    }

    fn set(&self, entry: u64) {
        self.from.store(entry, Ordering::SeqCst);
    }

    fn over(&self) {
        self.set(u64::MAX);
    }

    fn hangs(&self) -> bool {
        self.how.load(Ordering::SeqCst) == HANGS
    }
}

impl Append for Failing {
    fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<Head, JournalError> {
        while self.trouble.hangs() && self.end + drafts.len() as u64 >= self.trouble.from.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.end + drafts.len() as u64 >= self.trouble.from.load(Ordering::SeqCst) {
            return Err(match self.trouble.how.load(Ordering::SeqCst) {
                TAKEN => JournalError::Fenced { folder: PathBuf::from("run"), held: epoch, current: epoch + 1 },
                _ => JournalError::Io {
                    path: PathBuf::from(DATABASE),
                    doing: "append to the journal",
                    source: io::Error::new(io::ErrorKind::StorageFull, "no space left on device"),
                },
            });
        }
        let head = self.store.append(epoch, drafts)?;
        self.end = head.seq;
        Ok(head)
    }
}

/// Standard error, as a test reads it.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    fn records(&self) -> Vec<Record> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A drill that insists on a durable intent, and a durable word for every repetition, before it takes a call.
struct Checked {
    drill: Drill,
    folder: PathBuf,
    said: Said,
    sent: BTreeMap<u64, usize>,
}

impl Checked {
    /// Every entry that is durable somewhere: kind and body.
    fn durable(&self) -> BTreeMap<u64, Entry> {
        let read = |kind: &str, body: &str| Entry::from_parts(kind, body).unwrap();
        let stored = Store::open_read(&self.folder).unwrap().read_all().unwrap();
        let mut all: BTreeMap<u64, Entry> = stored.iter().map(|e| (e.seq, read(&e.kind, &e.body))).collect();
        for record in spool::read(&self.folder).unwrap().iter().chain(&self.said.records()) {
            all.insert(record.seq, read(&record.kind, &record.body));
        }
        all
    }
}

impl Backend for Checked {
    fn now(&self) -> Millis {
        self.drill.now()
    }

    fn perform(&mut self, effect: Effect) {
        if let Effect::Send { id, .. } = &effect {
            let number = self.sent.entry(*id).or_default();
            *number += 1;
            let number = *number;
            let about = |entry: &Entry| match entry {
                Entry::Intent { id: other, .. } | Entry::Resent { id: other, .. } => other == id,
                _ => false,
            };
            let meant = self.durable().values().filter(|e| about(e)).count();
            assert!(meant >= number, "call {id} is sent {number} times, and {meant} intents are durable");
        }
        self.drill.perform(effect);
    }

    async fn next(&mut self, wake: Millis) -> Event {
        self.drill.next(wake).await
    }

    fn drill(&mut self, command: &DrillCommand) -> Result<(), String> {
        self.drill.drill(command)
    }

    fn drill_view(&self) -> Option<DrillView> {
        self.drill.drill_view()
    }

    fn is_flat_out(&self) -> bool {
        self.drill.is_flat_out()
    }
}

/// A run of a built-in plan that stands where a rollback is worth having.
struct Case {
    loaded: Loaded,
    scenario: Scenario,
    meta: Meta,
    home: tempfile::TempDir,
}

impl Case {
    /// The plan in calm weather, driven until this step is next.
    async fn before(plan: &str, step: &str) -> Case {
        let loaded = builtin::find(plan).unwrap();
        let scenario = loaded.scenarios.iter().find(|s| s.name == "calm").unwrap().clone();
        let meta = Meta {
            run_id: "TEST".into(),
            plan_name: plan.into(),
            plan_ref: plan.into(),
            plan_hash: loaded.plan.manifest.hash.clone(),
            drill: true,
            scenario: Some("calm".into()),
            seed: Some(3),
            created_at: 0,
            cutover_version: "test".into(),
            workdir: ".".into(),
        };
        let case = Case { loaded, scenario, meta, home: tempfile::tempdir().unwrap() };
        let until = case.loaded.plan.step_named(step).unwrap();
        let mut engine =
            build(&case.loaded, &case.scenario, &case.folder("base"), &case.meta, "auto".into()).map_err(|f| f.message).unwrap();
        drive(&mut engine, &mut Operator::new(3), Until::Step(until)).await;
        engine.settle().await;
        engine.close();
        case
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn plan(&self) -> Arc<Plan> {
        Arc::new(self.loaded.plan.clone())
    }

    /// A copy of a run's files, as they are at this moment.
    fn copy(&self, from: &str, to: &str) -> PathBuf {
        let (from, to) = (self.folder(from), self.folder(to));
        let _ = fs::remove_dir_all(&to);
        fs::create_dir_all(&to).unwrap();
        for name in [DATABASE.to_owned(), format!("{DATABASE}-wal"), WORLD_LOG.to_owned(), SPOOL.to_owned()] {
            if from.join(&name).exists() {
                fs::copy(from.join(&name), to.join(&name)).unwrap();
            }
        }
        to
    }

    fn open(&self, folder: &Path, trouble: &Trouble) -> Engine<Checked> {
        self.open_with(folder, trouble, &Said::default(), None)
    }

    /// An engine for a folder, with a journal that may fail.
    fn open_with(&self, folder: &Path, trouble: &Trouble, said: &Said, spool: Option<Spool>) -> Engine<Checked> {
        let plan = self.plan();
        let Opened { told, store, epoch, spool: own } = open::open(Arc::clone(&plan), folder).map_err(|f| f.message).unwrap();
        let log = Drill::read_log(folder).unwrap();
        let now = told.newest_at().unwrap().max(log.last().map_or(EPOCH, |r: &CallRecord| r.at));
        let world = World::restore(Arc::clone(&plan), &self.scenario, 3, EPOCH, &log).unwrap();
        let mut drill = Drill::new(world, Arc::clone(&plan), now);
        drill.keep_log(folder).unwrap();
        let around = Surroundings {
            run: "TEST".into(),
            account: plan.account.clone(),
            driver: "anna".into(),
            epoch,
            drill: Some(DrillView { speed: 0, skipping_to: None, faults: Vec::new() }),
            scenario: None,
            seed: None,
            ledger: told.ledger(),
        };
        let first = vec![Entry::EngineStarted { resumed: true, open: told.core.unsettled() }];
        let (sender, acks) = mpsc::unbounded_channel();
        let failing = Failing { store, end: told.entries.len() as u64, trouble: trouble.clone() };
        let writer = Writer::spawn(failing, epoch, sender).unwrap();
        let sent = told.core.run.calls.iter().map(|(id, call)| (*id, call.sendings as usize)).collect();
        let backend = Checked { drill, folder: folder.to_owned(), said: said.clone(), sent };
        let mut engine = Engine::new(told.core, backend, around, writer, acks);
        engine.keep(spool.map_or(own, Ok), told.left);
        engine.last_resort(Box::new(said.clone()));
        engine.open("anna", first);
        engine
    }

    /// What the files of a folder say now, in which the engine may still be at work.
    fn told(&self, folder: &Path) -> open::Told {
        open::read(self.plan(), &Store::open_read(folder).unwrap()).map_err(|f| f.message).unwrap()
    }
}

/// Lets events happen until something is so.
async fn go(engine: &mut Engine<Checked>, what: &str, mut until: impl FnMut(&Engine<Checked>) -> bool) {
    let limit = engine.backend.now() + 3 * 3_600_000;
    loop {
        engine.settle().await;
        if until(engine) {
            return;
        }
        let tail: Vec<&str> = engine.core.tail.iter().rev().take(9).rev().map(|l| l.text.as_str()).collect();
        assert!(engine.backend.now() < limit, "waiting for {what}: {tail:#?}");
        let event = engine.backend.drill.pop(engine.wake());
        engine.handle(event);
    }
}

fn ok(reply: &Reply) {
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

fn refused(reply: Reply) -> String {
    match reply {
        Reply::Refused(why) => why,
        Reply::Ok(said) => panic!("not refused: {said}"),
    }
}

/// Shows the rollback `immediate` and gives the command that confirms it.
async fn shown(engine: &mut Engine<Checked>) -> Command {
    ok(&engine.command(Command::PrepareRollback { name: Some("immediate".into()) }));
    go(engine, "the offer", |e| e.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())).await;
    let offer = engine.snapshot().offer.unwrap();
    Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: offer.confirm_word }
}

async fn to_the_end(engine: &mut Engine<Checked>) {
    go(engine, "the end", |e| e.core.run.finished.is_some()).await;
    assert_eq!(engine.snapshot().status, Status::Finished(Outcome::RolledBack));
}

/// The traffic's record sets in the world, sorted.
fn records(engine: &mut Engine<Checked>) -> Vec<RecordSet> {
    let traffic = engine.core.plan.traffic.clone().unwrap();
    let query = Query::Records { zone: traffic.zone, name: traffic.record };
    let now = engine.backend.now();
    match engine.backend.drill.world.perform(now, &Effect::Ask(query)).1 {
        Event::Answer { result: Ok(Answer::Records(sets)), .. } => sets,
        other => panic!("{other:?}"),
    }
}

fn before_anything(plan: &Plan) -> Vec<RecordSet> {
    let traffic = plan.traffic.as_ref().unwrap();
    let mut sets: Vec<RecordSet> =
        plan.drill.records.iter().filter(|(_, r)| r.name == traffic.record).map(|(_, r)| r.clone()).collect();
    sets.sort();
    sets
}

/// How often each token was applied in the world.
fn applied_once(engine: &Engine<Checked>, why: &str) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (token, _) in engine.backend.drill.world.calls().iter().filter_map(CallRecord::applied) {
        *counts.entry(token).or_default() += 1;
    }
    assert!(counts.values().all(|n| *n == 1), "{why}: {counts:?}");
}

/// The journal alone tells what the engine knows; what came late says so; the spool is empty.
fn joined_the_journal(case: &Case, folder: &Path, run: &Run, late_from: u64, why: &str) {
    let store = Store::open_read(folder).unwrap();
    store.verify(None).unwrap_or_else(|d| panic!("{why}: entry {}: {}", d.seq, d.what));
    let told = case.told(folder);
    assert!(told.left.is_empty(), "{why}: {} entries are in the spool only", told.left.len());
    assert_eq!(told.core.run, *run, "{why}: the fold of the journal is not the run");
    let late: Vec<u64> = told.entries.iter().filter(|e| joined(&e.body).is_some()).map(|e| e.seq).collect();
    assert!(late.contains(&late_from), "{why}: entry {late_from} is not marked late, {late:?} are");
    assert!(!late.contains(&(late_from - 1)), "{why}: entry {} was not late", late_from - 1);
    assert_eq!(spool::read(folder).unwrap(), [], "{why}: the spool was not emptied");
}

/// A rollback in full, with a journal that works: the entry before its first and its last, and the records then.
async fn clean(case: &Case) -> (u64, u64) {
    let folder = case.copy("base", "clean");
    let mut engine = case.open(&folder, &Trouble::never());
    let first = engine.core.run.entries;
    let confirm = shown(&mut engine).await;
    assert_ne!(records(&mut engine), before_anything(&engine.core.plan), "there must be something to take back");
    ok(&engine.command(confirm));
    to_the_end(&mut engine).await;
    assert_eq!(records(&mut engine), before_anything(&engine.core.plan));
    let last = engine.core.run.entries;
    engine.close();
    assert!(last - first >= 8, "a rollback writes more than {} entries", last - first);
    (first, last)
}

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
    let world = World::restore(Arc::clone(&plan), &case.scenario, 3, EPOCH, &log).unwrap();
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
    let backend = Checked { drill, folder: folder.clone(), said: Said::default(), sent };
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
