//! Somebody else's change in the way of a call: what was expected there, what is there, and what the call makes of it.
//! A compare-and-swap keeps a call from overwriting what came after its read; this keeps the read itself from being
//! taken for what this run left, or for what somebody confirmed.

use super::change::{Place, Read};
use super::decide::Ctx;
use super::entry::JobRef;
use super::ready::changed_by_hand;
use super::snapshot::Conflict;
use super::state::{CallRun, CallState, Job};
use crate::cloud::{Call, CallId, Millis};
use crate::plan::{RecordKey, RecordSet};

/// What a call would overwrite that nobody expects there: neither did this run leave it so, nor was it shown to whoever
/// confirmed the rollback, or started the job again after the very same conflict.
///
/// `None` as well where this run has never changed anything and shows nothing beforehand: then a step takes what it
/// finds for the state from which it starts.
#[must_use]
pub fn in_the_way(ctx: Ctx<'_>, job: &Job, call: &Call, read: &Read<'_>) -> Option<Conflict> {
    let found = match call {
        Call::ChangeRecords { zone, delete, create } => records(ctx, job, zone, (delete, create), read),
        Call::UpdateHealthCheck { id, inverted, .. } => health_check(ctx, job, id, *inverted, read),
        _ => None,
    }?;
    let shown = ctx.run.conflicts.get(&job.of).is_some_and(|shown| shown.now == found.now);
    (!shown).then_some(found)
}

fn records(
    ctx: Ctx<'_>,
    job: &Job,
    zone: &str,
    (delete, create): (&[RecordSet], &[RecordSet]),
    read: &Read<'_>,
) -> Option<Conflict> {
    let mut keys: Vec<RecordKey> = delete.iter().chain(create).map(RecordSet::key).collect();
    keys.sort();
    keys.dedup();
    let mut differing = Differing::default();
    for key in keys {
        let now = read.find(zone, &key);
        // Outer: whether the call changes this record set at all. Inner: what was there before, and afterwards.
        let touched = |call: &Call| match call {
            Call::ChangeRecords { zone: changed, delete, create } if changed == zone => {
                let of = |sets: &[RecordSet]| sets.iter().find(|r| r.key() == key).cloned();
                let (before, after) = (of(delete), of(create));
                (before.is_some() || after.is_some()).then_some((before, after))
            }
            _ => None,
        };
        let place = Place::Records { zone: zone.to_owned(), name: key.name.clone() };
        let Some(expected) = expected(ctx, job, &place, touched) else { continue };
        if !expected.iter().any(|state| state.as_ref() == now) {
            let wanted = create.iter().find(|r| r.key() == key);
            differing.add(&text(expected.first().and_then(Option::as_ref)), &text(now), &text(wanted));
        }
    }
    differing.conflict()
}

fn health_check(ctx: Ctx<'_>, job: &Job, id: &str, wanted: bool, read: &Read<'_>) -> Option<Conflict> {
    let now = read.check(id)?.inverted;
    let touched = |call: &Call| match call {
        Call::UpdateHealthCheck { id: changed, inverted, .. } if changed == id => Some((!inverted, *inverted)),
        _ => None,
    };
    let expected = expected(ctx, job, &Place::HealthCheck { id: id.to_owned() }, touched)?;
    let says = |inverted: bool| format!("health check {id} inverted {inverted}");
    let mut differing = Differing::default();
    if !expected.contains(&now) {
        differing.add(&says(expected.first().copied().unwrap_or(!now)), &says(now), &says(wanted));
    }
    differing.conflict()
}

/// Every state in which a place may be without anybody else having changed it, the likeliest first; `None` where nobody
/// can say. `touched` tells what a call finds at the place and what it leaves there.
fn expected<T>(ctx: Ctx<'_>, job: &Job, place: &Place, touched: impl Fn(&Call) -> Option<(T, T)>) -> Option<Vec<T>> {
    let rollback = ctx.run.active_rollback().filter(|_| !matches!(job.of, JobRef::Step(_)));
    let mut left: Option<T> = None;
    let mut perhaps = Vec::new();
    let mut changed = Millis::MIN;
    let mut is_as_shown = true;
    for (id, call) in &ctx.run.calls {
        let Some((before, after)) = touched(&call.call) else { continue };
        match certainty(job, *id, call) {
            Certainty::Applied => {
                left = Some(after);
                let of_rollback = !matches!(call.job, JobRef::Step(_));
                is_as_shown &= !of_rollback || rollback.is_some_and(|r| call.changed < r.confirmed);
            }
            // A call that was lost may have been applied, or may be applied yet.
            Certainty::Perhaps => {
                left.get_or_insert(before);
                perhaps.push(after);
            }
            Certainty::ReadHere => {
                left.get_or_insert(before);
                continue;
            }
            Certainty::Never => continue,
        }
        changed = changed.max(call.changed);
    }
    if changed > Millis::MIN && changed_by_hand(ctx, place) >= Some(changed) {
        return None;
    }
    let is_known = left.is_some();
    let mut states: Vec<T> = left.into_iter().chain(perhaps).collect();
    if let Some(rollback) = rollback.filter(|_| is_as_shown) {
        // Whoever confirmed it has seen what its calls were going to replace, and nothing else.
        states.extend(rollback.shown.iter().filter_map(touched).map(|(before, _)| before));
    }
    (rollback.is_some() || is_known).then_some(states)
}

/// What is known of a call of this run, as far as the place that it changes is concerned.
enum Certainty {
    Applied,
    Perhaps,
    /// Refused, by the job that asks: what it found when it read is what it expects.
    ReadHere,
    Never,
}

fn certainty(job: &Job, id: CallId, call: &CallRun) -> Certainty {
    match &call.state {
        CallState::Applied(..) => Certainty::Applied,
        CallState::Open | CallState::Unknown(_) => Certainty::Perhaps,
        CallState::Refused(_) | CallState::Deferred(_) if call.doubtful => Certainty::Perhaps,
        CallState::Refused(_) if job.calls.contains(&id) => Certainty::ReadHere,
        CallState::Refused(_) | CallState::Deferred(_) => Certainty::Never,
    }
}

/// The three sides of everything that differs.
#[derive(Default)]
struct Differing {
    before: Vec<String>,
    now: Vec<String>,
    wanted: Vec<String>,
}

impl Differing {
    fn add(&mut self, before: &str, now: &str, wanted: &str) {
        self.before.push(before.to_owned());
        self.now.push(now.to_owned());
        self.wanted.push(wanted.to_owned());
    }

    fn conflict(self) -> Option<Conflict> {
        let join = |side: Vec<String>| side.join("; ");
        (!self.now.is_empty()).then(|| Conflict { before: join(self.before), now: join(self.now), wanted: join(self.wanted) })
    }
}

fn text(record: Option<&RecordSet>) -> String {
    record.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}
