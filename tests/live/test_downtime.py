"""The error budget of a live run: three agents, a service that really fails, and an engine that is killed."""

import time

from cloud import FRANKFURT
from cockpit import binary
from test_dns import snapshot, wait

OUTAGE_S = 20


def test_an_outage_is_counted_between_its_bounds_and_a_killed_engine_forgets_none_of_it(fill_in, seat, open_cockpit, regions):
    plan = fill_in("places.yaml", binary=binary())
    cockpit = open_cockpit("run", plan, "--yes")
    run = cockpit.run_id()
    folder = next(row["folder"] for row in seat.status() if row["run"] == run)

    def availability():
        try:
            return snapshot(folder)["availability"]
        except ConnectionError:
            # The socket of the killed engine is still there, and nobody listens yet.
            return {"service": {"certain_ms": 0, "unmeasured_ms": 0}}

    def monitors():
        return {monitor["name"]: monitor["freshness"] for monitor in snapshot(folder)["monitors"]}

    wait(monitors, lambda all: len(all) == 6 and set(all.values()) == {"fresh"}, 30, "six monitors to be fresh")
    time.sleep(3)
    began = time.time()
    regions["users"].mode = "drop"
    time.sleep(OUTAGE_S)
    regions["users"].mode = "ok"
    took_ms = (time.time() - began) * 1000

    # The minutes of the outage have to end before they are counted.
    seen = wait(availability, lambda a: a["service"]["certain_ms"] > (OUTAGE_S - 4) * 1000, 100, "the outage to be counted")
    service = seen["service"]
    assert (service["quorum"], service["vantages"]) == (2, 3), service
    assert service["certain_ms"] <= took_ms <= service["possible_ms"], f"{took_ms} ms in {service}"
    # An agent asks once a second, and on a busy machine a little later.
    assert service["possible_ms"] - service["certain_ms"] < 6_000, service
    assert service["unmeasured_ms"] == 0 and seen["burnt_ms"] == 5_000, seen
    (frankfurt,) = seen["regions"]
    assert frankfurt["name"] == FRANKFURT and frankfurt["certain_ms"] == 0 and frankfurt["since"] is not None, frankfurt
    (before_the_first_step,) = seen["steps"]
    assert before_the_first_step["step"] == "" and before_the_first_step["certain_ms"] == service["certain_ms"]

    # What was counted is in the run's samples, not in the process.
    time.sleep(15)
    cockpit.kill()
    # Nobody has measured for two minutes; the first samples after it say so.
    killed = time.time()
    time.sleep(100)
    cockpit = open_cockpit("run", run)
    again = wait(
        availability, lambda a: a["service"]["unmeasured_ms"] > 0 and a["service"]["certain_ms"] > 0, 150, "the gap to be counted"
    )["service"]
    gap_ms = (time.time() - killed) * 1000
    assert again["certain_ms"] == service["certain_ms"], (again, service)
    assert 95_000 <= again["unmeasured_ms"] <= gap_ms, (again, gap_ms)
    assert again["possible_ms"] == service["possible_ms"] + again["unmeasured_ms"], (again, service)
