"""What `check` says that watching a plan asks of the cloud is what it does ask, counted on the wire."""

import json
import os
import time
from collections import Counter

import cbor2

from cloud import CAPE_TOWN, FRANKFURT, IRELAND

NAMES = [f"{name}.medzenhealth.app" for name in ("api", "app", "chat", "media")]
REGIONS = (IRELAND, FRANKFURT, CAPE_TOWN)
# Long enough for three reads of the records a minute apart. Polls of what nothing depends on are five minutes apart: more
# than one of them needs a longer look, such as CUTOVER_WATCH_S=690.
IDLE_S = float(os.environ.get("CUTOVER_WATCH_S", "150"))
FULL_S = 57.5
DAY_S = 86_400


def world(emulator, zone, feed):
    for region in REGIONS:
        for number in range(1, 5):
            emulator.make_stack(f"wide-{number}", region)
        feed.publish(f"{region}-lag", region, "Wide", "Lag", {"Of": "all"}, 3)
        feed.publish(f"{region}-errors", region, "Wide", "Errors", {"Of": "all"}, 0.1)
    for name in NAMES:
        emulator.put_weighted_records(zone, {("frankfurt", FRANKFURT): 0, ("ireland", IRELAND): 100}, name=name)


def predicted(seat, plan):
    done = seat.command("check", plan, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["warnings"] == [], report["warnings"]
    return report["api"]


def counted(proxy, since, seconds):
    """Calls by region and operation, each counted for so long from its own first one on."""
    first, count, metrics = {}, Counter(), Counter()
    for call in list(proxy.calls):
        if call.at < since or call.operation == "GetCallerIdentity":
            continue
        key = (call.region, call.operation)
        if call.at - first.setdefault(key, call.at) < seconds:
            count[key] += 1
            if call.operation == "GetMetricData":
                metrics[key] += len(cbor2.loads(call.body)["MetricDataQueries"])
    return count, metrics


def wanted(api, cadence, seconds):
    """How many calls a prediction means: the first at once, the others at their interval."""
    count = Counter()
    for line in api["calls"]:
        # Several names are read in one go, so it is so many at a time and not an interval of a fraction.
        at_once = len(NAMES) if line["operation"] == "ListResourceRecordSets" else 1
        interval_s = DAY_S * at_once / line["per_day"][cadence]
        count[line["region"], line["operation"]] = at_once * -int(-seconds // interval_s)
    return count


def wait(cockpit, until):
    while time.monotonic() < until:
        assert cockpit.alive(), cockpit.screen()
        time.sleep(0.5)


def test_calls_are_what_check_predicts(fill_in, emulator, zone, feed, proxy, seat, open_cockpit):
    world(emulator, zone, feed)
    plan = fill_in("wide.yaml", **{"every-stack": "5s", "every-metric": "10s"})
    api = predicted(seat, plan)
    began = time.monotonic()
    cockpit = open_cockpit("run", plan)
    cockpit.run_id()
    wait(cockpit, began + IDLE_S + 5)

    count, metrics = counted(proxy, began, IDLE_S)
    print(f"idle, {IDLE_S} s:", dict(count), dict(metrics))
    assert count == wanted(api, "idle", IDLE_S)
    # One call a region and interval, with both metrics of the region in it.
    assert all(metrics[region, "GetMetricData"] == 2 * count[region, "GetMetricData"] for region in REGIONS)
    idle_s = DAY_S * 6 / api["metrics_per_day"]["idle"]
    assert sum(metrics.values()) == 6 * -int(-IDLE_S // idle_s)

    # From now on a gate waits for all of them.
    cockpit.advance(until="close")
    began = time.monotonic()
    wait(cockpit, began + FULL_S + 12)
    count, metrics = counted(proxy, began, FULL_S)
    print(f"full, {FULL_S} s:", dict(count), dict(metrics))
    full = wanted(api, "full", FULL_S)
    for key in ((r, o) for r in REGIONS for o in ("DescribeStacks", "GetMetricData")):
        assert count[key] == full[key], (key, count, full)
    assert sum(metrics.values()) == 6 * full[IRELAND, "GetMetricData"]
    assert count.keys() <= full.keys(), "something is asked that was not predicted"
