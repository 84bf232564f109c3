//! The loop that owns order: entries become durable, then effects are performed, and what comes of them goes back
//! into the core as events. It never waits for I/O: the journal has a thread of its own, the backend its tasks.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use self::backend::Backend;
use self::order::Order;
use crate::cloud::{Effect, Millis};
use crate::journal::{self, Ack, Writer};
use crate::link::Request;
use crate::run::command::{Command, Reply};
use crate::run::core::{Core, Draft, Outcome};
use crate::run::entry::Entry;
use crate::run::event::Event;
use crate::run::snapshot::{LedgerView, Level, Snapshot};
use crate::run::view::{self, Surroundings};

mod backend;
pub mod order;

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
    writer: Writer,
    acks: mpsc::UnboundedReceiver<Ack>,
    order: Order,
    wake: Millis,
    fenced: Option<String>,
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
        let order = Order::new(around.ledger.durable);
        let wake = backend.now();
        Engine { core, backend, around, writer, acks, order, wake, fenced: None, requests_failed: OnceCell::new() }
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
        for step in &outcome.reached {
            self.backend.reached(*step);
        }
        let last = self.core.run.entries;
        if !outcome.drafts.is_empty() {
            self.backend.noteworthy(&outcome.drafts);
            self.writer.append(outcome.drafts.iter().map(stored).collect());
        }
        let effects = self.order.take(last, outcome.drafts, outcome.effects);
        self.perform(effects);
        outcome.reply
    }

    /// True while an entry is not durable.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.order.waiting().len() > 0 && self.around.ledger.failed.is_none()
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.backend.perform(effect);
        }
    }

    fn acknowledged(&mut self, ack: Ack) {
        match ack {
            Ack::Durable { seq, head } => {
                self.around.ledger.durable = seq;
                self.around.ledger.head = journal::hex(&head);
                let effects = self.order.durable(seq);
                self.perform(effects);
            }
            Ack::Failed(why) => {
                tracing::error!(why, "the journal cannot be written");
                self.around.ledger.failed = Some(why);
            }
            Ack::Fenced(why) => self.fenced = Some(why),
        }
    }

    /// Waits until every entry is durable or the journal has failed.
    pub async fn settle(&mut self) {
        while self.is_writing() && self.fenced.is_none() {
            match self.acks.recv().await {
                Some(ack) => self.acknowledged(ack),
                None => break,
            }
        }
    }

    /// When the core wants to be called again if nothing happens.
    #[must_use]
    pub fn wake(&self) -> Millis {
        self.wake
    }

    /// What a screen would show now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut around = self.around.clone();
        around.drill = self.backend.drill_view();
        around.ledger.seq = self.core.run.entries;
        let mut seen = view::snapshot(&self.core, self.backend.now(), &around);
        if let (Some(result), Some((_, at))) = (&mut seen.result, self.core.run.finished) {
            let count = || self.backend.requests_failed(self.core.run.started, at);
            result.failed_requests = *self.requests_failed.get_or_init(count);
        }
        seen
    }

    /// Hash of the newest durable entry, hex.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.around.ledger.head
    }

    /// Why the journal cannot be written, if so.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.around.ledger.failed.as_deref().or(self.fenced.as_deref())
    }

    /// Carries out a command.
    pub fn command(&mut self, command: Command) -> Reply {
        if let Some(why) = self.around.ledger.failed.clone() {
            if command != Command::Continue {
                return Reply::Refused(format!("everything holds, the journal cannot be written: {why}"));
            }
            if !self.write_again() {
                return Reply::Refused("the journal cannot be written yet: try again".into());
            }
        }
        if let Command::Drill { what } = &command
            && let Err(why) = self.backend.drill(what)
        {
            return Reply::Refused(why);
        }
        let by = self.around.driver.clone();
        self.handle(Event::Command { by, command }).unwrap_or_else(|| Reply::Ok(String::new()))
    }

    /// After a failure: everything that is not durable is appended again, in order.
    fn write_again(&mut self) -> bool {
        if !self.writer.resume() {
            return false;
        }
        while let Ok(ack) = self.acks.try_recv() {
            self.acknowledged(ack);
        }
        self.around.ledger.failed = None;
        if self.order.waiting().len() > 0 {
            self.writer.append(self.order.waiting().map(stored).collect());
        }
        true
    }

    /// Runs until every sender of commands is gone or the lease is lost.
    pub async fn run(&mut self, mut requests: mpsc::Receiver<Request>, snapshots: &watch::Sender<Arc<Snapshot>>) -> Ended {
        let mut published = Instant::now();
        let mut dirty = true;
        loop {
            if let Some(why) = &self.fenced {
                return Ended::Fenced(why.clone());
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
                Some(ack) = self.acks.recv() => {
                    self.acknowledged(ack);
                    dirty = true;
                }
                () = tokio::time::sleep_until(publish_at) => {
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

    /// Ends the engine: what waits is written and the store is closed.
    pub fn close(self) -> B {
        self.writer.close();
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

/// A draft as the journal stores it.
fn stored(draft: &Draft) -> journal::Draft {
    let (kind, body) = draft.entry.to_parts();
    journal::Draft { at: draft.at, kind, actor: draft.actor.clone(), body }
}

/// A ledger before anything was acknowledged by this engine.
#[must_use]
pub fn ledger(durable: u64, head: String) -> LedgerView {
    LedgerView { seq: durable, durable, head, failed: None }
}
