"""SIGKILL in the middle of a shift. Whatever the cloud made of the call, it is applied once in the end."""

import time

import pytest

CHANGE = "ChangeResourceRecordSets"
# A new process may have to wait until the lease of the killed one has run out.
LEASE_MAX_S = 90


def resume(open_cockpit, run):
    """Opens the run again; 6 says that the lease of the dead process has not run out yet."""
    end = time.monotonic() + LEASE_MAX_S
    while True:
        cockpit = open_cockpit("run", run)
        started = time.monotonic()
        while cockpit.alive() and time.monotonic() - started < 3:
            time.sleep(0.1)
        if cockpit.alive():
            return cockpit
        code = cockpit.exit_code()
        if code != 6 or time.monotonic() > end:
            cockpit.fail(f"the run could not be opened again: exit code {code}")


def start_shift(open_cockpit, plan):
    cockpit = open_cockpit("run", plan)
    run = cockpit.run_id()
    cockpit.advance(until="half", timeout_s=60)
    return cockpit, run


@pytest.mark.parametrize("moment", ["before it was forwarded", "after it was applied"])
def test_kill_in_the_middle_of_a_shift(moment, small_plan, emulator, zone, proxy, seat, open_cockpit):
    applied = moment == "after it was applied"
    cockpit, run = start_shift(open_cockpit, small_plan)
    rule = proxy.add_rule(CHANGE, drop=True, hold_answer=applied, hold_before=not applied)
    cockpit.start("Send half")
    assert rule.reached.wait(10), f"no change was sent\n{cockpit.screen()}"
    if applied:
        end = time.monotonic() + 10
        while proxy.applied(CHANGE) == 0:
            assert time.monotonic() < end, "the emulator did not take the change"
            time.sleep(0.05)
    cockpit.kill()
    proxy.clear_rules()
    half = {"frankfurt": 50, "ireland": 50}
    assert emulator.weights(zone) == (half if applied else {"frankfurt": 0, "ireland": 100})

    # The journal ends with an intent and no outcome. The run finds out what became of it, by itself or by the key it
    # offers, and comes to the step after.
    cockpit = resume(open_cockpit, run)
    cockpit.advance(until="end", timeout_s=90)
    assert emulator.weights(zone) == half
    assert proxy.applied(CHANGE) == 1, [(call.upstream, call.body) for call in proxy.of(CHANGE)]
    cockpit.quit()
    seat.verify_journal(run)
    states = {step["id"]: step["state"] for step in seat.status(run)["steps"]}
    assert states["half"] == "done"


def test_lost_answer_is_settled_without_a_crash(small_plan, emulator, zone, proxy, seat, open_cockpit):
    """The change is applied and its answer lost: the run settles it, and the change is in the zone once."""
    cockpit, run = start_shift(open_cockpit, small_plan)
    proxy.add_rule(CHANGE, times=1, drop=True, hold_answer=True).release.set()
    cockpit.start("Send half")
    cockpit.wait_for("had been applied", 20)
    assert emulator.weights(zone) == {"frankfurt": 50, "ireland": 50}
    assert proxy.applied(CHANGE) == 1, [(call.upstream, call.body) for call in proxy.of(CHANGE)]
    # That it then goes on, after a minute in which the zone's servers take the change in, is in the test above.
    cockpit.quit()
    assert [next(iter(entry["outcome"])) if isinstance(entry["outcome"], dict) else entry["outcome"]
            for entry in seat.entries(run, "outcome")] == ["unknown", "refused", "settled"]
    seat.verify_journal(run)


def test_kill_while_waiting_loses_nothing(small_plan, emulator, zone, proxy, seat, open_cockpit):
    """Killed between two steps: what was approved stays approved, and nothing is sent again."""
    cockpit, run = start_shift(open_cockpit, small_plan)
    cockpit.kill()
    seat.verify_journal(run)
    cockpit = resume(open_cockpit, run)
    cockpit.wait_for(lambda _: cockpit.step() == "half", 30, "the step that was next")
    assert proxy.of(CHANGE) == []
    assert emulator.weights(zone) == {"frankfurt": 0, "ireland": 100}


def test_third_party_edit_is_never_overwritten(small_plan, emulator, zone, proxy, open_cockpit):
    """Somebody changes the record while the call is on its way: the batch fails as a whole, and the screen says so."""
    cockpit, _ = start_shift(open_cockpit, small_plan)
    rule = proxy.add_rule(CHANGE, hold_before=True)
    cockpit.start("Send half")
    assert rule.reached.wait(10), f"no change was sent\n{cockpit.screen()}"
    client = emulator.client("route53")
    records = [record | {"Weight": 7} for record in emulator.records(zone) if record["SetIdentifier"] == "frankfurt"]
    changes = [{"Action": "UPSERT", "ResourceRecordSet": record} for record in records]
    client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    proxy.clear_rules()
    end = time.monotonic() + 20
    while not proxy.of(CHANGE)[0].answered:
        assert time.monotonic() < end, cockpit.screen()
        time.sleep(0.05)
    time.sleep(3)
    assert emulator.weights(zone) == {"frankfurt": 7, "ireland": 100}, cockpit.screen()
    cockpit.wait_for(lambda text: "failed" in text.lower() or "conflict" in text.lower(), 20, "a word about the conflict")
