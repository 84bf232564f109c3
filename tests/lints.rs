//! Every lint has a plan that trips it and one that does not, and every name that can be told is in the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::path::Path;

use cutover::plan::lint::{self, Level};
use cutover::plan::load::{Disk, Files, Loaded, Problem, load};

const CLEAN: &str = include_str!("plans/lints/clean.yaml");
const SHARED: &str = "\
Parameters:
  Domain: {Type: String}
Resources:
  Key:
    Type: AWS::KMS::Key
    DeletionPolicy: Retain
  Record:
    Type: AWS::Route53::RecordSet
    Properties:
      Name: !Ref Domain
Outputs:
  Key:
    Value: !GetAtt Key.Arn
    Export: {Name: shared-key}
";
const APP: &str = "\
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
  Role:
    Type: AWS::IAM::Role
    Properties: {Key: !ImportValue shared-key}
";

/// A folder in memory.
struct Memory(BTreeMap<&'static str, String>);

impl Files for Memory {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        self.0.get(path).map(|text| text.clone().into_bytes()).ok_or_else(|| Error::new(ErrorKind::NotFound, "not there"))
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let names = self.0.keys().filter_map(|path| path.strip_prefix(dir)?.strip_prefix('/'));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }
}

/// Texts that are replaced, in whichever file has them.
type Edits = &'static [(&'static str, &'static str)];

/// What is told of the clean plan after some edits.
fn told(edits: Edits) -> Vec<Problem> {
    told_of(&[("plan.yaml", CLEAN), ("templates/shared.yaml", SHARED), ("templates/app.yaml", APP)], edits)
}

/// What is told of a plan after some edits.
fn told_of(of: &[(&'static str, &'static str)], edits: Edits) -> Vec<Problem> {
    let mut files: BTreeMap<&'static str, String> = of.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    for (from, to) in edits {
        if let Some(path) = from.strip_prefix("+") {
            files.insert(path, (*to).to_owned());
            continue;
        }
        let file = files.values_mut().find(|text| text.contains(from)).unwrap_or_else(|| panic!("no file has `{from}`"));
        *file = file.replacen(from, to, 1);
    }
    match load(&Memory(files), "plan.yaml") {
        Ok(Loaded { warnings, .. }) => warnings,
        Err(problems) => problems.0,
    }
}

/// The name that a problem begins with.
fn name(problem: &Problem) -> &str {
    problem.message.split(':').next().unwrap_or_default()
}

fn names(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(name).collect()
}

/// A lint, the edits that trip it, where it is told (a piece of that line), and edits that nearly trip it.
struct Case(&'static str, Edits, &'static str, Edits);

const ZERO: &str = "set: frankfurt, weight: 0, ttl: 60s";
const AFRICA: &str = "alias: {zone: Z2DHW2332DAMTN, name: d-africa0000.execute-api.af-south-1.amazonaws.com}";
const PUT_BACK: &str = "{id: traffic, title: Put it back, restore: [weights-zero, shift-10, shift-100]}\n  full:";
const PUT_BACK_FULL: &str =
    "      - {id: traffic, title: Put it back, restore: [weights-zero, shift-10, shift-100]}\n      - id: delete-app";
const LAST_VERIFY: &str = "{monitor: users-germany, stat: errors, below: 1%, for: 10m, samples: 20}";
const GATED_WEIGHTS: &str = "        gate:\n          - {monitor: api-frankfurt, is: healthy}\n        records:";
const SCRIPT: &str = "aws sts get-caller-identity";
const TABLE: &str = "Resources:\n  Table:";
const ALL_SHIFTS: &str = "      - id: shift-10";

const CASES: &[Case] = &[
    Case(
        "alias-ttl",
        &[(
            AFRICA,
            "ttl: 300s\n              alias: {zone: Z2DHW2332DAMTN, name: d-africa0000.execute-api.af-south-1.amazonaws.com}",
        )],
        "ttl: 300s",
        &[],
    ),
    Case(
        "mixed-routing",
        &[(
            "            - name: af.${api}\n",
            "            - {name: \"${api}\", type: A, set: germany, geolocation: DE, ttl: 60s, values: [192.0.2.10]}\n            - name: af.${api}\n",
        )],
        "geolocation: DE",
        &[],
    ),
    Case(
        "geolocation-not-written",
        &[(
            "            - name: af.${api}\n",
            "            - {name: \"de.${api}\", type: A, set: germany, geolocation: DE, ttl: 60s, values: [192.0.2.10]}\n            - name: af.${api}\n",
        )],
        "geolocation: DE",
        &[(
            "            - name: af.${api}\n",
            "            - {name: \"de.${api}\", type: A, ttl: 60s, values: [192.0.2.10]}\n            - name: af.${api}\n",
        )],
    ),
    Case("siblings-ttl", &[(ZERO, "set: frankfurt, weight: 0, ttl: 30s")], "set: ireland", &[]),
    Case(
        "simple-to-weighted",
        &[("          remove: [{name: \"${api}\", type: A}]\n", "")],
        "set: frankfurt",
        &[("remove: [{name: \"${api}\", type: A}]", "remove: [{name: \"${api}\", type: A}, {name: old.example.com, type: A}]")],
    ),
    Case(
        "ttl-not-lowered",
        &[("ttl: 60s, values: [192.0.2.20]}\n  - id: move", "ttl: 3m, values: [192.0.2.20]}\n  - id: move")],
        "        records:",
        &[("ttl: 5m, values", "ttl: 1m, values")],
    ),
    // Lowered on the same day, and nothing waits for the old one to be forgotten.
    Case(
        "ttl-not-lowered",
        &[("    days: 1-6", "    days: 1-7"), ("        day: 5\n", "        day: 7\n")],
        "        records:",
        &[
            ("    days: 1-6", "    days: 1-7"),
            ("        day: 5\n", "        day: 7\n"),
            (
                "      - id: weights-zero",
                "      - {id: wait, title: Wait, soak: {for: 5m, while: [{monitor: api-ireland, is: healthy}]}}\n      - id: weights-zero",
            ),
        ],
    ),
    Case("execute-api-alias", &[("d-africa0000.", "africa0000.")], "africa0000", &[]),
    Case("load-balancer-zone", &[("zone: Z2DHW2332DAMTN", "zone: Z268VQBMOI5EKX")], "Z268VQBMOI5EKX", &[]),
    Case(
        "alias-zone-region",
        &[("zone: Z2DHW2332DAMTN", "zone: Z1U9ULNL0V5AJ3")],
        "Z1U9ULNL0V5AJ3",
        &[("zone: Z2DHW2332DAMTN", "zone: Z0000000000")],
    ),
    Case(
        "record-of-a-stack",
        &[("Domain: \"other.example.com\"", "Domain: \"${api}\"")],
        "put:",
        &[("Name: !Ref Domain", "Name: elsewhere.example.com")],
    ),
    Case(
        "weights-all-zero",
        &[("{frankfurt: 10, ireland: 90}", "{frankfurt: 0, ireland: 0}")],
        "frankfurt: 0, ireland: 0",
        &[("{frankfurt: 10, ireland: 90}", "{frankfurt: 1, ireland: 0}")],
    ),
    Case("weights-all-zero", &[("set: ireland, weight: 100", "set: ireland, weight: 0")], "set: frankfurt, weight: 0", &[]),
    Case(
        "zero-weight-unproved",
        &[(GATED_WEIGHTS, "        records:")],
        "weight: 0",
        &[(GATED_WEIGHTS, "        verify:\n          - {monitor: api-frankfurt, is: healthy}\n        records:")],
    ),
    // A gate on the other side says nothing of this one; a stack that was made need not answer.
    Case(
        "zero-weight-unproved",
        &[(
            GATED_WEIGHTS,
            "        gate:\n          - {monitor: api-ireland, is: healthy}\n          - {monitor: stack-frankfurt, is: healthy}\n        records:",
        )],
        "weight: 0",
        &[],
    ),
    Case(
        "shift-before-test",
        &[
            (GATED_WEIGHTS, "        records:"),
            ("{frankfurt: 10, ireland: 90}", "{frankfurt: 100, ireland: 0}"),
            ("        gate:\n          - {monitor: api-frankfurt, stat: errors, below: 1%, for: 1m}\n", ""),
        ],
        "weights: {frankfurt: 100",
        &[
            (GATED_WEIGHTS, "        records:"),
            ("        gate:\n          - {monitor: api-frankfurt, stat: errors, below: 1%, for: 1m}\n", ""),
        ],
    ),
    Case(
        "shift-before-test",
        &[
            (GATED_WEIGHTS, "        records:"),
            (ZERO, "set: frankfurt, weight: 100, ttl: 60s"),
            ("set: ireland, weight: 100", "set: ireland, weight: 0"),
        ],
        "set: frankfurt",
        &[(ZERO, "set: frankfurt, weight: 100, ttl: 60s"), ("set: ireland, weight: 100", "set: ireland, weight: 0")],
    ),
    Case(
        "dwell-too-short",
        &[("for: 5m, samples: 20", "for: 4m, samples: 20")],
        "verify:",
        &[(
            "          - {monitor: requests-frankfurt, above: 10}\n          - {monitor: users-germany, stat: errors, below: 1%, for: 5m, samples: 20}",
            "          - {monitor: users-germany, stat: errors, below: 1%, for: 2m, samples: 20}",
        )],
    ),
    Case(
        "no-samples",
        &[(LAST_VERIFY, "{monitor: users-germany, stat: errors, below: 1%, for: 10m}")],
        "verify:",
        &[(
            "          - {monitor: users-germany, stat: errors, below: 1%, for: 5m, samples: 20}",
            "          - {monitor: users-germany, stat: errors, below: 1%, for: 5m}",
        )],
    ),
    Case("no-health-check", &[(", health-check: \"${check}\"", "")], "set: frankfurt", &[]),
    Case(
        "disabled-in-drill",
        &[("fails-at: 1}}", "fails-at: 1}, disabled: true}")],
        "disabled: true",
        &[("    - {id: \"${check}\"", "    - {id: other, endpoint: eu-west-1, disabled: true}\n    - {id: \"${check}\"")],
    ),
    Case(
        "no-backfill",
        &[
            ("      - id: backfill\n        title: Copy what was there before", "      - id: copies\n        title: Copy"),
            ("[Inventories agree]", "[Done]"),
        ],
        "  lag:",
        &[("      - id: backfill\n        title: Copy what was there before", "      - id: copies\n        title: Copy")],
    ),
    Case(
        "no-replication-back",
        &[("source: data-frankfurt, destination: data-ireland", "source: other, destination: data-ireland")],
        "  lag:",
        &[],
    ),
    Case(
        "rollback-leaves-data",
        &[("    replication: [lag-back]\n", "")],
        "  immediate:",
        &[("    replication: [lag-back]\n", ""), (PUT_BACK, "{id: look, title: Look, approve: {what: Back}}\n  full:")],
    ),
    Case(
        "promotion-not-one-way",
        &[("{one-way: it cannot follow its primary again}", "nothing")],
        "title: Promote",
        &[
            ("{one-way: it cannot follow its primary again}", "nothing"),
            ("title: Promote the read replica", "title: Look at the replica"),
            ("The read replica in Frankfurt is promoted", "The replica is not promoted"),
        ],
    ),
    Case(
        "data-not-retained",
        &[("    Type: AWS::KMS::Key\n    DeletionPolicy: Retain\n", "    Type: AWS::KMS::Key\n")],
        "  Key:",
        &[("    DeletionPolicy: Retain\n", "    DeletionPolicy: RetainExceptOnCreate\n")],
    ),
    Case(
        "export-in-use",
        &[("{name: app, region: eu-central-1, delete: true}", "{name: other, region: eu-central-1, delete: true}")],
        "name: shared, region",
        &[
            ("!ImportValue shared-key", "!ImportValue another-key"),
            ("{name: app, region: eu-central-1, delete: true}", "{name: other, region: eu-central-1, delete: true}"),
        ],
    ),
    Case(
        "needs-route53",
        &[(
            "        switch: {health-check: \"${check}\", region: eu-west-1, namespace: Example/Cutover, name: Leave, value: 1}",
            "        health-check: {id: \"${check}\", inverted: true}",
        )],
        "  immediate:",
        &[
            (
                "        switch: {health-check: \"${check}\", region: eu-west-1, namespace: Example/Cutover, name: Leave, value: 1}",
                "        health-check: {id: \"${check}\", inverted: true}",
            ),
            (
                "+scenarios/away.yaml",
                "scenario: away\ntitle: Away\nhypothesis: Nothing moves\nfaults: [{at: {elapsed: 1h}, control-plane-away: us-east-1, for: 30m}]\nexpect: completed\n",
            ),
        ],
    ),
    Case(
        "never-armed",
        &[(
            "region: eu-west-1, namespace: Example/Cutover, name: Leave, value: 1",
            "region: af-south-1, namespace: Example/Cutover, name: Leave, value: 1",
        )],
        "switch: {",
        &[],
    ),
    Case(
        "stack-before-traffic",
        &[
            (PUT_BACK_FULL, "      - id: delete-app"),
            (
                "      - {id: delete-shared,",
                "      - {id: traffic, title: Put it back, restore: [weights-zero, shift-10, shift-100]}\n      - {id: delete-shared,",
            ),
        ],
        "name: app, region",
        &[],
    ),
    Case(
        "delete-without-proof",
        &[("        gate:\n          - {monitor: requests-frankfurt, stat: max, below: 1, over: 5m, for: 15m}\n", "")],
        "name: app, region",
        &[],
    ),
    Case(
        "rollback-adds-set",
        &[(
            PUT_BACK,
            "{id: traffic, title: Put it back, records: {zone: \"${zone}\", put: [{name: \"${api}\", type: A, set: ireland-primary, weight: 100, ttl: 60s, values: [192.0.2.20]}]}}\n  full:",
        )],
        "set: ireland-primary",
        &[(
            PUT_BACK,
            "{id: traffic, title: Put it back, records: {zone: \"${zone}\", put: [{name: \"${api}\", type: A, set: ireland, weight: 100, ttl: 60s, values: [192.0.2.20]}]}}\n  full:",
        )],
    ),
    Case(
        "service-not-offered",
        &[("Comprehend Medical stays in eu-west-1, called from Frankfurt", "Comprehend Medical answers in Frankfurt")],
        "Comprehend Medical",
        &[("Comprehend Medical stays in eu-west-1, called from Frankfurt", "Comprehend Medical is called")],
    ),
    Case(
        "vantage-not-reached",
        &[
            (", command: [ssh, -T, poland.example.com, cutover, probe, --agent]", ""),
            (
                ALL_SHIFTS,
                "      - {id: ask, title: Ask, gate: [{monitor: users-poland, is: healthy}], approve: {what: Go}}\n      - id: shift-10",
            ),
        ],
        "users-poland, is",
        &[(", command: [ssh, -T, poland.example.com, cutover, probe, --agent]", "")],
    ),
    Case("few-vantages", &[("users-france, users-poland]", "users-france]")], "service: [", &[]),
    Case(
        "downtime-figure",
        &[("Downtime within the 30 minutes and 14 seconds of 21 days", "99.9% uptime (less than 43 minutes downtime)")],
        "43 minutes",
        &[("Downtime within the 30 minutes and 14 seconds of 21 days", "The meeting takes 43 minutes")],
    ),
    Case(
        "disabled-health-check",
        &[(SCRIPT, "aws route53 update-health-check --health-check-id x --disabled")],
        "run:",
        &[(SCRIPT, "aws route53 update-health-check --health-check-id x --no-disabled  # --disabled")],
    ),
    Case(
        "disabled-health-check",
        &[(SCRIPT, "aws route53 create-health-check --health-check-config '{\"Type\": \"HTTPS\", \"Disabled\": true}'")],
        "run:",
        &[],
    ),
    Case(
        "health-check-of-itself",
        &[(SCRIPT, "aws route53 create-health-check --health-check-config Type=HTTPS,FullyQualifiedDomainName=$API,Port=443")],
        "run:",
        &[(SCRIPT, "aws route53 create-health-check --health-check-config Type=HTTPS,FullyQualifiedDomainName=f.$API,Port=443")],
    ),
    Case(
        "disabled-health-check",
        &[(
            "Resources:\n  Table:",
            "Resources:\n  Check:\n    Type: AWS::Route53::HealthCheck\n    Properties:\n      HealthCheckConfig: {Type: HTTPS, Disabled: true}\n  Table:",
        )],
        "  Check:",
        &[(
            "Resources:\n  Table:",
            "Resources:\n  Check:\n    Type: AWS::Route53::HealthCheck\n    Properties:\n      HealthCheckConfig: {Type: HTTPS, Disabled: false}\n  Table:",
        )],
    ),
    Case(
        "health-check-of-itself",
        &[
            (
                "Resources:\n  Key:",
                "Resources:\n  Check:\n    Type: AWS::Route53::HealthCheck\n    Properties:\n      HealthCheckConfig:\n        FullyQualifiedDomainName: !Ref Guarded\n  Key:",
            ),
            ("{Domain: \"other.example.com\"}", "{Domain: \"other.example.com\", Guarded: \"${api}\"}"),
        ],
        "  Check:",
        &[
            (
                "Resources:\n  Key:",
                "Resources:\n  Check:\n    Type: AWS::Route53::HealthCheck\n    Properties:\n      HealthCheckConfig:\n        FullyQualifiedDomainName: !Ref Guarded\n  Key:",
            ),
            ("{Domain: \"other.example.com\"}", "{Domain: \"other.example.com\", Guarded: \"frankfurt.${api}\"}"),
        ],
    ),
    Case(
        "replication-unversioned",
        &[(
            TABLE,
            "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n    Properties:\n      ReplicationConfiguration: {Rules: [{DeleteMarkerReplication: {Status: Enabled}}]}\n  Table:",
        )],
        "  Bucket:",
        &[(
            TABLE,
            "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n    Properties:\n      VersioningConfiguration: {Status: Enabled}\n      ReplicationConfiguration: {Rules: [{DeleteMarkerReplication: {Status: Enabled}}]}\n  Table:",
        )],
    ),
    Case(
        "replication-unversioned",
        &[(
            TABLE,
            "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n    Properties:\n      VersioningConfiguration:\n        Status: Suspended\n      ReplicationConfiguration:\n        Rules: [{DeleteMarkerReplication: {Status: Enabled}}]\n  Table:",
        )],
        "  Bucket:",
        &[],
    ),
    Case(
        "delete-markers",
        &[(
            TABLE,
            "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n    Properties:\n      VersioningConfiguration: {Status: Enabled}\n      ReplicationConfiguration: {Rules: [{Status: Enabled}]}\n  Table:",
        )],
        "  Bucket:",
        &[(
            TABLE,
            "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n    Properties:\n      VersioningConfiguration: {Status: Enabled}\n      ReplicationConfiguration: {Rules: [{DeleteMarkerReplication: {Status: Disabled}}]}\n  Table:",
        )],
    ),
    Case(
        "delete-markers",
        &[(
            SCRIPT,
            "aws s3api put-bucket-replication --bucket a --replication-configuration '{\"Rules\": [{\"Destination\": {\"Bucket\": \"b\"}}]}'",
        )],
        "run:",
        &[(SCRIPT, "aws s3api put-bucket-replication --bucket a --replication-configuration \"$rules\"")],
    ),
    Case(
        "encrypted-not-copied",
        &[(
            TABLE,
            "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n    Properties:\n      BucketEncryption: {Rule: [{ServerSideEncryptionByDefault: {SSEAlgorithm: \"aws:kms\"}}]}\n      VersioningConfiguration: {Status: Enabled}\n      ReplicationConfiguration: {Rules: [{DeleteMarkerReplication: {Status: Enabled}}]}\n  Table:",
        )],
        "  Bucket:",
        &[(
            TABLE,
            "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n    Properties:\n      BucketEncryption: {Rule: [{ServerSideEncryptionByDefault: {SSEAlgorithm: AES256}}]}\n      VersioningConfiguration: {Status: Enabled}\n      ReplicationConfiguration: {Rules: [{DeleteMarkerReplication: {Status: Enabled}}]}\n  Table:",
        )],
    ),
    Case(
        "replica-chain",
        &[(
            "\nphases:",
            "\n  on: {s3-replication: {source: data-frankfurt, destination: data-africa, rule: on, source-region: eu-central-1, destination-region: af-south-1, metric: latency}}\n\nphases:",
        )],
        "  on:",
        &[(
            "\nphases:",
            "\n  more: {s3-replication: {source: data-frankfurt, destination: data-ireland, rule: back, source-region: eu-central-1, destination-region: eu-west-1, metric: bytes-pending}}\n\nphases:",
        )],
    ),
    Case(
        "protected-stack",
        &[(
            SCRIPT,
            "aws cloudformation update-termination-protection --enable-termination-protection --stack-name app --region eu-central-1",
        )],
        "name: app, region: eu-central-1, delete",
        &[(
            SCRIPT,
            "aws cloudformation update-termination-protection --enable-termination-protection --stack-name app --region eu-west-1",
        )],
    ),
    Case(
        "protected-stack",
        &[(SCRIPT, "aws cloudformation create-stack --enable-termination-protection --stack-name=app --region=eu-central-1")],
        "name: app, region: eu-central-1, delete",
        &[(
            SCRIPT,
            "aws cloudformation create-stack --enable-termination-protection --stack-name app --region eu-central-1\n            aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name app --region eu-central-1",
        )],
    ),
    Case(
        "key-not-multi-region",
        &[(SCRIPT, "aws kms replicate-key --key-id x --replica-region eu-central-1")],
        "  Key:",
        &[
            (SCRIPT, "aws kms replicate-key --key-id x --replica-region eu-central-1"),
            (
                "    DeletionPolicy: Retain\n  Record:",
                "    DeletionPolicy: Retain\n    Properties: {MultiRegion: true}\n  Record:",
            ),
        ],
    ),
    Case(
        "key-not-multi-region",
        &[(
            SCRIPT,
            "key=$(aws kms create-key --query KeyMetadata.KeyId)\n            aws kms replicate-key --key-id \"$key\" --replica-region eu-central-1",
        )],
        "run:",
        &[(
            SCRIPT,
            "key=$(aws kms create-key --multi-region --query KeyMetadata.KeyId)\n            aws kms replicate-key --key-id \"$key\" --replica-region eu-central-1",
        )],
    ),
    Case(
        "medical-transcription",
        &[(SCRIPT, "aws transcribe start-medical-transcription-job --language-code de-DE --region eu-west-1")],
        "run:",
        &[(SCRIPT, "aws transcribe start-medical-transcription-job --language-code en-US --region eu-west-1")],
    ),
    Case(
        "medical-transcription",
        &[(SCRIPT, "aws transcribe start-medical-transcription-job --language-code en-US --region eu-central-1")],
        "run:",
        &[(SCRIPT, "aws transcribe start-transcription-job --language-code de-DE --region eu-central-1")],
    ),
    Case(
        "kms-list-keys",
        &[(SCRIPT, "key=\"$(aws kms list-keys --query 'Keys[0]')\"")],
        "run:",
        &[(SCRIPT, "echo 'aws kms list-keys' # aws kms list-keys")],
    ),
    Case(
        "script-deletes-data",
        &[(SCRIPT, "aws kms schedule-key-deletion --key-id x")],
        "run:",
        &[(SCRIPT, "aws kms describe-key --key-id x")],
    ),
    Case(
        "script-deletes-data",
        &[(SCRIPT, "aws s3 rm --recursive s3://x")],
        "run:",
        &[
            (SCRIPT, "aws s3 rm --recursive s3://x"),
            ("        undo: nothing # of the script", "        undo: {one-way: it is gone}"),
        ],
    ),
    Case(
        "raw-endpoint",
        &[(SCRIPT, "supabase secrets set API=https://abc123.execute-api.eu-central-1.amazonaws.com/x")],
        "run:",
        &[(SCRIPT, "curl https://abc123.execute-api.eu-central-1.amazonaws.com/x")],
    ),
    Case(
        "raw-endpoint",
        &[("replace: old, with: new", "replace: old, with: \"https://abc123.execute-api.eu-central-1.amazonaws.com\"")],
        "with:",
        &[("replace: old, with: new", "replace: old, with: \"https://d-abc123.execute-api.eu-central-1.amazonaws.com\"")],
    ),
    Case(
        "service-not-offered",
        &[(SCRIPT, "aws comprehendmedical detect-entities-v2 --text x --region eu-central-1")],
        "run:",
        &[(SCRIPT, "aws comprehendmedical detect-entities-v2 --text x --region eu-west-1")],
    ),
    Case(
        "promotion-not-one-way",
        &[(SCRIPT, "aws rds promote-read-replica --db-instance-identifier x")],
        "shell:",
        &[(SCRIPT, "aws rds describe-db-instances")],
    ),
    Case(
        "downtime-figure",
        &[("Uptime of 99.9 % means 30 minutes and 14 seconds", "Uptime of 99.9 % or 43 minutes")],
        "43 minutes",
        &[("Uptime of 99.9 % means 30 minutes and 14 seconds", "Uptime of 99.9 % or 30 minutes")],
    ),
    Case(
        "day-goes-back",
        &[("        day: 4\n", "        day: 1\n")],
        "id: promote",
        &[("        day: 4\n", "        day: 3\n")],
    ),
];

/// Lints that no plan alone can trip; their own modules test them.
const NOT_IN_A_PLAN: [&str; 3] = ["route53-reserve", "engine-in-region", "window-off-day"];

const LITERAL: &str = include_str!("plans/lints/source-literal/plan.yaml");
const LITERAL_CHIME: &str = include_str!("plans/lints/source-literal/templates/chime.yaml");

/// What the source gets wrong, by the name of the lint that says so, and what takes it out.
const MISTAKES: &[(&str, Edits)] = &[
    ("disabled-health-check", &[("              --disabled\n", "              --inverted\n")]),
    ("load-balancer-zone", &[("Z215JYRZR1TBD5", "Z1U9ULNL0V5AJ3"), ("Z32O12XQLNTSW2", "ZLY8HYME6SFDD")]),
    ("execute-api-alias", &[("n3w4p1g4te", "d-n3w4p1g4te"), ("0ld4p1g4te", "d-0ld4p1g4te")]),
    (
        "no-backfill",
        &[(
            "      - id: dns\n",
            "      - {id: backfill, title: Copy what is there, approve: {what: It is copied}}\n      - id: dns\n",
        )],
    ),
    (
        "no-replication-back",
        &[(
            "  recordings-lag:\n",
            "  back:\n    s3-replication: {source: medzen-meeting-recordings-eu-central-1, destination: \"${bucket}\", rule: back, source-region: eu-central-1, destination-region: eu-west-1, metric: latency}\n  recordings-lag:\n",
        )],
    ),
    (
        "shift-before-test",
        &[
            (
                "  api-users:",
                "  api-frankfurt: {http: \"https://${api}/health\", connect-to: \"f.${api}:443\", region: eu-central-1}\n  api-users:",
            ),
            (
                "        title: Update Route 53 DNS\n",
                "        title: Update Route 53 DNS\n        gate: [{monitor: api-frankfurt, is: healthy}]\n",
            ),
        ],
    ),
    ("zero-weight-unproved", &[("              weight: 0\n", "              weight: 1\n")]),
    (
        "simple-to-weighted",
        &[(
            "          zone: ${zone}\n          put:\n            - name: ${api}\n",
            "          zone: ${zone}\n          remove: [{name: \"${api}\", type: A}]\n          put:\n            - name: ${api}\n",
        )],
    ),
    (
        "stack-before-traffic",
        &[
            ("      - id: traffic\n        title: Update all configurations back\n        restore: [dns]\n", ""),
            ("      - id: delete\n", "      - {id: traffic, title: Traffic first, restore: [dns]}\n      - id: delete\n"),
        ],
    ),
    (
        "delete-without-proof",
        &[(
            "        title: Delete the stacks of Frankfurt\n",
            "        title: Delete the stacks of Frankfurt\n        gate: [{monitor: chime-ireland, is: healthy}]\n",
        )],
    ),
    ("downtime-figure", &[("(< 43 minutes downtime)", "(< 30 minutes downtime)")]),
    ("raw-endpoint", &[("\"${outputs.stack-chime.ApiGatewayEndpoint}\"", "\"https://${api}\"")]),
    ("rollback-adds-set", &[("\"SetIdentifier\": \"eu-west-1-primary\"", "\"SetIdentifier\": \"eu-west-1-failover\"")]),
    ("mixed-routing", &[("- {name: \"${api}\", type: A, set: germany", "- {name: \"de.${api}\", type: A, set: germany")]),
    ("alias-ttl", &[("              ttl: 300s\n", "")]),
    ("data-not-retained", &[("    Type: AWS::KMS::Key\n", "    Type: AWS::KMS::Key\n    DeletionPolicy: Retain\n")]),
    ("kms-list-keys", &[("aws kms list-keys --region eu-central-1", "aws kms describe-key --key-id alias/chime")]),
    (
        "service-not-offered",
        &[(
            "              --region eu-central-1\n        undo: nothing",
            "              --region eu-west-1\n        undo: nothing",
        )],
    ),
    (
        "needs-route53",
        &[(
            "  full:\n",
            "  switch:\n    to: eu-west-1\n    restores: nothing\n    replication: [recordings-lag]\n    steps:\n      - id: flip\n        title: Flip\n        switch: {health-check: 5f0a1d2c-0000-4000-8000-000000000001, region: eu-west-1, namespace: MedZen, name: Leave, value: 1}\n  full:\n",
        )],
    ),
];

#[test]
fn every_mistake_of_the_source_is_named_and_mending_it_takes_the_name_away() {
    let files = [("plan.yaml", LITERAL), ("templates/chime.yaml", LITERAL_CHIME)];
    let problems = told_of(&files, &[]);
    let all: BTreeSet<&str> = names(&problems).into_iter().collect();
    let known: BTreeSet<&str> = MISTAKES.iter().map(|(name, _)| *name).collect();
    assert_eq!(all, known, "{problems:#?}");
    for (lint, mends) in MISTAKES {
        let problems = told_of(&files, mends);
        assert!(!names(&problems).contains(lint), "{lint} stays: {problems:#?}");
        // What was mended must not have broken the plan: then nothing would be told of the rest.
        assert!(problems.iter().all(|p| lint::named(name(p)).is_some()), "{lint}: {problems:#?}");
        assert!(problems.len() > 10, "{lint}: {problems:#?}");
    }
}

#[test]
fn nothing_is_told_of_the_clean_plan() {
    assert_eq!(told(&[]), []);
}

#[test]
fn each_lint_is_tripped_where_it_is_and_only_by_what_it_is_about() {
    for Case(lint, trips, written, nearly) in CASES {
        let problems = told(trips);
        let mine: Vec<&Problem> = problems.iter().filter(|p| name(p) == *lint).collect();
        assert!(!mine.is_empty(), "{lint} is not told: {problems:#?}");
        let level = if mine[0].warning { Level::Warning } else { Level::Error };
        assert_eq!(level, lint::named(lint).unwrap().level, "{lint}");
        assert!(mine[0].line > 0 && mine[0].render(false).contains(written), "{lint}:\n{}", mine[0].render(false));
        assert!(problems.iter().all(|p| lint::named(name(p)).is_some()), "{lint}: {problems:#?}");
        let problems = told(nearly);
        assert!(!names(&problems).contains(lint), "{lint} is told of what only looks like it: {problems:#?}");
        assert!(problems.iter().all(|p| lint::named(name(p)).is_some()), "{lint}: {problems:#?}");
    }
}

#[test]
fn every_lint_has_a_case_and_is_fit_to_be_read() {
    let tried: BTreeSet<&str> = CASES.iter().map(|case| case.0).chain(NOT_IN_A_PLAN).collect();
    let all: Vec<&str> = lint::all().map(|lint| lint.name).collect();
    let untried: Vec<&&str> = all.iter().filter(|name| !tried.contains(**name)).collect();
    assert!(untried.is_empty(), "no test trips {untried:?}");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a name is there twice");
    for lint in lint::all() {
        assert!(lint.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{}", lint.name);
        assert!(!lint.line.ends_with('.') && lint.line.len() <= 100, "{}: {}", lint.name, lint.line);
        assert!(lint.why.ends_with('.') && lint.why.len() > 150, "{}: why it bites is told too shortly", lint.name);
        assert!(!lint.wrong.is_empty() && !lint.right.is_empty() && lint.wrong != lint.right, "{}", lint.name);
    }
}

/// Every warning in the sources has a name of the catalogue: the only ways to tell one are the lints themselves and the three
/// in `check`, whose texts are read here.
#[test]
fn every_name_that_can_be_told_is_in_the_catalogue() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let elsewhere = [
        ("run/budget.rs", "route53-reserve"),
        ("commands/place.rs", "engine-in-region"),
        ("commands/check.rs", "window-off-day"),
    ];
    for (file, name) in elsewhere {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains(&format!("\"{name}: ")) && lint::named(name).is_some(), "{name}");
    }
    let mut tellers = Vec::new();
    for entry in std::fs::read_dir(root.join("plan/load")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        tellers.extend(text.contains("cx.warn(").then(|| path.file_name().unwrap().to_owned()));
    }
    assert!(tellers.is_empty(), "{tellers:?} warn past the catalogue; make a lint of it");
}

#[test]
fn an_error_of_a_lint_does_not_hide_the_warnings() {
    let problems = told(&[
        (AFRICA, "ttl: 300s\n              alias: {zone: Z2DHW2332DAMTN, name: africa0000.execute-api.af-south-1.amazonaws.com}"),
        (LAST_VERIFY, "{monitor: users-germany, stat: errors, below: 1%, for: 10m}"),
    ]);
    assert_eq!(names(&problems), ["alias-ttl", "execute-api-alias", "no-samples"]);
    assert_eq!(problems.iter().map(|p| p.warning).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn a_finding_in_a_template_is_told_at_its_line() {
    let problems = told(&[("    Type: AWS::KMS::Key\n    DeletionPolicy: Retain\n", "    Type: AWS::KMS::Key\n")]);
    assert_eq!((problems[0].file.as_str(), problems[0].line, problems[0].column), ("templates/shared.yaml", 4, 3));
}

#[test]
fn the_page_of_the_lints_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lints.md");
    let page = lint::page();
    if std::env::var_os("CUTOVER_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/lints.md is not what the catalogue says: CUTOVER_GOLDEN=write cargo test --test lints");
}

#[test]
fn the_flagship_and_the_first_plan_are_clean() {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    for (folder, entry) in [("medzen", "plan.yaml"), ("", "failover-drill.yaml")] {
        let loaded = load(&Disk::new(plans.join(folder)), entry).unwrap_or_else(|p| panic!("{}", p.render(false)));
        let told: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "{entry}: {told:#?}");
    }
}
