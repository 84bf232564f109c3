"""What `--record` writes is played by asciinema, which knows nothing of this project."""

import json
import subprocess
import sys
import time

import pexpect
import pyte

PLAYER = [sys.executable, "-m", "asciinema"]


def poured(path):
    """The screen after `asciinema cat`: the last frame."""
    done = subprocess.run([*PLAYER, "cat", path], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    head = json.loads(path.read_text().splitlines()[0])
    screen = pyte.Screen(head["width"], head["height"])
    pyte.ByteStream(screen).feed(done.stdout)
    return screen


def text(screen):
    return "\n".join(line.rstrip() for line in screen.display)


def test_a_headless_drill_is_played(seat, tmp_path):
    path = tmp_path / "drill.cast"
    done = seat.command("drill", "failover-drill", "--auto", "--scenario", "region-outage", "--record", path, timeout_s=60)
    assert done.returncode == 5, done.stderr
    last = poured(path)
    for needle in ("Result (SIMULATED)", "ROLLED BACK", "detect", "failed requests"):
        assert needle in text(last), text(last)
    assert not last.cursor.hidden, "whoever plays it is left without a cursor"

    # Played as somebody would watch it, only faster, in a terminal of its own.
    child = pexpect.spawn(PLAYER[0], [*PLAYER[1:], "play", "--speed", "50", str(path)], dimensions=(40, 120), timeout=60)
    screen = pyte.Screen(120, 40)
    stream = pyte.ByteStream(screen)
    while True:
        try:
            stream.feed(child.read_nonblocking(65536, timeout=30))
        except pexpect.EOF:
            break
    child.close()
    assert child.exitstatus == 0, text(screen)
    assert "Result (SIMULATED)" in text(screen), text(screen)


def test_a_cockpit_is_recorded_as_it_is_shown(open_cockpit, tmp_path):
    path = tmp_path / "cockpit.cast"
    cockpit = open_cockpit("drill", "failover-drill", "--record", path)
    cockpit.wait_for("[DRILL]", 30)
    cockpit.press(":without us")
    cockpit.wait_for("without us-east-1: what still works", 10)
    cockpit.press("\r")
    cockpit.wait_for("By the control planes", 10)
    shown = cockpit.screen()
    cockpit.press("\x1b")
    cockpit.child.setwinsize(40, 120)
    time.sleep(1)
    # What is copied goes to the clipboard of whoever sits here, and not of whoever plays the recording.
    cockpit.press("y")
    cockpit.wait_for("sent to the clipboard", 10)
    assert cockpit.quit() == 4
    cockpit.assert_terminal_given_back()

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    head, events = lines[0], lines[1:]
    assert (head["version"], head["width"], head["height"]) == (2, 160, 45)
    assert head["env"] == {"TERM": "xterm-256color"}
    assert [event[0] for event in events] == sorted(event[0] for event in events)
    assert [event[2] for event in events if event[1] == "r"] == ["120x40"]
    assert {event[1] for event in events} == {"o", "r"}
    assert not any("]52;" in event[2] for event in events)
    assert "Leave?" in text(poured(path))

    # Frame by frame it is what stood on the screen, and never more than the screen has.
    screen = pyte.Screen(160, 45)
    stream = pyte.Stream(screen)
    frames = []
    for _, kind, data in events:
        if kind == "r":
            columns, rows = map(int, data.split("x"))
            screen.resize(rows, columns)
        else:
            stream.feed(data)
            frames.append(text(screen))
    view = [line for line in shown.splitlines() if "works" in line or "needs it" in line]
    assert any(all(line in frame for line in view) for frame in frames), shown
    assert not any("\x1b[?1049" in event[2] for event in events)
