"""Trouble with a call that is on its way: lost, late, throttled, signed with what has expired, or nobody there to take it."""

import re

import pytest

from cloud import IRELAND
from proxy import Rule
from test_rollback import CHANGE, assert_rolled_back, go_to, weights


def outcomes(seat, run, call):
    """What came of one call, word by word, in order."""
    found = [entry["outcome"] for entry in seat.entries(run, "outcome") if entry["id"] == call]
    return [outcome if isinstance(outcome, str) else next(iter(outcome)) for outcome in found]


def test_lost_answer_of_a_rollback_is_settled(ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    before = emulator.records(zone)
    run, cockpit = go_to("ten", open_cockpit, ramp_plan, emulator, zone)
    proxy.add_rule(CHANGE, times=1, drop=True, hold_answer=True).release.set()
    cockpit.roll_back("immediate")
    cockpit.confirm_rollback()
    cockpit.wait_for("had been applied", 20)
    assert emulator.records(zone) == before
    assert proxy.applied(CHANGE) == 3, "zero, ten and the way back"
    assert outcomes(seat, run, 3) == ["unknown", "refused", "settled"]
    assert len(seat.entries(run, "intent")) == 3, "settling is no new call"
    cockpit.kill()
    seat.verify_journal(run)


@pytest.mark.parametrize("kind", ["throttle", "prior"])
def test_turned_away_is_sent_again(kind, ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    """Too fast, or another change is still going on: certainly not applied, so it is sent again."""
    before = emulator.records(zone)
    run, cockpit = go_to("ten", open_cockpit, ramp_plan, emulator, zone)
    proxy.add_rule(CHANGE, times=2, instead=kind)
    cockpit.roll_back("immediate")
    cockpit.confirm_rollback()
    cockpit.wait_for("ROLLED BACK", 30)
    assert emulator.records(zone) == before
    assert (len(proxy.of(CHANGE)), proxy.applied(CHANGE)) == (5, 3), "zero, ten, twice turned away, and the way back"
    assert outcomes(seat, run, 3) == ["deferred", "deferred", "accepted"]
    assert len(seat.entries(run, "intent")) == 3
    cockpit.quit()
    assert_rolled_back(seat, run)


@pytest.mark.parametrize("order", ["before it is sent again", "after it was sent again"])
def test_change_that_lands_late_is_applied_once(order, ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    """The network keeps a change for longer than the client waits, and then delivers it after all."""
    run, cockpit = go_to("ten", open_cockpit, ramp_plan, emulator, zone)
    late = proxy.add_rule(CHANGE, times=1, hold_before=True)
    again = proxy.add_rule(CHANGE, times=1, hold_before=True)
    cockpit.start("Send half")
    assert again.reached.wait(20), f"it was not sent again\n{cockpit.screen()}"
    first, second = (late, again) if order == "before it is sent again" else (again, late)
    first.release.set()
    proxy.wait_applied(CHANGE, 3)
    second.release.set()
    settled = order == "before it is sent again"
    cockpit.wait_for("had been applied" if settled else "call 3 in sync", 20)
    proxy.wait_refused(CHANGE, 1)
    assert emulator.weights(zone) == weights("half")
    assert proxy.applied(CHANGE) == 3, "zero, ten and half"
    assert outcomes(seat, run, 3) == (["unknown", "refused", "settled"] if settled else ["unknown", "accepted"])
    assert len(seat.entries(run, "intent")) == 3
    cockpit.kill()
    seat.verify_journal(run)


@pytest.mark.parametrize("first", ["ListResourceRecordSets", CHANGE])
def test_expired_credentials_pause_the_run(first, small_plan, emulator, zone, proxy, seat, open_cockpit):
    """The keys expire in the middle of a shift; somebody logs in again, which here writes a file, and says go on."""
    seat.log_in("first")
    cockpit = open_cockpit("run", small_plan)
    run = cockpit.run_id()
    cockpit.advance(until="half", timeout_s=60)
    # From the shift's first read on, or from its call on, nothing that these keys have signed is taken.
    proxy.add_rule(first, key="first", times=1, instead="expired", then=Rule(key="first", instead="expired"))
    cockpit.start("Send half")
    cockpit.wait_for("HELD", 3, "the run to hold")
    cockpit.wait_for("credentials", 2)
    cockpit.wait_for(re.compile(r"NOT ARMED.*\n.*because log in again"), 5)
    assert emulator.weights(zone) == weights("zero")

    # Going on with keys that are still expired holds again, and breaks nothing.
    cockpit.confirm("c")
    cockpit.wait_for(lambda text: text.count("HELD: credentials") == 2, 20, "the run to hold again")
    seat.log_in("second")
    cockpit.confirm("c")
    cockpit.advance(until="end", timeout_s=60)
    assert emulator.weights(zone) == weights("half")
    assert proxy.applied(CHANGE) == 1
    assert {call.key for call in proxy.of(CHANGE) if call.answered and call.upstream} == {"second"}
    assert seat.entries(run, "failed") == []
    cockpit.quit()
    seat.verify_journal(run)


def test_control_plane_away(switch_plan, emulator, zone, route53, proxy, seat, open_cockpit):
    """Without Route 53's control plane nothing that needs it is armed, and what needs none is offered and works."""
    cockpit = open_cockpit("run", switch_plan)
    run = cockpit.run_id()
    cockpit.advance(until="ten", timeout_s=60)
    cockpit.advance(until="half", timeout_s=60)
    route53.refuse()
    # Looking at the rollback reads the records at once instead of within a minute.
    cockpit.press("R")
    cockpit.wait_for("cannot connect", 15)
    cockpit.press("\x1b")
    cockpit.wait_for(re.compile(r"NOT ARMED.*\n.*because Route 53's control plane \(us-east-1\)"), 15)

    route53.start()
    cockpit.advance(until="end", timeout_s=60)
    assert emulator.weights(zone) == weights("half")
    records = emulator.records(zone)
    route53.refuse()
    cockpit.press("R")
    cockpit.wait_for("cannot connect", 15)
    cockpit.press("\x1b")
    cockpit.wait_for("'flip' to eu-west-1", 15, "the switch to be the one that is armed")
    asked = len(route53.calls)
    cockpit.roll_back("flip")
    cockpit.wait_for("PutMetricData", 5)
    cockpit.confirm_rollback()
    cockpit.wait_for("ROLLED BACK", 30)
    assert emulator.metric_maximum(IRELAND, "Cutover", "LeaveFrankfurt", {"Zone": zone}) == 1
    (flipped,) = proxy.of("PutMetricData")
    warmed = proxy.of("DescribeAlarms")[-1]
    assert flipped.region == warmed.region == IRELAND
    assert flipped.connection == warmed.connection, "the connection was kept open for it"
    assert len(route53.calls) == asked and proxy.of(CHANGE) == []
    assert [entry["call"] for entry in seat.entries(run, "intent")][2:] == [
        {
            "put-metric": {
                "region": IRELAND,
                "namespace": "Cutover",
                "metric": "LeaveFrankfurt",
                "dimensions": [["Zone", zone]],
                "value": 1_000_000,
            }
        }
    ]
    assert emulator.records(zone) == records, "the switch touches no record"
    assert cockpit.quit() == 5
    seat.verify_journal(run)
