"""Somebody else changes a stack that a run monitors: it is said who and what, and events are read no further than needed."""

import json
import re
import time
from urllib.parse import parse_qs

from cloud import FRANKFURT
from test_endpoint_trouble import zoom_signals

STACK = "small-frankfurt"
TOKEN = "Console-UpdateStack-0d2f3c44"


def template(topics):
    resources = {f"Topic{number}": {"Type": "AWS::SNS::Topic"} for number in range(topics)}
    return json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}} | resources})


def update(emulator, topics, token=None):
    more = {"ClientRequestToken": token} if token else {}
    emulator.client("cloudformation", FRANKFURT).update_stack(StackName=STACK, TemplateBody=template(topics), **more)
    end = time.monotonic() + 60
    while emulator.stack_status(STACK, FRANKFURT) != "UPDATE_COMPLETE":
        assert time.monotonic() < end, emulator.stack_status(STACK, FRANKFURT)
        time.sleep(0.2)


def events(emulator):
    pages = emulator.client("cloudformation", FRANKFURT).get_paginator("describe_stack_events").paginate(StackName=STACK)
    return sum(len(page["StackEvents"]) for page in pages)


def offsets(calls):
    """How far into the events each call looked; the emulator's tokens say so."""
    tokens = (parse_qs(call.body.decode()).get("NextToken", [":0"])[0] for call in calls)
    return [int(token.rsplit(":", 1)[1]) for token in tokens]


def test_change_by_somebody_else_is_named_and_paging_stops(small_plan, emulator, proxy, open_cockpit):
    cockpit = open_cockpit("run", small_plan)
    cockpit.run_id()
    cockpit.advance(until="half")
    time.sleep(3)
    assert proxy.of("DescribeStackEvents") == [], "nothing moves"

    update(emulator, 130, TOKEN)
    said = re.compile(rf"stack Frankfurt: somebody else's update of {STACK} \(in the console, token {TOKEN}\)")
    cockpit.wait_for(lambda text: said.search(" ".join(text.split())), 30, "the change to be pointed out")
    # Its last event may come with the second look.
    time.sleep(12)
    known = events(emulator)
    assert known > 250
    first = list(proxy.of("DescribeStackEvents"))
    assert first and max(offsets(first)) <= 300, "the newest hundred, and then what is new"

    # The next one is named by its own token, and what is known of the first is not read again.
    update(emulator, 250, "9f86d081884c7d65")
    said_again = re.compile(r"somebody else's update of small-frankfurt \(token 9f86d081884c7d65\)")
    cockpit.wait_for(lambda text: said_again.search(" ".join(text.split())), 30, "the second change to be pointed out")
    time.sleep(12)
    new = events(emulator) - known
    looked = offsets(proxy.of("DescribeStackEvents")[len(first) :])
    print(f"{known} events known, {new} new, looked at offsets {looked}")
    assert new > 200 and known > 250
    assert looked.count(0) <= 4 and max(looked) <= new, (looked, new)
    quiet = len(proxy.of("DescribeStackEvents"))
    time.sleep(12)
    assert len(proxy.of("DescribeStackEvents")) == quiet, "nothing moves any more"
    zoom_signals(cockpit)
    cockpit.wait_for(f"{STACK} UPDATE_COMPLETE", 10)
