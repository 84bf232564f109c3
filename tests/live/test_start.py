"""The date of day 1, said when a live run is made: it is kept, shown, and there again when the run is gone on with."""

import sqlite3
from datetime import date, datetime, timedelta, timezone

from test_kill import resume


def in_days(days):
    return datetime.now(timezone.utc).date() + timedelta(days=days)


def begun(open_cockpit, plan, start):
    cockpit = open_cockpit("run", plan, "--start", start.isoformat())
    run = cockpit.run_id()
    cockpit.wait_for(lambda _: cockpit.step() == "begin", 30, "the first step")
    return cockpit, run


def check_start(status, start):
    """Every date and every slip follows from day 1. Nothing of this test may happen across midnight."""
    today = in_days(0)
    late = (today - start).days
    assert status["day"] == max(late + 1, 0)
    assert status["steps"][0]["calendar"]["date"] == start.isoformat()
    [day] = status["calendar"]["days"]
    assert (day["date"], day["weekday"], day["today"]) == (start.isoformat(), start.strftime("%a"), late == 0)
    assert status["calendar"]["end"]["planned"] == start.isoformat()
    return late


def test_the_start_date_is_kept(small_plan, seat, open_cockpit):
    start = in_days(-2)
    cockpit, run = begun(open_cockpit, small_plan, start)
    cockpit.press("w")
    cockpit.wait_for("Calendar, UTC", 10)
    cockpit.wait_for(start.isoformat(), 10)
    cockpit.wait_for("2d late", 10)
    cockpit.press("w")
    cockpit.quit()
    assert check_start(seat.status(run), start) == 2
    assert seat.status(run)["steps"][0]["calendar"]["slip_days"] == 2
    assert seat.entries(run, "day-one") == [{"date": start.isoformat()}]

    # Another start cannot be given to a run that has begun, and going on with it keeps the first.
    refused = seat.command("run", run, "--start", in_days(5).isoformat())
    assert refused.returncode == 2 and "--start is for a new run" in refused.stderr
    cockpit = resume(open_cockpit, run)
    cockpit.advance(until="half", timeout_s=60)
    cockpit.kill()
    resume(open_cockpit, run).quit()
    status = seat.status(run)
    check_start(status, start)
    assert status["steps"][0]["calendar"]["slip_days"] == 2, "begun two days late"
    assert len(seat.entries(run, "day-one")) == 1
    seat.verify_journal(run)


def test_a_run_may_begin_before_its_first_day(small_plan, seat, open_cockpit):
    start = in_days(3)
    cockpit, run = begun(open_cockpit, small_plan, start)
    cockpit.quit()
    status = seat.status(run)
    assert check_start(status, start) == -3
    assert status["calendar"]["today"].startswith("day 1 is in 3 days, ")
    assert date.fromisoformat(status["calendar"]["end"]["planned"]) == start


def test_the_start_date_outlives_a_process_that_dies_before_its_first_entry(small_plan, seat, open_cockpit):
    """What such a process leaves is a journal that was made and has no entry."""
    start = in_days(-4)
    cockpit, run = begun(open_cockpit, small_plan, start)
    cockpit.kill()
    [database] = seat.state.rglob(f"*{run}*/journal.db")
    for path in database.parent.iterdir():
        if path.is_file() and not path.name.startswith("journal.db"):
            path.unlink()
    with sqlite3.connect(database) as journal:
        assert journal.execute("DELETE FROM entries").rowcount > 0
    assert seat.status(run)["journal"] == []

    resume(open_cockpit, run).quit()
    check_start(seat.status(run), start)
    kinds = [entry["kind"] for entry in seat.journal(run)]
    assert kinds[0] == "genesis" and kinds.count("day-one") == 1
    seat.verify_journal(run)
