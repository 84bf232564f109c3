//! Lints about stacks and their templates.

use std::collections::BTreeSet;

use super::subject::{Found, Subject};
use super::{Level, Lint, template};
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
