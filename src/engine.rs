//! The loop that owns order: entries become durable, then effects are performed, and what comes of them goes back
//! into the core as events. It never waits for I/O: the journal has a thread of its own, the backend its tasks.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io::Write;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use self::backend::Backend;
pub use self::heart::{Heart, Pulse};
use self::ledger::{Ledger, News};
pub use self::scribe::RUNBOOK;
use self::scribe::Scribe;
use crate::cloud::{CallId, Effect, Failure, FailureKind, Millis, NOT_SENT};
use crate::journal::{Ack, JournalError, Spool, Writer};
use crate::link::Request;
use crate::plan::MonitorId;
use crate::run::command::{Command, Reply};
use crate::run::core::{Core, Draft, Outcome};
use crate::run::decide::rolled_back;
use crate::run::entry::{Entry, JobRef, RollbackRef};
use crate::run::event::Event;
use crate::run::minute::Minute;
use crate::run::rollback;
use crate::run::runbook::{Facts, Source, runbook};
use crate::run::snapshot::{AlertView, LedgerView, Level, Snapshot};
use crate::run::view::{self, Surroundings};
use crate::samples::{Batch, Keeper};

mod backend;
mod heart;
mod ledger;
pub mod order;
mod scribe;

/// Samples that are handed over to be kept, at once when there are so many.
const SAMPLES: usize = 256;
/// Snapshots are sent at most this often, unless somebody pressed a key.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// A snapshot is sent at least this often: the clock and the ages on the screen move.
const PUBLISH_AT_LEAST: Duration = Duration::from_secs(1);

/// A run, its journal and the backend that performs its effects.
#[derive(Debug)]
pub struct Engine<B> {
    /// The run.
    pub core: Core,
    /// What performs effects.
    pub backend: B,
    around: Surroundings,
    ledger: Ledger,
    scribe: Option<Scribe>,
    keeper: Option<Keeper>,
    /// Minutes that have not been handed over to be kept.
    minutes: Vec<(MonitorId, Minute)>,
    heart: Option<Heart>,
    /// What was noticed at the start and is good to know, and when.
    advice: Vec<(Millis, String)>,
    wake: Millis,
    /// Counted once, when the run has ended: nothing that is asked ten times a second may count 21 days.
    requests_failed: OnceCell<Option<u64>>,
}

/// Why the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Every cockpit is gone.
    Left,
    /// Another engine has taken the run.
    Fenced(String),
}

impl<B: Backend> Engine<B> {
    /// An engine for a core whose journal has been folded into it already.
    #[must_use]
    pub fn new(core: Core, backend: B, around: Surroundings, writer: Writer, acks: mpsc::UnboundedReceiver<Ack>) -> Engine<B> {
        let ledger = Ledger::new(writer, acks, &around.ledger, around.epoch);
        let wake = backend.now();
        Engine {
            core,
            backend,
            around,
            ledger,
            scribe: None,
            keeper: None,
            minutes: Vec::new(),
            heart: None,
            advice: Vec::new(),
            wake,
            requests_failed: OnceCell::new(),
        }
    }

    /// Takes a spool into use, before the first entry is written. `left` are entries that were in it and are not in the
    /// journal; the core has them already, and they join the journal now, late. Without a spool the run goes on, and
    /// the screen says that a rollback would need the journal.
    pub fn keep(&mut self, spool: Result<Spool, JournalError>, left: Vec<Draft>) {
        self.ledger.keep(spool, left, self.backend.now());
    }

    /// Entries go there, one line of JSON each, when neither journal nor spool can be written and somebody has said
    /// that a rollback shall go on all the same. Standard error, unless it is said here.
    pub fn last_resort(&mut self, sink: Box<dyn Write + Send>) {
        self.ledger.last_resort(sink);
    }

    /// Keeps a runbook in the run's folder: the rollbacks as commands that work without this program.
    pub fn keep_runbook(&mut self, folder: PathBuf) {
        match Scribe::spawn(folder) {
            Ok(scribe) => self.scribe = Some(scribe),
            Err(error) => tracing::warn!(%error, "there will be no runbook"),
        }
    }

    /// Keeps samples in the run's folder, and takes in what earlier engines kept there. Before the first event.
    pub fn keep_samples(&mut self, folder: &Path) {
        let names = self.core.plan.monitors.iter().map(|monitor| monitor.name.clone()).collect();
        match Keeper::open(folder, names) {
            Ok((keeper, kept)) => {
                self.core.recall(&kept.minutes, &kept.samples);
                self.core.watch.kept = Some(Vec::new());
                self.keeper = Some(keeper);
            }
            Err(error) => tracing::warn!(%error, "no samples will be kept"),
        }
    }

    /// Hands over what is to be kept, if there is so much of it. Never waits.
    fn hand_over(&mut self, enough: usize) {
        let (Some(keeper), Some(samples)) = (&mut self.keeper, &mut self.core.watch.kept) else { return };
        if samples.len() + self.minutes.len() >= enough {
            keeper.offer(Batch { samples: mem::take(samples), minutes: mem::take(&mut self.minutes) });
        }
    }

    /// Lets the heartbeat go out for as long as this engine's loop goes round.
    pub fn keep_beating(&mut self, heart: Heart) {
        self.heart = Some(heart);
    }

    /// Shows something from now on that was noticed at the start and is good to know.
    pub fn advise(&mut self, text: String) {
        self.advice.push((self.backend.now(), text));
    }

    /// Hands the runbook to its thread, if it is time to.
    fn keep_runbook_new(&mut self) {
        let entry = self.core.run.entries;
        if entry == 0 || !self.scribe.as_mut().is_some_and(|scribe| scribe.is_due(entry)) {
            return;
        }
        let facts = Facts {
            run: self.around.run.clone(),
            drill: self.around.drill.is_some(),
            entry,
            head: self.ledger.head().to_owned(),
            source: Source::Engine,
        };
        let written = runbook(self.core.ctx(self.backend.now()), &facts);
        if let Some(scribe) = &mut self.scribe {
            scribe.offer(written);
        }
    }

    /// Writes the first entries of this engine's time.
    pub fn open(&mut self, actor: &str, first: Vec<Entry>) {
        let now = self.backend.now();
        let outcome = self.core.open(now, actor, first);
        self.take(outcome);
    }

    /// Takes in one event and says what to answer, if it was a command.
    pub fn handle(&mut self, event: Event) -> Option<Reply> {
        let now = self.backend.now();
        let outcome = self.core.handle(now, event);
        self.take(outcome)
    }

    fn take(&mut self, outcome: Outcome) -> Option<Reply> {
        self.wake = outcome.wake;
        if self.keeper.is_some() {
            self.minutes.extend(outcome.minutes);
            self.hand_over(SAMPLES);
        }
        for step in &outcome.reached {
            self.backend.reached(*step);
        }
        if !outcome.drafts.is_empty() {
            self.backend.noteworthy(&outcome.drafts);
        }
        let beside: Vec<CallId> = outcome.effects.iter().filter_map(|effect| self.goes_without_journal(effect)).collect();
        self.ledger.write(outcome.drafts, outcome.effects, &beside);
        self.settle_accounts();
        outcome.reply
    }

    /// The call, if it is made although the journal cannot be written: it moves traffic in a rollback of the plan.
    fn goes_without_journal(&self, effect: &Effect) -> Option<CallId> {
        let Effect::Send { id, call, .. } = effect else { return None };
        let of_rollback = self.core.run.calls.get(id).is_some_and(|c| matches!(c.job, JobRef::Rollback(..)));
        (of_rollback && call.moves_traffic()).then_some(*id)
    }

    /// Whether a rollback of the plan is going on.
    fn rolling_back(&self) -> bool {
        self.core.run.active_rollback().is_some_and(|r| matches!(r.of, RollbackRef::Plan(_)))
    }

    /// Makes the calls whose intents are durable. While the journal cannot be written that is for a rollback only;
    /// everything else is not sent, and the run holds.
    fn settle_accounts(&mut self) {
        self.ledger.spool(self.rolling_back());
        for effect in self.ledger.released() {
            self.backend.perform(effect);
        }
        let denied = self.ledger.denied();
        for (id, sending) in denied.iter().copied() {
            let message = format!("{NOT_SENT}the journal cannot be written");
            let result = Err(Failure { kind: FailureKind::Unreachable, message });
            self.handle(Event::Sent { id, sending, result });
        }
        let Some(why) = self.ledger.failed() else { return };
        let run = &self.core.run;
        let goes_on = self.rolling_back() && denied.is_empty() && !self.ledger.wants_word();
        if !goes_on && run.hold.is_none() && run.finished.is_none() && !rolled_back(run) {
            let which = if self.ledger.wants_word() { "neither journal nor spool" } else { "the journal" };
            let reason = format!("{which} could not be written: {why}");
            // Held by an entry like any other, so that nothing starts by itself when the journal is back.
            self.handle(Event::Command { by: "engine".into(), command: Command::Hold { reason } });
        }
    }

    /// True while an entry is not durable, and can become so.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.ledger.is_writing()
    }

    fn heard(&mut self, news: News) {
        self.ledger.take_in(news, self.backend.now());
        self.settle_accounts();
    }

    /// Waits until every entry is durable in journal or spool, or can be in neither.
    pub async fn settle(&mut self) {
        while self.is_writing() {
            let news = self.ledger.news().await;
            self.heard(news);
        }
    }

    /// Takes in what journal and spool have answered, tries a journal that has failed if it is time, and keeps the
    /// runbook new. Never waits. Whoever does not let [`Engine::run`] drive calls this now and then.
    pub fn catch_up(&mut self) {
        self.beat();
        while let Some(news) = self.ledger.ready() {
            self.heard(news);
        }
        self.keep_runbook_new();
        self.hand_over(1);
    }

    /// Tries a journal that has failed once more, and waits for what comes of it: before a process ends.
    pub async fn try_again(&mut self) {
        if self.ledger.failed().is_some() && self.ledger.retry(self.backend.now()) {
            self.ledger.trust();
        }
        self.settle().await;
    }

    /// When the core wants to be called again if nothing happens.
    #[must_use]
    pub fn wake(&self) -> Millis {
        self.wake
    }

    /// What a screen would show now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = self.backend.now();
        let mut around = self.around.clone();
        around.drill = self.backend.drill_view();
        around.ledger = self.ledger.view();
        around.ledger.spool.word = self.word();
        let mut seen = view::snapshot(&self.core, now, &around);
        if let Some(work) = seen.work.as_mut().filter(|work| work.output.is_empty())
            && let Some(call) = self.core.run.calls.iter().rfind(|(_, c)| c.call.is_local() && c.job.to_string() == work.id)
        {
            work.output = self.backend.output(*call.0);
        }
        if let Some(alert) = self.ledger.alert(now) {
            let place = if alert.level == Level::Warning { 0 } else { seen.alerts.len() };
            seen.alerts.insert(place, alert);
        }
        if let Some(why) = self.scribe.as_ref().and_then(Scribe::failure) {
            let text = format!("the runbook cannot be written: {why}");
            seen.alerts.push(AlertView { level: Level::Advisory, text, since: now, acknowledged: true });
        }
        if let Some(text) = self.keeper.as_ref().and_then(Keeper::failure) {
            seen.alerts.push(AlertView { level: Level::Advisory, text, since: now, acknowledged: true });
        }
        if let Some(trouble) = self.heart.as_ref().and_then(Heart::trouble) {
            let text = format!("the heartbeat does not get out: {}", trouble.why);
            seen.alerts.push(AlertView { level: Level::Advisory, text, since: trouble.since, acknowledged: true });
        }
        for (since, text) in &self.advice {
            seen.alerts.push(AlertView { level: Level::Advisory, text: text.clone(), since: *since, acknowledged: true });
        }
        if let (Some(offer), Some(word)) = (&mut seen.offer, &around.ledger.spool.word) {
            offer.confirm_word = Some(word.clone());
        }
        if let (Some(result), Some((_, at))) = (&mut seen.result, self.core.run.finished) {
            let count = || self.backend.requests_failed(self.core.run.started, at);
            result.failed_requests = *self.requests_failed.get_or_init(count);
        }
        seen
    }

    /// Hash of the newest durable entry, hex.
    #[must_use]
    pub fn head(&self) -> &str {
        self.ledger.head()
    }

    /// Why the journal cannot be written, if so.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.ledger.failed().or(self.ledger.fenced())
    }

    /// Why this engine must stop, if another one has the run.
    #[must_use]
    pub fn fenced(&self) -> Option<&str> {
        self.ledger.fenced()
    }

    /// Why nothing can go on as it stands: another engine has the run, or the journal cannot be written and no rollback
    /// that could do without is going on.
    #[must_use]
    pub fn stuck(&self) -> Option<&str> {
        let stands = !self.rolling_back() || self.ledger.wants_word();
        self.ledger.fenced().or_else(|| self.ledger.failed().filter(|_| stands))
    }

    /// The word that lets a rollback go on although neither journal nor spool can be written: the name of the region
    /// that the one going on, or the one that is shown, leads to.
    #[must_use]
    pub fn word(&self) -> Option<String> {
        let going = self.core.run.active_rollback().map(|r| &r.of);
        let of = going.or(self.core.watch.prepared.as_ref().map(|p| &p.of)).filter(|_| self.ledger.wants_word())?;
        match of {
            RollbackRef::Plan(name) => self.core.plan.rollbacks.iter().find(|r| r.name == *name).map(|r| r.to.clone()),
            RollbackRef::Undo(_) => None,
        }
    }

    /// Carries out a command.
    pub fn command(&mut self, command: Command) -> Reply {
        if let Some(why) = self.fenced() {
            return Reply::Refused(why.to_owned());
        }
        if let Some(why) = self.ledger.failed().map(str::to_owned)
            && let Err(refusal) = self.command_without_journal(&command, &why)
        {
            return Reply::Refused(refusal);
        }
        match &command {
            Command::Drill { what } => {
                if let Err(why) = self.backend.drill(what) {
                    return Reply::Refused(why);
                }
            }
            Command::Acknowledge => self.ledger.silence(),
            // The word has been looked at. A rollback that was held for the want of it goes on.
            Command::WithoutJournal { .. } if self.ledger.failed().is_some() => {
                let said = "rolling back; entries go to standard error".to_owned();
                return if self.rolling_back() && self.core.run.hold.is_some() {
                    self.by_driver(Command::Continue)
                } else {
                    Reply::Ok(said)
                };
            }
            _ => {}
        }
        self.by_driver(command)
    }

    fn by_driver(&mut self, command: Command) -> Reply {
        let by = self.around.driver.clone();
        self.handle(Event::Command { by, command }).unwrap_or_else(|| Reply::Ok(String::new()))
    }

    /// Whether a command is carried out while the journal cannot be written, and if not, why.
    fn command_without_journal(&mut self, command: &Command, why: &str) -> Result<(), String> {
        let rolling_back = self.rolling_back();
        match command {
            Command::Continue => {
                if self.ledger.retry(self.backend.now()) {
                    self.ledger.trust();
                    return Ok(());
                }
                if !rolling_back {
                    return Err("the journal cannot be written yet: try again".into());
                }
            }
            Command::ConfirmRollback { name, .. } if self.core.plan.rollbacks.iter().all(|r| r.name != *name) => {
                return Err(format!("taking back one step waits for the journal, which cannot be written: {why}"));
            }
            Command::ConfirmRollback { name, offer, word } if self.ledger.wants_word() => {
                let now = self.backend.now();
                let decision = rollback::confirm(self.core.ctx(now), name, offer, word.as_deref());
                // The word is for this rollback: when that is refused for another reason, nothing goes without a journal.
                if !decision.entries.is_empty() {
                    self.without(word.as_deref())?;
                }
            }
            Command::WithoutJournal { word } => self.without(Some(word))?,
            _ => {}
        }
        if command.goes_without_journal(rolling_back) {
            return Ok(());
        }
        Err(format!("everything holds, the journal cannot be written: {why}"))
    }

    /// Lets a rollback go on with standard error alone, if the word is right.
    fn without(&mut self, typed: Option<&str>) -> Result<(), String> {
        let Some(word) = self.word() else { return Err("nothing asks for this now".into()) };
        if typed != Some(word.as_str()) {
            return Err(format!(
                "neither journal nor spool can be written: type {word} to roll back all the same; what happens then \
                 stands on standard error only"
            ));
        }
        self.ledger.go_without();
        Ok(())
    }

    /// The loop has come round, which is what a heartbeat tells.
    fn beat(&mut self) {
        if let Some(heart) = &mut self.heart {
            heart.turn();
        }
    }

    /// Runs until every sender of commands is gone or the lease is lost.
    pub async fn run(&mut self, mut requests: mpsc::Receiver<Request>, snapshots: &watch::Sender<Arc<Snapshot>>) -> Ended {
        let mut published = Instant::now();
        let mut dirty = true;
        loop {
            self.beat();
            if let Some(why) = self.ledger.fenced() {
                return Ended::Fenced(why.to_owned());
            }
            let publish_at = published + if dirty { PUBLISH_EVERY } else { PUBLISH_AT_LEAST };
            let wake = self.wake;
            // A clock that runs as fast as it can has to wait for the disk, or the order of things would depend on it.
            let may_go_on = !(self.backend.is_flat_out() && self.is_writing());
            tokio::select! {
                biased;
                request = requests.recv() => {
                    let Some(Request { command, reply }) = request else { return Ended::Left };
                    let answer = self.command(command);
                    // Whoever asked may have gone; what was asked for has happened all the same.
                    let _ = reply.send(answer);
                    snapshots.send_replace(Arc::new(self.snapshot()));
                    (published, dirty) = (Instant::now(), false);
                }
                news = self.ledger.news() => {
                    self.heard(news);
                    dirty = true;
                }
                () = tokio::time::sleep_until(publish_at) => {
                    self.keep_runbook_new();
                    self.hand_over(1);
                    snapshots.send_replace(Arc::new(self.snapshot()));
                    (published, dirty) = (Instant::now(), false);
                }
                event = self.backend.next(wake), if may_go_on => {
                    let before = self.backend.is_flat_out().then(|| Attention::of(&self.core, self.backend.now()));
                    self.handle(event);
                    if before.is_some_and(|before| Attention::of(&self.core, self.backend.now()).is_news_after(&before)) {
                        self.backend.stop_skipping();
                    }
                    dirty = true;
                }
            }
        }
    }

    /// Ends the engine: what waits is written, the runbook too, and the store is closed.
    pub fn close(mut self) -> B {
        if self.ledger.fenced().is_none() {
            self.keep_runbook_new();
        }
        self.minutes.extend(self.core.take_minutes(true));
        self.hand_over(1);
        self.ledger.close();
        // Last of all: nothing waits for samples.
        drop(self.keeper);
        self.backend
    }
}

/// What a person would look up for although nothing was written: a drill that skips ahead stops there.
struct Attention {
    /// Whether the next step is blocked: its gate opens or shuts.
    blocked: bool,
    /// The alerts that are more than good to know.
    alerts: BTreeSet<String>,
}

impl Attention {
    fn of(core: &Core, now: Millis) -> Attention {
        let ctx = core.ctx(now);
        let alerts = view::alerts::alerts(ctx).into_iter().filter(|a| a.view.level >= Level::Caution).map(|a| a.key).collect();
        Attention { blocked: crate::run::decide::blocked(ctx).is_some(), alerts }
    }

    /// An alert that goes away is no news.
    fn is_news_after(&self, before: &Attention) -> bool {
        self.blocked != before.blocked || !self.alerts.is_subset(&before.alerts)
    }
}

/// A ledger before anything was acknowledged by this engine.
#[must_use]
pub fn ledger(durable: u64, head: String) -> LedgerView {
    LedgerView { seq: durable, durable, head, ..LedgerView::default() }
}
