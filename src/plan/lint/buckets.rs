//! Lints about rules of replication: what S3 asks of both buckets, and what a rule leaves out.

use std::collections::BTreeSet;

use super::subject::{Found, Subject};
use super::template::{self, Resource};
use super::{Level, Lint, scripts};

pub const LINTS: &[Lint] = &[
    Lint {
        name: "replication-unversioned",
        rules: &[15],
        level: Level::Error,
        line: "A bucket is replicated that keeps no versions",
        why: "S3 takes a rule of replication only for a bucket whose versioning is enabled, and only toward such a bucket. A \
              template without it fails when its stack is made; with versioning suspended, too. Versioning cannot be taken back \
              but only suspended, and old versions cost storage: a lifecycle rule for them belongs to it.",
        wrong: "# in the template\nResources:\n  Recordings:\n    Type: AWS::S3::Bucket\n    Properties:\n      ReplicationConfiguration: {Role: !GetAtt Role.Arn, Rules: [...]}",
        right: "# in the template\nResources:\n  Recordings:\n    Type: AWS::S3::Bucket\n    Properties:\n      VersioningConfiguration: {Status: Enabled}\n      ReplicationConfiguration: {Role: !GetAtt Role.Arn, Rules: [...]}",
        check: Some(unversioned),
    },
    Lint {
        name: "delete-markers",
        rules: &[15],
        level: Level::Warning,
        line: "A rule of replication does not say what becomes of what is deleted",
        why: "By default a delete marker is not replicated: what somebody deletes in the old region stays in the new one, where a \
              patient's recording that had to go is found again after the move. Deletions of single versions are never \
              replicated, whatever the rule says. A rule with a filter by tags refuses delete markers altogether.\n\nSaying \
              `Disabled` is an answer as well: then somebody has decided it.",
        wrong: "ReplicationConfiguration:\n  Role: !GetAtt Role.Arn\n  Rules: [{Status: Enabled, Priority: 1, Filter: {Prefix: \"\"}, Destination: {Bucket: !Ref Target}}]",
        right: "ReplicationConfiguration:\n  Role: !GetAtt Role.Arn\n  Rules: [{Status: Enabled, Priority: 1, Filter: {Prefix: \"\"}, DeleteMarkerReplication: {Status: Enabled}, Destination: {Bucket: !Ref Target}}]",
        check: Some(delete_markers),
    },
    Lint {
        name: "encrypted-not-copied",
        rules: &[15],
        level: Level::Warning,
        line: "A bucket is encrypted with a key of KMS, and its rule of replication leaves such objects out",
        why: "Objects that are encrypted with a key of KMS are replicated only where the rule says so \
              (`SourceSelectionCriteria` with `SseKmsEncryptedObjects`) and names a key of the other region. Without it nothing \
              fails and nothing waits: the lag is zero, and the objects are not there.",
        wrong: "BucketEncryption: {ServerSideEncryptionConfiguration: [{ServerSideEncryptionByDefault: {SSEAlgorithm: \"aws:kms\"}}]}\nReplicationConfiguration:\n  Rules: [{Status: Enabled, Destination: {Bucket: !Ref Target}}]",
        right: "BucketEncryption: {ServerSideEncryptionConfiguration: [{ServerSideEncryptionByDefault: {SSEAlgorithm: \"aws:kms\"}}]}\nReplicationConfiguration:\n  Rules:\n    - Status: Enabled\n      SourceSelectionCriteria: {SseKmsEncryptedObjects: {Status: Enabled}}\n      Destination: {Bucket: !Ref Target, EncryptionConfiguration: {ReplicaKmsKeyID: !Ref TargetKey}}",
        check: Some(encrypted),
    },
    Lint {
        name: "replica-chain",
        rules: &[15],
        level: Level::Warning,
        line: "A third bucket is to get what the second one got by replication",
        why: "Replicas are not replicated again. With a rule from A to B and one from B to C, what is written to A reaches B and \
              no further; C holds only what somebody wrote to B. Every source needs a rule of its own toward each bucket that \
              is to have its objects.",
        wrong: "monitors:\n  lag: {s3-replication: {source: ireland, destination: frankfurt, ...}}\n  lag-africa: {s3-replication: {source: frankfurt, destination: cape-town, ...}}",
        right: "monitors:\n  lag: {s3-replication: {source: ireland, destination: frankfurt, ...}}\n  lag-africa: {s3-replication: {source: ireland, destination: cape-town, ...}}",
        check: Some(chain),
    },
];

/// What CloudFormation calls a bucket's rules.
const RULES: &str = "ReplicationConfiguration";

/// Every bucket of a template that is replicated, told of once for each template: path, text, the bucket.
fn replicated<'a>(of: &Subject<'a>) -> Vec<(&'a str, &'a str, Resource)> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for applied in of.templates().into_iter().filter(|applied| seen.insert(applied.path)) {
        let buckets = template::resources(applied.text).into_iter().filter(|r| r.kind == "AWS::S3::Bucket" && r.has(RULES));
        out.extend(buckets.map(|bucket| (applied.path, applied.text, bucket)));
    }
    out
}

fn unversioned(of: &Subject<'_>, found: &mut Found) {
    for (path, text, bucket) in replicated(of) {
        let why = if !bucket.has("VersioningConfiguration") {
            "keeps no versions"
        } else if bucket.said("Status").iter().any(|status| status == "Suspended") {
            "has its versioning suspended"
        } else {
            continue;
        };
        let message = format!("{} is replicated and {why}, which S3 refuses", bucket.id);
        found.in_file(path, text, bucket.at, message, "add `VersioningConfiguration: {Status: Enabled}`");
    }
}

fn delete_markers(of: &Subject<'_>, found: &mut Found) {
    const SAYS: &str = "DeleteMarkerReplication";
    let help = "say `DeleteMarkerReplication: {Status: Enabled}`, or `Disabled` where that is meant";
    for (path, text, bucket) in replicated(of).into_iter().filter(|(_, _, bucket)| !bucket.has(SAYS)) {
        let message = format!("what is deleted from {} stays in its copy", bucket.id);
        found.in_file(path, text, bucket.at, message, help);
    }
    for used in scripts::all(of) {
        // A script that writes rules of its own names their destination; others only pass on what is there.
        let writes = used.script.text.contains("Destination") && !used.script.text.contains(SAYS);
        let commands = scripts::commands(&used.script.text);
        let put = commands.iter().find(|command| writes && command.has(&["s3api", "put-bucket-replication"]));
        if let Some(command) = put {
            let message = "what is deleted from the bucket stays in its copy".to_owned();
            scripts::tell(found, &used, command, message, help);
        }
    }
}

fn encrypted(of: &Subject<'_>, found: &mut Found) {
    for (path, text, bucket) in replicated(of) {
        let by_kms = bucket.said("SSEAlgorithm").iter().any(|algorithm| algorithm.starts_with("aws:kms"));
        if by_kms && !bucket.has("SseKmsEncryptedObjects") {
            let message = format!("{} is encrypted with a key of KMS, and its rule leaves such objects out", bucket.id);
            let help = "add `SourceSelectionCriteria: {SseKmsEncryptedObjects: {Status: Enabled}}` and the other region's key";
            found.in_file(path, text, bucket.at, message, help);
        }
    }
}

fn chain(of: &Subject<'_>, found: &mut Found) {
    let pairs = of.replications();
    for (first, second, _) in &pairs {
        for (_, third, monitor) in pairs.iter().filter(|(from, to, _)| from == second && to != first) {
            if !pairs.iter().any(|(from, to, _)| from == first && to == third) {
                let message = format!("what `{first}` sends to `{second}` is not sent on to `{third}`");
                let help = format!("add a rule from `{first}` to `{third}`, and a monitor for it");
                found.at(of.places.monitor(&monitor.name), message, help);
            }
        }
    }
}
