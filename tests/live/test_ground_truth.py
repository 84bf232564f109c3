"""Readings of a run beside what other tools see of the same servers in the same minute: curl, a plain socket, dnspython, dig."""

import os
import re
import shutil
import socket
import statistics
import subprocess
import time

import pytest

from test_dns import FEW, NameServer, compare, snapshot, wait
from test_probe_accuracy import server as server  # noqa: F401, a fixture

DELAYS_MS = {"quick": 20, "slow": 200}


def by_socket(url):
    """Time to the first byte as plain system calls see it."""
    port, path = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", url).groups()
    with socket.create_connection(("127.0.0.1", int(port)), 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.recv(1)
        return (time.perf_counter() - begin) * 1000


def by_curl(url):
    what = "%{time_pretransfer} %{time_starttransfer}"
    done = subprocess.run(["curl", "-s", "-o", os.devnull, "-w", what, url], capture_output=True, text=True, check=True)
    sent, answered = map(float, done.stdout.split())
    return (answered - sent) * 1000


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl to compare with")
def test_readings_are_what_others_see(fill_in, server, seat, open_cockpit):  # noqa: F811
    names = NameServer(FEW, kept_s=3600)
    try:
        urls = {name: server.url(delay) for name, delay in DELAYS_MS.items()}
        cockpit = open_cockpit("run", fill_in("truth.yaml", lan=str(names.port), **urls))
        run = cockpit.run_id()
        folder = next(row["folder"] for row in seat.status() if row["run"] == run)
        cockpit.confirm("n")

        def monitors():
            return {monitor["name"]: monitor for monitor in snapshot(folder)["monitors"]}

        # A median needs samples; the others measure meanwhile, in turn.
        wait(monitors, lambda all: all["quick"]["value"].startswith("p50 ") and all["names"]["servers"], 30, "readings")
        seen = {name: {"socket": [], "curl": []} for name in DELAYS_MS}
        until = time.monotonic() + 20
        while time.monotonic() < until:
            for name, url in urls.items():
                seen[name]["socket"].append(by_socket(url))
                seen[name]["curl"].append(by_curl(url))
            time.sleep(0.3)
        read = monitors()
        for name, delay in DELAYS_MS.items():
            assert read[name]["freshness"] == "fresh" and read[name]["age_ms"] < 5_000, read[name]
            p50 = float(re.match(r"p50 ([\d.]+)ms", read[name]["value"])[1])
            others = {who: statistics.median(times) for who, times in seen[name].items()}
            print(f"{name}: the server holds {delay} ms; run p50 {p50}, " + ", ".join(f"{w} {t:.2f}" for w, t in others.items()))
            for who, median in others.items():
                assert abs(p50 - median) <= 5 + delay / 20, f"{name}: the run reads {p50} ms, {who} {median:.2f} ms"
        (view,) = read["names"]["servers"]
        assert view["region"] == "Ireland" and not view["moved"], view
        compare(view, {"lan": names}, read["names"]["age_ms"] / 1000)
    finally:
        names.stop()
