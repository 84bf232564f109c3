"""The way back, from every stage and by every rollback: boto3 agrees that things are as the plan says."""

import threading

import pytest

from cloud import FRANKFURT, IRELAND

CHANGE = "ChangeResourceRecordSets"
STAGES = {"zero": (0, 100), "ten": (10, 90), "half": (50, 50), "all": (100, 0)}
AFTER = {"zero": "ten", "ten": "half", "half": "all", "all": "end"}


def weights(stage):
    frankfurt, ireland = STAGES[stage]
    return {"frankfurt": frankfurt, "ireland": ireland}


def go_to(stage, open_cockpit, plan, emulator, zone):
    """Drives the ramp up to a stage; the run's id and its cockpit."""
    cockpit = open_cockpit("run", plan)
    run = cockpit.run_id()
    cockpit.advance(until=AFTER[stage], timeout_s=90)
    assert emulator.weights(zone) == weights(stage)
    return run, cockpit


def script(seat, run, name):
    """Break-glass: what a script does, be there a cockpit or not."""
    done = seat.command("rollback", run, name, "--yes", timeout_s=60)
    assert done.returncode == 5, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def assert_rolled_back(seat, run):
    assert seat.status(run)["status"] == {"finished": "rolled_back"}
    assert seat.entries(run, "failed") == []
    seat.verify_journal(run)


@pytest.mark.parametrize("stage", STAGES)
def test_back_from_every_stage(stage, ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    before = emulator.records(zone)
    run, cockpit = go_to(stage, open_cockpit, ramp_plan, emulator, zone)
    forward = proxy.applied(CHANGE)
    assert forward == list(STAGES).index(stage) + 1, "each stage is one change"
    cockpit.roll_back("immediate")
    assert proxy.applied(CHANGE) == forward, "showing a rollback must not run it"
    cockpit.confirm_rollback()
    cockpit.wait_for("ROLLED BACK", 30)
    assert emulator.records(zone) == before
    assert proxy.applied(CHANGE) == forward + 1, "one batch takes back the whole ramp"
    assert cockpit.quit() == 5
    assert_rolled_back(seat, run)


def test_partial_keeps_the_new_side_warm(ramp_plan, emulator, zone, seat, open_cockpit):
    run, cockpit = go_to("half", open_cockpit, ramp_plan, emulator, zone)
    cockpit.quit()
    script(seat, run, "partial")
    assert emulator.weights(zone) == weights("zero")
    assert emulator.stack_status("small-frankfurt", FRANKFURT) == "CREATE_COMPLETE"
    assert_rolled_back(seat, run)


def test_full_leaves_nothing_behind(ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    before = emulator.records(zone)
    run, _ = go_to("half", open_cockpit, ramp_plan, emulator, zone)
    script(seat, run, "full")
    assert emulator.records(zone) == before
    assert emulator.stack_status("small-frankfurt", FRANKFURT) is None
    assert emulator.stack_status("small-ireland", IRELAND) == "CREATE_COMPLETE"
    # Traffic is moved first: nothing is deleted under it.
    calls = [operation for operation in proxy.operations() if operation in (CHANGE, "DeleteStack")]
    assert calls == [CHANGE] * 4 + ["DeleteStack"]
    assert_rolled_back(seat, run)


def test_forward_when_the_source_dies(ramp_plan, emulator, zone, regions, seat, open_cockpit):
    """Ireland is sick: the ways back to it are not armed, and R offers the way on (rule 37)."""
    run, cockpit = go_to("ten", open_cockpit, ramp_plan, emulator, zone)
    regions[IRELAND].mode = "fail"
    cockpit.wait_for("'forward' to eu-central-1", 30, "the way forward to be the one that is armed")
    cockpit.roll_back("forward")
    cockpit.confirm_rollback()
    cockpit.wait_for("ROLLED BACK", 30)
    assert emulator.weights(zone) == weights("all")
    assert cockpit.quit() == 5
    assert_rolled_back(seat, run)


@pytest.mark.parametrize("moment", ["before it was forwarded", "after it was applied"])
def test_script_after_a_kill_in_the_middle_of_a_shift(moment, ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    """The journal ends with an intent and no outcome, and somebody wants back at once."""
    applied = moment == "after it was applied"
    before = emulator.records(zone)
    run, cockpit = go_to("ten", open_cockpit, ramp_plan, emulator, zone)
    rule = proxy.add_rule(CHANGE, times=1, drop=True, hold_answer=applied, hold_before=not applied)
    cockpit.start("Send half")
    assert rule.reached.wait(10), f"no change was sent\n{cockpit.screen()}"
    if applied:
        proxy.wait_applied(CHANGE, 3)
    cockpit.kill()
    proxy.clear_rules()
    assert emulator.weights(zone) == weights("half" if applied else "ten")

    script(seat, run, "immediate")
    assert emulator.records(zone) == before
    assert_rolled_back(seat, run)
    # The shift's own change is in the zone at most once, and the way back exactly once.
    batches = [call.body for call in proxy.of(CHANGE) if call.upstream and call.upstream < 300]
    assert len(batches) == len(set(batches)), batches


def test_third_party_edit_is_a_conflict_and_not_overwritten(ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    """Somebody edits the record between the engine's read and its write; then R plans again from what is there."""
    before = emulator.records(zone)
    run, cockpit = go_to("ten", open_cockpit, ramp_plan, emulator, zone)
    rule = proxy.add_rule(CHANGE, times=1, hold_before=True)
    cockpit.start("Send half")
    assert rule.reached.wait(10), f"no change was sent\n{cockpit.screen()}"
    emulator.edit_weight(zone, "frankfurt", 7)
    edited = emulator.records(zone)
    proxy.clear_rules()
    cockpit.wait_for("conflict", 20, "a word about the conflict")
    assert emulator.records(zone) == edited, "the third party's edit was overwritten"
    assert proxy.applied(CHANGE) == 2, "zero and ten; half was refused"
    (failed,) = seat.entries(run, "failed")
    assert failed["job"] == {"step": "half"} and "conflict" in failed["reason"], failed
    outcomes = seat.entries(run, "outcome")
    assert "refused" in outcomes[-1]["outcome"], outcomes

    # What this run left and what is there are different things, and that is said before anything is sent.
    cockpit.wait_for("NOT ARMED", 70)
    cockpit.press("R")
    cockpit.wait_for("Roll back?", 15)
    cockpit.wait_for("somebody else changed it", 15)
    cockpit.wait_for("Y roll back", 15)
    assert emulator.records(zone) == edited
    cockpit.confirm_rollback()
    cockpit.wait_for("ROLLED BACK", 30)
    assert emulator.records(zone) == before
    assert proxy.applied(CHANGE) == 3
    assert cockpit.quit() == 5
    seat.verify_journal(run)


@pytest.mark.parametrize("who", ["cockpit", "script"])
def test_edit_under_a_rollback_is_shown_before_it_is_replaced(who, ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    """Somebody edits the record between the confirmation of a rollback and its call: refused, shown, and asked about."""
    before = emulator.records(zone)
    run, cockpit = go_to("ten", open_cockpit, ramp_plan, emulator, zone)
    rule = proxy.add_rule(CHANGE, times=1, hold_before=True)
    said = []
    by_script = threading.Thread(target=lambda: said.append(script(seat, run, "immediate")))
    if who == "cockpit":
        cockpit.press("R")
        cockpit.wait_for("Y roll back", 30)
        cockpit.confirm_rollback()
    else:
        by_script.start()
    assert rule.reached.wait(30), f"no change was sent\n{cockpit.screen()}"
    emulator.edit_weight(zone, "frankfurt", 7)
    edited = emulator.records(zone)
    proxy.clear_rules()
    if who == "cockpit":
        cockpit.wait_for("Replace somebody else's change?", 20)
        assert emulator.records(zone) == edited, "the third party's edit was overwritten"
        cockpit.wait_for("weight 7", 5)
        cockpit.confirm_rollback()
    else:
        # Whoever says --yes has said so beforehand; what was replaced is printed.
        by_script.join(60)
        assert said and "CONFLICT" in said[0] and "weight 7" in said[0], said
    cockpit.wait_for("ROLLED BACK", 60)
    assert emulator.records(zone) == before
    (failed,) = seat.entries(run, "failed")
    assert "weight 7" in failed["conflict"]["now"], failed
    assert cockpit.quit() == 5
    seat.verify_journal(run)


def test_edit_between_two_stages_is_shown_before_the_next_stage(ramp_plan, emulator, zone, proxy, seat, open_cockpit):
    """The edit is there before the engine reads: no compare-and-swap would notice it."""
    run, cockpit = go_to("ten", open_cockpit, ramp_plan, emulator, zone)
    emulator.edit_weight(zone, "frankfurt", 7)
    edited = emulator.records(zone)
    changes = proxy.applied(CHANGE)
    cockpit.start("Send half")
    cockpit.wait_for("conflict", 20, "a word about the conflict")
    assert emulator.records(zone) == edited and proxy.applied(CHANGE) == changes, "the third party's edit was overwritten"
    (failed,) = seat.entries(run, "failed")
    assert "weight 10" in failed["conflict"]["before"] and "weight 7" in failed["conflict"]["now"], failed
    # Whoever starts it again has seen that.
    cockpit.wait_for(lambda _: cockpit.prompt().startswith("n  try again"), 30, "the offer to try again")
    cockpit.confirm("n")
    cockpit.advance(until="all", timeout_s=60)
    assert emulator.weights(zone) == weights("half")
    seat.verify_journal(run)
