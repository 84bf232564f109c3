//! Whether a rollback would work if it were called for now. Proved again and again while the run goes on, not at the
//! key press.

use super::change::{self, Place};
use super::decide::{Ctx, traffic_place};
use super::entry::RollbackRef;
use super::gate::{self, Tracker};
use super::rollback::{offer, window_left, window_start};
use super::snapshot::{Armed, Freshness, Verdict};
use super::state::{CallState, Run};
use crate::cloud::{Answer, Call, FailureKind, Value};
use crate::plan::record::late_id;
use crate::plan::{
    Action, Condition, Monitor, MonitorId, Plan, ROUTE53_REGION, RecordKey, RecordSet, Rollback, Source, Stat, State, Switch,
    Test, format_ms,
};

/// What was read longer ago than this arms nothing, in milliseconds. Reads go over the connection that the rollback
/// would use, once a minute: a fresh read is also the proof that it is warm.
pub const READ_AGE_MS: i64 = 180_000;
/// Credentials must outlast a rollback by this much, in milliseconds.
const CREDENTIALS_MARGIN_MS: i64 = 300_000;
/// How old the answer about the credentials may be, in milliseconds.
const CREDENTIALS_AGE_MS: i64 = 900_000;

/// How often the monitors are read on which a rollback is armed, in milliseconds; in an outage at their own interval.
const PROOF_MS: i64 = 60_000;

/// The monitors on which rollbacks are armed that apply by now, and the longest interval at which they prove anything.
#[must_use]
pub fn monitors(plan: &Plan, run: &Run) -> (Vec<MonitorId>, i64) {
    let applies = |r: &&Rollback| r.after.is_none_or(|step| run.steps[step].first_started.is_some());
    let monitors = match run.finished {
        None => monitors_of(plan, plan.rollbacks.iter().filter(applies)),
        Some(_) => Vec::new(),
    };
    (monitors, if run.open_outage().is_some() { 0 } else { PROOF_MS })
}

/// The monitors on which these rollbacks are armed.
fn monitors_of<'a>(plan: &Plan, rollbacks: impl Iterator<Item = &'a Rollback>) -> Vec<MonitorId> {
    let mut monitors: Vec<MonitorId> = Vec::new();
    for rollback in rollbacks {
        monitors.extend(probes(plan, rollback));
        monitors.extend(&rollback.replication);
    }
    monitors.sort_unstable();
    monitors.dedup();
    monitors
}

/// What [`monitors`] says at the time when every rollback of the plan applies.
#[must_use]
pub fn all_monitors(plan: &Plan) -> (Vec<MonitorId>, i64) {
    (monitors_of(plan, plan.rollbacks.iter()), PROOF_MS)
}

/// The direct probes of the region that a rollback leads to.
fn probes(plan: &Plan, rollback: &Rollback) -> impl Iterator<Item = MonitorId> {
    let pinned =
        |m: &Monitor| m.region.as_ref() == Some(&rollback.to) && matches!(&m.source, Source::Http(h) if h.from == "local");
    plan.monitors.iter().enumerate().filter(move |(_, m)| pinned(m)).map(|(id, _)| id)
}

/// One thing that has to be so for a rollback to be armed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What.
    pub what: &'static str,
    /// Whether it is so.
    pub verdict: Verdict,
    /// What was seen, for people; may be empty.
    pub seen: String,
}

impl Proof {
    fn pass(what: &'static str, seen: impl Into<String>) -> Proof {
        Proof { what, verdict: Verdict::Pass, seen: seen.into() }
    }

    fn fail(what: &'static str, why: impl Into<String>) -> Proof {
        Proof { what, verdict: Verdict::Fail(why.into()), seen: String::new() }
    }

    fn unknown(what: &'static str, why: impl Into<String>) -> Proof {
        Proof { what, verdict: Verdict::Unknown(why.into()), seen: String::new() }
    }
}

/// Whether a rollback is ready: armed when every proof passes, else the first reason why it is not.
#[must_use]
pub fn readiness(ctx: Ctx<'_>, rollback: &Rollback) -> Armed {
    if window_start(ctx, rollback).is_none() {
        return Armed::Nothing;
    }
    let why = proofs(ctx, rollback).into_iter().find_map(|proof| match proof.verdict {
        Verdict::Pass => None,
        Verdict::Fail(why) | Verdict::Unknown(why) => Some(why),
    });
    why.map_or(Armed::Armed, Armed::NotArmed)
}

/// Everything that has to be so, in the order in which it is worth knowing.
#[must_use]
pub fn proofs(ctx: Ctx<'_>, rollback: &Rollback) -> Vec<Proof> {
    let mut proofs = Vec::new();
    proofs.extend(window(ctx, rollback));
    proofs.extend(target(ctx, rollback));
    proofs.push(records(ctx, rollback));
    proofs.extend(regions(ctx, rollback));
    for step in &rollback.steps {
        if let Action::Switch(switch) = &step.action {
            proofs.push(wired(ctx, rollback, switch));
        }
    }
    proofs.push(credentials(ctx, rollback));
    proofs.extend(replication(ctx, rollback));
    proofs
}

fn window(ctx: Ctx<'_>, rollback: &Rollback) -> Option<Proof> {
    let left = window_left(ctx, rollback)?;
    Some(if left > 0 {
        Proof::pass("window open", format!("{} left", format_ms(left)))
    } else {
        Proof::fail("window open", format!("its window closed {} ago", format_ms(-left)))
    })
}

/// The region it leads to answers by direct probe: a rollback into a sick region is none (rule 37).
fn target(ctx: Ctx<'_>, rollback: &Rollback) -> Option<Proof> {
    const WHAT: &str = "target healthy";
    let label = ctx.plan.region_label(&rollback.to);
    let mut seen = None;
    for id in probes(ctx.plan, rollback) {
        let (ring, monitor) = (&ctx.watch.rings[id], &ctx.plan.monitors[id]);
        let at = ring.latest.as_ref().map_or(i64::MIN, |l| l.at);
        if ctx.watch.freshness(ctx.plan, id, ctx.now) != Freshness::Fresh {
            return Some(Proof::unknown(WHAT, format!("no fresh probe of {label}")));
        }
        // What took one region may have taken the other.
        if ctx.run.open_outage().is_some_and(|outage| at < outage.began) {
            return Some(Proof::unknown(WHAT, format!("no probe of {label} since the outage began")));
        }
        let condition = Condition { monitor: id, test: Test::Is(State::Healthy), over_ms: 60_000, for_ms: 0, samples: 0 };
        let mut tracker = Tracker::default();
        tracker.reading(&condition, ring, monitor, ctx.now, false, false);
        if let Some(Verdict::Fail(why)) = tracker.why {
            return Some(Proof::fail(WHAT, format!("{label} is not healthy: {why}")));
        }
        seen = seen.max(Some(ctx.now - at));
    }
    seen.map(|age| Proof::pass(WHAT, format!("{label} answers, {} ago", format_ms(age))))
}

/// What it would change was read lately, over the connection that it would use, and is as this run left it.
fn records(ctx: Ctx<'_>, rollback: &Rollback) -> Proof {
    const WHAT: &str = "records read, unchanged";
    let offer = offer(ctx, &RollbackRef::Plan(rollback.name.clone()), ctx.now - READ_AGE_MS);
    if let Some(problem) = offer.problem {
        let plane =
            if reads_route53(ctx, rollback) { format!("Route 53's control plane ({ROUTE53_REGION}): ") } else { String::new() };
        return Proof::fail(WHAT, format!("{plane}{problem}"));
    }
    if offer.fingerprint.is_none() {
        return Proof::unknown(WHAT, "the records have not been read lately");
    }
    if let Some(Changed { left, now, .. }) = conflict(ctx, rollback) {
        return Proof::fail(WHAT, format!("somebody else changed it: this run left '{left}', now it is '{now}'"));
    }
    let ages = places(ctx, rollback).into_iter().filter_map(|place| Some(ctx.now - ctx.watch.found_ever(&place)?.0));
    let calls = format!("{} call(s)", offer.calls.len());
    Proof::pass(WHAT, ages.max().map_or_else(|| calls.clone(), |age| format!("{calls}, read {} ago", format_ms(age))))
}

/// True while something that a rollback needs can be had from Route 53's control plane only.
fn reads_route53(ctx: Ctx<'_>, rollback: &Rollback) -> bool {
    !places(ctx, rollback).is_empty()
}

/// What it is armed on: records and health checks. Files do not stand in the way of traffic.
fn places(ctx: Ctx<'_>, rollback: &Rollback) -> Vec<Place> {
    let places = rollback.steps.iter().flat_map(|s| change::places(ctx.plan, ctx.run, &s.action));
    places.filter(|place| !matches!(place, Place::File { .. })).collect()
}

/// Something that is not as this run left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What it is about: a record set's key, or `None` for a health check.
    pub key: Option<RecordKey>,
    /// How this run left it.
    pub left: String,
    /// How it is now.
    pub now: String,
}

/// A record or health check that is not as this run left it. While a change of this run's own is on its way, or after
/// somebody said that a step was done by hand, there is nothing to tell.
#[must_use]
pub fn conflict(ctx: Ctx<'_>, rollback: &Rollback) -> Option<Changed> {
    places(ctx, rollback).into_iter().find_map(|place| {
        let calls = ctx.run.calls.values().rev();
        let call =
            calls.filter(|call| !matches!(call.state, CallState::Refused(_))).find(|call| place.is_changed_by(&call.call))?;
        if !matches!(call.state, CallState::Applied(_, Some(_))) || changed_by_hand(ctx, &place) >= Some(call.changed) {
            return None;
        }
        match (&call.call, ctx.watch.found(&place, call.changed)?.ok()?) {
            (Call::ChangeRecords { create, delete, .. }, Answer::Records(sets)) => difference(&place, delete, create, sets),
            (Call::UpdateHealthCheck { inverted, .. }, Answer::HealthCheck(info)) if info.inverted != *inverted => {
                let says = |inverted: bool| format!("{place} inverted {inverted}");
                Some(Changed { key: None, left: says(*inverted), now: says(info.inverted) })
            }
            _ => None,
        }
    })
}

/// What of a change of this run is not there any more.
fn difference(place: &Place, delete: &[RecordSet], create: &[RecordSet], now: &[RecordSet]) -> Option<Changed> {
    let Place::Records { name, .. } = place else { return None };
    let here = |record: &&RecordSet| record.name == *name;
    let found = |key: &RecordKey| now.iter().find(|r| r.key() == *key).map_or_else(|| "nothing".to_owned(), ToString::to_string);
    if let Some(left) = create.iter().filter(here).find(|r| !now.contains(r)) {
        let key = left.key();
        return Some(Changed { left: left.to_string(), now: found(&key), key: Some(key) });
    }
    let removed = delete.iter().filter(here).map(RecordSet::key).filter(|key| create.iter().all(|r| r.key() != *key));
    let back = removed.into_iter().find(|key| now.iter().any(|r| r.key() == *key))?;
    Some(Changed { left: "nothing".into(), now: found(&back), key: Some(back) })
}

/// When a person last changed a place by hand, as they said.
#[must_use]
pub fn changed_by_hand(ctx: Ctx<'_>, place: &Place) -> Option<i64> {
    let steps = ctx.plan.steps.iter().zip(&ctx.run.steps);
    steps
        .filter(|(step, _)| change::places(ctx.plan, ctx.run, &step.action).contains(place))
        .filter_map(|(_, run)| run.by_hand)
        .max()
}

/// The control and data planes of the regions that it talks to, besides Route 53's, answer.
fn regions(ctx: Ctx<'_>, rollback: &Rollback) -> Vec<Proof> {
    const WHAT: &str = "regions' APIs answer";
    let mut regions: Vec<&str> = Vec::new();
    for step in &rollback.steps {
        let region = match &step.action {
            Action::Stack(stack) => &stack.region,
            Action::Switch(switch) => &switch.region,
            _ => continue,
        };
        if !regions.contains(&region.as_str()) {
            regions.push(region);
        }
    }
    let proof = |region: &&str| {
        if ctx.watch.answers_in(ctx.plan, region, ctx.now) {
            Proof::pass(WHAT, (*region).to_owned())
        } else {
            Proof::unknown(WHAT, format!("the APIs of {region} have not answered lately"))
        }
    };
    regions.iter().map(proof).collect()
}

/// The data-plane switch moves traffic only if the records carry the health check that follows it. They were read
/// when the control plane still answered, so their age does not matter here.
fn wired(ctx: Ctx<'_>, rollback: &Rollback, switch: &Switch) -> Proof {
    const WHAT: &str = "switch is wired";
    let (Some(traffic), Some(place)) = (&ctx.plan.traffic, traffic_place(ctx.plan)) else {
        return Proof::fail(WHAT, "the plan names no record that carries the traffic");
    };
    // An engine that took over while the control plane is away has read nothing: then what this run left there counts.
    let left = || {
        let calls = ctx.run.calls.values().rev().filter(|c| matches!(c.state, CallState::Applied(..)));
        calls.filter(|c| place.is_changed_by(&c.call)).find_map(|c| match &c.call {
            Call::ChangeRecords { create, .. } => Some((c.changed, create.as_slice())),
            _ => None,
        })
    };
    let read = match ctx.watch.found_ever(&place) {
        Some((read, Answer::Records(sets))) => Some((read, sets.as_slice())),
        _ => left(),
    };
    let Some((read, sets)) = read else { return Proof::unknown(WHAT, "the traffic's record was never read") };
    let check = match late_id(&switch.health_check, |step, name| ctx.run.output(ctx.plan, step, name)) {
        Ok(check) => check,
        Err(why) => return Proof::fail(WHAT, why),
    };
    let away = traffic.targets.iter().filter(|(_, region)| *region != rollback.to);
    let mut seen = false;
    for (set, region) in away {
        for record in sets.iter().filter(|r| r.set.as_ref() == Some(set)) {
            if record.health_check.as_ref() != Some(&check) {
                let label = ctx.plan.region_label(region);
                return Proof::fail(WHAT, format!("{set} ({label}) does not carry health check {check}"));
            }
            seen = true;
        }
    }
    if !seen {
        return Proof::fail(WHAT, "the record has no set that the switch would take out");
    }
    Proof::pass(WHAT, format!("{check} on the record, read {} ago", format_ms(ctx.now - read)))
}

/// The credentials outlast the rollback (rule 31).
fn credentials(ctx: Ctx<'_>, rollback: &Rollback) -> Proof {
    const WHAT: &str = "credentials last";
    let needed = rollback.expected_ms.saturating_add(CREDENTIALS_MARGIN_MS);
    // A service that has just refused them knows better than whoever handed them out.
    let refused = ctx.watch.failure.as_ref().filter(|f| ctx.watch.failures > 0 && f.kind == FailureKind::Credentials);
    if let Some(failure) = refused {
        return Proof::fail(WHAT, format!("log in again: {}", failure.message));
    }
    match ctx.watch.credentials(ctx.now - CREDENTIALS_AGE_MS) {
        None => Proof::unknown(WHAT, "nobody knows how long the credentials last"),
        Some(None) => Proof::pass(WHAT, "no expiry known"),
        Some(Some(expires)) if expires <= ctx.now => {
            Proof::fail(WHAT, format!("the credentials expired {} ago: log in again", format_ms(ctx.now - expires)))
        }
        Some(Some(expires)) if expires - ctx.now < needed => {
            let left = format_ms(expires - ctx.now);
            Proof::fail(WHAT, format!("the credentials expire in {left}, the rollback may need {}", format_ms(needed)))
        }
        Some(Some(expires)) => Proof::pass(WHAT, format!("{} left", format_ms(expires - ctx.now))),
    }
}

/// What was written elsewhere comes back: asked for once traffic was sent elsewhere.
fn replication(ctx: Ctx<'_>, rollback: &Rollback) -> Vec<Proof> {
    const WHAT: &str = "replication back is up";
    let away = |set: &String| {
        let targets = ctx.plan.traffic.iter().flat_map(|t| &t.targets);
        targets.into_iter().any(|(name, region)| name == set && *region != rollback.to)
    };
    let steps = ctx.plan.steps.iter().zip(&ctx.run.steps).filter(|(_, run)| run.attempts > 0);
    let written = steps.map(|(step, _)| &step.action).any(|action| match action {
        Action::Shift(shift) => shift.weights.iter().any(|(set, weight)| *weight > 0 && away(set)),
        _ => false,
    });
    if !written {
        return Vec::new();
    }
    let proof = |id: &usize| {
        let monitor = &ctx.plan.monitors[*id];
        let ring = &ctx.watch.rings[*id];
        match (ctx.watch.freshness(ctx.plan, *id, ctx.now), ring.latest.as_ref().map(|l| &l.value)) {
            (Freshness::Fresh, Some(Value::Number(lag))) if *lag >= 0 && !gate::is_breached(monitor, ring) => {
                Proof::pass(WHAT, format!("{} {}", monitor.title, gate::show(monitor, Stat::Last, *lag)))
            }
            (Freshness::Fresh, Some(Value::Number(lag))) => {
                let lag = gate::show(monitor, Stat::Last, *lag);
                Proof::fail(WHAT, format!("{} is {lag}: what was written meanwhile would stay behind", monitor.title))
            }
            _ => Proof::unknown(WHAT, format!("{}: no fresh reading", monitor.title)),
        }
    };
    rollback.replication.iter().map(proof).collect()
}
