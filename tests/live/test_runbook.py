"""The runbook's blocks, run by the real AWS CLI, without the binary that wrote them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VENV = Path(sys.executable).parent


def block(text, name):
    """The script of one rollback."""
    chapter = text.split(f"\n## {name}: ")[1]
    return chapter.split("```bash\n")[1].split("```")[0]


def run_script(script, seat, folder):
    """Runs a block as a person would, at a desk that has the AWS CLI and not our binary."""
    assert os.access(VENV / "aws", os.X_OK), "no AWS CLI: install tests/live/requirements.txt"
    path = folder / "block.sh"
    path.write_text(script)
    keep = ("HOME", "LANG", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED")
    env = {name: seat.env[name] for name in keep} | {"PATH": f"{VENV}:/usr/bin:/bin", "TMPDIR": str(folder)}
    return subprocess.run(
        ["bash", path], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


def standing_run(open_cockpit, small_plan, emulator, zone):
    """A run that was killed after its shift."""
    cockpit = open_cockpit("run", small_plan)
    run = cockpit.run_id()
    cockpit.advance(until="half", timeout_s=60)
    cockpit.advance(until="end", timeout_s=60)
    assert emulator.weights(zone) == {"frankfurt": 50, "ireland": 50}
    cockpit.kill()
    return run


@pytest.mark.parametrize("source", ["as the engine wrote it", "from the journal alone"])
def test_runbook_brings_back_the_records(source, small_plan, emulator, zone, seat, open_cockpit, tmp_path):
    before = emulator.records(zone)
    run = standing_run(open_cockpit, small_plan, emulator, zone)
    beside = seat.state / run / "runbook.md"
    assert beside.exists(), "the engine wrote none"
    if source == "from the journal alone":
        beside.unlink()
    printed = seat.command("runbook", run)
    assert printed.returncode == 0, printed.stderr
    assert ("read: NOTHING" in printed.stdout) == (source == "from the journal alone"), printed.stdout

    done = run_script(block(printed.stdout, "back"), seat, tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert emulator.records(zone) == before
    assert "rollback back is done" in done.stderr

    # Once more is refused as a whole, because the records are not as they were read.
    again = run_script(block(printed.stdout, "back"), seat, tmp_path)
    assert again.returncode != 0, f"{again.stdout}\n{again.stderr}"
    assert emulator.records(zone) == before


def test_runbook_overwrites_nobody(small_plan, emulator, zone, seat, open_cockpit, tmp_path):
    run = standing_run(open_cockpit, small_plan, emulator, zone)
    written = tmp_path / "night.md"
    assert seat.command("runbook", run, "-o", written).returncode == 0
    records = [record | {"Weight": 7} for record in emulator.records(zone) if record["SetIdentifier"] == "frankfurt"]
    changes = [{"Action": "UPSERT", "ResourceRecordSet": record} for record in records]
    emulator.client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    done = run_script(block(written.read_text(), "back"), seat, tmp_path)
    assert done.returncode != 0, f"{done.stdout}\n{done.stderr}"
    assert "InvalidChangeBatch" in done.stderr, done.stderr
    assert emulator.weights(zone) == {"frankfurt": 7, "ireland": 50}
