//! Lints about weights: what they mean, when they are moved, and how long that is watched.

use super::dns::{ALIAS_TTL, INSYNC_MS};
use super::subject::{Found, Subject};
use super::zones::{Zones, groups};
use super::{Level, Lint};
use crate::plan::{Action, Role, Shift, Source, Step, Test, Unit, format_ms};

/// How late CloudWatch's numbers are, in milliseconds (rule 12).
const METRIC_DELAY_MS: i64 = 180_000;

pub const LINTS: &[Lint] = &[
    Lint {
        name: "weights-all-zero",
        rules: &[4],
        level: Level::Warning,
        line: "All weights of a record set are zero",
        why: "Zero for everybody does not switch a name off: with all weights at zero every record is given the same share. \
              Whoever writes it to stop traffic sends half of it to each side.",
        wrong: "shift: {zone: Z1234567890ABC, record: api.example.com, weights: {frankfurt: 0, ireland: 0}}",
        right: "shift: {zone: Z1234567890ABC, record: api.example.com, weights: {frankfurt: 0, ireland: 100}}",
        check: Some(all_zero),
    },
    Lint {
        name: "zero-weight-unproved",
        rules: &[4, 3],
        level: Level::Warning,
        line: "A record is made with weight 0, and nothing shows that its side is healthy",
        why: "Weight 0 is not off. A record at 0 answers as soon as every record with a weight is unhealthy, so from the moment \
              it exists its side is the failover of the other. If that side was never asked for anything, an outage of the \
              one becomes an outage of both, at a moment that nobody chose.",
        wrong: "- id: weights-zero\n  title: Make the record weighted\n  records:\n    zone: Z1234567890ABC\n    put:\n      - {name: api.example.com, type: A, set: frankfurt, weight: 0, ttl: 60s, values: [192.0.2.10]}",
        right: "- id: weights-zero\n  title: Make the record weighted\n  gate: [{monitor: api-frankfurt, is: healthy}]\n  records:\n    zone: Z1234567890ABC\n    put:\n      - {name: api.example.com, type: A, set: frankfurt, weight: 0, ttl: 60s, values: [192.0.2.10]}",
        check: Some(zero_unproved),
    },
    Lint {
        name: "shift-before-test",
        rules: &[12],
        level: Level::Warning,
        line: "All traffic is sent to a side of which nothing has shown that it works",
        why: "A step gives one side all of the weight, and neither its gate nor any step before it has looked at that side: no \
              condition on a monitor of that region, no smaller weight before, no request. Its users are then the test. What \
              is tested afterwards is not known when it matters.",
        wrong: "- id: cutover\n  title: Send everybody to Frankfurt\n  shift: {zone: Z1234567890ABC, record: api.example.com, weights: {frankfurt: 100, ireland: 0}}",
        right: "- id: cutover\n  title: Send everybody to Frankfurt\n  gate: [{monitor: api-frankfurt, stat: errors, below: 1%, for: 5m}]\n  shift: {zone: Z1234567890ABC, record: api.example.com, weights: {frankfurt: 100, ireland: 0}}",
        check: Some(before_test),
    },
    Lint {
        name: "dwell-too-short",
        rules: &[12],
        level: Level::Warning,
        line: "A shift counts as done before its effect can be seen",
        why: "After a shift the zone's servers need up to a minute (`INSYNC`), resolvers keep the old answer for its TTL, and \
              what CloudWatch counts is about three minutes late. A verify that holds for less looks at the traffic of before \
              and lets the next, larger shift begin on it.\n\nThe least is 60 s plus the TTL (60 s of an alias), plus 180 s \
              where the verify or the gate reads a metric. A soak that follows at once counts as well.",
        wrong: "verify: [{monitor: api-users, stat: errors, below: 1%, for: 30s}]",
        right: "verify: [{monitor: api-users, stat: errors, below: 1%, for: 5m}]",
        check: Some(dwell),
    },
    Lint {
        name: "no-samples",
        rules: &[12],
        level: Level::Warning,
        line: "A shift is verified without asking for any number of samples",
        why: "At a weight of 10 % a quiet hour proves nothing: no request failed, because there was none. A verify that asks for \
              a number of samples, or for a number of requests on the new side, cannot be passed by silence.",
        wrong: "verify: [{monitor: api-users, stat: errors, below: 1%, for: 5m}]",
        right: "verify:\n  - {monitor: api-users, stat: errors, below: 1%, for: 5m, samples: 50}\n  - {monitor: requests-frankfurt, stat: sum, above: 300, over: 3m}",
        check: Some(no_samples),
    },
];

fn all_zero(of: &Subject<'_>, found: &mut Found) {
    let help = "give the side that shall have the traffic a weight";
    let message = "with all weights at zero every record gets the same share";
    let mut zones = Zones::before(of.plan);
    for (step, rollback) in of.every_step() {
        match &step.action {
            Action::Shift(shift) if shift.weights.iter().all(|(_, weight)| *weight == 0) => {
                let weights = of.action(step).key("weights");
                let at = weights.entries().next().map_or(weights, |(_, first)| first);
                found.at(at, message, help);
            }
            Action::Records(change) => {
                let put = of.action(step).key("put");
                zones.change(change);
                for (name, kind) in groups(change) {
                    let none = zones.siblings(&change.zone, name, kind).iter().all(|record| record.weight == Some(0));
                    let first = change.put.iter().position(|record| record.name == name && record.kind == kind);
                    if none && let Some(first) = first {
                        found.at(put.item(first).key("weight"), message, help);
                    }
                }
            }
            _ => {}
        }
        // What a rollback changes is not what the next one begins with, but it is near enough: each puts back the same.
        if rollback.is_none() {
            zones.follow(&step.action);
        }
    }
}

/// Whether any of these conditions is about a region; about anything at all where the region is not known.
fn looks_at(of: &Subject<'_>, ids: &[usize], region: Option<&str>) -> bool {
    ids.iter().filter_map(|id| of.plan.monitors.get(of.plan.conditions.get(*id)?.monitor)).any(|monitor| match region {
        // That a stack was made does not show that what is in it answers.
        Some(region) => monitor.region.as_deref() == Some(region) && !matches!(monitor.source, Source::Stack { .. }),
        None => true,
    })
}

fn zero_unproved(of: &Subject<'_>, found: &mut Found) {
    let mut zones = Zones::before(of.plan);
    for step in &of.plan.steps {
        if let Action::Records(change) = &step.action {
            let put = of.action(step).key("put");
            for (record, spot) in change.put.iter().zip(put.items()) {
                let (Some(0), Some(set)) = (record.weight, &record.set) else { continue };
                let siblings = zones.siblings(&change.zone, &record.name, &record.kind);
                if siblings.iter().any(|other| other.set == record.set && other.weight == Some(0)) {
                    continue;
                }
                let region = of.leads_to(&change.zone, &record.name, &record.kind, set);
                if !looks_at(of, &step.gate, region) && !looks_at(of, &step.verify, region) {
                    let side = region.map_or(set.as_str(), |region| of.plan.region_label(region));
                    let message = format!("`{set}` answers as soon as the others fail, and no gate or verify looks at {side}");
                    found.at(spot.key("weight"), message, format!("gate on a monitor of {side}"));
                }
            }
        }
        zones.follow(&step.action);
    }
}

/// The set that gets all of the weight, and where that is said.
fn everything(shift: &Shift) -> Option<&str> {
    let mut with_weight = shift.weights.iter().filter(|(_, weight)| *weight > 0);
    let (set, _) = with_weight.next()?;
    with_weight.next().is_none().then_some(set.as_str())
}

fn before_test(of: &Subject<'_>, found: &mut Found) {
    let mut zones = Zones::before(of.plan);
    // Regions of which something was seen, or to which a part of the traffic was sent.
    let mut tested: Vec<&str> = Vec::new();
    let regions: Vec<&str> = of.plan.regions.iter().filter(|r| r.role != Role::Source).map(|r| r.name.as_str()).collect();
    for step in &of.plan.steps {
        let sent: Option<(Option<&str>, &str, _)> = match &step.action {
            Action::Shift(shift) => everything(shift)
                .map(|set| (of.leads_to(&shift.zone, &shift.record, &shift.kind, set), set, of.action(step).key("weights"))),
            Action::Records(change) => {
                let put = of.action(step).key("put");
                let mut after = zones.clone();
                after.change(change);
                let all = change.put.iter().zip(put.items()).find(|(record, _)| {
                    let alone = after.siblings(&change.zone, &record.name, &record.kind);
                    record.weight.is_some_and(|weight| weight > 0)
                        && alone
                            .iter()
                            .filter(|r| r.weight.is_some())
                            .all(|other| other.set == record.set || other.weight == Some(0))
                });
                all.and_then(|(record, spot)| {
                    let set = record.set.as_deref()?;
                    Some((of.leads_to(&change.zone, &record.name, &record.kind, set), set, spot))
                })
            }
            _ => None,
        };
        if let Some((Some(region), set, spot)) = sent
            && regions.contains(&region)
            && !tested.contains(&region)
            && !looks_at(of, &step.gate, Some(region))
        {
            let label = of.plan.region_label(region);
            let message = format!("`{set}` gets all of the traffic, and nothing before has shown that {label} works");
            found.at(spot, message, format!("send a part first, or gate on a monitor of {label}"));
        }
        for region in &regions {
            let partly = matches!(&step.action, Action::Shift(shift) if everything(shift).is_none()
                && shift.weights.iter().any(|(set, weight)| *weight > 0
                    && of.leads_to(&shift.zone, &shift.record, &shift.kind, set) == Some(region)));
            let watched = match &step.action {
                Action::Soak { conditions, .. } => looks_at(of, conditions, Some(region)),
                _ => false,
            };
            let seen = looks_at(of, &step.gate, Some(region)) || looks_at(of, &step.verify, Some(region));
            if (partly || watched || seen) && !tested.contains(region) {
                tested.push(region);
            }
        }
        zones.follow(&step.action);
    }
}

/// The least that a shift must be watched, in milliseconds.
fn least_ms(of: &Subject<'_>, step: &Step, ttl: u32) -> i64 {
    let metric = |ids: &[usize]| {
        ids.iter()
            .filter_map(|id| of.plan.monitors.get(of.plan.conditions.get(*id)?.monitor))
            .any(|monitor| matches!(monitor.source, Source::Metric(_)))
    };
    let delay = if metric(&step.verify) || metric(&step.gate) { METRIC_DELAY_MS } else { 0 };
    INSYNC_MS + i64::from(ttl) * 1_000 + delay
}

fn dwell(of: &Subject<'_>, found: &mut Found) {
    let mut zones = Zones::before(of.plan);
    for (number, step) in of.plan.steps.iter().enumerate() {
        if let Action::Shift(shift) = &step.action {
            let siblings = zones.siblings(&shift.zone, &shift.record, &shift.kind);
            let ttl = siblings.iter().filter_map(|record| record.ttl).max().unwrap_or(ALIAS_TTL);
            let least = least_ms(of, step, ttl);
            let held = step.verify.iter().filter_map(|id| of.plan.conditions.get(*id)).map(|c| c.for_ms).max().unwrap_or(0);
            let soaked = match of.plan.steps.get(number + 1).map(|next| &next.action) {
                Some(Action::Soak { for_ms, .. }) => *for_ms,
                _ => 0,
            };
            if held + soaked < least {
                let spot = of.spot(step);
                let at = spot.entry("verify").unwrap_or_else(|| of.action(step));
                let message = format!(
                    "the shift is watched for {}, and takes at least {} to be seen: INSYNC, a TTL of {ttl} s{}",
                    format_ms(held + soaked),
                    format_ms(least),
                    if least > INSYNC_MS + i64::from(ttl) * 1_000 { ", the delay of metrics" } else { "" }
                );
                found.at(at, message, format!("verify `for: {}` or longer", format_ms(least)));
            }
        }
        zones.follow(&step.action);
    }
}

fn no_samples(of: &Subject<'_>, found: &mut Found) {
    for step in &of.plan.steps {
        if !matches!(step.action, Action::Shift(_)) || step.verify.is_empty() {
            continue;
        }
        let enough = of.conditions(&step.verify).any(|(condition, monitor)| {
            let counted = matches!(condition.test, Test::Above(_, limit) if limit.unit == Unit::Count);
            // How many name servers moved is known whether anybody asks them or not.
            condition.samples > 0 || counted || matches!(monitor.source, Source::Dns(_))
        });
        if !enough {
            let message = "the verify asks for no number of samples or requests, so silence passes it";
            found.at(of.spot(step).key("verify"), message, "add `samples:` to a condition, or ask for requests on the new side");
        }
    }
}
