//! What a step wants changed, what is there, and the compare-and-swap calls between the two.

use std::collections::{BTreeMap, BTreeSet};

use super::edit;
use super::state::{CallRun, CallState, Run, restored_by, step_of};
use crate::cloud::{Answer, Call, HealthCheckInfo, Millis, Query, Splice, spliced};
use crate::plan::{Action, Edit, HealthCheck, Plan, RecordKey, RecordSet, Records, Shift, StepId, record, sha256_hex};

/// Something that has to be read before it can be changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The record sets of one name.
    Records {
        /// Hosted zone id.
        zone: String,
        /// Record name.
        name: String,
    },
    /// A health check.
    HealthCheck {
        /// Its id.
        id: String,
    },
    /// A file of the working tree.
    File {
        /// Path relative to the working tree.
        file: String,
    },
}

impl Place {
    /// The query that reads it.
    #[must_use]
    pub fn query(&self) -> Query {
        match self {
            Place::Records { zone, name } => Query::Records { zone: zone.clone(), name: name.clone() },
            Place::HealthCheck { id } => Query::HealthCheck { id: id.clone() },
            Place::File { file } => Query::File { file: file.clone() },
        }
    }

    /// True when a call changes something here.
    #[must_use]
    pub fn is_changed_by(&self, call: &Call) -> bool {
        match (self, call) {
            (Place::Records { zone, name }, Call::ChangeRecords { zone: changed, delete, create }) => {
                zone == changed && delete.iter().chain(create).any(|r| r.name == *name)
            }
            (Place::HealthCheck { id }, Call::UpdateHealthCheck { id: changed, .. }) => id == changed,
            (Place::File { file }, Call::EditFile { file: changed, .. }) => file == changed,
            _ => false,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Records { name, .. } => f.write_str(name),
            Place::HealthCheck { id } => write!(f, "health check {id}"),
            Place::File { file } => write!(f, "file {file}"),
        }
    }
}

/// What should be there afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Per zone and record set its content, or `None` for "nothing".
    pub records: BTreeMap<(String, RecordKey), Option<RecordSet>>,
    /// Per health check its `Inverted`.
    pub checks: BTreeMap<String, bool>,
    /// Per file the call that makes it so; none where it is so.
    pub files: BTreeMap<String, Call>,
}

/// What was read, by place.
#[derive(Debug, Clone, Default)]
pub struct Read<'a>(BTreeMap<Place, &'a Answer>);

impl<'a> Read<'a> {
    /// Adds what was read of a place.
    pub fn insert(&mut self, place: Place, answer: &'a Answer) {
        self.0.insert(place, answer);
    }

    /// How many places were read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record sets of a name; none when it was not read.
    #[must_use]
    pub fn sets(&self, zone: &str, name: &str) -> &'a [RecordSet] {
        match self.0.get(&Place::Records { zone: zone.to_owned(), name: name.to_owned() }) {
            Some(Answer::Records(sets)) => sets,
            _ => &[],
        }
    }

    /// A health check.
    #[must_use]
    pub fn check(&self, id: &str) -> Option<HealthCheckInfo> {
        match self.0.get(&Place::HealthCheck { id: id.to_owned() }) {
            Some(Answer::HealthCheck(info)) => Some(*info),
            _ => None,
        }
    }

    /// The text of a file.
    #[must_use]
    pub fn file(&self, file: &str) -> Option<&'a str> {
        match self.0.get(&Place::File { file: file.to_owned() }) {
            Some(Answer::File(text)) => Some(text),
            _ => None,
        }
    }

    /// The record set of that name, type and set identifier.
    #[must_use]
    pub fn find(&self, zone: &str, key: &RecordKey) -> Option<&'a RecordSet> {
        self.sets(zone, &key.name).iter().find(|r| r.key() == *key)
    }
}

/// The places an action is about.
#[must_use]
pub fn places(plan: &Plan, run: &Run, action: &Action) -> BTreeSet<Place> {
    match action {
        Action::Shift(Shift { zone, record, .. }) => {
            BTreeSet::from([Place::Records { zone: zone.clone(), name: record.clone() }])
        }
        Action::Records(Records { zone, put, remove }) => put
            .iter()
            .map(|r| &r.name)
            .chain(remove.iter().map(|k| &k.name))
            .map(|name| Place::Records { zone: zone.clone(), name: name.clone() })
            .collect(),
        // Without its id there is nothing to read, and what is wanted says what is missing.
        Action::HealthCheck(HealthCheck { id, .. }) => {
            let id = record::late_id(id, |step, name| run.output(plan, step, name));
            id.ok().map(|id| Place::HealthCheck { id }).into_iter().collect()
        }
        Action::Edit(edit) => BTreeSet::from([Place::File { file: edit.file.clone() }]),
        Action::Restore { steps } => {
            let found = found(plan, run);
            let records = found.records.iter().filter(|(_, changes)| first_of(changes, steps).is_some());
            let records = records.map(|((zone, key), _)| Place::Records { zone: zone.clone(), name: key.name.clone() });
            let checks = found.checks.iter().filter(|(_, changes)| first_of(changes, steps).is_some());
            let files = found.files.iter().filter(|(_, edits)| edits.iter().any(|edit| steps.contains(&edit.step)));
            let files = files.map(|(file, _)| Place::File { file: file.clone() });
            records.chain(checks.map(|(id, _)| Place::HealthCheck { id: id.clone() })).chain(files).collect()
        }
        Action::Stack(_)
        | Action::Shell(_)
        | Action::Http(_)
        | Action::Soak { .. }
        | Action::Approve { .. }
        | Action::Checklist { .. }
        | Action::Switch(_) => BTreeSet::new(),
    }
}

/// What an action wants, given what was read.
///
/// # Errors
/// When what was read is not what the action is about, in words for people.
pub fn wanted(plan: &Plan, run: &Run, action: &Action, read: &Read<'_>) -> Result<Wanted, String> {
    match action {
        Action::Shift(shift) => shifted(shift, read),
        Action::Records(Records { zone, put, remove }) => {
            let gone = remove.iter().map(|key| ((zone.clone(), key.clone()), None));
            let put =
                put.iter().map(|r| Ok(((zone.clone(), r.key()), Some(r.resolved(|step, name| run.output(plan, step, name))?))));
            let records = gone.map(Ok).chain(put).collect::<Result<_, String>>()?;
            Ok(Wanted { records, ..Wanted::default() })
        }
        Action::HealthCheck(check) => {
            let id = record::late_id(&check.id, |step, name| run.output(plan, step, name))?;
            inverted(id, check.inverted, read)
        }
        Action::Edit(edit) => edited(plan, run, edit, read),
        Action::Restore { steps } => {
            let mut wanted = before(plan, run, steps);
            wanted.make_room(read);
            for (file, edits) in &found(plan, run).files {
                if let Some(call) = unedited(plan, file, edits, steps, read)? {
                    wanted.files.insert(file.clone(), call);
                }
            }
            Ok(wanted)
        }
        Action::Stack(_)
        | Action::Shell(_)
        | Action::Http(_)
        | Action::Soak { .. }
        | Action::Approve { .. }
        | Action::Checklist { .. }
        | Action::Switch(_) => Ok(Wanted::default()),
    }
}

/// The shifted record sets: as they were read, with other weights.
fn shifted(shift: &Shift, read: &Read<'_>) -> Result<Wanted, String> {
    let sets = read.sets(&shift.zone, &shift.record);
    let siblings: Vec<&RecordSet> = sets.iter().filter(|r| r.kind == shift.kind).collect();
    for sibling in &siblings {
        let named = sibling.set.as_ref().is_some_and(|set| shift.weights.iter().any(|(s, _)| s == set));
        if sibling.weight.is_none() || !named {
            return Err(format!("the zone has '{sibling}', which the step does not name: somebody else changed the record"));
        }
    }
    let mut wanted = Wanted::default();
    for (set, weight) in &shift.weights {
        let Some(found) = siblings.iter().find(|r| r.set.as_ref() == Some(set)) else {
            return Err(format!("the zone has no record set '{set}' for {} {}", shift.record, shift.kind));
        };
        let new = RecordSet { weight: Some(*weight), ..(*found).clone() };
        wanted.records.insert((shift.zone.clone(), new.key()), Some(new));
    }
    Ok(wanted)
}

fn inverted(id: String, inverted: bool, read: &Read<'_>) -> Result<Wanted, String> {
    if read.check(&id).is_some_and(|info| info.disabled) {
        return Err(format!("health check {id} is disabled, so it counts as healthy whatever it sees: enable it first"));
    }
    Ok(Wanted { checks: BTreeMap::from([(id, inverted)]), ..Wanted::default() })
}

/// The file with its replacements made. One that a call of the same step has left so is as it shall be.
fn edited(plan: &Plan, run: &Run, edit: &Edit, read: &Read<'_>) -> Result<Wanted, String> {
    let Some(text) = read.file(&edit.file) else { return Ok(Wanted::default()) };
    let before = sha256_hex(text);
    let ours = |call: &CallRun| {
        let of_step = step_of(plan, &call.job).is_some_and(|step| plan.steps[step].action == Action::Edit(edit.clone()));
        let left = matches!(&call.call, Call::EditFile { file, after, .. } if *file == edit.file && *after == before);
        of_step && left && (call.doubtful || matches!(call.state, CallState::Open | CallState::Applied(..)))
    };
    if run.calls.values().any(ours) {
        return Ok(Wanted::default());
    }
    let splices = edit::splices(edit, text, |step, name| run.output(plan, step, name))?;
    let after = spliced(text, &splices).map(|text| sha256_hex(&text)).unwrap_or_default();
    let call = Call::EditFile { file: edit.file.clone(), before, after, splices };
    Ok(Wanted { files: BTreeMap::from([(edit.file.clone(), call)]), ..Wanted::default() })
}

/// The call that takes back the newest of these steps' edits of a file; `None` when they are taken back.
fn unedited(plan: &Plan, file: &str, edits: &[Edited], steps: &[StepId], read: &Read<'_>) -> Result<Option<Call>, String> {
    let (Some(first), Some(text)) = (edits.iter().position(|edit| steps.contains(&edit.step)), read.file(file)) else {
        return Ok(None);
    };
    let now = sha256_hex(text);
    let newest = edits.iter().rposition(|edit| edit.after == now);
    let behind = |from: usize| edits[from..].iter().find(|edit| !steps.contains(&edit.step));
    match newest {
        _ if edits[first].before == now => Ok(None),
        Some(newest) if newest >= first => {
            if let Some(other) = behind(newest).or_else(|| behind(first)) {
                let other = &plan.steps[other.step].id;
                return Err(format!("{file} was edited by '{other}' since: take that back first"));
            }
            let Edited { before, after, splices, .. } = &edits[newest];
            let (before, after) = (after.clone(), before.clone());
            Ok(Some(Call::EditFile { file: file.to_owned(), before, after, splices: edit::inverse(splices) }))
        }
        _ => Err(format!("{file} was changed since by somebody else: nothing in it is put back")),
    }
}

/// What these steps found where they changed something: the inverse, computed from what was really done.
///
/// A call whose outcome is unknown counts as done: if it was not, there is nothing to put back and no call comes out.
/// What a later restore has already put back is left out.
fn before(plan: &Plan, run: &Run, steps: &[StepId]) -> Wanted {
    let found = found(plan, run);
    let records = found.records.iter().filter_map(|(key, changes)| Some((key.clone(), first_of(changes, steps)?.clone())));
    let checks = found.checks.iter().filter_map(|(id, changes)| Some((id.clone(), *first_of(changes, steps)?)));
    Wanted { records: records.collect(), checks: checks.collect(), files: BTreeMap::new() }
}

/// What each step of a run has changed and found there, and nothing has taken back. Every proof of every rollback asks
/// for it, so it is worked out once per entry.
fn found<'a>(plan: &Plan, run: &'a Run) -> &'a Found {
    run.found.get_or_init(|| {
        let mut found = Found::default();
        for call in run.calls.values() {
            if let Some(step) = step_of(plan, &call.job) {
                let refused = matches!(call.state, CallState::Refused(_) | CallState::Deferred(_));
                if !refused || call.doubtful {
                    found.remember(step, call);
                }
            } else if matches!(call.state, CallState::Applied(_, Some(_))) && finished(run, call) {
                found.forget(&restored_by(plan, &call.job), call);
            }
        }
        found
    })
}

impl Wanted {
    /// A simple record and weighted ones cannot stand side by side (rule 9). What is put back needs its place, so what
    /// somebody else has put there has to go; it is shown with everything else before it is confirmed.
    fn make_room(&mut self, read: &Read<'_>) {
        let put: Vec<(String, RecordKey)> =
            self.records.iter().filter(|(_, want)| want.is_some()).map(|(key, _)| key.clone()).collect();
        for (zone, key) in put {
            let sets = read.sets(&zone, &key.name).iter();
            for other in sets.filter(|r| r.kind == key.kind && r.set.is_none() != key.set.is_none()) {
                self.records.entry((zone.clone(), other.key())).or_insert(None);
            }
        }
    }
}

/// Per record set and per health check: the steps that changed it, in the order in which they did, and what each found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    records: BTreeMap<(String, RecordKey), History<Option<RecordSet>>>,
    checks: BTreeMap<String, History<bool>>,
    files: BTreeMap<String, Vec<Edited>>,
}

/// An edit of a file.
#[derive(Debug, Clone)]
struct Edited {
    step: StepId,
    before: String,
    after: String,
    splices: Vec<Splice>,
}

/// Steps in the order in which they changed something, and what each found there.
type History<T> = Vec<(StepId, T)>;

impl Found {
    /// Notes what a step's call found.
    fn remember(&mut self, step: StepId, call: &CallRun) {
        match &call.call {
            Call::ChangeRecords { zone, delete, create } => {
                let keys: BTreeSet<RecordKey> = delete.iter().chain(create).map(RecordSet::key).collect();
                for key in keys {
                    let old = delete.iter().find(|r| r.key() == key).cloned();
                    self.records.entry((zone.clone(), key)).or_default().push((step, old));
                }
            }
            Call::UpdateHealthCheck { id, inverted, .. } => {
                self.checks.entry(id.clone()).or_default().push((step, !inverted));
            }
            Call::EditFile { file, before, after, splices } => {
                let (before, after, splices) = (before.clone(), after.clone(), splices.clone());
                self.files.entry(file.clone()).or_default().push(Edited { step, before, after, splices });
            }
            _ => {}
        }
    }

    /// Leaves out what a call put back: the changes of the steps that it took back, and those on top of them. What
    /// steps before them changed is still to be put back.
    fn forget(&mut self, taken_back: &[StepId], call: &CallRun) {
        match &call.call {
            Call::ChangeRecords { zone, delete, create } => {
                for record in delete.iter().chain(create) {
                    cut(self.records.get_mut(&(zone.clone(), record.key())), taken_back);
                }
            }
            Call::UpdateHealthCheck { id, .. } => cut(self.checks.get_mut(id), taken_back),
            Call::EditFile { file, .. } => {
                if let Some(edits) = self.files.get_mut(file)
                    && let Some(first) = edits.iter().position(|edit| taken_back.contains(&edit.step))
                {
                    edits.truncate(first);
                }
            }
            _ => {}
        }
    }
}

fn cut<T>(changes: Option<&mut Vec<(StepId, T)>>, taken_back: &[StepId]) {
    if let Some(changes) = changes
        && let Some(first) = changes.iter().position(|(step, _)| taken_back.contains(step))
    {
        changes.truncate(first);
    }
}

/// What the first of these steps found at a place.
fn first_of<'a, T>(changes: &'a History<T>, steps: &[StepId]) -> Option<&'a T> {
    changes.iter().find(|(step, _)| steps.contains(step)).map(|(_, found)| found)
}

/// True when the job of a call is over: only then has what it restored been read back. A step may be taken back more than
/// once, so what was done for an earlier confirmation is over although the job has the same name.
fn finished(run: &Run, call: &CallRun) -> bool {
    let since = run.active_rollback().map_or(Millis::MAX, |r| r.confirmed);
    run.job.as_ref().is_none_or(|j| j.of != call.job) || call.changed < since
}

/// One compare-and-swap batch per zone, and one call per health check, from what is there to what is wanted; nothing
/// where both agree.
#[must_use]
pub fn batches(wanted: &Wanted, read: &Read<'_>) -> Vec<Call> {
    let mut zones: BTreeMap<&str, (Vec<RecordSet>, Vec<RecordSet>)> = BTreeMap::new();
    for ((zone, key), want) in &wanted.records {
        let have = read.find(zone, key);
        if have == want.as_ref() {
            continue;
        }
        let (delete, create) = zones.entry(zone).or_default();
        delete.extend(have.cloned());
        create.extend(want.clone());
    }
    let records = zones.into_iter().map(|(zone, (delete, create))| Call::ChangeRecords { zone: zone.to_owned(), delete, create });
    let checks = wanted.checks.iter().filter_map(|(id, inverted)| {
        let have = read.check(id)?;
        let call = || Call::UpdateHealthCheck { id: id.clone(), version: have.version, inverted: *inverted };
        (have.inverted != *inverted).then(call)
    });
    records.chain(checks).chain(wanted.files.values().cloned()).collect()
}

/// True when a call that is still under way would be taken: what it deletes is there, exactly as it was read. Anything
/// else is refused by the service, so nobody has to wait for it.
#[must_use]
pub fn may_land(call: &Call, read: &Read<'_>) -> bool {
    match call {
        Call::ChangeRecords { zone, delete, create } => {
            let replaced = |new: &&RecordSet| delete.iter().any(|old| old.key() == new.key());
            delete.iter().all(|old| read.find(zone, &old.key()) == Some(old))
                && create.iter().filter(|new| !replaced(new)).all(|new| read.find(zone, &new.key()).is_none())
        }
        Call::UpdateHealthCheck { id, version, .. } => read.check(id).is_some_and(|info| info.version == *version),
        Call::EditFile { file, before, .. } => read.file(file).is_some_and(|text| sha256_hex(text) == *before),
        _ => true,
    }
}

/// True when everything is as the call would have left it.
#[must_use]
pub fn is_there(call: &Call, read: &Read<'_>) -> bool {
    match call {
        Call::ChangeRecords { zone, delete, create } => {
            let replaced = |old: &&RecordSet| create.iter().any(|new| new.key() == old.key());
            create.iter().all(|r| read.find(zone, &r.key()) == Some(r))
                && delete.iter().filter(|old| !replaced(old)).all(|old| read.find(zone, &old.key()).is_none())
        }
        Call::UpdateHealthCheck { id, inverted, .. } => read.check(id).is_some_and(|info| info.inverted == *inverted),
        Call::EditFile { file, after, .. } => read.file(file).is_some_and(|text| sha256_hex(text) == *after),
        _ => false,
    }
}
