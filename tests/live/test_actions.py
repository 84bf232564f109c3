"""Scripts, edits and requests of a plan, run by the real binary: what they did is looked at by somebody else."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from cloud import FRANKFURT
from test_kill import resume

CANARY = "canary-7f3a91c0de-secret"
APP = b'{\r\n  "bucket": "old",\r\n  "region": "eu-west-1"\r\n}\r\n'


@pytest.fixture
def tree(tmp_path, seat):
    """A working tree, and the secret in the environment of the engine."""
    folder = tmp_path / "tree"
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "app.json").write_bytes(APP)
    seat.env["CANARY_KEY"] = CANARY
    seat.env["PATH"] = f"{Path(subprocess.sys.executable).parent}:{seat.env['PATH']}"
    seat.env["NOBODYS_BUSINESS"] = "left-out"
    return folder


@pytest.fixture
def plan(fill_in, regions):
    return fill_in("actions.yaml")


def started(open_cockpit, plan, tree):
    cockpit = open_cockpit("run", plan, "--workdir", tree)
    return cockpit, cockpit.run_id()


def buckets(emulator):
    return [b["Name"] for b in emulator.client("s3", FRANKFURT).list_buckets()["Buckets"]]


def everything(seat):
    """Every byte that the engine left in its state folder."""
    files = [path for path in seat.state.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


def test_scripts_edits_and_requests(plan, tree, emulator, seat, open_cockpit):
    cockpit, run = started(open_cockpit, plan, tree)
    cockpit.advance(until="slow", timeout_s=120)
    assert buckets(emulator) == ["cutover-live"]
    edited = (tree / "config" / "app.json").read_bytes()
    assert edited == APP.replace(b'"old"', b'"cutover-live"').replace(b"eu-west-1", b"eu-central-1")
    assert not (tree / "pwned").exists()
    [accepted] = [e for e in seat.entries(run, "outcome") if "accepted" in e["outcome"] and e["outcome"]["accepted"].get("outputs")]
    assert accepted["outcome"]["accepted"]["outputs"] == {"BUCKET": "cutover-live"}
    log = next((seat.state).rglob("output/*-bucket.log")).read_text()
    assert "the key is [CANARY_KEY] and the value $(touch pwned)" in log

    # The secret is in no file, on no screen, in no journal.
    assert CANARY.encode() not in everything(seat)
    assert CANARY not in cockpit.screen()
    assert CANARY not in seat.command("log", run, "--json").stdout

    # Back: the file byte for byte, the bucket by the step's own script.
    for title in ("tell", "bucket"):
        cockpit.press("u")
        cockpit.wait_for(f"undo {title}", 20)
        cockpit.confirm("Y")
        cockpit.wait_for(f"{title} was taken back", 30)
        cockpit.press("c")
        cockpit.confirm("Y")
        time.sleep(1)
    assert (tree / "config" / "app.json").read_bytes() == APP
    assert buckets(emulator) == []
    cockpit.quit()
    seat.verify_journal(run)


def test_a_file_changed_in_between_is_left_alone(plan, tree, emulator, seat, open_cockpit):
    cockpit, run = started(open_cockpit, plan, tree)
    cockpit.advance(until="ask", timeout_s=120)
    path = tree / "config" / "app.json"
    mine = path.read_bytes() + b"mine\n"
    path.write_bytes(mine)
    cockpit.press("u")
    cockpit.wait_for("changed since by somebody else", 20)
    assert path.read_bytes() == mine
    cockpit.press("\x1b")
    cockpit.quit()


def test_kill_in_the_middle_of_a_script(plan, tree, emulator, seat, open_cockpit):
    """The script ends with its engine, is not run again by itself, and a person starts it again."""
    cockpit, run = started(open_cockpit, plan, tree)
    cockpit.advance(until="slow", timeout_s=120)
    cockpit.start("Take long")
    ticks = tree / "ticks"
    end = time.monotonic() + 20
    while not ticks.exists() or len(ticks.read_text().split()) < 5:
        assert time.monotonic() < end, cockpit.screen()
        time.sleep(0.05)
    cockpit.kill()
    cockpit = resume(open_cockpit, run)
    cockpit.wait_for("it is not done", 30)
    count = len(ticks.read_text().split())
    time.sleep(2)
    assert len(ticks.read_text().split()) == count, "the script of the dead engine goes on"
    intents = [e for e in seat.entries(run, "intent") if e["job"] == {"step": "slow"}]
    assert len(intents) == 1

    # Somebody does it by hand; the script says itself that it is done, and is not run.
    (tree / "finished").touch()
    cockpit.advance(until="end", timeout_s=60)
    assert len(ticks.read_text().split()) == count
    assert len([e for e in seat.entries(run, "intent") if e["job"] == {"step": "slow"}]) == 1
    cockpit.quit()
    seat.verify_journal(run)


def test_leaving_ends_what_runs(plan, tree, seat, open_cockpit):
    cockpit, run = started(open_cockpit, plan, tree)
    cockpit.advance(until="slow", timeout_s=120)
    cockpit.start("Take long")
    end = time.monotonic() + 20
    while not (tree / "ticks").exists():
        assert time.monotonic() < end, cockpit.screen()
        time.sleep(0.05)
    cockpit.quit()
    count = len((tree / "ticks").read_text().split())
    time.sleep(1.5)
    assert len((tree / "ticks").read_text().split()) == count


NAMES = ["$(touch pwned)", "-rf", "it's \"it\"; `touch pwned` #", "é *.json"]
# What moves a cursor, ends a line, turns the text around or cannot be seen.
REFUSED = ["a\x1b[2Jb", "a\nb", "a\x9b2Jb", "a\u202ebnosj", "a\u200bb", "../a", "/etc/passwd"]


def with_file(plan, name):
    """The plan with its first step an edit of this file, and nothing else that runs."""
    text = plan.read_text()
    head, steps = text.split("      - id: bucket\n")[0], "      - id: end\n" + text.split("      - id: end\n")[1]
    edit = {"file": name, "changes": [{"replace": "eu-west-1", "with": "eu-central-1"}]}
    plan.write_text(f"{head}      - {{id: tell, title: Tell the application, edit: {json.dumps(edit)}}}\n{steps}")
    return plan


def assert_drawn_plainly(text):
    odd = [c for c in text if not c.isprintable() and c != "\n"]
    assert odd == [], f"{odd} in\n{text}"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_like_a_command_is_only_a_name(name, plan, tree, seat, open_cockpit):
    for beside in [*NAMES, "rf", "é x.json"]:
        (tree / beside).write_bytes(APP)
    cockpit, run = started(open_cockpit, with_file(plan, name), tree)
    cockpit.advance(until="end", timeout_s=60)
    assert {path.name for path in tree.iterdir() if path.is_file() and path.read_bytes() != APP} == {name}
    assert (tree / name).read_bytes() == APP.replace(b"eu-west-1", b"eu-central-1")
    cockpit.press("u")
    cockpit.wait_for("Y undo it", 20)
    cockpit.confirm_rollback()
    cockpit.wait_for("tell was taken back", 30)
    assert (tree / name).read_bytes() == APP
    cockpit.quit()
    for command in [("check", plan), ("status", run), ("log", run), ("runbook", run)]:
        assert_drawn_plainly(seat.command(*command).stdout)
    assert json.dumps(name, ensure_ascii=False) in json.dumps(seat.journal(run), ensure_ascii=False)
    assert not [*tree.parent.rglob("pwned"), *Path().glob("pwned")], "something was run"


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_name_that_is_not_what_it_looks_like_is_refused(name, plan, tree, seat):
    for command in ["check", "run"]:
        refused = seat.command(command, with_file(plan, name) if command == "check" else plan)
        assert refused.returncode == 3, refused.stderr
        assert "cannot be edited" in refused.stderr and f"{plan.name}:" in refused.stderr
        assert_drawn_plainly(refused.stdout + refused.stderr)
