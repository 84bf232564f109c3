//! The traffic by region: what was asked for, what the zone's servers answer, what is really seen.

use crate::cloud::{Answer, Call, Millis, Value};
use crate::plan::{MonitorId, RecordSet, Role};
use crate::run::change::Place;
use crate::run::decide::{Ctx, traffic_place};
use crate::run::snapshot::TrafficView;
use crate::run::state::CallState;

/// Percentages of the weights in some record sets, by set identifier.
fn shares(sets: &[RecordSet], kind: &str) -> Vec<(String, u32)> {
    let sets: Vec<&RecordSet> = sets.iter().filter(|r| r.kind == kind && r.set.is_some()).collect();
    let total: u32 = sets.iter().filter_map(|r| r.weight).map(u32::from).sum();
    let share = |r: &&RecordSet| match (r.weight, total) {
        (Some(weight), 1..) => u32::from(weight) * 100 / total,
        // All weights zero answer in equal parts (rule 4).
        _ => 100 / u32::try_from(sets.len().max(1)).unwrap_or(1),
    };
    sets.iter().map(|r| (r.set.clone().unwrap_or_default(), share(r))).collect()
}

/// What a screen shows of the traffic.
pub fn traffic(ctx: Ctx<'_>) -> Vec<TrafficView> {
    let (Some(traffic), Some(place)) = (&ctx.plan.traffic, traffic_place(ctx.plan)) else { return Vec::new() };
    let Place::Records { name, .. } = &place else { return Vec::new() };
    let newest = |synced: bool| {
        ctx.run.calls.values().rev().find_map(|call| match &call.call {
            Call::ChangeRecords { create, .. } if place.is_changed_by(&call.call) && create.iter().any(|r| r.name == *name) => {
                match &call.state {
                    CallState::Applied(_, in_sync) if !synced || in_sync.is_some() => Some(shares(create, &traffic.kind)),
                    _ => None,
                }
            }
            _ => None,
        })
    };
    let read = match ctx.watch.found_ever(&place) {
        Some((_, Answer::Records(sets))) => Some(shares(sets, &traffic.kind)),
        _ => None,
    };
    let pending = ctx.run.calls.values().any(|c| matches!(c.state, CallState::Applied(_, None)));
    let (asked, in_sync) = if pending { (newest(false), newest(true)) } else { (read.clone(), read) };
    let seen: Vec<(String, i64, Millis)> =
        traffic.seen.iter().filter_map(|(region, monitor)| seen(ctx, region, *monitor)).collect();
    let total: i64 = seen.iter().map(|s| s.1).sum();
    let mut regions: Vec<&str> = traffic.targets.iter().map(|(_, region)| region.as_str()).collect();
    regions.dedup();
    let share_of = |shares: &Option<Vec<(String, u32)>>, region: &str| {
        // A simple record (not weighted yet, or put back) leads to the source region.
        if shares.as_ref().is_some_and(Vec::is_empty) {
            let source = ctx.plan.regions.iter().any(|r| r.name == region && r.role == Role::Source);
            return Some(if source { 100 } else { 0 });
        }
        shares.as_ref().map(|shares| {
            shares.iter().filter(|(set, _)| traffic.targets.iter().any(|(s, r)| s == set && r == region)).map(|(_, s)| s).sum()
        })
    };
    let view = |region: &str| {
        let here = seen.iter().find(|(r, _, _)| r == region);
        TrafficView {
            region: region.to_owned(),
            label: ctx.plan.region_label(region).to_owned(),
            asked: share_of(&asked, region),
            in_sync: share_of(&in_sync, region),
            seen: here.filter(|_| total > 0).and_then(|(_, n, _)| u32::try_from((n * 100 + total / 2) / total).ok()),
            age_ms: here.map(|(_, _, at)| ctx.now - at),
        }
    };
    regions.into_iter().map(view).collect()
}

fn seen(ctx: Ctx<'_>, region: &str, monitor: MonitorId) -> Option<(String, i64, Millis)> {
    let latest = ctx.watch.rings[monitor].latest.as_ref()?;
    match latest.value {
        // Whole pieces are enough here, and keep the sum far from overflowing.
        Value::Number(n) => Some((region.to_owned(), n / 1_000_000, latest.at)),
        _ => None,
    }
}
