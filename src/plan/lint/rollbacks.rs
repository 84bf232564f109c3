//! Lints about the ways back.

use std::collections::BTreeSet;

use super::subject::{Found, Subject};
use super::{Level, Lint, scripts};
use crate::plan::{Action, FaultKind, Monitor, ROUTE53_REGION, Source, StackChange, Step};

pub const LINTS: &[Lint] = &[
    Lint {
        name: "needs-route53",
        rules: &[5],
        level: Level::Warning,
        line: "Every way to safety needs Route 53's control plane",
        why: "Records and health checks are changed through us-east-1, wherever the zone's users are. When us-east-1 is away, \
              which has happened for hours, a rollback that puts records back cannot be run, while Route 53 goes on answering \
              and checking health. What works then is the data plane: a health check, made beforehand, that follows something \
              which can be flipped elsewhere. A `switch` in a rollback does that.\n\nA plan that rehearses this outage (a \
              scenario with `control-plane-away: us-east-1`) knows what it can do without, and is not told again.",
        wrong: "rollbacks:\n  back:\n    to: eu-west-1\n    restores: the weights\n    steps:\n      - {id: traffic, title: Put the weights back, restore: [shift-10, shift-50]}",
        right: "rollbacks:\n  back: ...\n  switch:\n    to: eu-west-1\n    restores: nothing; the weights stay\n    steps:\n      - id: flip\n        title: Let Frankfurt's health check fail\n        switch: {health-check: 5f0a1d2c, region: eu-west-1, namespace: Example/Cutover, name: LeaveFrankfurt, value: 1}",
        check: Some(needs_route53),
    },
    Lint {
        name: "never-armed",
        rules: &[32, 37],
        level: Level::Warning,
        line: "Nothing could ever prove that a rollback's region answers",
        why: "That a region's services answer is proved by what is read of them anyway: the stacks and metrics that are \
              monitored there. A rollback that flips a switch or changes a stack in a region in which nothing is monitored has \
              no such proof. It could be confirmed by hand, and is never armed.",
        wrong: "switch: {health-check: abc, region: af-south-1, namespace: Example, name: Leave, value: 1}    # and no monitor reads anything in af-south-1",
        right: "monitors:\n  requests-cape-town: {metric: {...}, region: af-south-1}",
        check: Some(never_armed),
    },
    Lint {
        name: "stack-before-traffic",
        rules: &[37],
        level: Level::Warning,
        line: "A rollback deletes a stack before it has moved the traffic",
        why: "A rollback begins because people are not served. One that deletes the stacks of the region first takes away what \
              still answers, and then moves the traffic; until the deletion has ended, and for as long as resolvers remember \
              the old answer, nobody is served at all. Traffic first, then the proof that none arrives, then the stacks.",
        wrong: "steps:\n  - {id: delete, title: Delete the stack, stack: {name: app, region: eu-central-1, delete: true}}\n  - {id: traffic, title: Put the weights back, restore: [shift-100]}",
        right: "steps:\n  - {id: traffic, title: Put the weights back, restore: [shift-100]}\n  - id: delete\n    title: Delete the stack\n    gate: [{monitor: requests-frankfurt, stat: max, below: 1, over: 5m, for: 15m}]\n    stack: {name: app, region: eu-central-1, delete: true}",
        check: Some(stack_first),
    },
    Lint {
        name: "delete-without-proof",
        rules: &[32],
        level: Level::Warning,
        line: "A rollback deletes a stack and asks for no proof that nobody needs it",
        why: "Moving traffic in a rollback is never gated, because it must always be possible. Deleting is the opposite: it can \
              wait, and cannot be taken back. Resolvers and open connections bring requests long after the weights were \
              changed, so a stack goes only behind a gate that has seen that none arrive.",
        wrong: "- {id: delete, title: Delete the stack, stack: {name: app, region: eu-central-1, delete: true}}",
        right: "- id: delete\n  title: Delete the stack\n  gate: [{monitor: requests-frankfurt, stat: max, below: 1, over: 5m, for: 15m}]\n  stack: {name: app, region: eu-central-1, delete: true}",
        check: Some(without_proof),
    },
    Lint {
        name: "rollback-adds-set",
        rules: &[10],
        level: Level::Warning,
        line: "A rollback writes a set identifier that the plan never made",
        why: "A weighted record is known by its set identifier. A rollback that writes one with a new identifier adds a sibling \
              and leaves those that are there with the weights they have: with 100 here and 100 there, half of the traffic \
              stays where it was. `restore` computes the inverse of what was really changed.",
        wrong: "- id: traffic\n  title: Everything back to Ireland\n  records:\n    zone: Z1234567890ABC\n    put:\n      - {name: api.example.com, type: A, set: ireland-primary, weight: 100, ttl: 60s, values: [192.0.2.20]}",
        right: "- {id: traffic, title: Everything back to Ireland, restore: [shift-10, shift-50, shift-100]}",
        check: Some(adds_set),
    },
];

/// Whether a step moves traffic. A restore of nothing but edits does not, and is not told apart: it is followed by one that
/// does, or by a person who looks.
pub fn moves_traffic(step: &Step) -> bool {
    match &step.action {
        Action::Restore { .. } | Action::Shift(_) | Action::Records(_) | Action::HealthCheck(_) | Action::Switch(_) => true,
        Action::Shell(script) => {
            scripts::commands(&script.text).iter().any(|command| command.has(&["route53", "change-resource-record-sets"]))
        }
        _ => false,
    }
}

fn needs_route53(of: &Subject<'_>, found: &mut Found) {
    let plan = of.plan;
    let moved = plan.steps.iter().any(|s| matches!(s.action, Action::Shift(_) | Action::Records(_)));
    // A script that moves traffic changes records, whatever it says of control planes.
    let needs = |step: &Step| {
        step.control_planes.iter().any(|region| region == ROUTE53_REGION) || matches!(step.action, Action::Shell(_))
    };
    let moving = plan.rollbacks.iter().filter(|rollback| rollback.steps.iter().any(moves_traffic));
    // What counts is the first that moves anybody: the rest can wait until us-east-1 answers again.
    let without = |rollback: &&crate::plan::Rollback| rollback.steps.iter().find(|s| moves_traffic(s)).is_some_and(|s| !needs(s));
    let (with, other): (Vec<_>, Vec<_>) = moving.partition(|rollback| !without(rollback));
    let rehearsed = of.scenarios.iter().flat_map(|s| &s.faults).any(|fault| match &fault.kind {
        FaultKind::ControlPlaneAway(region) => region == ROUTE53_REGION,
        _ => false,
    });
    if let (true, true, false, Some(first)) = (moved, other.is_empty(), rehearsed, with.first()) {
        let message = "no rollback moves traffic without Route 53's control plane in us-east-1";
        found.at(of.places.rollback(&first.name), message, "add one with a `switch`, or rehearse the outage in a scenario");
    }
}

/// That a region's services answer is proved by what is read of them anyway: the stacks and metrics that are monitored
/// there. Without any the rollback could be confirmed, and never be armed.
fn never_armed(of: &Subject<'_>, found: &mut Found) {
    for step in of.plan.rollbacks.iter().flat_map(|rollback| &rollback.steps) {
        let region = match &step.action {
            Action::Switch(switch) => &switch.region,
            Action::Stack(stack) => &stack.region,
            _ => continue,
        };
        let proves = |monitor: &Monitor| {
            !matches!(monitor.source, Source::Http(_) | Source::Dns(_)) && monitor.region.as_ref() == Some(region)
        };
        if !of.plan.monitors.iter().any(proves) {
            let message = format!("nothing is monitored that shows whether {region} answers, so this rollback is never armed");
            found.at(of.action(step), message, format!("add a monitor with `stack` or `metric` and `region: {region}`"));
        }
    }
}

fn deletes(step: &Step) -> bool {
    match &step.action {
        Action::Stack(stack) => stack.change == StackChange::Delete,
        Action::Shell(script) => {
            scripts::commands(&script.text).iter().any(|command| command.has(&["cloudformation", "delete-stack"]))
        }
        _ => false,
    }
}

fn stack_first(of: &Subject<'_>, found: &mut Found) {
    for rollback in &of.plan.rollbacks {
        let before = rollback.steps.iter().take_while(|step| !moves_traffic(step));
        for step in before.filter(|step| deletes(step)) {
            let message = format!("`{}` deletes this stack before it has moved any traffic", rollback.name);
            found.at(of.action(step), message, "move the traffic first");
        }
    }
}

fn without_proof(of: &Subject<'_>, found: &mut Found) {
    for rollback in &of.plan.rollbacks {
        let mut proved = false;
        for step in &rollback.steps {
            proved |= !step.gate.is_empty() || matches!(&step.action, Action::Soak { conditions, .. } if !conditions.is_empty());
            if deletes(step) && !proved {
                let message = format!("`{}` deletes this stack without a proof that nothing needs it", rollback.name);
                found.at(of.action(step), message, "gate it on the requests that still arrive");
            }
        }
    }
}

/// The set identifiers that are known of a name: what the drill's world has, what the traffic's targets are, what the
/// phases make.
pub fn known_sets<'a>(of: &Subject<'a>, zone: &str, name: &str, kind: &str) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    let plan = of.plan;
    if let Some(traffic) = plan.traffic.as_ref().filter(|t| t.zone == zone && t.record == name && t.kind == kind) {
        known.extend(traffic.targets.iter().map(|(set, _)| set.as_str()));
    }
    let same = |record: &&crate::plan::RecordSet| record.name == name && record.kind == kind;
    let world = plan.drill.records.iter().filter(|(of, _)| of == zone).map(|(_, record)| record);
    let puts = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Records(change) if change.zone == zone => Some(change),
        _ => None,
    });
    known.extend(world.chain(puts.flat_map(|change| &change.put)).filter(same).filter_map(|r| r.set.as_deref()));
    known
}

/// The values of a key in JSON that stands in a script.
fn json_values(word: &str, key: &str) -> Vec<String> {
    let quoted = format!("\"{key}\"");
    let rest = word.match_indices(&quoted).map(|(at, _)| word[at + quoted.len()..].trim_start_matches([' ', ':', '\n']));
    rest.filter_map(|rest| Some(rest.strip_prefix('"')?.split_once('"')?.0.to_owned())).collect()
}

/// The same in a script that changes records by the AWS CLI.
fn adds_set_by_script(of: &Subject<'_>, found: &mut Found) {
    let Some(traffic) = &of.plan.traffic else { return };
    let known = known_sets(of, &traffic.zone, &traffic.record, &traffic.kind);
    for used in scripts::all(of).into_iter().filter(|used| used.rollback.is_some()) {
        for command in scripts::commands(&used.script.text) {
            if !command.has(&["route53", "change-resource-record-sets"]) {
                continue;
            }
            let all: Vec<String> = command.words.iter().map(|word| scripts::filled(word, used.script)).collect();
            let about =
                all.iter().flat_map(|word| json_values(word, "Name")).any(|name| name.trim_end_matches('.') == traffic.record);
            let sets = all.iter().flat_map(|word| json_values(word, "SetIdentifier"));
            for set in sets.filter(|set| about && !known.is_empty() && !known.contains(set.as_str())) {
                let message = format!("the plan never makes a set `{set}` of `{}`", traffic.record);
                scripts::tell(found, &used, &command, message, "use `restore:`, which takes back what was really changed");
            }
        }
    }
}

fn adds_set(of: &Subject<'_>, found: &mut Found) {
    adds_set_by_script(of, found);
    for (step, _) in of.every_step().filter(|(_, rollback)| rollback.is_some()) {
        let spot = of.action(step);
        let written: Vec<(&str, &str, &str, &str, _)> = match &step.action {
            Action::Records(change) => (change.put.iter().zip(spot.key("put").items()))
                .filter_map(|(r, at)| Some((change.zone.as_str(), r.name.as_str(), r.kind.as_str(), r.set.as_deref()?, at)))
                .collect(),
            Action::Shift(shift) => (shift.weights.iter().zip(spot.key("weights").entries()))
                .map(|((set, _), (_, at))| (shift.zone.as_str(), shift.record.as_str(), shift.kind.as_str(), set.as_str(), at))
                .collect(),
            _ => continue,
        };
        for (zone, name, kind, set, at) in written {
            let known = known_sets(of, zone, name, kind);
            if !known.is_empty() && !known.contains(set) {
                let all: Vec<&str> = known.into_iter().collect();
                let message = format!("the plan never makes a set `{set}` of `{name}`: it has {}", all.join(", "));
                found.at(at, message, "use `restore:`, which takes back what was really changed");
            }
        }
    }
}
