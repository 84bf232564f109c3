//! Record changes: what a step wants, what is there, and the compare-and-swap batch between the two.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::JobRef;
use super::state::{CallState, Run};
use crate::cloud::Call;
use crate::plan::{Action, Plan, RecordKey, RecordSet, Records, Shift, StepId};

/// A zone's name whose record sets a change is about; what has to be read before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Hosted zone id.
    pub zone: String,
    /// Record name.
    pub name: String,
}

/// What should be there afterwards: per record set its content, or `None` for "nothing".
pub type Wanted = BTreeMap<(String, RecordKey), Option<RecordSet>>;

/// The record sets that were read, by place.
pub type Read<'a> = BTreeMap<Place, &'a [RecordSet]>;

/// The places an action is about.
#[must_use]
pub fn places(plan: &Plan, run: &Run, action: &Action) -> BTreeSet<Place> {
    match action {
        Action::Shift(Shift { zone, record, .. }) => BTreeSet::from([Place { zone: zone.clone(), name: record.clone() }]),
        Action::Records(Records { zone, put, remove }) => put
            .iter()
            .map(|r| &r.name)
            .chain(remove.iter().map(|k| &k.name))
            .map(|name| Place { zone: zone.clone(), name: name.clone() })
            .collect(),
        Action::Restore { steps } => {
            before(plan, run, steps).into_keys().map(|(zone, key)| Place { zone, name: key.name }).collect()
        }
        Action::Stack(_) | Action::Soak { .. } | Action::Approve { .. } | Action::Checklist { .. } => BTreeSet::new(),
    }
}

/// What an action wants, given what was read.
///
/// # Errors
/// When the records are not what the action is about, in words for people.
pub fn wanted(plan: &Plan, run: &Run, action: &Action, read: &Read<'_>) -> Result<Wanted, String> {
    match action {
        Action::Shift(shift) => shifted(shift, read),
        Action::Records(Records { zone, put, remove }) => {
            let gone = remove.iter().map(|key| ((zone.clone(), key.clone()), None));
            Ok(gone.chain(put.iter().map(|r| ((zone.clone(), r.key()), Some(r.clone())))).collect())
        }
        Action::Restore { steps } => Ok(before(plan, run, steps)),
        Action::Stack(_) | Action::Soak { .. } | Action::Approve { .. } | Action::Checklist { .. } => Ok(Wanted::new()),
    }
}

/// The shifted record sets: as they were read, with other weights.
fn shifted(shift: &Shift, read: &Read<'_>) -> Result<Wanted, String> {
    let place = Place { zone: shift.zone.clone(), name: shift.record.clone() };
    let sets = read.get(&place).copied().unwrap_or_default();
    let siblings: Vec<&RecordSet> = sets.iter().filter(|r| r.kind == shift.kind).collect();
    for sibling in &siblings {
        let named = sibling.set.as_ref().is_some_and(|set| shift.weights.iter().any(|(s, _)| s == set));
        if sibling.weight.is_none() || !named {
            return Err(format!("the zone has '{sibling}', which the step does not name: somebody else changed the record"));
        }
    }
    let mut wanted = Wanted::new();
    for (set, weight) in &shift.weights {
        let Some(found) = siblings.iter().find(|r| r.set.as_ref() == Some(set)) else {
            return Err(format!("the zone has no record set '{set}' for {} {}", shift.record, shift.kind));
        };
        let new = RecordSet { weight: Some(*weight), ..(*found).clone() };
        wanted.insert((shift.zone.clone(), new.key()), Some(new));
    }
    Ok(wanted)
}

/// What these steps found where they changed something: the inverse, computed from what was really done.
///
/// A call whose outcome is unknown counts as done: if it was not, there is nothing to put back and the batch
/// comes out empty. What a later restore has already put back is left out.
fn before(plan: &Plan, run: &Run, steps: &[StepId]) -> Wanted {
    let mut found: Wanted = Wanted::new();
    for call in run.calls.values() {
        let Call::ChangeRecords { zone, delete, create } = &call.call else { continue };
        let touched = delete.iter().chain(create).map(|r| (zone.clone(), r.key()));
        match &call.job {
            JobRef::Step(id) if steps.iter().any(|s| plan.steps[*s].id == *id) => {
                if matches!(call.state, CallState::Refused(_) | CallState::Deferred(_)) && !call.doubtful {
                    continue;
                }
                for key in touched {
                    let old = delete.iter().find(|r| r.key() == key.1).cloned();
                    found.entry(key).or_insert(old);
                }
            }
            JobRef::Step(_) => {}
            JobRef::Rollback(..) | JobRef::Undo(_) => {
                if matches!(call.state, CallState::Applied(_, Some(_))) && finished(run, &call.job) {
                    for key in touched {
                        found.remove(&key);
                    }
                }
            }
        }
    }
    found
}

/// True when a job is over: only then has what it restored been read back.
fn finished(run: &Run, job: &JobRef) -> bool {
    run.job.as_ref().is_none_or(|j| j.of != *job)
}

/// One compare-and-swap batch per zone from what is there to what is wanted; nothing where both agree.
#[must_use]
pub fn batches(wanted: &Wanted, read: &Read<'_>) -> Vec<Call> {
    let mut zones: BTreeMap<&str, (Vec<RecordSet>, Vec<RecordSet>)> = BTreeMap::new();
    for ((zone, key), want) in wanted {
        let place = Place { zone: zone.clone(), name: key.name.clone() };
        let have = read.get(&place).copied().unwrap_or_default().iter().find(|r| r.key() == *key);
        if have == want.as_ref() {
            continue;
        }
        let (delete, create) = zones.entry(zone).or_default();
        delete.extend(have.cloned());
        create.extend(want.clone());
    }
    zones.into_iter().map(|(zone, (delete, create))| Call::ChangeRecords { zone: zone.to_owned(), delete, create }).collect()
}
