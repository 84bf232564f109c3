//! The journal as the simulation models it: what is in here is durable, and only the newest engine may add to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::cloud::{Call, CallId, Millis};
use cutover::plan::Plan;
use cutover::run::core::{Core, Draft};
use cutover::run::entry::{Entry, JobRef};
use cutover::run::state::Run;
use sha2::{Digest, Sha256};

use crate::book::Book;

/// A durable entry, as the real journal stores it: texts.
#[derive(Debug, Clone)]
pub struct Stored {
    pub at: Millis,
    pub actor: String,
    pub kind: String,
    pub body: String,
}

/// A durable intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub token: String,
    pub call: Call,
}

/// Everything that is durable.
#[derive(Debug, Clone)]
pub struct Ledger {
    plan: Arc<Plan>,
    pub stored: Vec<Stored>,
    /// The epoch of the engine that has the lease.
    pub epoch: u64,
    /// The fold of everything durable.
    pub run: Run,
    /// What the rules of the entries' order know of it.
    pub book: Book,
    /// Every intended call.
    pub intents: BTreeMap<CallId, Intent>,
    /// Which job a token belongs to.
    pub jobs: BTreeMap<String, JobRef>,
    /// How often an engine may have sent a call: an entry each, by number and epoch.
    pub sendings: BTreeMap<(CallId, u64), u32>,
    head: [u8; 32],
}

impl Ledger {
    pub fn new(plan: &Arc<Plan>) -> Ledger {
        Ledger {
            plan: Arc::clone(plan),
            stored: Vec::new(),
            epoch: 0,
            run: Run::new(plan),
            book: Book::default(),
            intents: BTreeMap::new(),
            jobs: BTreeMap::new(),
            sendings: BTreeMap::new(),
            head: [0; 32],
        }
    }

    /// Makes entries durable; `false` when this engine has lost the lease. What is wrong with the entries is an error.
    pub fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<bool, String> {
        if epoch != self.epoch {
            return Ok(false);
        }
        for draft in drafts {
            let (kind, body) = draft.entry.to_parts();
            self.book.entry(&self.plan, draft.at, &draft.actor, &draft.entry).map_err(|why| format!("in the journal: {why}"))?;
            self.run.apply(&self.plan, draft.at, &draft.actor, &draft.entry);
            match &draft.entry {
                Entry::Intent { id, token, call, job } => {
                    self.intents.insert(*id, Intent { token: token.clone(), call: call.clone() });
                    self.jobs.insert(token.clone(), job.clone());
                    *self.sendings.entry((*id, epoch)).or_default() += 1;
                }
                Entry::Resent { id, .. } => *self.sendings.entry((*id, epoch)).or_default() += 1,
                _ => {}
            }
            let mut hash = Sha256::new();
            hash.update(self.head);
            hash.update(format!("{} {} {kind} {body}", draft.at, draft.actor));
            self.head = hash.finalize().into();
            self.stored.push(Stored { at: draft.at, actor: draft.actor.clone(), kind, body });
        }
        Ok(true)
    }

    /// Number of the newest durable entry.
    pub fn seq(&self) -> u64 {
        u64::try_from(self.stored.len()).unwrap()
    }

    /// A core that read the journal back, as an engine does when it takes over.
    pub fn fold(&self) -> Core {
        let mut core = Core::new(Arc::clone(&self.plan));
        for stored in &self.stored {
            let entry = Entry::from_parts(&stored.kind, &stored.body).unwrap();
            core.replay(stored.at, &stored.actor, &entry);
        }
        core
    }

    /// The hash over everything durable.
    pub fn head(&self) -> String {
        self.head.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }
}
