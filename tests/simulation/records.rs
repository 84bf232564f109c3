//! The zone as it really is, kept apart from the simulated world: who wrote what, and what was there before.

use std::collections::{BTreeMap, BTreeSet};

use cutover::cloud::{Call, Millis};
use cutover::plan::{Action, Plan, RecordKey, RecordSet, Rollback};
use cutover::run::entry::{JobRef, RollbackRef};
use cutover::run::state::{CallState, Run};

/// A record set's place: zone, and what identifies it there.
pub type Key = (String, RecordKey);

/// Who left a record set as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// It was there before.
    Nobody,
    /// The run.
    Run(JobRef),
    /// Somebody else, at that time.
    Other(Millis),
}

/// The records, and what the run owes.
#[derive(Debug, Clone)]
pub struct Records {
    sets: BTreeMap<Key, RecordSet>,
    /// Who touched a place last, also where nothing is left.
    authors: BTreeMap<Key, Author>,
    /// When the run itself put something back last.
    put_back: BTreeMap<Key, Millis>,
    /// What the run left at a place when it changed it last.
    left: BTreeMap<Key, Option<RecordSet>>,
    /// Per way back: what was there before the first change that it has to take back.
    owed: BTreeMap<String, BTreeMap<Key, Option<RecordSet>>>,
}

impl Records {
    pub fn new(plan: &Plan) -> Records {
        let sets = plan.drill.records.iter().map(|(zone, r)| ((zone.clone(), r.key()), r.clone())).collect();
        Records { sets, authors: BTreeMap::new(), put_back: BTreeMap::new(), left: BTreeMap::new(), owed: BTreeMap::new() }
    }

    /// The record sets of one name.
    pub fn of_name(&self, zone: &str, name: &str) -> Vec<RecordSet> {
        self.sets.iter().filter(|(k, _)| k.0 == zone && k.1.name == name).map(|(_, r)| r.clone()).collect()
    }

    pub fn get(&self, key: &Key) -> Option<&RecordSet> {
        self.sets.get(key)
    }

    /// When the run itself put a place back, if that is what it did there last.
    pub fn put_back_at(&self, key: &Key) -> Option<Millis> {
        let by_run = matches!(self.author(key), Author::Run(JobRef::Rollback(..) | JobRef::Undo(_)));
        self.put_back.get(key).copied().filter(|_| by_run)
    }

    pub fn author(&self, key: &Key) -> &Author {
        self.authors.get(key).unwrap_or(&Author::Nobody)
    }

    /// What the run left at a place when it changed it last; `None` where it never did.
    pub fn left(&self, key: &Key) -> Option<&Option<RecordSet>> {
        self.left.get(key)
    }

    /// True where everything is as a call would have left it.
    pub fn is_there(&self, call: &Call) -> bool {
        let Call::ChangeRecords { zone, create, .. } = call else { return false };
        create.iter().all(|r| self.sets.get(&(zone.clone(), r.key())) == Some(r))
    }

    /// A batch was applied. Whatever it deleted must have been there exactly so, and nothing that it created.
    pub fn applied(&mut self, plan: &Plan, now: Millis, call: &Call, author: &Author) -> Result<(), String> {
        let Call::ChangeRecords { zone, delete, create } = call else { return Ok(()) };
        let before = self.sets.clone();
        for record in delete {
            let key = (zone.clone(), record.key());
            match self.sets.remove(&key) {
                Some(there) if there == *record => {}
                there => {
                    return Err(format!("a change of {author:?} deleted '{record}', but there was {}", text(there.as_ref())));
                }
            }
        }
        for record in create {
            let key = (zone.clone(), record.key());
            if let Some(there) = self.sets.insert(key, record.clone()) {
                return Err(format!("a change of {author:?} wrote '{record}' over '{there}'"));
            }
        }
        let touched: BTreeSet<Key> = delete.iter().chain(create).map(|r| (zone.clone(), r.key())).collect();
        for key in &touched {
            self.authors.insert(key.clone(), author.clone());
            if let Author::Run(_) = author {
                self.left.insert(key.clone(), self.sets.get(key).cloned());
            }
        }
        match author {
            Author::Run(JobRef::Step(step)) => {
                for way in ways_back(plan, step) {
                    let owed = self.owed.entry(way).or_default();
                    for key in &touched {
                        owed.entry(key.clone()).or_insert_with(|| before.get(key).cloned());
                    }
                }
            }
            Author::Run(job) => self.restored(now, job, &touched),
            _ => {}
        }
        Ok(())
    }

    /// What is as before again is not owed any more.
    fn restored(&mut self, now: Millis, job: &JobRef, touched: &BTreeSet<Key>) {
        self.put_back.extend(touched.iter().map(|key| (key.clone(), now)));
        let sets = &self.sets;
        for (way, owed) in &mut self.owed {
            // Taking a step back after a later one was taken back to an earlier state means nothing any more.
            let of_one_step = way.starts_with("undo ") && *way != job.to_string();
            owed.retain(|key, before| !(touched.contains(key) && (of_one_step || sets.get(key) == before.as_ref())));
        }
    }

    /// What a way back has not restored although it should: only what the run itself left there, and what others
    /// wrote before `since`. Nobody can know whether a call that was never settled was applied; what it found is as good
    /// as what was there later.
    pub fn not_restored(&self, way: &RollbackRef, since: Millis, run: &Run) -> Option<String> {
        let owed = self.owed.get(&way.to_string())?;
        owed.iter().find_map(|(key, before)| {
            let there = self.sets.get(key);
            let later = matches!(self.author(key), Author::Other(at) if *at > since);
            let is_restored = there == before.as_ref() || found_in_doubt(run, key).any(|found| found == there);
            (!is_restored && !later).then(|| {
                format!(
                    "{way} should have left {}, but there is {} by {:?}",
                    text(before.as_ref()),
                    text(there),
                    self.author(key)
                )
            })
        })
    }

    /// Something that a way back would have to restore now.
    pub fn owes(&self, way: &RollbackRef, run: &Run) -> bool {
        self.not_restored(way, Millis::MAX, run).is_some()
    }
}

/// What calls found at a place that may have been applied.
fn found_in_doubt<'a>(run: &'a Run, key: &'a Key) -> impl Iterator<Item = Option<&'a RecordSet>> {
    let calls = run.calls.values().filter(|c| c.doubtful && !matches!(c.state, CallState::Applied(..)));
    calls.filter_map(move |c| match &c.call {
        Call::ChangeRecords { zone, delete, create } if *zone == key.0 => {
            let touched = delete.iter().chain(create).any(|r| r.key() == key.1);
            touched.then(|| delete.iter().find(|r| r.key() == key.1))
        }
        _ => None,
    })
}

/// The ways back that take this step back, as they are named in the journal.
fn ways_back(plan: &Plan, step: &str) -> Vec<String> {
    let takes_back = |rollback: &&Rollback| {
        rollback.steps.iter().any(|s| match &s.action {
            Action::Restore { steps } => steps.iter().any(|id| plan.steps[*id].id == *step),
            _ => false,
        })
    };
    let rollbacks = plan.rollbacks.iter().filter(takes_back).map(|r| r.name.clone());
    rollbacks.chain([format!("undo {step}")]).collect()
}

fn text(record: Option<&RecordSet>) -> String {
    record.map_or_else(|| "nothing".into(), |r| format!("'{r}'"))
}
