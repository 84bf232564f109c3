"""What CloudWatch is asked for beside plain metrics: expressions, replicas of databases, health checks.

The emulator works out no expression and writes booleans in a way of its own, so something stands in for it there: it takes
the points that the emulator has, and refuses a call as the service does.
"""

import re
import time

import cbor2
import pytest

from cloud import FRANKFURT
from test_endpoint_trouble import zoom_signals

CBOR = [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
GOOD, BROKEN = "errors * 2", "errors +* 2"


def queries(call):
    return cbor2.loads(call.body)["MetricDataQueries"]


def metric_math(call, body, forward):
    """Works out `GetMetricData` with expressions, from the points of the metrics that they name."""
    if call.operation != "GetMetricData":
        return None
    asked = cbor2.loads(body)
    wanted = asked["MetricDataQueries"]
    maths = [query for query in wanted if "Expression" in query]
    for query in maths:
        if "+*" in query["Expression"]:
            # One expression that is not understood is the end of the whole call.
            message = f"Error in expression '{query['Id']}': Syntax error at column {query['Expression'].index('+*')}"
            return 400, CBOR, cbor2.dumps({"__type": "ValidationError", "message": message})
    plain = [query | {"ReturnData": True} for query in wanted if query not in maths]
    status, headers, answer = forward(cbor2.dumps(asked | {"MetricDataQueries": plain}, datetime_as_timestamp=True))
    if status != 200:
        return status, headers, answer
    found = {result["Id"]: result for result in cbor2.loads(answer)["MetricDataResults"]}
    series = {name: dict(zip(result["Timestamps"], result["Values"])) for name, result in found.items()}
    results = [found[query["Id"]] for query in wanted if query["Id"] in found and query.get("ReturnData", True)]
    for query in maths:
        names = set(re.findall(r"[a-z]\w*", query["Expression"]))
        times = sorted(set.intersection(*(set(series[name]) for name in names)))
        values = [eval(query["Expression"], {}, {name: series[name][at] for name in names}) for at in times]
        results.append({"Id": query["Id"], "StatusCode": "Complete", "Timestamps": times, "Values": values})
    return status, headers, cbor2.dumps({"MetricDataResults": results}, datetime_as_timestamp=True)


def small_letters(call, body, forward):
    """The emulator's booleans begin with a capital letter, those of Route 53 do not."""
    status, headers, answer = forward(body)
    return status, headers, answer.replace(b">True<", b">true<").replace(b">False<", b">false<")


@pytest.fixture
def watch(fill_in, emulator, feed, proxy, route53, seat, open_cockpit):
    """The plan at full cadence, in a world with these levels; what is None is not there."""
    proxy.stand_in, route53.stand_in = metric_math, small_letters
    check = emulator.make_health_check()
    about = {
        "errors": ("Math", "Errors", {}),
        "requests": ("Math", "Requests", {}),
        "replica": ("AWS/RDS", "ReplicaLag", {"DBInstanceIdentifier": "ehr-replica"}),
        "aurora": ("AWS/RDS", "AuroraGlobalDBReplicationLag", {"DBClusterIdentifier": "ehr"}),
    }

    def begin(broken=GOOD, update=None, status=1, until="close", **levels):
        for name, level in ({"errors": 3, "requests": 200, "replica": 0.4, "aurora": 120} | levels).items():
            if level is not None:
                feed.publish(name, FRANKFURT, *about[name], level)
        feed.publish("check", "us-east-1", "AWS/Route53", "HealthCheckStatus", {"HealthCheckId": check}, status)
        if update:
            emulator.client("route53").update_health_check(HealthCheckId=check, **update)
        cockpit = open_cockpit("run", fill_in("signals.yaml", broken=broken, check=check))
        cockpit.run_id()
        cockpit.advance(until=until)
        return cockpit

    return begin


def row(cockpit, name, value):
    """Waits until the signals show this value of a monitor."""
    cockpit.wait_for(re.compile(rf"{name} +{re.escape(value)}"), 20, f"{name} to be {value!r}")


def test_expression_replicas_and_check_are_read_in_one_call_and_open_their_gate(watch, proxy):
    cockpit = watch()
    cockpit.wait_for(lambda _: cockpit.prompt().startswith("A  ") or cockpit.prompt().startswith("n  "), 20, "the gate to open")
    zoom_signals(cockpit)
    for name, value in [("share", "1.50%"), ("broken", "6"), ("replica", "400ms"), ("aurora", "120ms"), ("check", "healthy")]:
        row(cockpit, name, value)
    calls = [call for call in proxy.of("GetMetricData") if call.region == FRANKFURT]
    for call in calls:
        asked = queries(call)
        ids = [query["Id"] for query in asked]
        assert len(set(ids)) == len(ids) == 7, ids
        assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", name) for name in ids), ids
        maths = [query for query in asked if "Expression" in query]
        inputs = {name for query in maths for name in re.findall(r"[a-z]\w*", query["Expression"])}
        assert {query["Id"] for query in asked if not query["ReturnData"]} == inputs
        assert inputs <= set(ids)
    # One a region and interval: never two at the same moment.
    assert all(later.at - earlier.at > 1 for earlier, later in zip(calls, calls[1:]))


def test_expression_that_is_refused_takes_nothing_else_down(watch, proxy):
    cockpit = watch(broken=BROKEN)
    zoom_signals(cockpit)
    cockpit.wait_for("CloudWatch refuses this expression: Error in expression: Syntax error", 20)
    for name, value in [("share", "1.50%"), ("replica", "400ms")]:
        row(cockpit, name, value)
    time.sleep(6)
    refused = [call for call in proxy.of("GetMetricData") if any("+*" in query.get("Expression", "") for query in queries(call))]
    assert len(refused) == 1, "within some minutes it is not tried again"
    assert len(proxy.of("GetMetricData")) > 4


def test_of_a_silent_expression_the_metric_is_named(watch, proxy):
    cockpit = watch(requests=None, replica=-1)
    cockpit.wait_for(lambda _: "not replicating" in cockpit.prompt() or "requests" in cockpit.prompt(), 20, "the gate to say why")
    zoom_signals(cockpit)
    cockpit.wait_for("requests: metric not enabled", 20)
    row(cockpit, "replica", "not replicating")
    # Which one it is was seen in the same call: now its inputs answer for themselves.
    last = [query for query in queries([c for c in proxy.of("GetMetricData") if c.region == FRANKFURT][-1])]
    assert all(query["ReturnData"] for query in last if query["Id"].endswith("_requests"))


@pytest.mark.parametrize(
    ("status", "update", "word", "why"),
    [
        (0, None, "unhealthy", "is unhealthy"),
        (1, {"Inverted": True}, "healthy (inverted: the endpoint fails)", "is healthy (inverted"),
        (0, {"Disabled": True}, "disabled: counts as healthy", "UNKNOWN check: disabled: counts as healthy"),
    ],
)
def test_check_that_proves_nothing_opens_no_gate(watch, proxy, route53, status, update, word, why):
    cockpit = watch(status=status, update=update)
    cockpit.wait_for(lambda _: why in cockpit.prompt(), 20, f"the gate to say {why!r}")
    zoom_signals(cockpit)
    cockpit.wait_for(word, 20)
    # Its status comes from CloudWatch; what it makes of it is read once in some minutes.
    assert len(route53.of("GetHealthCheck")) == 1, route53.operations()
    assert "GetHealthCheckStatus" not in str(route53.operations())
    assert sum(call.region == "us-east-1" for call in proxy.of("GetMetricData")) > 1
