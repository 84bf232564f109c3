//! A run that stands where a rollback is worth having, and an engine that goes on with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover::cloud::{Answer, Effect, Millis, Query};
use cutover::commands::drill::build;
use cutover::commands::open::{self, Opened};
use cutover::drill::auto::{Until, drive};
use cutover::drill::operator::Operator;
use cutover::drill::{Drill, EPOCH, WORLD_LOG};
use cutover::engine::{Backend, Engine};
use cutover::journal::spool::{SPOOL, joined};
use cutover::journal::{DATABASE, Meta, Spool, Store, Stored, Writer, spool};
use cutover::plan::load::Loaded;
use cutover::plan::{Plan, RecordSet, Scenario};
use cutover::run::command::{Command, DrillCommand, Reply};
use cutover::run::entry::Entry;
use cutover::run::event::Event;
use cutover::run::snapshot::{DrillView, Outcome, Status};
use cutover::run::state::Run;
use cutover::run::view::Surroundings;
use cutover::sim::{CallRecord, World};
use tokio::sync::mpsc;

use crate::calm::{SEED, calm};
use crate::trouble::{Failing, Said, Trouble};

/// A drill that insists on a durable intent, and a durable word for every repetition, before it takes a call.
pub struct Checked {
    pub drill: Drill,
    pub folder: PathBuf,
    pub said: Said,
    pub sent: BTreeMap<u64, usize>,
    /// The entries of the journal.
    pub stored: Box<dyn Fn() -> Vec<Stored>>,
}

/// The entries of the journal in a folder.
pub fn stored_in(folder: &Path) -> Box<dyn Fn() -> Vec<Stored>> {
    let folder = folder.to_owned();
    Box::new(move || Store::open_read(&folder).unwrap().read_all().unwrap())
}

impl Checked {
    /// Every entry that is durable somewhere: kind and body.
    pub fn durable(&self) -> BTreeMap<u64, Entry> {
        let read = |kind: &str, body: &str| Entry::from_parts(kind, body).unwrap();
        let mut all: BTreeMap<u64, Entry> = (self.stored)().iter().map(|e| (e.seq, read(&e.kind, &e.body))).collect();
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
pub struct Case {
    pub loaded: Loaded,
    pub scenario: Scenario,
    meta: Meta,
    home: tempfile::TempDir,
}

impl Case {
    /// The plan in calm weather, driven until this step is next.
    pub async fn before(plan: &str, step: &str) -> Case {
        let (loaded, scenario, meta) = calm(plan);
        let case = Case { loaded, scenario, meta, home: tempfile::tempdir().unwrap() };
        let until = case.loaded.plan.step_named(step).unwrap();
        let mut engine =
            build(&case.loaded, &case.scenario, &case.folder("base"), &case.meta, "auto".into()).map_err(|f| f.message).unwrap();
        drive(&mut engine, &mut Operator::new(SEED), Until::Step(until)).await;
        engine.settle().await;
        engine.close();
        case
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn plan(&self) -> Arc<Plan> {
        Arc::new(self.loaded.plan.clone())
    }

    /// A copy of a run's files, as they are at this moment.
    pub fn copy(&self, from: &str, to: &str) -> PathBuf {
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

    pub fn open(&self, folder: &Path, trouble: &Trouble) -> Engine<Checked> {
        self.open_with(folder, trouble, &Said::default(), None)
    }

    /// An engine for a folder, with a journal that may fail.
    pub fn open_with(&self, folder: &Path, trouble: &Trouble, said: &Said, spool: Option<Spool>) -> Engine<Checked> {
        let plan = self.plan();
        let Opened { told, store, epoch, spool: own } = open::open(Arc::clone(&plan), folder).map_err(|f| f.message).unwrap();
        let log = Drill::read_log(folder).unwrap();
        let now = told.newest_at().unwrap().max(log.last().map_or(EPOCH, |r: &CallRecord| r.at));
        let world = World::restore(Arc::clone(&plan), &self.scenario, SEED, EPOCH, &log).unwrap();
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
        let backend = Checked { drill, folder: folder.to_owned(), said: said.clone(), sent, stored: stored_in(folder) };
        let mut engine = Engine::new(told.core, backend, around, writer, acks);
        engine.keep(spool.map_or(own, Ok), told.left);
        engine.last_resort(Box::new(said.clone()));
        engine.open("anna", first);
        engine
    }

    /// What the files of a folder say now, in which the engine may still be at work.
    pub fn told(&self, folder: &Path) -> open::Told {
        open::read(self.plan(), &Store::open_read(folder).unwrap()).map_err(|f| f.message).unwrap()
    }
}

/// Lets events happen until something is so.
pub async fn go(engine: &mut Engine<Checked>, what: &str, mut until: impl FnMut(&Engine<Checked>) -> bool) {
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

pub fn ok(reply: &Reply) {
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
}

pub fn refused(reply: Reply) -> String {
    match reply {
        Reply::Refused(why) => why,
        Reply::Ok(said) => panic!("not refused: {said}"),
    }
}

/// Shows the rollback `immediate` and gives the command that confirms it.
pub async fn shown(engine: &mut Engine<Checked>) -> Command {
    ok(&engine.command(Command::PrepareRollback { name: Some("immediate".into()) }));
    go(engine, "the offer", |e| e.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())).await;
    let offer = engine.snapshot().offer.unwrap();
    Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: offer.confirm_word }
}

pub async fn to_the_end(engine: &mut Engine<Checked>) {
    go(engine, "the end", |e| e.core.run.finished.is_some()).await;
    assert_eq!(engine.snapshot().status, Status::Finished(Outcome::RolledBack));
}

/// The traffic's record sets in the world, sorted.
pub fn records(engine: &mut Engine<Checked>) -> Vec<RecordSet> {
    let traffic = engine.core.plan.traffic.clone().unwrap();
    let query = Query::Records { zone: traffic.zone, name: traffic.record };
    let now = engine.backend.now();
    match engine.backend.drill.world.perform(now, &Effect::Ask(query)).1 {
        Event::Answer { result: Ok(Answer::Records(sets)), .. } => sets,
        other => panic!("{other:?}"),
    }
}

pub fn before_anything(plan: &Plan) -> Vec<RecordSet> {
    let traffic = plan.traffic.as_ref().unwrap();
    let mut sets: Vec<RecordSet> =
        plan.drill.records.iter().filter(|(_, r)| r.name == traffic.record).map(|(_, r)| r.clone()).collect();
    sets.sort();
    sets
}

/// How often each token was applied in the world.
pub fn applied_once(engine: &Engine<Checked>, why: &str) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (token, _) in engine.backend.drill.world.calls().iter().filter_map(CallRecord::applied) {
        *counts.entry(token).or_default() += 1;
    }
    assert!(counts.values().all(|n| *n == 1), "{why}: {counts:?}");
}

/// The journal alone tells what the engine knows; what came late says so; the spool is empty.
pub fn joined_the_journal(case: &Case, folder: &Path, run: &Run, late_from: u64, why: &str) {
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
pub async fn clean(case: &Case) -> (u64, u64) {
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
