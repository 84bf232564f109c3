//! Lints about replication: what is copied, and what is left behind.

use super::subject::{Found, Subject};
use super::{Level, Lint, scripts};
use crate::plan::{Action, Source, Step, Undo};

pub const LINTS: &[Lint] = &[
    Lint {
        name: "no-backfill",
        rules: &[13],
        level: Level::Warning,
        line: "Objects are replicated, and no step copies those that were there before",
        why: "S3 replication copies objects that are written from now on. What was in the bucket before stays where it is, and \
              the lag is zero all the same: there is nothing waiting. The day on which somebody asks for last year's recording \
              is the day after the old region was switched off. Existing objects need S3 Batch Replication, and the proof is \
              a comparison of both inventories.\n\nA step counts when it says so in its id, title, note, items or script: \
              backfill, batch replication, inventories, or `s3control create-job`.",
        wrong: "monitors:\n  lag: {s3-replication: {source: recordings-ireland, destination: recordings-frankfurt, rule: all, source-region: eu-west-1, destination-region: eu-central-1, metric: latency}}\n# ... and no step says a word about the objects that exist",
        right: "- id: backfill\n  title: Copy what was there before\n  checklist:\n    items:\n      - S3 Batch Replication finished without failures\n      - Inventories of both sides agree in count and bytes\n  undo: nothing",
        check: Some(no_backfill),
    },
    Lint {
        name: "no-replication-back",
        rules: &[15],
        level: Level::Warning,
        line: "Buckets are replicated in one direction, and there is a rollback",
        why: "Replication goes one way. As soon as people write in the new region, what they write is there and nowhere else, \
              and a rollback leaves it behind: after a day at 50 % that is half a day of recordings. A way back needs a rule in \
              the other direction, and a monitor that shows its lag.",
        wrong: "monitors:\n  lag: {s3-replication: {source: a, destination: b, rule: out, source-region: eu-west-1, destination-region: eu-central-1, metric: latency}}\nrollbacks:\n  back: {to: eu-west-1, ...}",
        right: "monitors:\n  lag: {s3-replication: {source: a, destination: b, rule: out, source-region: eu-west-1, destination-region: eu-central-1, metric: latency}}\n  lag-back: {s3-replication: {source: b, destination: a, rule: back, source-region: eu-central-1, destination-region: eu-west-1, metric: latency}}",
        check: Some(no_way_back),
    },
    Lint {
        name: "rollback-leaves-data",
        rules: &[15, 37],
        level: Level::Warning,
        line: "A rollback does not ask whether data has come back",
        why: "The plan replicates data, and this rollback names no monitor under `replication:`. It is armed whatever the lag of \
              the way back is, and when it is run nobody knows how much of what was written since stays behind. With the \
              monitors named, the screen shows the data at risk, and the rollback is armed only while it is within the \
              recovery point objective.",
        wrong: "rollbacks:\n  back:\n    to: eu-west-1\n    restores: the weights\n    steps: [...]",
        right: "rollbacks:\n  back:\n    to: eu-west-1\n    restores: the weights\n    replication: [lag-back]\n    steps: [...]",
        check: Some(leaves_data),
    },
    Lint {
        name: "promotion-not-one-way",
        rules: &[17],
        level: Level::Warning,
        line: "A read replica is promoted in a step that is not one-way",
        why: "Promoting a read replica reboots it and cuts it off from its primary for good: it cannot become a replica again, \
              and from then on there are two databases that differ. A step that does it and says `undo: nothing` or a word \
              about doing it by hand promises a way back that is not there. Marked as one-way, it asks before, and every \
              rollback after it says what it will not take back.",
        wrong: "- id: promote\n  title: Promote the replica\n  checklist: {items: [Promote the read replica in Frankfurt]}\n  undo: nothing",
        right: "- id: promote\n  title: Promote the replica\n  checklist: {items: [Promote the read replica in Frankfurt]}\n  undo: {one-way: a promoted replica cannot follow its primary again}",
        check: Some(promotion),
    },
];

/// Words that a step uses which deals with the objects that are there already.
const BACKFILL: [&str; 5] = ["backfill", "batch replication", "inventor", "s3control create-job", "s3batch"];

fn no_backfill(of: &Subject<'_>, found: &mut Found) {
    let says = |step: &Step| {
        let words = of.words(step).into_iter().map(|(text, _)| text);
        let script = match &step.action {
            Action::Shell(script) => script.text.as_str(),
            _ => "",
        };
        let all: Vec<String> = words.chain([step.id.as_str(), script]).map(str::to_lowercase).collect();
        BACKFILL.iter().any(|word| all.iter().any(|text| text.contains(word)))
    };
    let pairs = of.replications();
    let scripts = scripts::all(of);
    let begins = scripts.iter().find(|used| {
        scripts::commands(&used.script.text).iter().any(|command| command.has(&["s3api", "put-bucket-replication"]))
    });
    if pairs.is_empty() && begins.is_none() || of.plan.steps.iter().any(says) {
        return;
    }
    let help = "add a step for S3 Batch Replication and compare inventories";
    if let Some((from, to, monitor)) = pairs.first() {
        let message = format!("`{from}` is replicated to `{to}`, and no step copies the objects that are there already");
        found.at(of.places.monitor(&monitor.name), message, help);
    } else if let Some(used) = begins {
        found.at(used.spot, "a replication begins here, and no step copies the objects that are there already", help);
    }
}

fn no_way_back(of: &Subject<'_>, found: &mut Found) {
    let pairs = of.replications();
    if of.plan.rollbacks.is_empty() {
        return;
    }
    for (from, to, monitor) in &pairs {
        if !pairs.iter().any(|(other_from, other_to, _)| other_from == to && other_to == from) {
            let message = format!("nothing shows that what is written to `{to}` is replicated back to `{from}`");
            found.at(of.places.monitor(&monitor.name), message, "add a rule in the other direction, and a monitor for it");
        }
    }
}

fn leaves_data(of: &Subject<'_>, found: &mut Found) {
    let replicates = of.plan.monitors.iter().any(|m| matches!(&m.source, Source::Metric(metric) if metric.replication));
    for rollback in of.plan.rollbacks.iter().filter(|r| r.replication.is_empty() && replicates && moves_traffic(r)) {
        let label = of.plan.region_label(&rollback.to);
        let message = format!("`{}` leads to {label} and does not ask whether data has come there", rollback.name);
        found.at(of.places.rollback(&rollback.name), message, "name the monitors of the replication under `replication:`");
    }
}

fn moves_traffic(rollback: &crate::plan::Rollback) -> bool {
    rollback.steps.iter().any(super::rollbacks::moves_traffic)
}

fn promotion(of: &Subject<'_>, found: &mut Found) {
    for (step, rollback) in of.every_step() {
        if rollback.is_some() || matches!(step.undo, Undo::OneWay(_)) {
            continue;
        }
        if let Action::Shell(script) = &step.action
            && scripts::commands(&script.text).iter().any(|command| command.has(&["rds", "promote-read-replica"]))
        {
            let message = format!("`{}` promotes a replica, which nothing takes back", step.id);
            found.at(of.action(step), message, "write `undo: {one-way: ...}`");
            continue;
        }
        for (text, spot) in of.words(step) {
            let text = text.to_lowercase();
            // A sentence that says what is not done, or not yet, promises nothing.
            let negated = text.contains("not promote") || text.contains("never promote") || text.contains("no promotion");
            if text.contains("promot") && text.contains("replica") && !negated {
                let message = format!("`{}` promotes a replica, which nothing takes back", step.id);
                found.at(spot, message, "write `undo: {one-way: ...}`");
                break;
            }
        }
    }
}
