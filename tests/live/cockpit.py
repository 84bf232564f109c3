"""The real binary in a real terminal: a pty, a screen that is kept as a terminal would, and fingers."""

import ast
import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import pexpect
import pyte

from cloud import API

ROWS, COLUMNS = 45, 160
# A dialog ignores keys for 300 ms after it opens, so that nothing typed ahead can confirm it.
DEAD_TIME_S = 0.45
# The prompt begins with the key that it speaks of.
PROMPT = re.compile(r"(n|A|i|c|q|R|space)  \S")
ROOT = Path(__file__).resolve().parents[2]


def binary():
    """The binary under test: CUTOVER_BIN, or the debug build of this repository."""
    return os.environ.get("CUTOVER_BIN") or str(ROOT / "target" / "debug" / "cutover")


class Seat:
    """What one person at one machine has: an environment, a state folder, and the command line."""

    def __init__(self, folder, endpoint, ca_path):
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        home = folder / "home"
        home.mkdir(exist_ok=True)
        # Nothing of the developer's own environment, credentials or proxies may reach the binary.
        self.env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(home),
            "USER": "oncall-1",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "CUTOVER_STATE_DIR": str(self.state),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SSL_CERT_FILE": str(ca_path),
            "RUST_BACKTRACE": "1",
        }

    def log_in(self, key):
        """Takes the keys out of the environment and writes others into the file where a person keeps them."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.env.pop(name, None)
        folder = Path(self.env["HOME"]) / ".aws"
        folder.mkdir(exist_ok=True)
        (folder / "credentials").write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = test\n")

    def command(self, *args, timeout_s=60):
        """Runs the binary without a terminal and returns what came of it."""
        return subprocess.run(
            [binary(), *map(str, args)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def status(self, run=None):
        """What `status --json` prints: the snapshot of a run, or the list of all runs; None when it prints nothing."""
        done = self.command("status", *([run] if run else []), "--json")
        if not done.stdout.strip():
            return None
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError as error:
            raise AssertionError(f"`status --json` printed no JSON: {error}\n{done.stdout}\n{done.stderr}") from error

    def live_run(self):
        """Id of the run that is going on, or None."""
        rows = self.status() or []
        return next((row["run"] for row in rows if row["live"]), None)

    def journal(self, run):
        """All entries of a run's journal."""
        done = self.command("log", run, "--json")
        assert done.returncode == 0, f"`log --json` ended with {done.returncode}:\n{done.stderr}"
        text = done.stdout.strip()
        # One object a line, or one list: both are JSON that a script can read.
        return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]

    def entries(self, run, kind):
        """The bodies of all entries of one kind."""
        return [entry["body"] for entry in self.journal(run) if entry["kind"] == kind]

    def verify_journal(self, run):
        done = self.command("log", run, "--verify")
        assert done.returncode == 0, f"`log --verify` ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"

    def open(self, *args):
        return Cockpit(self, [str(arg) for arg in args])


class _Screen(pyte.Screen):
    """A screen that answers when it is asked something, as every terminal does."""

    def __init__(self, answer):
        self._answer = answer
        super().__init__(COLUMNS, ROWS)

    def write_process_input(self, data):
        self._answer(data)


class Cockpit:
    """One process of the binary in a terminal of 160 by 45."""

    def __init__(self, seat, args):
        self.seat = seat
        self.args = args
        self._screen = _Screen(self._answer)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = bytearray()
        # What the terminal was like is noted by the child itself just before it becomes the binary: a moment later the
        # binary may have touched it already.
        note = seat.state.parent / f"terminal-{time.monotonic_ns()}"
        self.child = pexpect.spawn(
            binary(),
            args,
            env=seat.env,
            dimensions=(ROWS, COLUMNS),
            cwd=str(seat.state.parent),
            preexec_fn=lambda: note.write_text(repr(termios.tcgetattr(0))),
        )
        self.before = ast.literal_eval(note.read_text())
        # Opened a second time, so that the terminal outlives the process and can be looked at afterwards.
        self._tty = os.open(_slave_path(self.child.child_fd), os.O_RDWR | os.O_NOCTTY)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _answer(self, data):
        """What a terminal says by itself, for example where its cursor is."""
        os.write(self.child.child_fd, data.encode())

    # --- looking ------------------------------------------------------------------------------------------------

    def _read(self):
        # The terminal stays open on this side too, so the end of the process is no end of file here.
        while self._tty is not None:
            try:
                ready, _, _ = select.select([self.child.child_fd], [], [], 0.1)
                data = os.read(self.child.child_fd, 65536) if ready else b""
            except (OSError, ValueError):
                return
            if not data:
                continue
            with self._lock:
                self.raw += data
                self._stream.feed(data)

    def lines(self):
        with self._lock:
            return list(self._screen.display)

    def screen(self):
        """The screen as text, without the empty ends of lines."""
        return "\n".join(line.rstrip() for line in self.lines())

    def prompt(self):
        """The sentence in the last line but one: the key that matters most now, and what it would do."""
        return self.lines()[-2].strip()

    def fail(self, why):
        picture = "\n".join(f"| {line}" for line in self.screen().splitlines())
        state = "running" if self.alive() else f"ended with {self.exit_code()}"
        raise AssertionError(f"{why}\n`cutover {' '.join(self.args)}` is {state}; its screen:\n{picture}")

    def wait_for(self, wanted, timeout_s=45, what=None):
        """Waits for a text, a compiled pattern, or a predicate over the screen's text; returns what was found."""
        what = what or (wanted if isinstance(wanted, str) else getattr(wanted, "pattern", None) or wanted.__name__)
        end = time.monotonic() + timeout_s
        while True:
            text = self.screen()
            if isinstance(wanted, str):
                found = wanted in text
            elif isinstance(wanted, re.Pattern):
                found = wanted.search(text)
            else:
                found = wanted(text)
            if found:
                return found
            if time.monotonic() > end:
                self.fail(f"waited {timeout_s} s for {what!r}")
            if not self.alive():
                self.fail(f"it ended while {what!r} was waited for")
            time.sleep(0.05)

    def wait_weights(self, emulator, zone, wanted, timeout_s=60, name=API):
        """Waits until boto3 reads these weights."""
        end = time.monotonic() + timeout_s
        while emulator.weights(zone, name) != wanted:
            if time.monotonic() > end:
                self.fail(f"the zone holds {emulator.weights(zone, name)} and not {wanted} after {timeout_s} s")
            time.sleep(0.1)

    # --- typing -------------------------------------------------------------------------------------------------

    def press(self, keys):
        """Types characters one by one, as fingers do: what arrives in one read may be taken for a paste."""
        for key in keys:
            try:
                os.write(self.child.child_fd, key.encode())
            except OSError:
                return
            time.sleep(0.06)

    def confirm(self, key):
        """A key that opens a dialog, and the Y that confirms it."""
        before = self.screen()
        self.press(key)
        end = time.monotonic() + 3
        while self.screen() == before and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(DEAD_TIME_S)
        self.press("Y")

    def start(self, title):
        """Starts the step of that title as soon as its gate lets it."""
        self.wait_for(lambda _: self.prompt().startswith(f"n  {title}"), 30, f"the gate of {title!r} to open")
        self.confirm("n")

    # --- the run ------------------------------------------------------------------------------------------------

    def run_id(self, timeout_s=45):
        """Id of the run, once the cockpit shows it. The first line has no room for it beside a long identity."""
        self.wait_for("[LIVE]", timeout_s)
        run = self.seat.live_run()
        if run is None:
            self.fail(f"`status --json` names no run that is going on: {self.seat.status()}")
        return run

    def step(self):
        """Id of the step in the panel of the current step, or None while it shows another thing."""
        found = re.search(r"\b([a-z0-9-]+), takes about ", self.screen())
        return found.group(1) if found else None

    def advance(self, until, timeout_s=300):
        """Does what the prompt asks for, step by step, until the step `until` is the current one.

        It only ever presses the key that the cockpit itself offers, as a newcomer would; a sentence that says
        "blocked" is waited for. Each kind of step is thereby gone through by keys: approvals, checklists, change sets.
        """
        end = time.monotonic() + timeout_s
        while self.step() != until:
            if time.monotonic() > end:
                self.fail(f"did not come to {until!r} within {timeout_s} s")
            if not self.alive():
                self.fail(f"it ended on the way to {until!r}")
            self.follow_prompt(until)

    def follow_prompt(self, until=None):
        """Presses what the prompt offers, unless the step `until` has come; returns whether it did."""
        prompt = self.prompt()
        if not PROMPT.match(prompt):
            # A notice about the last key stands there for some seconds, or until any key. This one only focuses the panel
            # of the current step.
            self.press("2")
            time.sleep(0.1)
            prompt = self.prompt()
        # The screen may have gone on since the caller looked at it: the step is read after the prompt, so a prompt of
        # the step `until` is never followed by mistake.
        if until is not None and self.step() == until:
            return False
        if prompt.startswith("i  tick"):
            self.press("i")
            self._until_other(prompt)
        elif prompt.startswith("i  untick"):
            # The selection stands on an item that is done: go down, and from the last item back to the top.
            self.press("2j")
            if not self._until_other(prompt, 0.5):
                self.press("g")
                self._until_other(prompt, 0.5)
        elif prompt.startswith("A  "):
            self.confirm("A")
            self._until_other(prompt)
        elif prompt.startswith("c  "):
            self.confirm("c")
            self._until_other(prompt)
        elif prompt.startswith("n  ") and "blocked" not in prompt:
            self.confirm("n")
            self._until_other(prompt)
        else:
            time.sleep(0.1)
            return False
        return True

    def roll_back(self, name):
        """R shows the rollback and every call of it; Y runs it once that is complete."""
        self.press("R")
        self.wait_for(f"Roll back? '{name}'", 15)
        # The key is offered only when the records have been read.
        self.wait_for("Y roll back", 15)

    def confirm_rollback(self):
        time.sleep(DEAD_TIME_S)
        self.press("Y")

    def _until_other(self, prompt, timeout_s=5):
        end = time.monotonic() + timeout_s
        while self.prompt() == prompt:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    # --- ending -------------------------------------------------------------------------------------------------

    def alive(self):
        return self.child.isalive()

    def exit_code(self):
        """Exit status once it has ended; a negative number is the signal that killed it."""
        if self.child.signalstatus is not None:
            return -self.child.signalstatus
        return self.child.exitstatus

    def wait_exit(self, timeout_s=45):
        end = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() > end:
                self.fail(f"it has not ended within {timeout_s} s")
            time.sleep(0.05)
        # What it said last may still be on its way.
        time.sleep(0.2)
        return self.exit_code()

    def quit(self, timeout_s=45):
        """Leaves with q, which asks first while a run is going on."""
        self.press("q")
        end = time.monotonic() + 3
        while self.alive() and "Leave?" not in self.screen():
            if time.monotonic() > end:
                self.fail("q neither left nor asked within 3 s")
            time.sleep(0.05)
        # On a busy machine the first Y may still fall into the dialog's dead time.
        for _ in range(3):
            time.sleep(DEAD_TIME_S)
            if not self.alive():
                break
            self.press("Y")
        return self.wait_exit(timeout_s)

    def signal(self, number):
        os.kill(self.child.pid, number)

    def kill(self):
        """SIGKILL, as the kernel or a power cut would: nothing can be tidied up."""
        self.signal(signal.SIGKILL)
        self.wait_exit()

    def assert_terminal_given_back(self):
        """The line discipline is what it was, the first screen is back, and the cursor can be seen."""
        after = termios.tcgetattr(self._tty)
        if after != self.before:
            self.fail(f"the terminal was {self.before} and is {after}")
        raw = bytes(self.raw)
        for on, off, what in [
            (b"\x1b[?1049h", b"\x1b[?1049l", "the alternate screen was not left"),
            (b"\x1b[?25l", b"\x1b[?25h", "the cursor is still hidden"),
            (b"\x1b[?2004h", b"\x1b[?2004l", "bracketed paste is still on"),
            (b"\x1b[?1000h", b"\x1b[?1000l", "the mouse is still captured"),
            (b"\x1b[?2026h", b"\x1b[?2026l", "synchronized output was never ended"),
        ]:
            if raw.rfind(on) > raw.rfind(off):
                self.fail(what)

    def close(self):
        """Ends it whatever it is doing; safe to call twice."""
        if self.alive():
            self.signal(signal.SIGKILL)
            self.child.wait()
        if self._tty is not None:
            tty, self._tty = self._tty, None
            self._reader.join(2)
            os.close(tty)
        self.child.close(force=True)


# `TIOCGPTN`: the number of a pseudo terminal, asked of its master side. Python's own name for it came later.
TIOCGPTN = 0x80045430


def _slave_path(master):
    """Path of the terminal whose master side this is (Linux)."""
    number = struct.unpack("I", fcntl.ioctl(master, TIOCGPTN, bytes(4)))[0]
    return f"/dev/pts/{number}"

