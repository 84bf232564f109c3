"""Fixtures of the live acceptance tests: the real binary in a real terminal against an emulated AWS.

The parts are in three files: `cloud.py` (emulator, regions' servers, metrics), `proxy.py` (between the binary and the
emulator: knows every call, makes trouble) and `cockpit.py` (terminal, screen, fingers). Everything listens on loopback.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from cloud import API, CAPE_TOWN, FRANKFURT, GATEWAY, GATEWAY_ZONE, IRELAND, Authority, Emulator, MetricFeed, Region
from cockpit import ROOT, Seat, binary
from proxy import Proxy
from steps import SECRETS, Answers, Moto, Runner

HERE = Path(__file__).resolve().parent
SIDES = {"frankfurt": FRANKFURT, "ireland": IRELAND}
PLANS = ROOT / "plans"


def pytest_collection_modifyitems(items):
    """Without a binary there is nothing to test; say so once for each test instead of failing in a fixture."""
    if not os.access(binary(), os.X_OK):
        reason = "no binary: build it with `cargo build`, or name it in CUTOVER_BIN"
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), [API, f"af.{API}", "localhost"])


@pytest.fixture
def emulator(tmp_path):
    """An empty cloud for each test, since stacks and zones of one would be in the way of the next."""
    folder = tmp_path / "emulator"
    folder.mkdir()
    running = Emulator(folder)
    yield running
    running.stop()


@pytest.fixture
def proxy(emulator):
    running = Proxy(emulator.port)
    yield running
    running.stop()


@pytest.fixture
def regions(authority):
    """The API of each region, and `users`: what the public name leads to, which no test can send through DNS."""
    running = {name: Region(name, authority) for name in (IRELAND, FRANKFURT, CAPE_TOWN, "users")}
    yield running
    for region in running.values():
        region.stop()


@pytest.fixture
def feed(emulator):
    running = MetricFeed(emulator)
    yield running
    running.stop()


@pytest.fixture
def seat(tmp_path, proxy, authority):
    return Seat(tmp_path, proxy.url, authority.ca_path)


@pytest.fixture
def open_cockpit(seat):
    """Opens cockpits, and closes whatever a failed test leaves behind."""
    opened = []

    def open_one(*args):
        opened.append(seat.open(*args))
        return opened[-1]

    yield open_one
    for cockpit in opened:
        cockpit.close()


@pytest.fixture
def zone(emulator):
    return emulator.make_zone()


@pytest.fixture
def route53(emulator, seat):
    """A way to Route 53 of its own, as it has in reality: what happens to it happens to nothing else."""
    running = Proxy(emulator.port)
    seat.env["AWS_ENDPOINT_URL_ROUTE_53"] = running.url
    yield running
    running.stop()


@pytest.fixture
def fill_in(tmp_path, emulator, zone, regions):
    """Copies a plan of this folder whose names in angle brackets are the emulated world's."""

    def fill(name, **more):
        always = {"account": emulator.account}
        # Not every plan has probes, or moves traffic.
        probed = {
            "zone": zone,
            "users-port": str(regions["users"].port),
            "ireland": regions[IRELAND].address,
            "frankfurt": regions[FRANKFURT].address,
        }
        text = (HERE / name).read_text()
        for key, value in (probed | more | always).items():
            assert f"<{key}>" in text or key in probed, f"{name} has no <{key}>"
            text = text.replace(f"<{key}>", value)
        path = tmp_path / name
        path.write_text(text)
        return path

    return fill


@pytest.fixture
def stacks(emulator):
    emulator.make_stack("small-ireland", IRELAND)
    emulator.make_stack("small-frankfurt", FRANKFURT)


@pytest.fixture
def small_plan(fill_in, emulator, zone, stacks):
    """A plan of one shift, and the world that it expects."""
    emulator.put_weighted_records(zone, {("frankfurt", FRANKFURT): 0, ("ireland", IRELAND): 100})
    return fill_in("small.yaml")


@pytest.fixture
def ramp_plan(fill_in, emulator, zone, stacks):
    """A plan of four changes, from one simple record to 100 percent."""
    emulator.put_simple_record(zone)
    gateways = {f"gateway-zone-{name}": GATEWAY_ZONE[region] for name, region in SIDES.items()}
    gateways |= {f"gateway-{name}": GATEWAY[region] for name, region in SIDES.items()}
    return fill_in("ramp.yaml", **gateways)


@pytest.fixture
def switch_plan(fill_in, emulator, zone, stacks):
    """A plan with a switch in the data plane, wired to Frankfurt's record."""
    check = emulator.make_health_check()
    emulator.put_weighted_records(zone, {("frankfurt", FRANKFURT): 0, ("ireland", IRELAND): 100}, check={"frankfurt": check})
    return fill_in("switch.yaml", **{"health-check": check})


# What is quick in a rehearsal. Windows of rollbacks stay as they are: an hour is longer than any test.
QUICK = {
    "every-stack": "1s",
    "every-metric": "1s",
    "every-probe": "1s",
    "every-vantage": "60s",
    "cutover-window": "daily 00:00-24:00 UTC",
    "canary-requests": '"10"',
    "half-requests": '"10"',
    "lag-over": "60s",
    "week-clean": "4s",
    "canary-dwell": "6s",
    "half-dwell": "6s",
    "full-dwell": "6s",
    "steady": "2s",
    "baseline-soak": "4s",
    "failover-steady": "4s",
    "week-soak": "6s",
    "quiet": "4s",
    "armed-soak": "4s",
}
# The scripts that the cutover itself is about. The others have tests of their own (`test_medzen_scripts.py`); here they only say
# that they were there, and give what later steps ask them for.
REAL_SCRIPTS = {"geo-tree.sh", "geo-tree-back.sh", "audit-entry.sh"}
GIVEN = {"kms-key.sh": "KEY_ARN=arn:aws:kms:eu-central-1:000000000000:key/1"}
REHEARSED = """set -euo pipefail
echo "rehearsed $CUTOVER_STEP"
"""
# The canary wants twenty samples, the later shifts more, and a probe runs once a second.
SAMPLES = re.compile(r"samples: \d+")


def replace_variable(text, name, value):
    """Gives one variable of vars.yaml another value; it must be there exactly once."""
    text, count = re.subn(rf"^  {re.escape(name)}: .*$", lambda _: f"  {name}: {value}", text, flags=re.MULTILINE)
    assert count == 1, f"vars.yaml has {name!r} {count} times"
    return text


@pytest.fixture
def plan_copy(tmp_path, emulator, zone, regions):
    """A copy of plans/medzen whose vars.yaml names the emulated world."""
    folder = tmp_path / "medzen"
    shutil.copytree(PLANS / "medzen", folder)
    main = folder / "plan.yaml"
    text, count = re.subn(r'^account: "\d{12}"', f'account: "{emulator.account}"', main.read_text(), flags=re.MULTILINE)
    assert count == 1, "plan.yaml names its account once"
    main.write_text(text)
    values = QUICK | {
        "zone": zone,
        "gateway-ireland": GATEWAY[IRELAND],
        "connect-ireland": regions[IRELAND].address,
        "connect-frankfurt": regions[FRANKFURT].address,
        "connect-cape-town": regions[CAPE_TOWN].address,
        "url-users": f"https://localhost:{regions['users'].port}/health",
        "meetings-ireland": f"https://localhost:{regions[IRELAND].port}/meetings",
        "meetings-cape-town": f"https://localhost:{regions[CAPE_TOWN].port}/meetings",
    }
    variables = folder / "vars.yaml"
    text = variables.read_text()
    for name, value in values.items():
        text = replace_variable(text, name, value)
    variables.write_text(text)
    for phase in (folder / "phases").glob("*.yaml"):
        phase.write_text(SAMPLES.sub("samples: 4", phase.read_text()))
    for script in (folder / "scripts").iterdir():
        if script.name not in REAL_SCRIPTS:
            made = f"HEALTH_CHECK={emulator.make_health_check()}" if script.name == "health-check.sh" else None
            given = GIVEN.get(script.name, made)
            script.write_text(REHEARSED + (f'echo "{given}" >>"$CUTOVER_OUTPUT"\n' if given else ""))
    return folder


@pytest.fixture
def tree(tmp_path, plan_copy):
    """A working tree of its own for the edits."""
    folder = tmp_path / "tree"
    shutil.copytree(plan_copy / "assets", folder)
    return folder


def variable(folder, name):
    """A variable of a plan's vars.yaml, for what the test must call by the same name."""
    found = re.search(rf"^  {re.escape(name)}: (\S+)", (folder / "vars.yaml").read_text(), re.MULTILINE)
    assert found, f"vars.yaml has no {name!r}"
    return found.group(1).strip('"')


@pytest.fixture
def medzen_world(plan_copy, emulator, zone, regions, seat, feed):
    """What MedZen has on the morning of day 1, and what CloudWatch would report on every day after."""
    emulator.put_simple_record(zone)
    for region in (IRELAND, CAPE_TOWN):
        emulator.make_audit_table(region, variable(plan_copy, "audit-table"))
        regions[region].audit = lambda entry, region=region: emulator.put_audit_entry(region, variable(plan_copy, "audit-table"), entry)
    seat.env |= SECRETS
    # The scripts of the plan find the AWS CLI where the tests have theirs.
    seat.env["PATH"] = f"{Path(sys.executable).parent}:{seat.env['PATH']}"
    emulator.make_stack(variable(plan_copy, "stack-chime-ireland"), IRELAND)
    emulator.make_stack(variable(plan_copy, "stack-chime-cape-town"), CAPE_TOWN)
    for kind in ("recordings", "transcripts", "medical"):
        dimensions = {
            "SourceBucket": variable(plan_copy, f"{kind}-ireland"),
            "DestinationBucket": variable(plan_copy, f"{kind}-frankfurt"),
            "RuleId": variable(plan_copy, "replication-rule"),
        }
        feed.publish(f"{kind}-lag", FRANKFURT, "AWS/S3", "ReplicationLatency", dimensions, 20)
        back = {
            "SourceBucket": variable(plan_copy, f"{kind}-frankfurt"),
            "DestinationBucket": variable(plan_copy, f"{kind}-ireland"),
            "RuleId": variable(plan_copy, "replication-rule-back"),
        }
        feed.publish(f"{kind}-lag-back", IRELAND, "AWS/S3", "ReplicationLatency", back, 15)
    replica = {"DBInstanceIdentifier": variable(plan_copy, "ehr-replica")}
    feed.publish("ehr-replica-lag", FRANKFURT, "AWS/RDS", "ReplicaLag", replica, 0.4)
    api = {"ApiName": variable(plan_copy, "gateway-api")}
    for name, region in (("frankfurt", FRANKFURT), ("ireland", IRELAND)):
        feed.publish(f"requests-{name}", region, "AWS/ApiGateway", "Count", api, 240)
    feed.publish("errors-frankfurt", FRANKFURT, "MedZen/Api", "ErrorPercent", {}, 0)
    return feed


# --- the scripts of plans/medzen ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """One emulator for all tests of a file: each uses names of its own, or what others leave does not matter to it."""
    running = Emulator(tmp_path_factory.mktemp("cloud"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def moto_server(tmp_path_factory):
    running = Moto(tmp_path_factory.mktemp("moto"))
    yield running
    running.stop()


@pytest.fixture
def moto(moto_server):
    moto_server.reset()

    def client(service, region="us-east-1"):
        return boto3.client(
            service, region_name=region, endpoint_url=moto_server.url, aws_access_key_id="test",
            aws_secret_access_key="test", config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )

    client.url = moto_server.url
    return client


@pytest.fixture
def answers():
    running = Answers()
    yield running
    running.stop()


@pytest.fixture
def runner(tmp_path, cloud):
    made = Runner(tmp_path, {"AWS_ENDPOINT_URL": cloud.url})
    made.secrets = dict(SECRETS)
    return made


@pytest.fixture
def on_moto(runner, moto):
    runner.env["AWS_ENDPOINT_URL"] = moto.url
    return runner
