"""A metric that says nothing: why, in words that differ, on the screen and in the gate's reason; and no gate opens."""

import datetime
import re
import time

import pytest

from cloud import CAPE_TOWN, FRANKFURT, IRELAND
from test_budget import REGIONS, world
from test_endpoint_trouble import zoom_signals

DIMENSIONS = {"Of": "all"}


@pytest.fixture
def seen(fill_in, emulator, zone, feed, open_cockpit):
    """The wide plan at full cadence, after `spoil` has changed the world."""

    def see(spoil):
        world(emulator, zone, feed)
        spoil()
        cockpit = open_cockpit("run", fill_in("wide.yaml", **{"every-stack": "2s", "every-metric": "2s"}))
        cockpit.run_id()
        cockpit.advance(until="close")
        return cockpit

    return see


def world_without(feed, region, metric):
    """From now on the feed publishes everything but this."""
    publish = feed.publish

    def some(name, where, namespace, what, dimensions, value):
        if (where, what) != (region, metric):
            publish(name, where, namespace, what, dimensions, value)

    feed.publish = some


def gate_says(cockpit, word):
    cockpit.wait_for(lambda _: word in cockpit.prompt(), 30, f"the gate to say {word!r}")
    zoom_signals(cockpit)
    cockpit.wait_for(word.split(":")[0], 10)
    # Trying opens nothing.
    cockpit.confirm("n")
    time.sleep(1)
    cockpit.press("\x1b")
    assert cockpit.step() == "close" or "close" in cockpit.screen()


def test_metric_that_nobody_publishes_is_not_enabled(seen, feed, proxy):
    world_without(feed, FRANKFURT, "Lag")
    # Ireland and Cape Town have one of that name: with other dimensions it is another metric.
    for region in (IRELAND, CAPE_TOWN):
        feed.publish(f"other-{region}", region, "Wide", "Lag", {"Of": "others"}, 3)
        world_without(feed, region, "Lag")
    cockpit = seen(lambda: None)
    gate_says(cockpit, "metric not enabled")
    # Asked once: not again with every poll.
    began = time.monotonic()
    asked = len(proxy.of("ListMetrics"))
    time.sleep(6)
    assert len(proxy.of("ListMetrics")) == asked, "within five minutes nothing is asked twice"
    assert asked == 3 * len(REGIONS), [call.region for call in proxy.of("ListMetrics")]
    assert sum(call.at > began for call in proxy.of("GetMetricData")) >= 6


def test_metric_in_another_region_is_named_so(seen, feed):
    world_without(feed, FRANKFURT, "Lag")
    cockpit = seen(lambda: None)
    gate_says(cockpit, "wrong region: it is in ")
    assert re.search("wrong region: it is in (eu-west-1|af-south-1)", cockpit.screen())


def test_metric_without_a_point_has_no_data_yet(seen, feed, emulator):
    world_without(feed, FRANKFURT, "Lag")

    def put_long_ago():
        at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=2)
        shape = [{"Name": name, "Value": value} for name, value in DIMENSIONS.items()]
        point = {"MetricName": "Lag", "Dimensions": shape, "Timestamp": at, "Value": 3}
        emulator.client("cloudwatch", FRANKFURT).put_metric_data(Namespace="Wide", MetricData=[point])

    cockpit = seen(put_long_ago)
    gate_says(cockpit, "no data yet")
