"""`cutover check --live` says of a plan what is proved, refuted and not proved, and changes nothing."""

import json
import re
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest

from cloud import API, FRANKFURT, IRELAND
from proxy import Proxy
from test_signals import small_letters

MUTATING = re.compile(r"^(Create|Put|Update|Delete|Change|Execute|PUT|DELETE)|^POST /(?!$)")
CERTIFICATE_PARAMETER = """
AWSTemplateFormatVersion: "2010-09-09"
Parameters: {Certificate: {Type: String}}
Resources:
  Topic: {Type: AWS::SNS::Topic}
"""


class World:
    """Everything that the plan takes for granted, and the ways to ask about it."""

    def __init__(self, plan, emulator, seat, proxy, zone, check):
        self.plan, self.emulator, self.seat, self.proxy, self.zone, self.check = plan, emulator, seat, proxy, zone, check
        # Everything that is asked comes through one of these.
        self.proxies = [proxy]

    def replace(self, old, new):
        text = self.plan.read_text()
        assert old in text, f"the plan has no {old!r}"
        self.plan.write_text(text.replace(old, new))

    def prove(self, code):
        done = self.seat.command("check", self.plan, "--live", "--json", timeout_s=120)
        assert done.returncode == code, f"ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        operations = [operation for proxy in self.proxies for operation in proxy.operations()]
        mutating = [operation for operation in operations if MUTATING.search(operation)]
        assert mutating == [], "a check may change nothing"
        return json.loads(done.stdout)["live"]

    def row(self, live, kind, what):
        found = [row for row in live["rows"] if row["kind"] == kind and what in row["what"]]
        assert len(found) == 1, f"{kind} {what}: {json.dumps(live['rows'], indent=1)}"
        return found[0]

    def refuted(self, kind, what, *words):
        """Exactly this one thing is refuted, and the reason holds these words."""
        live = self.prove(3)
        wrong = [row for row in live["rows"] if row["verdict"] == "refuted"]
        row = self.row(live, kind, what)
        assert wrong == [row], json.dumps(wrong, indent=1)
        for word in words:
            assert word in row["why"], row["why"]
        return row


@pytest.fixture
def world(tmp_path, fill_in, emulator, seat, proxy, zone, feed):
    emulator.make_stack("small-ireland", IRELAND)
    emulator.put_weighted_records(zone, {("frankfurt", FRANKFURT): 0, ("ireland", IRELAND): 100})
    check = emulator.make_health_check()
    certificate = emulator.client("acm", FRANKFURT).request_certificate(DomainName=API)["CertificateArn"]
    feed.publish("errors", FRANKFURT, "Proved/Api", "ErrorPercent", {}, 0)
    lag = {"SourceBucket": "proved-ireland", "DestinationBucket": "proved-frankfurt", "RuleId": "to-frankfurt"}
    feed.publish("lag", FRANKFURT, "AWS/S3", "ReplicationLatency", lag, 1)
    feed.publish("check", "us-east-1", "AWS/Route53", "HealthCheckStatus", {"HealthCheckId": check}, 1)
    for name, region in (("proved-ireland", IRELAND), ("proved-frankfurt", FRANKFURT)):
        emulator.client("s3", region).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    (tmp_path / "proved-template.yaml").write_text(CERTIFICATE_PARAMETER)
    plan = fill_in("proved.yaml", **{"health-check": check, "certificate": certificate})
    seat.env["PROVED_TOKEN"] = "very-secret-value"
    # The tests have their AWS CLI where their Python is.
    seat.env["PATH"] = f"{Path(sys.executable).parent}:{seat.env['PATH']}"
    return World(plan, emulator, seat, proxy, zone, check)


def test_where_everything_is_there_nothing_is_refuted(world):
    live = world.prove(0)
    assert live["refuted"] == 0
    proved = [
        ("account", world.emulator.account), ("stack", "small-ireland"), ("stack", "small-frankfurt"),
        ("template", "small-frankfurt"), ("zone", world.zone), ("records", f"{API} A"), ("health check", world.check),
        ("metric", "Proved/Api"), ("metric", "ReplicationLatency"), ("bucket", "proved-ireland"),
        ("bucket", "proved-frankfurt"), ("certificate", "arn:aws:acm"), ("secret", "PROVED_TOKEN"), ("program", "bash"),
        ("program", "aws"), ("placeholder", "none"),
    ]
    for kind, what in proved:
        assert world.row(live, kind, what)["verdict"] == "proved", world.row(live, kind, what)
    frankfurt = world.row(live, "stack", "small-frankfurt")
    assert frankfurt["region"] == FRANKFURT and "not there yet, step make-frankfurt creates it" in frankfurt["why"]
    assert "step make-frankfurt" in frankfurt["named_by"] and "monitor stack-frankfurt" in frankfurt["named_by"]
    assert world.row(live, "permissions", "")["verdict"] == "not proved"
    assert "root user" in world.row(live, "permissions", "")["why"]
    assert "leave-frankfurt" in world.row(live, "health check", world.check)["why"]
    assert "very-secret-value" not in json.dumps(live)
    done = world.seat.command("check", world.plan, "--live", timeout_s=120)
    assert done.returncode == 0 and re.search(r"\d+ proved, \d+ not proved, 0 refuted", done.stdout), done.stdout
    assert "very-secret-value" not in done.stdout


def test_a_stack_that_nobody_creates(world):
    world.replace("stack: small-ireland", "stack: other-ireland")
    row = world.refuted("stack", "other-ireland", "no step creates it")
    assert row["region"] == IRELAND and row["named_by"] == ["monitor stack-ireland"]


def test_a_stack_that_a_rollback_deletes_and_that_is_protected(world):
    cloudformation = world.emulator.client("cloudformation", FRANKFURT)
    world.emulator.make_stack("small-frankfurt", FRANKFURT)
    # Frankfurt's is not the only one that is protected, but Ireland's nobody deletes.
    for name, region in (("small-frankfurt", FRANKFURT), ("small-ireland", IRELAND)):
        world.emulator.client("cloudformation", region).update_termination_protection(
            StackName=name, EnableTerminationProtection=True
        )
    row = world.refuted("stack", "small-frankfurt", "termination protection is on", "step back/back-stack cannot delete it",
                        "--no-enable-termination-protection")
    assert row["region"] == FRANKFURT
    cloudformation.update_termination_protection(StackName="small-frankfurt", EnableTerminationProtection=False)
    row = world.row(world.prove(0), "stack", "small-frankfurt")
    assert row["verdict"] == "proved" and "step make-frankfurt updates it" in row["why"], row


def test_records_that_a_shift_does_not_find(world):
    world.replace("weights: {frankfurt: 50, ireland: 50}", "weights: {frankfurt: 50, dublin: 50}")
    world.refuted("records", f"{API} A", "the set dublin is not there", "step half", "the set ireland is there too")


def test_a_zone_that_is_not_there(world):
    world.replace(world.zone, "Z0ABCDEFGHIJKL")
    live = world.prove(3)
    assert world.row(live, "zone", "Z0ABCDEFGHIJKL")["verdict"] == "refuted"


def test_a_health_check_that_is_disabled_and_one_that_is_not_there(world):
    world.proxy.stand_in = small_letters
    route53 = world.emulator.client("route53")
    route53.update_health_check(HealthCheckId=world.check, Disabled=True)
    world.refuted("health check", world.check, "disabled", "counts as healthy")
    route53.delete_health_check(HealthCheckId=world.check)
    world.refuted("health check", world.check, "not there")


def test_a_metric_of_another_region(world):
    world.replace("unit: percent}\n    region: eu-central-1", "unit: percent}\n    region: eu-west-1")
    row = world.refuted("metric", "Proved/Api", "wrong region: it is in eu-central-1")
    assert row["region"] == IRELAND


def test_a_metric_that_nobody_publishes_is_not_proved(world):
    world.replace("name: ErrorPercent", "name: Nowhere")
    row = world.row(world.prove(0), "metric", "Nowhere")
    assert row["verdict"] == "not proved" and "a step may enable it" in row["why"]


def test_a_bucket_that_is_not_there(world):
    world.emulator.client("s3", IRELAND).delete_bucket(Bucket="proved-ireland")
    world.refuted("bucket", "proved-ireland", "not there")


def test_a_certificate_of_another_region(world):
    plan = world.plan.read_text()
    arn = re.search(r"arn:aws:acm:[^\"]+", plan).group(0)
    world.replace(arn, arn.replace(FRANKFURT, IRELAND))
    world.refuted("certificate", "arn:aws:acm", "a certificate of eu-west-1 for a stack in eu-central-1")


def test_placeholders_are_refused_and_not_looked_up(world):
    world.replace(world.zone, "Z1234567890ABC")
    live = world.prove(3)
    row = world.row(live, "placeholder", "Z1234567890ABC")
    assert row["verdict"] == "refuted" and "step half" in row["named_by"]
    assert not {"GetHostedZone", "ListResourceRecordSets"} & set(world.proxy.operations())


def test_a_secret_that_is_not_there(world):
    del world.seat.env["PROVED_TOKEN"]
    world.refuted("secret", "PROVED_TOKEN", "not in the environment")


def test_a_template_that_cannot_be_read(world):
    # The emulator reads whatever it is given.
    world.proxy.stand_in = lambda call, body, forward: (
        400,
        [("Content-Type", "text/xml")],
        b"<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Template format error</Message></Error>"
        b"<RequestId>proxy</RequestId></ErrorResponse>",
    ) if call.operation == "ValidateTemplate" else None
    world.refuted("template", "small-frankfurt", "proved-template.yaml", "Template format error")


def test_without_the_cli_what_only_it_can_ask_is_not_proved(world, tmp_path):
    only_bash = tmp_path / "path"
    only_bash.mkdir()
    (only_bash / "bash").symlink_to("/bin/bash")
    world.seat.env["PATH"] = str(only_bash)
    live = world.prove(3)
    assert world.row(live, "program", "aws")["verdict"] == "refuted"
    row = world.row(live, "bucket", "proved-ireland")
    assert row["verdict"] == "not proved" and "install" in row["why"]


def test_throttling_is_waited_out_and_a_failure_ends_no_other_look_up(world):
    world.proxy.add_rule("ListResourceRecordSets", times=2, instead="throttle")
    world.proxy.add_rule("GetHealthCheck", instead="garbage")
    live = world.prove(0)
    assert world.row(live, "records", f"{API} A")["verdict"] == "proved"
    assert world.row(live, "health check", world.check)["verdict"] == "not proved"
    assert world.row(live, "stack", "small-ireland")["verdict"] == "proved"


# --- services and quotas ------------------------------------------------------------------------------------------------


@pytest.fixture
def lists(world, moto):
    """moto has the lists of services per region as AWS publishes them, and the quotas of VPC; the first emulator has neither."""
    running = Proxy(int(moto.url.rpartition(":")[2]))
    world.proxies.append(running)
    world.seat.env |= {"AWS_ENDPOINT_URL_SSM": running.url, "AWS_ENDPOINT_URL_SERVICE_QUOTAS": running.url}
    yield running
    running.stop()


def test_services_and_quotas_that_are_there(world, lists):
    live = world.prove(0)
    for name, region, by in (
        ("kms", FRANKFURT, "step services"), ("comprehendmedical", IRELAND, "step services"), ("s3", FRANKFURT, "monitor lag"),
        ("sns", FRANKFURT, "step make-frankfurt"),
    ):
        row = world.row(live, "service", name)
        assert (row["verdict"], row["region"], row["named_by"]) == ("proved", region, [by]), row
    row = world.row(live, "quota", "vpc L-F678F1CE")
    assert row["verdict"] == "proved" and "5, enough (5)" in row["why"], row
    # A list each for Frankfurt and Ireland, however many services are looked for, asked for where it can be read.
    asked = [call for call in lists.of("GetParametersByPath") if b"NextToken" not in call.body]
    assert len(asked) == 2 and {call.region for call in lists.of("GetParametersByPath")} == {FRANKFURT}


def test_a_service_that_a_region_does_not_offer(world, lists):
    world.replace("list-entities-detection-v2-jobs --region eu-west-1", "list-entities-detection-v2-jobs --region eu-central-1")
    row = world.refuted("service", "comprehendmedical", "not among the services of this region")
    assert row["region"] == FRANKFURT and row["named_by"] == ["step services"]


def test_a_service_that_no_list_knows_is_not_proved(world, lists):
    world.replace("aws kms list-aliases", "aws kms2 list-aliases")
    row = world.row(world.prove(0), "service", "kms2")
    assert row["verdict"] == "not proved" and "another one" in row["why"], row


def test_a_quota_that_is_too_small(world, lists):
    world.replace("vpc:L-F678F1CE:5", "vpc:L-F678F1CE:6")
    row = world.refuted("quota", "vpc L-F678F1CE", "5 is too small (6)", "no step asks for more")
    assert row["region"] == FRANKFURT
    world.replace("            aws kms list-aliases", "            aws service-quotas request-service-quota-increase\n            aws kms list-aliases")
    row = world.row(world.prove(0), "quota", "vpc L-F678F1CE")
    assert row["verdict"] == "not proved" and "step services asks for more" in row["why"], row


# --- permissions --------------------------------------------------------------------------------------------------------


def each_resource(call, body, forward):
    """The emulator simulates policies, but looks at the first resource of a call only. AWS judges each and lists them."""
    if call.operation != "SimulatePrincipalPolicy":
        return None
    form = parse_qsl(body.decode())
    others = [(key, value) for key, value in form if not key.startswith("ResourceArns.")]
    results, headers = {}, []
    for resource in [value for key, value in form if key.startswith("ResourceArns.")]:
        status, headers, answer = forward(urlencode([*others, ("ResourceArns.member.1", resource)]).encode())
        if status != 200:
            return status, headers, answer
        found = re.findall(r"<EvalActionName>(.*?)</EvalActionName>.*?<EvalDecision>(.*?)</EvalDecision>", answer.decode(), re.S)
        for action, decision in found:
            results.setdefault(action, {})[resource] = decision
    members = ""
    for action, by_resource in results.items():
        specific = "".join(
            f"<member><EvalResourceName>{resource}</EvalResourceName>"
            f"<EvalResourceDecision>{decision}</EvalResourceDecision></member>"
            for resource, decision in by_resource.items() if resource != "*"
        )
        # The decision above the list is the most restrictive one, and the name of the resource a pattern.
        worst = max(by_resource.values(), key=["allowed", "implicitDeny", "explicitDeny"].index)
        members += (
            f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>arn:${{Partition}}:a:b:c</EvalResourceName>"
            f"<EvalDecision>{worst}</EvalDecision><ResourceSpecificResults>{specific}</ResourceSpecificResults></member>"
        )
    text = (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult>'
        f"<EvaluationResults>{members}</EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult>"
        "<ResponseMetadata><RequestId>proxy</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )
    return 200, headers, text.encode()


def policy(*statements):
    keys = ("Effect", "Action", "Resource")
    return json.dumps({"Version": "2012-10-17", "Statement": [dict(zip(keys, statement)) for statement in statements]})


ENOUGH = ("Allow", ["route53:*", "cloudwatch:*", "cloudformation:*", "kms:ListAliases", "comprehendmedical:*"], "*")


def log_in_as_user(world, document):
    iam = world.emulator.client("iam")
    iam.create_user(UserName="anna")
    iam.put_user_policy(UserName="anna", PolicyName="cutover", PolicyDocument=document)
    key = iam.create_access_key(UserName="anna")["AccessKey"]
    world.seat.env |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    world.proxy.stand_in = each_resource


def log_in_as_role(world, document, path="/"):
    iam = world.emulator.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="Oncall", Path=path, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName="Oncall", PolicyName="cutover", PolicyDocument=document)
    keys = world.emulator.client("sts").assume_role(RoleArn=role, RoleSessionName="anna")["Credentials"]
    world.seat.env |= {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }
    world.proxy.stand_in = each_resource
    return role


NEEDED = {
    "route53:ChangeResourceRecordSets": "step half", "route53:GetChange": "step half",
    "route53:ListResourceRecordSets": "step back/back-traffic", "route53:GetHealthCheck": "monitor check",
    "cloudformation:CreateChangeSet": "step make-frankfurt", "cloudformation:DeleteStack": "step back/back-stack",
    "cloudformation:DescribeStacks": "monitor stack-ireland", "cloudwatch:GetMetricData": "monitor errors",
    "kms:ListAliases": "step services",
}


def test_a_user_with_all_permissions(world):
    log_in_as_user(world, policy(ENOUGH))
    live = world.prove(0)
    for action, by in NEEDED.items():
        row = world.row(live, "permission", action)
        assert row["verdict"] == "proved" and by in row["named_by"], row["why"]
    assert world.row(live, "permissions", "user/anna")["verdict"] == "not proved"
    # A call each for Route 53, stacks, metrics and scripts.
    assert len(world.proxy.of("SimulatePrincipalPolicy")) == 4


def test_a_permission_that_is_missing_and_one_that_is_forbidden(world):
    some = ["route53:*", "cloudwatch:*", "cloudformation:Describe*", "cloudformation:*ChangeSet"]
    zone = f"arn:aws:route53:::hostedzone/{world.zone}"
    log_in_as_user(world, policy(("Allow", some, "*"), ("Deny", "route53:ChangeResourceRecordSets", zone)))
    live = world.prove(3)
    refuted = {row["what"]: row["why"] for row in live["rows"] if row["verdict"] == "refuted"}
    account = world.emulator.account
    assert refuted == {
        "route53:ChangeResourceRecordSets": f"a policy forbids route53:ChangeResourceRecordSets on {zone}",
        "cloudformation:DeleteStack": "no policy allows cloudformation:DeleteStack on "
                                      f"arn:aws:cloudformation:{FRANKFURT}:{account}:stack/small-frankfurt/*",
    }
    # A script may mean one key that a policy of the key allows.
    assert world.row(live, "permission", "kms:ListAliases")["verdict"] == "not proved"


def test_a_policy_for_the_plans_own_resources_is_enough(world):
    stacks = f"arn:aws:cloudformation:{FRANKFURT}:{world.emulator.account}:stack/small-*"
    log_in_as_user(world, policy(
        ("Allow", ["route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"], f"arn:aws:route53:::hostedzone/{world.zone}"),
        ("Allow", "route53:GetChange", "arn:aws:route53:::change/*"),
        ("Allow", "route53:GetHealthCheck", f"arn:aws:route53:::healthcheck/{world.check}"),
        ("Allow", "cloudformation:*", stacks),
        ("Allow", ["cloudformation:DescribeStacks", "cloudwatch:*"], "*"),
    ))
    assert world.prove(0)["refuted"] == 0


def test_a_session_is_judged_by_its_role(world):
    log_in_as_role(world, policy(ENOUGH))
    live = world.prove(0)
    assert world.row(live, "permission", "route53:ChangeResourceRecordSets")["verdict"] == "proved"
    assert "assumed-role/Oncall/anna" in world.row(live, "permissions", "")["what"]


def test_the_path_of_a_role_is_asked_for(world):
    # What the emulator then makes of such a role does not matter here.
    role = log_in_as_role(world, policy(ENOUGH), path="/teams/night/")
    done = world.seat.command("check", world.plan, "--live", "--json", timeout_s=120)
    assert done.returncode in (0, 3), done.stderr
    asked = {dict(parse_qsl(call.body.decode()))["PolicySourceArn"] for call in world.proxy.of("SimulatePrincipalPolicy")}
    assert asked == {role} and ":role/teams/night/Oncall" in role


def test_without_the_permission_to_ask_nothing_is_refuted(world):
    log_in_as_user(world, policy(ENOUGH))
    error = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to simulate</Message></Error>"
    body = f"<ErrorResponse>{error}<RequestId>proxy</RequestId></ErrorResponse>".encode()
    world.proxy.stand_in = lambda call, _, forward: (
        (403, [("Content-Type", "text/xml")], body) if call.operation == "SimulatePrincipalPolicy" else None
    )
    row = world.row(world.prove(0), "permission", "route53:ChangeResourceRecordSets")
    assert row["verdict"] == "not proved" and "AccessDenied" in row["why"], row


def test_another_account_ends_with_7_after_one_question(world):
    world.replace(f'account: "{world.emulator.account}"', 'account: "999999999999"')
    done = world.seat.command("check", world.plan, "--live")
    assert done.returncode == 7 and "999999999999" in done.stderr, done.stderr
    assert world.proxy.operations() == ["GetCallerIdentity"]


def test_no_credentials_end_with_7(world):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        world.seat.env.pop(name)
    done = world.seat.command("check", world.plan, "--live")
    assert done.returncode == 7 and world.proxy.operations() == [], done.stderr


def test_an_invalid_plan_asks_nobody(world):
    world.replace("days: 1\nregions", "days: 0\nregions")
    done = world.seat.command("check", world.plan, "--live")
    assert done.returncode == 3 and world.proxy.operations() == []
