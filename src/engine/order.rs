//! Which calls may be made: those whose entries are durable. Nothing else of the engine decides this, and nothing in here
//! knows of threads, disks or time, so that the simulation drives the same code.

use std::collections::VecDeque;

use crate::cloud::Effect;
use crate::run::core::Draft;

/// What was written and is not durable yet, and the calls that wait for it.
#[derive(Debug, Clone)]
pub struct Order {
    /// Sequence number of the newest durable entry.
    durable: u64,
    /// Entries that are not durable yet, oldest first: after a failure they are written again.
    waiting: VecDeque<Draft>,
    /// Calls, each with the entry that has to be durable before it is made.
    effects: VecDeque<(u64, Effect)>,
}

impl Order {
    /// An order behind a journal whose entries are durable up to this one.
    #[must_use]
    pub fn new(durable: u64) -> Order {
        Order { durable, waiting: VecDeque::new(), effects: VecDeque::new() }
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
                Effect::Ask(_) => now.push(effect),
                Effect::Send { .. } => self.effects.push_back((last, effect)),
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

    /// Entries that are not durable yet, oldest first.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Draft> {
        self.waiting.iter()
    }

    fn release(&mut self) -> Vec<Effect> {
        let free = self.effects.iter().take_while(|(seq, _)| *seq <= self.durable).count();
        self.effects.drain(..free).map(|(_, effect)| effect).collect()
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
        Effect::Send { id, token: format!("token {id}"), call, template: None }
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
}
