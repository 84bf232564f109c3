"""The cutover itself, driven by keys: stacks, a gate that shuts and opens, three weights, and the way back."""

import re
import time

import pytest

from cloud import API, EUROPE, FRANKFURT, IRELAND
from conftest import variable

# A metric shows a lower level only with the next minute that has ended.
METRIC_FALLS_S = 150

FRANKFURT_SET, IRELAND_SET = "eu-central-1-primary", "eu-west-1-failover"
STACKS = ("stack-global", "stack-chime", "stack-bedrock", "stack-sms")


def create_stack_by_hand(cockpit, emulator, plan, step):
    """One stack step, key by key: n and Y make a change set and nothing else; n and Y again execute it."""
    name = variable(plan, step)
    cockpit.advance(until=step)
    assert emulator.stack_status(name, FRANKFURT) is None
    cockpit.confirm("n")
    cockpit.wait_for(re.compile(r"^ *n  execute the change set", re.MULTILINE), what="an offer to execute the change set")
    cockpit.wait_for("AWS::")
    assert emulator.stack_status(name, FRANKFURT) == "REVIEW_IN_PROGRESS", "it must be seen before anything is created"
    cockpit.confirm("n")
    cockpit.wait_for(lambda _: cockpit.step() != step, 60, f"the end of {step}")
    assert emulator.stack_status(name, FRANKFURT) == "CREATE_COMPLETE"


def test_whole_cutover_and_back(medzen_world, plan_copy, tree, emulator, zone, seat, open_cockpit):
    feed = medzen_world
    simple = emulator.records(zone)
    cockpit = open_cockpit("run", plan_copy, "--workdir", tree)
    cockpit.wait_for("[LIVE]")
    run = cockpit.run_id()

    create_stack_by_hand(cockpit, emulator, plan_copy, "stack-global")
    assert "eu-central-1" in (tree / "CLAUDE.md").read_text(), "the edits edit"
    cockpit.advance(until="geo-tree", timeout_s=600)
    assert emulator.records(zone) == simple, "no step before geo-tree may touch the users' record"
    before = emulator.records(zone, EUROPE)
    assert before == [record | {"Name": before[0]["Name"]} for record in simple], "Europe's name answers as the users' does"
    cockpit.advance(until="weights-zero")
    leads_to = {record["GeoLocation"]["CountryCode"]: record["AliasTarget"]["DNSName"].rstrip(".") for record in emulator.records(zone)}
    assert (leads_to["*"], leads_to["DE"], leads_to["CM"]) == (EUROPE, EUROPE, f"af.{API}")
    for stack in STACKS:
        assert emulator.stack_status(variable(plan_copy, stack), FRANKFURT) == "CREATE_COMPLETE"
    assert emulator.records(zone, EUROPE) == before, "no step before weights-zero may touch Europe's record"

    # One batch from a simple record to two weighted ones that answer as before.
    cockpit.advance(until="canary-10")
    assert emulator.weights(zone, EUROPE) == {FRANKFURT_SET: 0, IRELAND_SET: 100}
    cockpit.wait_for(re.compile(r"(?<!NOT )ARMED"), what="an armed rollback before the first request is sent")

    # The gate shuts on a lag over the limit: n says why, and Y sends nothing.
    feed.set("recordings-lag", 17 * 60)
    cockpit.wait_for(lambda _: "blocked" in cockpit.prompt(), 60, "the prompt to say that the canary is blocked")
    assert "lag" in cockpit.prompt(), cockpit.prompt()
    cockpit.confirm("n")
    time.sleep(1)
    assert emulator.weights(zone, EUROPE) == {FRANKFURT_SET: 0, IRELAND_SET: 100}, cockpit.screen()
    cockpit.press("\x1b")

    # It opens by itself, and still nothing runs without a hand.
    feed.set("recordings-lag", 20)
    open_gate = re.compile(r"n  (?!.*blocked)")
    cockpit.wait_for(lambda _: open_gate.match(cockpit.prompt()), METRIC_FALLS_S, "the gate of the canary to open")
    assert emulator.weights(zone, EUROPE) == {FRANKFURT_SET: 0, IRELAND_SET: 100}
    cockpit.confirm("n")
    cockpit.wait_weights(emulator, zone, {FRANKFURT_SET: 10, IRELAND_SET: 90}, name=EUROPE)

    cockpit.advance(until="shift-50", timeout_s=120)
    cockpit.advance(until="supabase-secrets", timeout_s=120)
    cockpit.wait_weights(emulator, zone, {FRANKFURT_SET: 50, IRELAND_SET: 50}, name=EUROPE)

    # The way back is shown before it is taken, and takes back exactly what was changed.
    cockpit.roll_back("immediate")
    cockpit.wait_for("ChangeResourceRecordSets")
    assert emulator.weights(zone, EUROPE) == {FRANKFURT_SET: 50, IRELAND_SET: 50}, "showing a rollback must not run it"
    cockpit.confirm_rollback()
    cockpit.wait_weights(emulator, zone, {None: None}, name=EUROPE)
    assert emulator.records(zone, EUROPE) == before, "the record is not what it was"
    cockpit.wait_for("ROLLED BACK", 60)
    assert emulator.stack_status(variable(plan_copy, "stack-chime"), FRANKFURT) == "CREATE_COMPLETE"
    assert len(emulator.records(zone, "af.api.medzenhealth.app")) == 1, "Cape Town's record was no part of it"

    assert cockpit.quit() == 5
    cockpit.assert_terminal_given_back()
    states = {step["id"]: step["state"] for step in seat.status(run)["steps"]}
    assert states["stack-chime"] == "done"
    assert {states[step] for step in ("weights-zero", "canary-10", "shift-50")} == {"undone"}
    seat.verify_journal(run)


@pytest.mark.parametrize("engine", ["alive", "killed"])
def test_rollback_from_a_script(engine, small_plan, emulator, zone, proxy, seat, open_cockpit):
    """Break-glass: the command goes to the engine that has the run, and once that is dead it takes the run over."""
    cockpit = open_cockpit("run", small_plan)
    run = cockpit.run_id()
    cockpit.advance(until="half", timeout_s=60)
    cockpit.advance(until="end", timeout_s=60)
    assert emulator.weights(zone) == {"frankfurt": 50, "ireland": 50}
    if engine == "killed":
        cockpit.kill()

    done = seat.command("rollback", run, "back", "--yes", timeout_s=120)
    assert done.returncode == 5, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert ("commanding the engine" in done.stderr) == (engine == "alive"), done.stderr
    assert emulator.weights(zone) == {"frankfurt": 0, "ireland": 100}
    assert proxy.applied("ChangeResourceRecordSets") == 2, "once forward and once back"
    if engine == "alive":
        cockpit.wait_for("ROLLED BACK", 30)
        assert cockpit.quit() == 5
    assert seat.status(run)["status"] == {"finished": "rolled_back"}
    seat.verify_journal(run)


def test_region_that_fails_is_seen_and_left(small_plan, emulator, zone, regions, route53, open_cockpit):
    """Frankfurt fails with half the traffic on it: the outage is on the screen, and R brings the traffic back.

    It takes minutes in which little goes on, so it is also looked at whether the connection to Route 53 stays open.
    """
    cockpit = open_cockpit("run", small_plan)
    cockpit.advance(until="half", timeout_s=60)
    cockpit.advance(until="end", timeout_s=60)
    regions[FRANKFURT].mode = "fail"
    regions["users"].mode = "fail"
    # While nothing goes on, users' own probe runs once a minute.
    cockpit.wait_for("OUTAGE", 100)
    cockpit.roll_back("back")
    cockpit.confirm_rollback()
    cockpit.wait_weights(emulator, zone, {"frankfurt": 0, "ireland": 100})
    regions["users"].mode = "ok"
    # The run ends when the outage has: after a whole minute of good answers.
    cockpit.wait_for("ROLLED BACK", 150)
    assert cockpit.quit() == 5
    calls = route53.calls
    pauses = [(before, after) for before, after in zip(calls, calls[1:]) if after.at - before.at > 20]
    assert pauses, "there was no pause in which a connection could have been lost"
    for before, after in pauses:
        assert before.connection == after.connection, f"closed within {after.at - before.at:.0f} s"


def test_sick_target_disarms_the_rollback(small_plan, regions, open_cockpit):
    """A rollback into a region that is down is none, and the panel says so before anybody needs it (rule 37)."""
    cockpit = open_cockpit("run", small_plan)
    cockpit.advance(until="half", timeout_s=60)
    cockpit.wait_for(re.compile(r"(?<!NOT )ARMED"), 30, "an armed rollback")
    regions[IRELAND].mode = "fail"
    cockpit.wait_for("NOT ARMED", 30)
    regions[IRELAND].mode = "ok"
    cockpit.wait_for(re.compile(r"(?<!NOT )ARMED"), 30, "a rollback that is armed again")
