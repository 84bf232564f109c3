"""MedZen's shell steps that call AWS, run with bash and the real CLI, and looked at with another client afterwards."""

import json
import re
import shutil
import stat

import pytest

from cloud import CAPE_TOWN, FRANKFURT, IRELAND
from steps import MEDZEN, SECRETS, VENV, Plan

KINDS = ("recordings", "transcripts", "medical")


# --- the scripts themselves -------------------------------------------------------------------------------------------


def test_every_script_is_used_and_says_what_it_needs():
    plan = Plan()
    used = {shell["script"] for _, shell in plan.scripts()}
    assert used == {f"scripts/{path.name}" for path in (MEDZEN / "scripts").iterdir()}
    for name in sorted(used):
        text = (MEDZEN / name).read_text()
        head, _, body = text.partition("\nset -euo pipefail\n")
        assert body, f"{name} does not stop at the first failure"
        assert "# Programs: bash" in head, f"{name} does not say which programs it needs"
        assert "jq" not in re.findall(r"\w+", text) and "eval" not in re.findall(r"\w+", text)


def test_every_step_gives_its_script_what_it_asks_for():
    for name, shell in Plan().scripts():
        text = (MEDZEN / shell["script"]).read_text()
        asked = set(re.findall(r'"\$\{(\w+):\?\}"', text))
        given = set(shell.get("env", {})) | set(shell.get("secrets", []))
        assert asked <= given, f"{name} lacks {asked - given}"
        used = set(re.findall(r"\$\{?(\w+)", text)) | {word for word in given if word.startswith("SET_")}
        assert given <= used | {"SUPABASE_ACCESS_TOKEN"}, f"{name} gives {given - used} to nobody"


# --- what exists ------------------------------------------------------------------------------------------------------

STACK = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: meetings, ProtocolType: HTTP}}
"""


def make_estate(cloud, plan):
    """What the deployment report says of Ireland and Cape Town."""
    for region, side in ((IRELAND, "ireland"), (CAPE_TOWN, "cape-town")):
        cloud.client("cloudformation", region).create_stack(StackName=plan.vars[f"stack-chime-{side}"], TemplateBody=STACK)
        make_table(cloud, region, plan.vars["audit-table"], ("pk", "sk"))
        functions = plan.expand(plan.vars[f"functions-{side}"], {}).split(",")
        for name in functions:
            make_function(cloud, region, name)
    for kind in KINDS:
        make_bucket(cloud, IRELAND, plan.vars[f"{kind}-ireland"])
    cloud.client("apigateway", IRELAND).create_domain_name(domainName=plan.vars["api"], endpointConfiguration={"types": ["REGIONAL"]})
    return functions


def make_table(cloud, region, name, keys):
    client = cloud.client("dynamodb", region)
    if name in client.list_tables()["TableNames"]:
        return
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"))],
    )


def make_function(cloud, region, name):
    client = cloud.client("lambda", region)
    client.create_function(
        FunctionName=name, Runtime="python3.11", Role="arn:aws:iam::000000000000:role/x", Handler="index.handler",
        Code={"ZipFile": EMPTY_ZIP},
    )


EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


def make_bucket(cloud, region, name):
    client = cloud.client("s3", region)
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    return client


def test_the_inventory_counts_what_is_there_and_misses_what_is_not(runner, cloud):
    functions = make_estate(cloud, runner.plan)
    whole = runner.step("inventory").ok()
    counts = dict(re.findall(r"^(\w+) +(\d+/\d+)$", whole.text, re.MULTILINE))
    assert counts == {
        "stacks": "2/2", "functions": "9/9", "APIs": "2/2", "tables": "2/2", "buckets": "3/3", "domains": "1/1",
    }, whole.text

    cloud.client("lambda", CAPE_TOWN).delete_function(FunctionName=functions[-1])
    cloud.client("apigateway", IRELAND).delete_domain_name(domainName=runner.plan.vars["api"])
    part = runner.step("inventory").failed("not everything is there", "functions  8/9", "domains    0/1")
    assert f"{CAPE_TOWN}: function {functions[-1]} is absent" in part.text
    # After the migration there is more to count, and none of it is there.
    runner.step("validate-infra").failed("stacks     2/3", "buckets    3/6", "tables     2/3")


def test_services_are_asked_for_and_a_fallback_counts(on_moto, moto):
    done = on_moto.step("availability").ok()
    path = f"/aws/service/global-infrastructure/regions/{FRANKFURT}/services"
    pages = moto("ssm", FRANKFURT).get_paginator("get_parameters_by_path").paginate(Path=path)
    offered = {parameter["Value"] for page in pages for parameter in page["Parameters"]}
    assert "comprehendmedical" not in offered, "the source's table says that it is"
    assert f"comprehendmedical: not in {FRANKFURT}, used in {IRELAND}" in done.text
    asked = [entry.split("=")[0] for entry in on_moto.plan.steps["availability"]["shell"]["env"]["SERVICES"].split()]
    assert len(asked) == 16
    for service in asked:
        assert (f"{service}: offered in {FRANKFURT}" in done.text) == (service in offered), service

    # Meetings are not in Ireland at all, and nothing may stand in for them; nor is a fallback one that lacks the service too.
    on_moto.step("availability", REGION=IRELAND).failed("chime-sdk-meetings: not in eu-west-1, and no fallback has it")
    on_moto.step("availability", SERVICES=f"comprehendmedical={CAPE_TOWN}").failed("1 nowhere")


def test_languages_are_tried_where_the_chat_will_ask(runner, answers):
    for service in ("TRANSLATE", "TRANSCRIBE", "COMPREHENDMEDICAL", "BEDROCK"):
        runner.env[f"AWS_ENDPOINT_URL_{service}"] = answers.url
    answers.answers = {
        "TranslateText": lambda body: {"TranslatedText": "x", "TargetLanguageCode": json.loads(body)["TargetLanguageCode"]},
        "ListMedicalVocabularies": {"Vocabularies": []},
        "DetectEntitiesV2": {"Entities": [{"Text": "hypertension"}]},
        "GET /inference-profiles/": {"status": "ACTIVE"},
    }
    runner.step("languages").ok()
    assert [json.loads(body)["TargetLanguageCode"] for body in answers.of("TranslateText")] == ["fr", "sw", "de"]
    answers.answers["DetectEntitiesV2"] = {"Entities": []}
    runner.step("languages").failed("found no entity")
    answers.answers |= {"DetectEntitiesV2": {"Entities": [{}]}, "GET /inference-profiles/": {"status": "RETIRED"}}
    runner.step("languages").failed()


# --- backups and preparations -----------------------------------------------------------------------------------------


def test_templates_are_saved_as_what_they_are(runner, cloud):
    stacks = {"saved-yaml": STACK, "saved-json": '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'}
    for name, body in stacks.items():
        cloud.client("cloudformation", IRELAND).create_stack(StackName=name, TemplateBody=body)
    runner.step("backup-templates", STACKS=f"{IRELAND}=saved-yaml {IRELAND}=saved-json").ok()
    folder = runner.tree / "migration-backups" / "templates"
    assert (folder / f"{IRELAND}-saved-yaml.template.yaml").read_text().strip() == STACK.strip()
    assert json.loads((folder / f"{IRELAND}-saved-json.template.json").read_text()) == json.loads(stacks["saved-json"])
    assert "capabilities" in json.loads((folder / f"{IRELAND}-saved-yaml.parameters.json").read_text())
    runner.step("backup-templates", STACKS=f"{IRELAND}=no-such-stack").failed("does not exist")


@pytest.fixture
def database(moto):
    moto("rds", CAPE_TOWN).create_db_instance(
        DBInstanceIdentifier="medzen-ehrbase-db", DBInstanceClass="db.r6g.large", Engine="postgres", AllocatedStorage=20,
        MasterUsername="ehr", MasterUserPassword="only-for-this-test",
    )


def test_the_snapshot_is_in_both_regions(on_moto, moto, database):
    assert not on_moto.done_if("rds-snapshot")
    done = on_moto.step("rds-snapshot")
    for region in (CAPE_TOWN, IRELAND):
        found = moto("rds", region).describe_db_snapshots(DBSnapshotIdentifier="medzen-pre-migration")["DBSnapshots"]
        assert [snapshot["Status"] for snapshot in found] == ["available"], (region, done.text)
    assert on_moto.done_if("rds-snapshot")
    on_moto.step("rds-snapshot").ok()
    taken = moto("rds", CAPE_TOWN).describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert len(taken) == 1, "a second try took a second one"


def test_backups_of_the_database_are_kept_in_ireland(on_moto, database, answers):
    on_moto.env["AWS_ENDPOINT_URL_RDS"] = answers.url
    arn = "arn:aws:rds:af-south-1:123456789012:db:medzen-ehrbase-db"
    kept = []
    answers.answers = {
        "DescribeDBInstanceAutomatedBackups": lambda _: rds(
            "DescribeDBInstanceAutomatedBackups", f"<DBInstanceAutomatedBackups>{''.join(kept)}</DBInstanceAutomatedBackups>"
        ),
        "DescribeDBInstances": rds("DescribeDBInstances", f"<DBInstances><DBInstance><DBInstanceArn>{arn}</DBInstanceArn></DBInstance></DBInstances>"),
        "StartDBInstanceAutomatedBackupsReplication": rds(
            "StartDBInstanceAutomatedBackupsReplication", "<DBInstanceAutomatedBackup><Status>pending</Status></DBInstanceAutomatedBackup>"
        ),
    }
    on_moto.step("ehr-backups").ok()
    (asked,) = answers.of("StartDBInstanceAutomatedBackupsReplication")
    assert "BackupRetentionPeriod=7" in asked and "SourceDBInstanceArn=arn%3Aaws%3Ards%3Aaf-south-1" in asked
    kept.append(
        f"<DBInstanceAutomatedBackup><DBInstanceArn>{arn}</DBInstanceArn><BackupRetentionPeriod>7</BackupRetentionPeriod>"
        "</DBInstanceAutomatedBackup>"
    )
    on_moto.step("ehr-backups").ok()
    assert len(answers.of("StartDBInstanceAutomatedBackupsReplication")) == 1, "it was started a second time"


def rds(call, inside):
    return f'<{call}Response xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><{call}Result>{inside}</{call}Result></{call}Response>'


def test_buckets_are_backed_up_and_counted(runner, cloud):
    s3 = make_bucket(cloud, IRELAND, "backup-me")
    for number in range(7):
        s3.put_object(Bucket="backup-me", Key=f"a key/{number} ü.mp4", Body=b"x" * number)
    done = runner.step("s3-backup", BUCKETS="backup-me", SUFFIX="-copy").ok()
    assert "backup-me: 7 of 7 objects" in done.text
    keys = lambda bucket: [(o["Key"], o["Size"]) for o in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys("backup-me-copy") == keys("backup-me")
    assert s3.get_bucket_versioning(Bucket="backup-me-copy")["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket="backup-me-copy")["PublicAccessBlockConfiguration"]["BlockPublicPolicy"]
    # Again with nothing new, and with a bucket that is empty.
    make_bucket(cloud, IRELAND, "backup-nothing")
    assert "backup-nothing: 0 of 0 objects" in runner.step("s3-backup", BUCKETS="backup-me backup-nothing", SUFFIX="-copy").ok().text


def test_quotas_are_looked_at_and_asked_for_once(runner, answers):
    runner.env["AWS_ENDPOINT_URL_SERVICE_QUOTAS"] = answers.url
    values, open_requests = {"L-3032A538": 6.0, "L-7B6409FD": 40.0}, []

    def quota(body):
        asked = json.loads(body)
        assert (asked["ServiceCode"], asked["QuotaCode"]) in {("fargate", "L-3032A538"), ("rds", "L-7B6409FD")}
        return {"Quota": {"Value": values[asked["QuotaCode"]]}}

    def request(body):
        asked = json.loads(body)
        open_requests.append({"Status": "PENDING", "DesiredValue": asked["DesiredValue"]})
        return {"RequestedQuota": {"Status": "PENDING"}}

    answers.answers = {
        "GetServiceQuota": quota,
        "ListRequestedServiceQuotaChangeHistoryByQuota": lambda _: {"RequestedQuotas": open_requests},
        "RequestServiceQuotaIncrease": request,
    }
    assert "fargate L-3032A538: 6, too small (100)" in runner.step("quotas").ok().text
    runner.step("quotas-granted").failed("too small")
    runner.step("quota-request").ok()
    assert open_requests == [{"Status": "PENDING", "DesiredValue": 100}]
    assert "asked for already" in runner.step("quota-request").ok().text
    assert len(answers.of("RequestServiceQuotaIncrease")) == 1
    values["L-3032A538"] = 100.0
    runner.step("quotas-granted").ok()


def test_the_environment_file_is_its_owners_and_stays(runner):
    assert not runner.done_if("env-file")
    done = runner.step("env-file").ok()
    file = runner.tree / "aws-deployment" / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    settings = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert settings["SUPABASE_SERVICE_KEY"] == SECRETS["SUPABASE_SERVICE_KEY"]
    assert (settings["PRIMARY_REGION"], settings["EHRBASE_REGION"]) == (FRANKFURT, CAPE_TOWN)
    passwords = [settings["DB_ADMIN_PASS"], settings["EHRBASE_PASS"]]
    assert len(set(passwords)) == 2
    for password in passwords:
        # What RDS refuses, and what base64 makes.
        assert len(password) >= 32 and not set(password) & set('/@" ')
    for secret in [*passwords, *SECRETS.values()]:
        assert secret not in done.text
    assert list(file.parent.iterdir()) == [file], "something was left beside it"
    assert runner.done_if("env-file")
    before = file.read_bytes()
    file.chmod(0o644)
    runner.step("env-file").ok()
    assert file.read_bytes() == before and stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_budget_is_made_once_and_follows_the_plan(runner, cloud):
    runner.step("budget-alerts").ok()
    budgets = cloud.client("budgets")
    made = lambda: budgets.describe_budget(AccountId=cloud.account, BudgetName="medzen-monthly")["Budget"]["BudgetLimit"]
    assert made() == {"Amount": "564.17", "Unit": "USD"}
    told = budgets.describe_notifications_for_budget(AccountId=cloud.account, BudgetName="medzen-monthly")["Notifications"]
    assert {notice["NotificationType"] for notice in told} == {"ACTUAL", "FORECASTED"}
    runner.step("budget-alerts", LIMIT="600").ok()
    assert made()["Amount"] == "600" and len(budgets.describe_budgets(AccountId=cloud.account)["Budgets"]) == 1


# --- meetings and keys ------------------------------------------------------------------------------------------------


def test_an_audit_entry_is_complete_or_it_is_none(runner, cloud):
    make_table(cloud, IRELAND, "audit-entries", ("pk", "sk"))
    table = cloud.client("dynamodb", IRELAND)
    entry = {
        "pk": {"S": "MEETING#m-1"}, "sk": {"S": "CREATED#2026-01-08T00:00:00Z"}, "action": {"S": "CREATED"},
        "appointmentId": {"S": "baseline-ireland"}, "ttl": {"N": "1984522983"},
    }
    seen = lambda meeting: runner.step("audit-ireland", {"meeting-ireland.MEETING": meeting}, TABLE="audit-entries")
    seen("m-1").failed("pk None")
    table.put_item(TableName="audit-entries", Item={key: value for key, value in entry.items() if key != "ttl"})
    seen("m-1").failed("ttl None")
    table.put_item(TableName="audit-entries", Item=entry)
    assert "is complete" in seen("m-1").ok().text
    seen('m-1"}, ":x": {"S": "$(touch here)').failed("characters that no id has")
    assert not (runner.tree / "here").exists()


def test_the_key_gets_its_alias_and_nobody_elses(runner, cloud):
    kms = cloud.client("kms", FRANKFURT)
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "mediapipelines.chime.amazonaws.com"}, "Action": "kms:Decrypt", "Resource": "*"},
    ]}
    key = kms.create_key(Policy=json.dumps(policy))["KeyMetadata"]
    outputs = {"stack-chime.KeyArn": key["Arn"]}
    done = runner.step("kms-key", outputs).ok()
    assert done.outputs == {"KEY_ARN": key["Arn"]}
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    aliases = lambda: {a["AliasName"]: a.get("TargetKeyId") for a in kms.list_aliases()["Aliases"]}
    assert aliases()["alias/medzen-chime"] == key["KeyId"]
    runner.step("kms-key", outputs).ok()

    other = kms.create_key(Policy=json.dumps(policy))["KeyMetadata"]
    runner.step("kms-key", {"stack-chime.KeyArn": other["Arn"]}).failed("already names another key")
    assert aliases()["alias/medzen-chime"] == key["KeyId"]
    bare = kms.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": []}))["KeyMetadata"]
    runner.step("kms-key", {"stack-chime.KeyArn": bare["Arn"]}, ALIAS="alias/bare").failed()


def test_the_replica_is_one_and_goes_without_a_trace(on_moto, moto, database):
    assert not on_moto.done_if("ehr-replica")
    on_moto.step("ehr-replica").ok()
    replica = moto("rds", FRANKFURT).describe_db_instances(DBInstanceIdentifier="medzen-ehrbase-replica-eu-central-1")["DBInstances"]
    assert [r["ReadReplicaSourceDBInstanceIdentifier"].rsplit(":", 1)[-1] for r in replica] == ["medzen-ehrbase-db"]
    assert on_moto.done_if("ehr-replica")
    assert "exists" in on_moto.step("ehr-replica").ok().text

    # moto cannot delete a replica in another region than its primary's, so one beside it is made and deleted.
    near = {"REPLICA": "near", "REPLICA_REGION": CAPE_TOWN}
    on_moto.step("ehr-replica", **near).ok()
    on_moto.step("ehr-replica undo", **near).ok()
    left = moto("rds", CAPE_TOWN).describe_db_instances()["DBInstances"]
    assert [instance["DBInstanceIdentifier"] for instance in left] == ["medzen-ehrbase-db"]

    # What has the replica's name and is a database of its own is neither taken for one nor deleted.
    moto("rds", IRELAND).create_db_instance(
        DBInstanceIdentifier="medzen-ehrbase-replica-eu-central-1", DBInstanceClass="db.r6g.large", Engine="postgres",
        AllocatedStorage=20, MasterUsername="ehr", MasterUserPassword="only-for-this-test",
    )
    on_moto.step("ehr-replica", REPLICA_REGION=IRELAND).failed("and not medzen-ehrbase-db")
    on_moto.step("ehr-replica undo", REPLICA_REGION=IRELAND).failed("is no replica")


# --- data -------------------------------------------------------------------------------------------------------------


def pairs(*names):
    return " ".join(f"{name}-from={name}-to" for name in names)


def make_pair(cloud, name):
    return make_bucket(cloud, IRELAND, f"{name}-from"), make_bucket(cloud, FRANKFURT, f"{name}-to")


def test_versioning_is_enabled_on_both_sides(runner, cloud):
    here, there = make_pair(cloud, "versions")
    runner.step("versioning", BUCKETS=f"{IRELAND}=versions-from {FRANKFURT}=versions-to").ok()
    assert here.get_bucket_versioning(Bucket="versions-from")["Status"] == "Enabled"
    assert there.get_bucket_versioning(Bucket="versions-to")["Status"] == "Enabled"
    runner.step("versioning", BUCKETS=f"{IRELAND}=no-such-bucket").failed("NoSuchBucket")


ROLE = {"stack-global.ReplicationRoleArn": "arn:aws:iam::000000000000:role/medzen-s3-replication-eu-central-1"}
KEY = {"kms-key.KEY_ARN": "arn:aws:kms:eu-central-1:000000000000:key/1"}


def test_rules_are_added_both_ways_and_none_is_lost(runner, cloud):
    here, there = make_pair(cloud, "rules")
    runner.step("versioning", BUCKETS=f"{IRELAND}=rules-from {FRANKFURT}=rules-to").ok()
    make_bucket(cloud, CAPE_TOWN, "rules-africa")
    cloud.client("s3", CAPE_TOWN).put_bucket_versioning(Bucket="rules-africa", VersioningConfiguration={"Status": "Enabled"})
    africa = {"ID": "to-cape-town", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": "africa/"},
              "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::rules-africa"}}
    here.put_bucket_replication(Bucket="rules-from", ReplicationConfiguration={"Role": "arn:aws:iam::000000000000:role/old", "Rules": [africa]})
    rules = lambda: {rule["ID"]: rule for rule in here.get_bucket_replication(Bucket="rules-from")["ReplicationConfiguration"]["Rules"]}

    for _ in range(2):
        runner.step("replication", ROLE | KEY, PAIRS=pairs("rules")).ok()
        assert set(rules()) == {"to-frankfurt", "to-cape-town"}
    rule = rules()["to-frankfurt"]
    assert rule["Destination"]["Bucket"] == "arn:aws:s3:::rules-to"
    assert rule["Destination"]["ReplicationTime"]["Time"]["Minutes"] == 15
    assert rule["DeleteMarkerReplication"]["Status"] == "Enabled"
    assert rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"] == KEY["kms-key.KEY_ARN"]
    assert rules()["to-cape-town"]["Filter"] == africa["Filter"]

    runner.step("reverse-replication", ROLE, PAIRS="rules-to=rules-from").ok()
    back = there.get_bucket_replication(Bucket="rules-to")["ReplicationConfiguration"]["Rules"]
    assert [(r["ID"], r["Destination"]["Bucket"]) for r in back] == [("to-ireland", "arn:aws:s3:::rules-from")]

    runner.step("replication undo", BUCKETS="rules-from").ok()
    assert set(rules()) == {"to-cape-town"}
    runner.step("reverse-replication undo", BUCKETS="rules-to").ok()
    with pytest.raises(there.exceptions.ClientError, match="ReplicationConfigurationNotFound"):
        there.get_bucket_replication(Bucket="rules-to")
    evil = {"stack-global.ReplicationRoleArn": 'arn:aws:iam::1:role/x", "Rules": []} $(touch here)'}
    runner.step("replication", evil | KEY, PAIRS=pairs("rules")).failed("is no ARN")
    assert set(rules()) == {"to-cape-town"}


def test_the_backfill_waits_for_its_jobs(runner, cloud, answers):
    here, there = make_pair(cloud, "fill")
    make_bucket(cloud, IRELAND, "fill-empty")
    for number in range(3):
        here.put_object(Bucket="fill-from", Key=f"{number}.mp4", Body=b"x")
    # S3 Control puts the account in front of the name, which leads nowhere: a proxy takes it.
    runner.env |= {"AWS_ENDPOINT_URL_S3_CONTROL": "http://control.invalid", "HTTP_PROXY": answers.url, "NO_PROXY": "127.0.0.1"}
    states = [("Preparing", 0, 0), ("Active", 1, 0), ("Complete", 3, 0)]
    jobs = []

    def create(body):
        jobs.append(body)
        return "<CreateJobResult><JobId>job-1</JobId></CreateJobResult>"

    def describe(_):
        status, done, failed = states.pop(0)
        if status == "Complete":
            # What S3 does meanwhile.
            for found in here.list_objects_v2(Bucket="fill-from")["Contents"]:
                there.put_object(Bucket="fill-to", Key=found["Key"], Body=b"x")
        return (
            f"<DescribeJobResult><Job><JobId>job-1</JobId><Status>{status}</Status><ProgressSummary><TotalNumberOfTasks>3"
            f"</TotalNumberOfTasks><NumberOfTasksSucceeded>{done}</NumberOfTasksSucceeded><NumberOfTasksFailed>{failed}"
            "</NumberOfTasksFailed></ProgressSummary></Job></DescribeJobResult>"
        )

    underway = []
    answers.answers = {
        "GET /v20180820/jobs/job-1": describe,
        "GET /v20180820/jobs": lambda _: f"<ListJobsResult><Jobs>{''.join(underway)}</Jobs></ListJobsResult>",
        "POST /v20180820/jobs": create,
    }
    compare = lambda: runner.step("inventories", PAIRS=pairs("fill"), LOOKS="1")
    assert "fill-from: 0 of 3 objects, 0 %" in compare().failed("3 objects are missing").text
    fill = lambda: runner.step("backfill", ROLE, BUCKETS="fill-empty fill-from", POLL="0")
    done = fill().ok()
    assert "fill-from: Active, 1 of 3 objects, 0 failed" in done.text and "fill-empty is empty" in done.text
    (job,) = jobs
    assert "<S3ReplicateObject" in job and "arn:aws:s3:::fill-from" in job
    assert "<ObjectReplicationStatuses>" in job and ">NONE<" in job and ">FAILED<" in job
    assert "fill-from: 3 of 3 objects, 100 %" in compare().ok().text

    # After a crash the job is still there, and is waited for.
    underway.append("<member><JobId>job-1</JobId><Description>backfill of fill-from</Description><Status>Active</Status></member>")
    states[:] = [("Complete", 3, 0)]
    fill().ok()
    assert len(jobs) == 1, "a second job would copy everything twice"
    states[:] = [("Complete", 2, 1)]
    fill().failed("1 failed")
    states[:] = [("Failed", 0, 0)]
    fill().failed("Failed")


def test_inventories_are_compared_object_by_object(runner, cloud):
    here, there = make_pair(cloud, "compare")
    keys = ["a", "b c", "ü/1.mp4", "line\nbreak", "\x1b[31mred", "$(touch here)"]
    for key in keys:
        here.put_object(Bucket="compare-from", Key=key, Body=b"12345")
        there.put_object(Bucket="compare-to", Key=key, Body=b"12345")
    compare = lambda: runner.step("inventories", PAIRS=pairs("compare"), LOOKS="2", POLL="0")
    assert f"compare-from: {len(keys)} of {len(keys)} objects, 100 %" in compare().ok().text
    # As many objects, but one of another size; and more there than here is no fault.
    there.put_object(Bucket="compare-to", Key="\x1b[31mred", Body=b"1234")
    there.put_object(Bucket="compare-to", Key="written there", Body=b"1")
    done = compare().failed("compare-from: 5 of 6 objects, 83 %", "1 objects are missing")
    assert "\x1b" not in done.text and done.text.count("compare-from:") == 2, "it looks as often as it was told"
    there.delete_object(Bucket="compare-to", Key="line\nbreak")
    compare().failed("compare-from: 4 of 6 objects, 66 %")
    assert not (runner.tree / "here").exists()


def test_the_trigger_is_for_new_mp4_files_and_replaces_nobodys(runner, cloud):
    s3 = make_bucket(cloud, FRANKFURT, "trigger-me")
    make_function(cloud, FRANKFURT, "trigger-handler")
    trigger = lambda: runner.step("mp4-trigger", BUCKET="trigger-me", FUNCTION="trigger-handler")
    for _ in range(2):
        trigger().ok()
    found = s3.get_bucket_notification_configuration(Bucket="trigger-me")["LambdaFunctionConfigurations"]
    assert len(found) == 1 and found[0]["LambdaFunctionArn"].endswith(":trigger-handler")
    assert [(r["Name"].lower(), r["Value"]) for r in found[0]["Filter"]["Key"]["FilterRules"]] == [("suffix", ".mp4")]
    policy = json.loads(cloud.client("lambda", FRANKFURT).get_policy(FunctionName="trigger-handler")["Policy"])
    (statement,) = policy["Statement"]
    assert "trigger-me" in json.dumps(statement) and "s3.amazonaws.com" in json.dumps(statement)

    runner.step("mp4-trigger undo", BUCKET="trigger-me").ok()
    assert "LambdaFunctionConfigurations" not in s3.get_bucket_notification_configuration(Bucket="trigger-me")
    queue = cloud.client("sqs", FRANKFURT).create_queue(QueueName="other")["QueueUrl"]
    arn = cloud.client("sqs", FRANKFURT).get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    others = {"QueueConfigurations": [{"Id": "other", "QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    s3.put_bucket_notification_configuration(Bucket="trigger-me", NotificationConfiguration=others)
    trigger().failed("notifies somebody else")
    runner.step("mp4-trigger undo", BUCKET="trigger-me").failed("notifies somebody else")
    assert s3.get_bucket_notification_configuration(Bucket="trigger-me")["QueueConfigurations"][0]["Id"] == "other"


def test_tables_are_carried_over_item_by_item(runner, cloud):
    for region in (IRELAND, FRANKFURT):
        make_table(cloud, region, f"carry-{region}", ("pk", "sk"))
        make_table(cloud, region, f"empty-{region}", ("pk", "sk"))
    here, there = (cloud.client("dynamodb", region) for region in (IRELAND, FRANKFURT))
    items = [
        {"pk": {"S": f"MEETING#{n}"}, "sk": {"S": 'CREATED#"quoted" $(touch here) \\ ü\n]'}, "ttl": {"N": str(n)},
         "more": {"M": {"list": {"L": [{"BOOL": True}, {"NULL": True}, {"N": "1.5"}]}, "B": {"S": "a name"}}}}
        for n in range(61)
    ]
    for item in items:
        here.put_item(TableName=f"carry-{IRELAND}", Item=item)
    there.put_item(TableName=f"carry-{FRANKFURT}", Item={"pk": {"S": "MEETING#there"}, "sk": {"S": "x"}})
    tables = f"carry-{IRELAND}=carry-{FRANKFURT} empty-{IRELAND}=empty-{FRANKFURT}"
    done = runner.step("dynamodb-copy", TABLES=tables).ok()
    assert f"carry-{IRELAND}: 25 of 61 items" in done.text and f"carry-{FRANKFURT} in {FRANKFURT} has 62 items" in done.text
    found = there.scan(TableName=f"carry-{FRANKFURT}")["Items"]
    by_key = {item["pk"]["S"]: item for item in found}
    kept = here.scan(TableName=f"carry-{IRELAND}")["Items"]
    assert len(kept) == 61 and all(by_key[item["pk"]["S"]] == item for item in kept)
    assert "MEETING#there" in by_key, "what was written there stays"
    assert not (runner.tree / "here").exists() and not list(runner.temporary.glob("tmp.*")), "items were left lying about"
    runner.step("dynamodb-catch-up", TABLES=tables).ok()
    runner.step("dynamodb-copy", TABLES=f"carry-{IRELAND}=no-such-table").failed("ResourceNotFound")
    here.put_item(TableName=f"empty-{IRELAND}", Item={"pk": {"S": "x"}, "sk": {"S": "y"}, "raw": {"B": b"\x00\xff"}})
    runner.step("dynamodb-copy", TABLES=f"empty-{IRELAND}=empty-{FRANKFURT}").failed("binary values")


# --- records ----------------------------------------------------------------------------------------------------------


def test_the_switch_is_made_once(runner, cloud, answers):
    done = runner.step("health-check").ok()
    made = cloud.client("route53").list_health_checks()["HealthChecks"]
    (check,) = made
    assert done.outputs == {"HEALTH_CHECK": check["Id"]}
    config = check["HealthCheckConfig"]
    assert (config["Type"], config["InsufficientDataHealthStatus"]) == ("CLOUDWATCH_METRIC", "LastKnownStatus")
    assert config["AlarmIdentifier"] == {"Region": IRELAND, "Name": "medzen-leave-frankfurt"}
    (alarm,) = cloud.client("cloudwatch", IRELAND).describe_alarms()["MetricAlarms"]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["TreatMissingData"]) == ("MedZen/Cutover", "LeaveFrankfurt", "ignore")
    assert alarm["AlarmName"] == config["AlarmIdentifier"]["Name"]
    assert runner.step("health-check").ok().outputs == done.outputs
    assert len(cloud.client("route53").list_health_checks()["HealthChecks"]) == 1, "a second try made a second one"
    # A check that counts as healthy whatever happens is none. No emulator keeps that field of one.
    shape = "<HealthCheck><Id>{0}</Id><CallerReference>medzen-leave-frankfurt</CallerReference><HealthCheckConfig><Type>CLOUDWATCH_METRIC</Type>" \
            "<Disabled>true</Disabled></HealthCheckConfig><HealthCheckVersion>1</HealthCheckVersion></HealthCheck>".format(check["Id"])
    answers.answers = {
        "GET /2013-04-01/healthcheck/": f"<GetHealthCheckResponse>{shape}</GetHealthCheckResponse>",
        "GET /2013-04-01/healthcheck": f"<ListHealthChecksResponse><HealthChecks>{shape}</HealthChecks></ListHealthChecksResponse>",
    }
    runner.env["AWS_ENDPOINT_URL_ROUTE_53"] = answers.url
    runner.step("health-check").failed("disabled True")


def test_the_tree_replaces_the_simple_record_and_gives_it_back(runner, cloud):
    zone = cloud.make_zone()
    cloud.put_simple_record(zone)
    api, before = runner.plan.vars["api"], cloud.records(zone)
    tree = lambda step: runner.step(step, **changed(runner, step, zone))

    tree("geo-tree").ok()
    leaves = {record["SetIdentifier"]: record for record in cloud.records(zone)}
    places = {record["GeoLocation"]["CountryCode"]: record["AliasTarget"]["DNSName"].rstrip(".") for record in leaves.values()}
    europe, africa = runner.plan.vars["europe-api"], runner.plan.vars["africa-api"]
    assert places == {c: europe for c in "DE PL CZ AT CH GB IE PT ES *".split()} | {c: africa for c in "ZA CM KE NG".split()}
    assert all(record["AliasTarget"]["HostedZoneId"] == zone for record in leaves.values())
    tree("geo-tree").ok()
    assert len(cloud.records(zone)) == 14, "again is the same"

    tree("geo-west").ok()
    west = [record for record in cloud.records(zone) if record["GeoLocation"]["CountryCode"] in "GB IE PT ES".split()]
    assert {record["AliasTarget"]["HostedZoneId"] for record in west} == {"ZLY8HYME6SFDD"} and len(cloud.records(zone)) == 14
    tree("geo-west undo").ok()
    assert sorted(leaves) == sorted(r["SetIdentifier"] for r in cloud.records(zone))
    assert leaves == {record["SetIdentifier"]: record for record in cloud.records(zone)}
    assert "eu.api.medzenhealth.app" == europe and api == before[0]["Name"].rstrip(".")

    tree("geo-tree undo").ok()
    assert cloud.records(zone) == before
    assert "no geolocation records" in tree("geo-tree undo").ok().text


def changed(runner, step, zone):
    """The test's own zone, wherever the step names the plan's."""
    shell = dict(runner.plan.scripts())[step]
    env = {key: runner.plan.expand(str(value), {}) for key, value in shell["env"].items()}
    return {key: value.replace(runner.plan.vars["zone"], zone) for key, value in env.items() if runner.plan.vars["zone"] in value}


# --- at the end -------------------------------------------------------------------------------------------------------


def test_the_dashboard_shows_three_regions(runner, cloud):
    runner.step("dashboards").ok()
    body = json.loads(cloud.client("cloudwatch", FRANKFURT).get_dashboard(DashboardName="medzen")["DashboardBody"])
    text = json.dumps(body)
    assert [widget["properties"]["title"] for widget in body["widgets"]] == ["Requests", "Failures", "Replication lag"]
    assert all(f'"region": "{region}"' in text for region in (FRANKFURT, IRELAND, CAPE_TOWN))
    assert runner.plan.vars["recordings-frankfurt"] in text


def test_leftovers_are_found_and_left(runner, cloud):
    folder = runner.tree / "aws-deployment"
    folder.mkdir()
    (folder / "deploy.sh").write_text("REGION=eu-central-1\n")
    sweep = lambda: runner.step("sweep-leftovers", PREFIX="leftover")
    assert "eu-west-2: nothing is left" in sweep().ok().text
    make_table(cloud, "eu-west-2", "leftover-table", ("pk", "sk"))
    (folder / "old.sh").write_text("REGION=us-east-1\n")
    done = sweep().failed("leftover-table", "us-east-1: the lines above still name it")
    assert "old.sh" in done.text
    assert cloud.client("dynamodb", "eu-west-2").describe_table(TableName="leftover-table")["Table"]["TableStatus"] == "ACTIVE"


# --- through the engine -----------------------------------------------------------------------------------------------


def test_the_engine_runs_them_as_the_plan_says(fill_in, emulator, seat, open_cockpit, tmp_path):
    kms = emulator.client("kms", FRANKFURT)
    statement = {"Effect": "Allow", "Principal": {"Service": "mediapipelines.chime.amazonaws.com"}, "Action": "kms:Decrypt", "Resource": "*"}
    key = kms.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))["KeyMetadata"]
    here, there = make_bucket(emulator, IRELAND, "engine-from"), make_bucket(emulator, FRANKFURT, "engine-to")
    shutil.copytree(MEDZEN / "scripts", tmp_path / "scripts")
    tree = tmp_path / "tree"
    tree.mkdir()
    seat.env |= {name: value for name, value in SECRETS.items() if name != "SUPABASE_ACCESS_TOKEN"}
    seat.env["PATH"] = f"{VENV}:{seat.env['PATH']}"
    cockpit = open_cockpit("run", fill_in("scripts.yaml", key=key["KeyId"]), "--workdir", tree)
    run = cockpit.run_id()
    cockpit.advance(until="end", timeout_s=180)

    assert {a["AliasName"]: a.get("TargetKeyId") for a in kms.list_aliases()["Aliases"]}["alias/by-the-engine"] == key["KeyId"]
    assert there.get_bucket_versioning(Bucket="engine-to")["Status"] == "Enabled"
    (rule,) = here.get_bucket_replication(Bucket="engine-from")["ReplicationConfiguration"]["Rules"]
    assert rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"] == key["Arn"], "the output of an earlier step"
    written = (tree / ".env").read_text()
    assert SECRETS["SUPABASE_SERVICE_KEY"] in written and stat.S_IMODE((tree / ".env").stat().st_mode) == 0o600
    assert {s["id"]: s["state"] for s in seat.status(run)["steps"]}["env-file"] == "done"
    # What went through the engine is nowhere but where the script put it.
    for path in seat.state.rglob("*"):
        if path.is_file():
            assert SECRETS["SUPABASE_SERVICE_KEY"].encode() not in path.read_bytes(), path
    seat.verify_journal(run)
    cockpit.quit()
