"""The endpoint refuses, throttles, talks nonsense or says nothing: the cockpit stays awake and believes nothing old."""

import re
import time

import pytest

STACK = "stack Frankfurt"
# Three intervals of a second, and some patience for requests that hang until their time-out.
STALE_WITHIN_S = 30


def make_trouble(proxy, kind):
    if kind == "refuse":
        proxy.refuse()
    else:
        proxy.add_rule(None, instead=kind, drop=True)


def end_trouble(proxy, kind):
    if kind == "refuse":
        proxy.start()
    else:
        proxy.clear_rules()


def row_of(screen, title):
    """The row of a monitor in the panel of the signals: the sign in front of its title, and the rest."""
    return re.search(rf"([?!-]?) *{re.escape(title)} +(\S.*)", screen)


def is_doubted(screen, title):
    """Whether the screen admits that it does not know: `?` for old, `-` for none, both with a word or an age."""
    row = row_of(screen, title)
    return row is not None and row.group(1) in ("?", "-")


def is_trusted(screen, title):
    row = row_of(screen, title)
    return row is not None and row.group(1) == "" and "COMPLETE" in row.group(2)


def seconds_to_paint_the_keys(cockpit):
    """`?` opens the keys; how long that takes."""
    before = cockpit.screen()
    began = time.monotonic()
    cockpit.press("?")
    while "HOLD" not in cockpit.screen() or cockpit.screen() == before or "Look around" not in cockpit.screen():
        if time.monotonic() - began > 20:
            cockpit.fail("the keys were not on the screen 20 seconds after `?`")
        time.sleep(0.02)
    took = time.monotonic() - began
    cockpit.press("\x1b")
    cockpit.wait_for(lambda text: "Look around" not in text, 20, "the keys to go away again")
    return took


def assert_key_is_painted_within_a_second(cockpit):
    """At once, whatever the network does. The best of three, since other tests share the machine; a screen that waits for
    the network waits each time."""
    took = []
    while len(took) < 3 and min(took, default=9) > 1.0:
        took.append(seconds_to_paint_the_keys(cockpit))
    assert min(took) <= 1.0, f"the keys took {took} s"


def zoom_signals(cockpit):
    """Lets the panel of the signals fill the screen, so that no gate with the same monitor is beside it."""
    cockpit.press("3")
    time.sleep(0.3)
    if "[3 SIGNALS]" not in cockpit.screen():
        cockpit.press("+")
        cockpit.wait_for("[3 SIGNALS]", 5, "the large panel of the signals")


@pytest.mark.parametrize("kind", ["refuse", "throttle", "garbage", "hang"])
def test_cockpit_survives(kind, small_plan, emulator, zone, proxy, seat, open_cockpit):
    cockpit = open_cockpit("run", small_plan)
    run = cockpit.run_id()
    cockpit.advance(until="half", timeout_s=60)
    cockpit.wait_for(lambda _: cockpit.prompt().startswith("n  Send half"), 30, "an open gate")
    zoom_signals(cockpit)
    cockpit.wait_for(lambda text: is_trusted(text, STACK), 20, f"a fresh reading of {STACK}")

    make_trouble(proxy, kind)
    cockpit.wait_for(lambda text: is_doubted(text, STACK), STALE_WITHIN_S, f"doubt about {STACK}")
    row = row_of(cockpit.screen(), STACK)
    assert re.search(r"\d+ ?(ms|s|m)\b|-|no data", row.group(2)), f"no age: {row.group(0)}"
    assert_key_is_painted_within_a_second(cockpit)

    # What is not known opens no gate: the shift is blocked, and trying sends nothing.
    cockpit.wait_for(lambda _: not re.match(r"n  Send half", cockpit.prompt()), 20, "the shift to be blocked")
    cockpit.confirm("n")
    time.sleep(1)
    cockpit.press("\x1b")
    assert proxy.of("ChangeResourceRecordSets") == []
    assert_key_is_painted_within_a_second(cockpit)

    # When the endpoint is back, so is the run, without a restart.
    end_trouble(proxy, kind)
    # `Esc` above went back from the large panel as well, if there was no dialog to close.
    zoom_signals(cockpit)
    cockpit.wait_for(lambda text: is_trusted(text, STACK), STALE_WITHIN_S, f"a fresh reading of {STACK} again")
    cockpit.press("+")
    cockpit.advance(until="end", timeout_s=90)
    assert emulator.weights(zone) == {"frankfurt": 50, "ireland": 50}
    assert proxy.applied("ChangeResourceRecordSets") == 1
    assert cockpit.quit() == 4
    cockpit.assert_terminal_given_back()
    seat.verify_journal(run)


@pytest.mark.parametrize("kind", ["refuse", "hang"])
def test_leaving_does_not_wait_for_the_network(kind, small_plan, proxy, seat, open_cockpit):
    cockpit = open_cockpit("run", small_plan)
    run = cockpit.run_id()
    cockpit.advance(until="half", timeout_s=60)
    make_trouble(proxy, kind)
    time.sleep(2)
    began = time.monotonic()
    assert cockpit.quit() == 4
    assert time.monotonic() - began < 8, "leaving took longer than any request may"
    cockpit.assert_terminal_given_back()
    seat.verify_journal(run)


def test_throttled_rollback_comes_through(small_plan, emulator, zone, proxy, open_cockpit):
    """The first answers to the rollback's change are throttled: certainly not applied, so it is sent again."""
    cockpit = open_cockpit("run", small_plan)
    cockpit.advance(until="half", timeout_s=60)
    cockpit.advance(until="end", timeout_s=60)
    rule = proxy.add_rule("ChangeResourceRecordSets", instead="throttle")
    cockpit.roll_back("back")
    cockpit.confirm_rollback()
    assert rule.reached.wait(10), cockpit.screen()
    time.sleep(1)
    proxy.clear_rules()
    end = time.monotonic() + 60
    while emulator.weights(zone) != {"frankfurt": 0, "ireland": 100}:
        if time.monotonic() > end:
            cockpit.fail(f"the zone holds {emulator.weights(zone)}")
        time.sleep(0.1)
    assert proxy.applied("ChangeResourceRecordSets") == 2, "once forward and once back"
