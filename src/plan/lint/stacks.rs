//! Lints about stacks and their templates.

use std::collections::BTreeSet;

use super::scripts::Protection;
use super::subject::{Found, Subject};
use super::{Level, Lint, scripts, template};
use crate::plan::{Action, StackChange, Step};

pub const LINTS: &[Lint] = &[
    Lint {
        name: "data-not-retained",
        rules: &[23],
        level: Level::Warning,
        line: "A resource that holds data or keys goes when its stack goes",
        why: "Without `DeletionPolicy: Retain` a resource is deleted with its stack. For a table that is the data; for a key it \
              is every object that was encrypted with it, wherever that object is: what a bucket kept cannot be read any more. \
              A rollback that deletes stacks does this at the worst moment. `Snapshot` counts for databases. Add \
              `UpdateReplacePolicy: Retain` as well, for the day on which an update replaces the resource.",
        wrong: "# in the template\nResources:\n  Key:\n    Type: AWS::KMS::Key",
        right: "# in the template\nResources:\n  Key:\n    Type: AWS::KMS::Key\n    DeletionPolicy: Retain\n    UpdateReplacePolicy: Retain",
        check: Some(not_retained),
    },
    Lint {
        name: "export-in-use",
        rules: &[23],
        level: Level::Warning,
        line: "A stack is deleted while another one imports what it exports",
        why: "CloudFormation does not delete a stack of which an export is in use. The deletion fails, and the rollback or the \
              phase stops there with a stack in `DELETE_FAILED`. The stack that imports goes first.",
        wrong: "- {id: delete-shared, title: Delete the shared stack, stack: {name: shared, region: eu-central-1, delete: true}}\n- {id: delete-app, title: Delete the app, stack: {name: app, region: eu-central-1, delete: true}}    # imports shared-key",
        right: "- {id: delete-app, title: Delete the app, stack: {name: app, region: eu-central-1, delete: true}}\n- {id: delete-shared, title: Delete the shared stack, stack: {name: shared, region: eu-central-1, delete: true}}",
        check: Some(export_in_use),
    },
    Lint {
        name: "protected-stack",
        rules: &[23],
        level: Level::Warning,
        line: "A stack is deleted that a script has protected from deletion",
        why: "CloudFormation refuses to delete a stack whose termination protection is on: the step fails on its first call, in a \
              rollback as well. Protection is right for a stack that serves people; whoever wants to delete it takes it off \
              before, in a step of its own, so that somebody has thought about it. `check --live` looks at the stacks that \
              are there already.",
        wrong: "- id: protect\n  shell: {run: \"aws cloudformation update-termination-protection --enable-termination-protection --stack-name app --region eu-central-1\"}\n- {id: delete, title: Delete it, stack: {name: app, region: eu-central-1, delete: true}}",
        right: "- id: unprotect\n  shell: {run: \"aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name app --region eu-central-1\"}\n- {id: delete, title: Delete it, stack: {name: app, region: eu-central-1, delete: true}}",
        check: Some(protected),
    },
    Lint {
        name: "key-not-multi-region",
        rules: &[29],
        level: Level::Warning,
        line: "A key is to be replicated to another region that was not made for it",
        why: "Whether a key of KMS is multi-region is said when it is made, and can never be changed. A replica of any other key is \
              refused, and what such a key has encrypted has to be decrypted and encrypted again with another one: with a \
              bucket full of recordings that is a migration of its own.",
        wrong: "# in the template\nKey:\n  Type: AWS::KMS::Key\n  DeletionPolicy: Retain\n# and in a script\naws kms replicate-key --key-id \"$KEY\" --replica-region eu-central-1",
        right: "# in the template\nKey:\n  Type: AWS::KMS::Key\n  DeletionPolicy: Retain\n  Properties: {MultiRegion: true}",
        check: Some(single_region),
    },
];

/// Types of resources that hold data, or without which data cannot be read.
const HOLDS_DATA: [&str; 14] = [
    "AWS::Cognito::UserPool",
    "AWS::DocDB::DBCluster",
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::EC2::Volume",
    "AWS::EFS::FileSystem",
    "AWS::KMS::Key",
    "AWS::KMS::ReplicaKey",
    "AWS::Neptune::DBCluster",
    "AWS::OpenSearchService::Domain",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
];

fn not_retained(of: &Subject<'_>, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for applied in of.templates() {
        if !seen.insert(applied.path) {
            continue;
        }
        for resource in template::resources(applied.text) {
            let kept = matches!(resource.deletion_policy.as_deref(), Some("Retain" | "RetainExceptOnCreate" | "Snapshot"));
            if HOLDS_DATA.contains(&resource.kind.as_str()) && !kept {
                let message = format!("{} ({}) goes with the stack `{}`", resource.id, resource.kind, applied.name);
                let help = "add `DeletionPolicy: Retain` and `UpdateReplacePolicy: Retain`";
                found.in_file(applied.path, applied.text, resource.at, message, help);
            }
        }
    }
}

fn export_in_use(of: &Subject<'_>, found: &mut Found) {
    let applied = of.templates();
    let own: Vec<&Step> = of.plan.steps.iter().collect();
    let sequences = std::iter::once(own).chain(of.plan.rollbacks.iter().map(|rollback| rollback.steps.iter().collect()));
    for steps in sequences {
        let mut gone: Vec<(&str, &str)> = Vec::new();
        for step in steps {
            let Action::Stack(stack) = &step.action else { continue };
            if stack.change != StackChange::Delete {
                continue;
            }
            let here = (stack.region.as_str(), stack.name.as_str());
            gone.push(here);
            let exports: Vec<String> =
                (applied.iter().filter(|a| (a.region, a.name) == here)).flat_map(|a| template::exports(a.text)).collect();
            let user = applied.iter().find_map(|a| {
                let stays = a.region == stack.region && !gone.contains(&(a.region, a.name));
                let used = template::imports(a.text).into_iter().find(|name| exports.contains(name)).filter(|_| stays)?;
                Some((a.name, used))
            });
            if let Some((user, export)) = user {
                let message = format!("`{}` exports `{export}`, which the stack `{user}` imports", stack.name);
                found.at(of.action(step), message, format!("delete `{user}` first"));
            }
        }
    }
}

fn protected(of: &Subject<'_>, found: &mut Found) {
    // What protects a stack and what takes that off, in the order in which it is done.
    let mut said: Vec<Protection> = Vec::new();
    let scripts = scripts::all(of);
    for (step, _) in of.every_step() {
        for used in scripts.iter().filter(|used| used.step.id == step.id && !used.is_undo) {
            said.extend(scripts::protections(used.script));
        }
        let Action::Stack(stack) = &step.action else { continue };
        let last = said.iter().rev().find(|said| said.is_of(&stack.region, &stack.name));
        if stack.change == StackChange::Delete && last.is_some_and(|last| last.on) {
            let message = format!("the stack `{}` is protected from deletion by an earlier script", stack.name);
            found.at(of.action(step), message, "take the protection off in a step before");
        }
    }
}

fn single_region(of: &Subject<'_>, found: &mut Found) {
    let help = "say `MultiRegion: true` when the key is made; it cannot be said later";
    let scripts = scripts::all(of);
    let calls = |words: &[&str]| scripts.iter().any(|used| scripts::commands(&used.script.text).iter().any(|c| c.has(words)));
    let templates = of.templates();
    let resources = || templates.iter().flat_map(|a| template::resources(a.text).into_iter().map(move |r| (a, r)));
    let replicated = calls(&["kms", "replicate-key"]) || resources().any(|(_, r)| r.kind == "AWS::KMS::ReplicaKey");
    if !replicated {
        return;
    }
    // Which of several keys is meant nobody can tell from the text; with one that is fit for it, it is that one.
    let fit = resources().any(|(_, r)| r.kind == "AWS::KMS::Key" && r.said("MultiRegion").iter().any(|said| said == "true"))
        || calls(&["kms", "create-key", "--multi-region"]);
    let mut seen = BTreeSet::new();
    for (applied, key) in resources().filter(|(a, r)| !fit && r.kind == "AWS::KMS::Key" && seen.insert((a.path, r.id.clone()))) {
        let message = format!("{} is of one region, and a replica of it is asked for", key.id);
        found.in_file(applied.path, applied.text, key.at, message, help);
    }
    for used in scripts.iter().filter(|_| !fit) {
        for command in scripts::commands(&used.script.text).iter().filter(|command| command.has(&["kms", "create-key"])) {
            scripts::tell(found, used, command, "the key is of one region, and a replica is asked for".to_owned(), help);
        }
    }
}
