//! What is durable where: entries in the journal, in the spool while the journal cannot be written, on standard error
//! when the spool cannot be either; and the calls that wait for that.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::order::Order;
use crate::cloud::{CallId, Effect, Millis};
use crate::journal::spool::{CAPACITY, RESERVE, late};
use crate::journal::{self, Ack, JournalError, Keeper, Kept, Record, Spool, Writer};
use crate::run::core::Draft;
use crate::run::snapshot::{AlertView, LedgerView, Level, SpoolView};

/// How long the journal, or the spool, may take to answer before it counts as failed: a volume that is gone may say
/// nothing for minutes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a journal that has failed is tried again, one attempt at a time.
const RETRY: Duration = Duration::from_secs(5);

/// Something that the ledger has to take in.
#[derive(Debug)]
pub(super) enum News {
    /// The journal answered.
    Journal(Ack),
    /// The spool answered.
    Spool(Kept),
    /// Time to try again, or to stop waiting.
    Due,
}

/// Where entries go when nothing can be written any more.
struct LastResort(Box<dyn Write + Send>);

impl fmt::Debug for LastResort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastResort")
    }
}

/// What is durable where. Sequence numbers are those of the run; 0 means nothing.
#[derive(Debug)]
pub(super) struct Ledger {
    writer: Writer,
    acks: mpsc::UnboundedReceiver<Ack>,
    keeper: Option<Keeper>,
    kept: mpsc::UnboundedReceiver<Kept>,
    /// Held so that `kept` stays open when there is no spool.
    keep_answers: mpsc::UnboundedSender<Kept>,
    last_resort: LastResort,
    epoch: u64,
    /// Entries that are not in the journal, and the calls that wait for them.
    order: Order,
    /// Newest entry that is durable in the journal, and its hash in hex.
    durable: u64,
    head: String,
    /// Calls that may be made.
    free: Vec<Effect>,
    /// Newest entry that the journal's thread was given and has not refused.
    handed: u64,
    /// Newest entry that is durable in the spool, and the newest that its thread was given.
    spooled: u64,
    spool_handed: u64,
    /// Newest entry that was told on standard error.
    told: u64,
    /// Why the journal cannot be written, since when, and whether somebody has silenced the alert.
    failed: Option<(String, Millis)>,
    silenced: bool,
    spool_failed: Option<String>,
    /// Somebody typed the word: a rollback goes on with standard error alone.
    without: bool,
    fenced: Option<String>,
    /// Since when an answer of the journal, or of the spool, is outstanding.
    asked: Option<Instant>,
    spool_asked: Option<Instant>,
    retry_at: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(writer: Writer, acks: mpsc::UnboundedReceiver<Ack>, view: &LedgerView, epoch: u64) -> Ledger {
        let (keep_answers, kept) = mpsc::unbounded_channel();
        Ledger {
            writer,
            acks,
            keeper: None,
            kept,
            keep_answers,
            last_resort: LastResort(Box::new(std::io::stderr())),
            epoch,
            order: Order::new(view.durable),
            durable: view.durable,
            head: view.head.clone(),
            free: Vec::new(),
            handed: view.durable,
            spooled: 0,
            spool_handed: 0,
            told: 0,
            failed: view.failed.clone().map(|why| (why, 0)),
            silenced: false,
            spool_failed: None,
            without: false,
            fenced: None,
            asked: None,
            spool_asked: None,
            retry_at: None,
        }
    }

    /// Takes a spool into use, with the entries in it that the journal does not have: they join it now.
    pub(super) fn keep(&mut self, spool: Result<Spool, JournalError>, left: Vec<Draft>, now: Millis) {
        let is_empty = spool.as_ref().is_ok_and(Spool::is_empty);
        let spawned =
            spool.map_err(|e| e.to_string()).and_then(|s| Keeper::spawn(s, self.keep_answers.clone()).map_err(|e| e.to_string()));
        match spawned {
            Ok(keeper) => self.keeper = Some(keeper),
            Err(why) => {
                tracing::error!(why, "there is no spool");
                self.spool_failed = Some(why);
            }
        }
        let none_left = left.is_empty();
        let last = self.order.last() + left.len() as u64;
        self.free = self.order.take(last, left, Vec::new());
        if !none_left {
            (self.spooled, self.spool_handed) = (last, last);
        } else if !is_empty {
            // Whoever wrote it died after its entries had joined the journal and before it was emptied.
            self.empty_spool();
        }
        self.hand_over(Some(now));
    }

    /// Entries go there when neither journal nor spool can be written.
    pub(super) fn last_resort(&mut self, sink: Box<dyn Write + Send>) {
        self.last_resort = LastResort(sink);
    }

    /// Writes entries and takes the effects that came with them. `beside` are the calls among them for which the spool
    /// is enough.
    pub(super) fn write(&mut self, drafts: Vec<Draft>, effects: Vec<Effect>, beside: &[CallId]) {
        let last = self.order.last() + drafts.len() as u64;
        let free = self.order.take(last, drafts, effects);
        self.free.extend(free);
        for id in beside {
            self.order.spool_is_enough(*id);
        }
        self.is_beside();
        if self.failed.is_none() {
            self.hand_over(None);
        }
    }

    /// Gives the journal what it does not have yet. What had to wait is marked as late.
    fn hand_over(&mut self, joined: Option<Millis>) {
        let rest: Vec<journal::Draft> = self.order.behind(self.handed).map(|(_, draft)| stored(draft, joined)).collect();
        if !rest.is_empty() {
            self.writer.append(rest);
            self.handed = self.order.last();
            self.asked.get_or_insert_with(Instant::now);
        }
    }

    /// Puts what waits into the spool, or tells it where that was asked for. Nothing happens while the journal is well.
    pub(super) fn spool(&mut self, rolling_back: bool) {
        if self.failed.is_none() || self.fenced.is_some() {
            return;
        }
        if let (Some(keeper), None) = (&mut self.keeper, &self.spool_failed) {
            let epoch = self.epoch;
            let behind = self.order.behind(self.spool_handed);
            let rest: Vec<Record> = behind.map(|(seq, draft)| Record::new(seq, epoch, stored(draft, None))).collect();
            if rest.is_empty() {
                return;
            }
            if keeper.keep(rest, if rolling_back { CAPACITY } else { RESERVE }) {
                self.spool_handed = self.order.last();
                self.spool_asked.get_or_insert_with(Instant::now);
            } else if rolling_back {
                self.spool_failed = Some("the spool is full".into());
            }
        }
        if self.without && self.spool_failure().is_some() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let from = self.told.max(self.spooled);
        for (seq, draft) in self.order.behind(from) {
            let line = Record::new(seq, self.epoch, stored(draft, None)).json();
            if let Err(error) = writeln!(self.last_resort.0, "{line}").and_then(|()| self.last_resort.0.flush()) {
                // Whoever typed the word wants the rollback more than its record.
                tracing::error!(%error, line, "an entry could not be told");
            }
        }
        self.told = self.order.last();
        self.is_beside();
    }

    /// Something is durable beside the journal: in the spool, or told where that was asked for.
    fn is_beside(&mut self) {
        let free = self.order.durable_beside(self.spooled.max(self.told));
        self.free.extend(free);
    }

    /// The effects that may be performed now.
    pub(super) fn released(&mut self) -> Vec<Effect> {
        if self.fenced.is_some() {
            self.free.clear();
        }
        std::mem::take(&mut self.free)
    }

    /// The calls that will not be made because the journal cannot be written.
    pub(super) fn denied(&mut self) -> Vec<(CallId, u32)> {
        if self.failed.is_none() || self.fenced.is_some() { Vec::new() } else { self.order.forget(self.wants_word()) }
    }

    /// Waits for the next thing that the ledger has to take in. Dropping the future loses nothing.
    pub(super) async fn news(&mut self) -> News {
        let due = self.due();
        tokio::select! {
            biased;
            Some(ack) = self.acks.recv() => News::Journal(ack),
            Some(kept) = self.kept.recv() => News::Spool(kept),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => News::Due,
            else => std::future::pending().await,
        }
    }

    /// As [`Ledger::news`], if there is something to take in already.
    pub(super) fn ready(&mut self) -> Option<News> {
        if let Ok(ack) = self.acks.try_recv() {
            return Some(News::Journal(ack));
        }
        if let Ok(kept) = self.kept.try_recv() {
            return Some(News::Spool(kept));
        }
        self.due().is_some_and(|at| at <= Instant::now()).then_some(News::Due)
    }

    fn due(&self) -> Option<Instant> {
        let journal = self.asked.filter(|_| self.failed.is_none()).map(|at| at + PATIENCE);
        let spool = self.spool_asked.filter(|_| self.spool_failed.is_none()).map(|at| at + PATIENCE);
        let retry = self.retry_at.filter(|_| self.failed.is_some());
        [journal, spool, retry].into_iter().flatten().min()
    }

    /// Takes in what [`Ledger::news`] gave.
    pub(super) fn take_in(&mut self, news: News, now: Millis) {
        match news {
            News::Journal(Ack::Durable { seq, head }) => self.is_durable(seq, journal::hex(&head), now),
            News::Journal(Ack::Failed(why)) => {
                (self.handed, self.asked) = (self.durable, None);
                self.fail(why, now);
            }
            News::Journal(Ack::Fenced(why)) => {
                // Another engine has the run: from here on nothing is written anywhere and nothing is sent.
                self.fenced = Some(why);
            }
            News::Spool(Kept::Durable(seq)) => {
                self.spooled = seq;
                self.spool_asked = (self.spool_handed > seq).then(Instant::now);
                self.is_beside();
            }
            News::Spool(Kept::Failed(why)) => {
                tracing::error!(why, "the spool cannot be written");
                (self.spool_failed, self.spool_asked) = (Some(why), None);
            }
            News::Spool(Kept::Empty) => {
                self.spooled = 0;
                self.spool_failed = None;
                self.spool_asked = (self.spool_handed > 0).then(Instant::now);
            }
            News::Due => self.on_time(now),
        }
    }

    fn is_durable(&mut self, seq: u64, head: String, now: Millis) {
        self.is_in_journal(seq, head);
        self.asked = (self.handed > seq).then(Instant::now);
        if self.failed.take().is_some() {
            tracing::warn!("the journal can be written again");
            self.hand_over(Some(now));
        }
        self.without = false;
    }

    fn is_in_journal(&mut self, seq: u64, head: String) {
        let free = self.order.durable(seq);
        self.free.extend(free);
        (self.durable, self.head) = (seq, head);
        if seq >= self.told {
            self.told = 0;
        }
        if self.spool_handed > 0 && seq >= self.spool_handed {
            self.empty_spool();
        }
    }

    fn empty_spool(&mut self) {
        self.spool_handed = 0;
        if let Some(keeper) = &mut self.keeper {
            keeper.empty();
        }
    }

    fn fail(&mut self, why: String, now: Millis) {
        tracing::error!(why, "the journal cannot be written");
        let since = self.failed.take().map(|(_, since)| since);
        // An alert that was silenced for an earlier failure says something new.
        self.silenced &= since.is_some();
        self.failed = Some((why, since.unwrap_or(now)));
        self.retry_at = Some(Instant::now() + RETRY);
    }

    fn on_time(&mut self, now: Millis) {
        let late = |since: Option<Instant>| since.is_some_and(|at| at + PATIENCE <= Instant::now());
        if self.failed.is_none() && late(self.asked) {
            // It may still answer; what it has written by then is not written twice, because it says up to where.
            self.fail(format!("it has not answered for {} s", PATIENCE.as_secs()), now);
        }
        if self.spool_failed.is_none() && late(self.spool_asked) {
            self.spool_failed = Some(format!("it has not answered for {} s", PATIENCE.as_secs()));
        }
        if self.failed.is_some() && self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.retry(now);
        }
    }

    /// Gives a journal that has failed everything that it does not have, in order. False when it still works on what it
    /// was given before, or never will again. Whether it took it is told later.
    pub(super) fn retry(&mut self, now: Millis) -> bool {
        self.retry_at = Some(Instant::now() + RETRY);
        if !self.writer.resume() {
            return false;
        }
        // Everything that was given so far has been answered; these answers say what is left. Nothing may be given
        // before all of them are heard, or an old refusal would be taken for the answer to it.
        while let Ok(ack) = self.acks.try_recv() {
            match ack {
                Ack::Durable { seq, head } => self.is_in_journal(seq, journal::hex(&head)),
                Ack::Failed(_) => {}
                fenced @ Ack::Fenced(_) => {
                    self.take_in(News::Journal(fenced), now);
                    return false;
                }
            }
        }
        self.handed = self.durable;
        self.hand_over(Some(now));
        if self.order.waiting().len() == 0 {
            self.failed = None;
        }
        true
    }

    /// Takes it for granted that a retry will succeed; if not, that is told like any other failure.
    pub(super) fn trust(&mut self) {
        self.failed = None;
    }

    /// Why the journal cannot be written.
    pub(super) fn failed(&self) -> Option<&str> {
        self.failed.as_ref().map(|(why, _)| why.as_str())
    }

    /// Why this engine must stop.
    pub(super) fn fenced(&self) -> Option<&str> {
        self.fenced.as_deref()
    }

    /// Why the spool cannot be written.
    fn spool_failure(&self) -> Option<&str> {
        match (&self.spool_failed, &self.keeper) {
            (Some(why), _) => Some(why),
            (None, None) => Some("there is none"),
            (None, Some(_)) => None,
        }
    }

    /// Whether neither journal nor spool can be written, and nobody has said that a rollback shall go on without.
    pub(super) fn wants_word(&self) -> bool {
        self.failed.is_some() && self.spool_failure().is_some() && !self.without
    }

    /// From here on, until the journal is back, standard error is enough for a rollback.
    pub(super) fn go_without(&mut self) {
        self.without = true;
    }

    /// Somebody has seen that the journal cannot be written.
    pub(super) fn silence(&mut self) {
        self.silenced = true;
    }

    /// True while an entry is on its way to the journal, or to the spool that stands in for it.
    pub(super) fn is_writing(&self) -> bool {
        if self.fenced.is_some() {
            return false;
        }
        match self.failed {
            None => self.order.waiting().len() > 0,
            Some(_) => self.spool_failure().is_none() && self.spool_handed > self.spooled,
        }
    }

    /// Hash of the newest durable entry, hex.
    pub(super) fn head(&self) -> &str {
        &self.head
    }

    /// What a screen shows of it.
    pub(super) fn view(&self) -> LedgerView {
        let beside = |upto: u64| upto.saturating_sub(self.durable);
        let entries = beside(self.spooled);
        LedgerView {
            seq: self.order.last(),
            durable: self.durable,
            head: self.head.clone(),
            failed: self.failed().or(self.fenced()).map(str::to_owned),
            spool: SpoolView {
                entries,
                told: beside(self.told).saturating_sub(entries),
                failed: self.spool_failure().filter(|_| self.failed.is_some() || self.spool_failed.is_some()).map(str::to_owned),
                word: None,
            },
        }
    }

    /// What there is to say about it.
    pub(super) fn alert(&self, now: Millis) -> Option<AlertView> {
        let SpoolView { entries, told, failed, .. } = self.view().spool;
        let (level, text, since) = match (&self.failed, failed) {
            (None, None) => return None,
            (None, Some(why)) => {
                let text = format!("there is no spool, so a full disk would stop a rollback: {why}");
                (Level::Advisory, text, now)
            }
            (Some((_, since)), None) => {
                let text = format!("journal cannot be written: rollback entries go to the spool ({entries})");
                (Level::Warning, text, *since)
            }
            (Some((_, since)), Some(_)) if self.without => {
                let text = format!("neither journal nor spool can be written: entries go to standard error ({told})");
                (Level::Warning, text, *since)
            }
            (Some((_, since)), Some(_)) => {
                let text = "neither journal nor spool can be written: a rollback wants its region's name typed".to_owned();
                (Level::Warning, text, *since)
            }
        };
        Some(AlertView { level, text, since, acknowledged: self.silenced && level == Level::Warning })
    }

    /// Writes what waits and closes the store.
    pub(super) fn close(self) {
        self.writer.close();
    }
}

/// A draft as the journal stores it; late when it had to wait until this time.
fn stored(draft: &Draft, joined: Option<Millis>) -> journal::Draft {
    let (kind, body) = draft.entry.to_parts();
    let body = joined.map_or_else(|| body.clone(), |at| late(&body, at));
    journal::Draft { at: draft.at, kind, actor: draft.actor.clone(), body }
}
