//! Which calls may be made: those whose entries are durable. Nothing else of the engine decides this, and nothing in here
//! knows of threads, disks or time, so that the simulation drives the same code.

use std::collections::VecDeque;

use crate::cloud::{CallId, Effect};
use crate::run::core::Draft;

/// What was written and is not durable yet, and the calls that wait for it.
#[derive(Debug, Clone)]
pub struct Order {
    /// Sequence number of the newest entry that is durable in the journal.
    durable: u64,
    /// Sequence number of the newest entry that is durable beside the journal: in the spool.
    beside: u64,
    /// Entries that are not durable yet, oldest first: after a failure they are written again.
    waiting: VecDeque<Draft>,
    /// Calls that wait.
    effects: VecDeque<Queued>,
}

/// A call that waits.
#[derive(Debug, Clone)]
struct Queued {
    /// The entry that has to be durable before it is made.
    seq: u64,
    /// Whether the spool is enough.
    beside: bool,
    effect: Effect,
}

impl Order {
    /// An order behind a journal whose entries are durable up to this one.
    #[must_use]
    pub fn new(durable: u64) -> Order {
        Order { durable, beside: 0, waiting: VecDeque::new(), effects: VecDeque::new() }
    }

    /// Takes in what one event caused: its entries, the newest of which is number `last`, and its effects. Gives what
    /// may be performed at once.
    #[must_use]
    pub fn take(&mut self, last: u64, drafts: Vec<Draft>, effects: Vec<Effect>) -> Vec<Effect> {
        self.waiting.extend(drafts);
        let mut now = Vec::new();
        for effect in effects {
            match effect {
                // Only what changes the world has to wait until its intent is durable.
                Effect::Ask(_) | Effect::Stop { .. } => now.push(effect),
                Effect::Send { .. } => self.effects.push_back(Queued { seq: last, beside: false, effect }),
            }
        }
        now.extend(self.release());
        now
    }

    /// Every entry up to `seq` is durable. Gives the calls that may be made now.
    #[must_use]
    pub fn durable(&mut self, seq: u64) -> Vec<Effect> {
        let done = usize::try_from(seq.saturating_sub(self.durable)).unwrap_or(usize::MAX);
        self.waiting.drain(..done.min(self.waiting.len()));
        self.durable = seq;
        self.release()
    }

    /// The spool is enough for this call, if it waits: it is a rollback's, and moves traffic.
    pub fn spool_is_enough(&mut self, id: CallId) {
        for queued in self.effects.iter_mut().filter(|q| sending_of(&q.effect).is_some_and(|(of, _)| of == id)) {
            queued.beside = true;
        }
    }

    /// Every entry up to `seq` is durable in journal or spool. Gives the calls that may be made now.
    #[must_use]
    pub fn durable_beside(&mut self, seq: u64) -> Vec<Effect> {
        self.beside = seq;
        self.release()
    }

    /// Forgets the calls that need the journal (`all`: every call), which cannot be written, and says which sendings. Whoever
    /// asked for them has to be told that they were not made: what let them be made may not hold any more when the
    /// journal is back.
    #[must_use]
    pub fn forget(&mut self, all: bool) -> Vec<(CallId, u32)> {
        let (stay, gone): (VecDeque<Queued>, VecDeque<Queued>) = self.effects.drain(..).partition(|q| q.beside && !all);
        self.effects = stay;
        gone.iter().filter_map(|q| sending_of(&q.effect)).collect()
    }

    /// Entries that are not durable yet, oldest first.
    #[must_use]
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Draft> {
        self.waiting.iter()
    }

    /// Entries behind number `seq` that are not durable yet, oldest first, with their numbers.
    pub fn behind(&self, seq: u64) -> impl Iterator<Item = (u64, &Draft)> {
        (self.durable + 1..).zip(&self.waiting).skip_while(move |(number, _)| *number <= seq)
    }

    /// Sequence number of the newest entry.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.durable + self.waiting.len() as u64
    }

    fn release(&mut self) -> Vec<Effect> {
        if self.effects.is_empty() {
            return Vec::new();
        }
        let (durable, beside) = (self.durable, self.beside);
        let free = |q: &Queued| q.seq <= durable || (q.beside && q.seq <= beside);
        let (go, stay): (VecDeque<Queued>, VecDeque<Queued>) = self.effects.drain(..).partition(free);
        self.effects = stay;
        go.into_iter().map(|q| q.effect).collect()
    }
}

/// A call's number and that of its sending.
fn sending_of(effect: &Effect) -> Option<(CallId, u32)> {
    match effect {
        Effect::Send { id, sending, .. } => Some((*id, *sending)),
        Effect::Ask(_) | Effect::Stop { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Query;
    use crate::cloud::{Call, CallId};
    use crate::run::entry::Entry;

    fn note() -> Draft {
        Draft { at: 0, actor: "engine".into(), entry: Entry::Note { text: "an entry".into() } }
    }

    fn send(id: CallId) -> Effect {
        let call = Call::ChangeRecords { zone: "Z".into(), delete: Vec::new(), create: Vec::new() };
        Effect::Send { id, sending: 1, token: format!("token {id}"), call, text: None }
    }

    #[test]
    fn a_call_waits_for_the_entries_before_it_and_a_question_does_not() {
        let mut order = Order::new(5);
        let ask = Effect::Ask(Query::Change { id: "C".into() });
        assert_eq!(order.take(7, vec![note(), note()], vec![send(1), ask.clone()]), [ask]);
        assert_eq!(order.take(8, vec![note()], vec![send(2)]), []);
        assert_eq!(order.durable(6), []);
        assert_eq!(order.durable(7), [send(1)]);
        assert_eq!(order.waiting().len(), 1);
        assert_eq!(order.durable(8), [send(2)]);
        assert_eq!(order.waiting().len(), 0);
        assert_eq!(order.take(8, Vec::new(), vec![send(3)]), [send(3)], "nothing has to be written before it");
    }

    #[test]
    fn the_spool_releases_what_it_is_enough_for_and_nothing_else() {
        let mut order = Order::new(5);
        assert_eq!(order.take(6, vec![note()], vec![send(1)]), []);
        assert_eq!(order.take(7, vec![note()], vec![send(2)]), []);
        assert_eq!(order.take(8, vec![note()], vec![send(3)]), []);
        order.spool_is_enough(2);
        order.spool_is_enough(3);
        assert_eq!(order.durable_beside(6), []);
        assert_eq!(order.durable_beside(7), [send(2)]);
        assert_eq!(order.behind(6).map(|(seq, _)| seq).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(order.forget(false), [(1, 1)]);
        assert_eq!(order.waiting().len(), 3, "its entry is still to be written");
        assert_eq!(order.forget(true), [(3, 1)]);
        assert_eq!((order.durable(8), order.last()), (vec![], 8));
    }
}
