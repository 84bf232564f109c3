"""However it ends, the terminal is given back as it was."""

import signal

import pytest

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


def assert_ended_by_itself(cockpit, code):
    """A signal must be caught and answered by leaving in order, not by dying of it."""
    assert code is not None and code >= 0, f"it died of signal {-code}"
    cockpit.assert_terminal_given_back()


def open_kind(kind, open_cockpit, request):
    if kind == "drill":
        cockpit = open_cockpit("drill")
        cockpit.wait_for("[DRILL]", 30)
    else:
        cockpit = open_cockpit("run", request.getfixturevalue("small_plan"))
        cockpit.wait_for("[LIVE]", 30)
    return cockpit


@pytest.mark.parametrize("kind", ["run", "drill"])
def test_quit(kind, open_cockpit, request):
    cockpit = open_kind(kind, open_cockpit, request)
    assert_ended_by_itself(cockpit, cockpit.quit())


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("kind", ["run", "drill"])
def test_signal(kind, number, open_cockpit, request):
    cockpit = open_kind(kind, open_cockpit, request)
    cockpit.signal(number)
    assert_ended_by_itself(cockpit, cockpit.wait_exit())


@pytest.mark.parametrize("kind", ["run", "drill"])
def test_asking_to_leave_can_be_taken_back(kind, open_cockpit, request):
    """Escape is the default of every dialog, also of the one that asks whether to leave."""
    cockpit = open_kind(kind, open_cockpit, request)
    cockpit.press("q\x1b")
    cockpit.wait_for("[DRILL]" if kind == "drill" else "[LIVE]", 5)
    assert cockpit.alive()
    assert_ended_by_itself(cockpit, cockpit.quit())


def test_usage_errors_touch_no_terminal(open_cockpit):
    cockpit = open_cockpit("run")
    assert cockpit.wait_exit() == 2
    assert b"\x1b[?1049h" not in bytes(cockpit.raw)
    cockpit.assert_terminal_given_back()


def test_first_minute_of_a_drill(open_cockpit):
    """A bare `cutover drill` opens on the day of the cutover, one key before the first request goes to Frankfurt."""
    cockpit = open_cockpit("drill")
    cockpit.wait_for("[DRILL]", 30)
    cockpit.wait_for(lambda _: cockpit.prompt().startswith("n  Send 10 %"), 30, "the prompt to offer the canary")
    cockpit.wait_for("day 7/21", 10)
    cockpit.wait_for("ARMED", 10)
    cockpit.confirm("n")
    cockpit.wait_for("in sync", 10)
    cockpit.wait_for(lambda _: not cockpit.prompt().startswith("n  Send 10 %"), 10, "the canary to go on")
