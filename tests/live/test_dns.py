"""Name servers as a live run sees them, beside what two other clients see of the same servers at the same time.

The servers are dnslib's, scripted here; the other clients are dnspython and, where it is on PATH, dig.
"""

import json
import math
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.dns import DNSError
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from cloud import FRANKFURT, IRELAND, free_port

API = "api.medzenhealth.app"
# More addresses than fit into a message of 512 bytes.
MANY = {name: [f"192.0.2.{base + n}" for n in range(40)] for name, base in (("ireland", 50), ("frankfurt", 100))}
FEW = {name: addresses[:2] for name, addresses in MANY.items()}


class Handler(DNSHandler):
    """Says by UDP that an answer is too long, with the question in it: dnslib's own way leaves that out."""

    def get_reply(self, data):
        reply = super().get_reply(data)
        if self.protocol == "tcp" or len(reply) <= 512:
            return reply
        cut = DNSRecord.parse(data).reply()
        cut.header.tc = 1
        return cut.pack()


class NameServer(BaseResolver):
    """A server that remembers what it was told until that runs out, or speaks for the zone, or is in trouble."""

    def __init__(self, addresses, kept_s=None):
        self.port = free_port()
        self.addresses = addresses
        self.leads = "ireland"
        # Of a resolver: when what it remembers runs out, and what it hears when it asks again.
        self.expires = time.time() + kept_s if kept_s else None
        self.fresh = "ireland"
        self.trouble = None
        self.recursion = []
        logger = DNSLogger("-request,-reply,-truncated,-error")
        options = {"port": self.port, "address": "127.0.0.1", "logger": logger, "handler": Handler}
        self._servers = [DNSServer(self, tcp=tcp, **options) for tcp in (False, True)]
        for server in self._servers:
            server.start_thread()

    def stop(self):
        for server in self._servers:
            server.stop()
            server.server.server_close()

    def left_s(self):
        """The TTL of the answer about the name, whole seconds."""
        if self.expires is None:
            return 60
        if time.time() >= self.expires:
            self.leads, self.expires = self.fresh, time.time() + 60
        return math.ceil(self.expires - time.time())

    def resolve(self, request, handler):
        name = str(request.q.qname).rstrip(".").lower()
        self.recursion.append((name, bool(request.header.rd)))
        reply = request.reply(ra=self.expires is not None, aa=self.expires is None)
        if self.trouble == "silent":
            # dnslib answers nothing then.
            raise DNSError("silent")
        if self.trouble == "servfail":
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        if name == API:
            ttl = self.left_s()
            addresses = self.addresses[self.leads]
        elif name in ("lb.ireland.example.org", "lb.frankfurt.example.org") and self.expires is not None:
            addresses, ttl = self.addresses[name.split(".")[1]], 5
        else:
            reply.header.rcode = RCODE.REFUSED
            return reply
        if QTYPE[request.q.qtype] == "A":
            reply.add_answer(*(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=ttl) for address in addresses))
        return reply


@pytest.fixture
def servers():
    running = {
        "quad": NameServer(FEW, kept_s=25),
        "lan": NameServer(FEW, kept_s=600),
        "cafe": NameServer(FEW, kept_s=600),
        "big": NameServer(MANY, kept_s=3600),
        "ns-1": NameServer(FEW),
    }
    running["lan"].trouble, running["cafe"].trouble = "servfail", "silent"
    yield running
    for server in running.values():
        server.stop()


def snapshot(folder):
    """What the cockpit shows, as the engine hands it to scripts."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(str(Path(folder) / "engine.sock"))
        link.sendall(b'{"cutover":1,"ask":"snapshot"}\n')
        line = link.makefile().readline()
    return json.loads(line)["snapshot"]


def monitor(folder):
    return next(m for m in snapshot(folder)["monitors"] if m["name"] == "moved")


def wait(look, wanted, timeout_s, what):
    until = time.monotonic() + timeout_s
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < until, f"{what}: {seen}"
        time.sleep(0.2)


def independent(server, recursive):
    """What dnspython is told by a server: rcode, addresses and TTL; None when it is told nothing."""
    query = dns.message.make_query(API, dns.rdatatype.A)
    if not recursive:
        query.flags &= ~dns.flags.RD
    try:
        answer, _ = dns.query.udp_with_fallback(query, "127.0.0.1", timeout=1, port=server.port)
    except dns.exception.Timeout:
        return None
    found = [(rdata.address, rrset.ttl) for rrset in answer.answer for rdata in rrset]
    return dns.rcode.to_text(answer.rcode()), sorted(address for address, _ in found), min((ttl for _, ttl in found), default=None)


def addresses_told(text):
    """The addresses of an answer as it is told: of many only the first, and how many more."""
    more = re.search(r" and (\d+) more$", text)
    told = text[: more.start()].split() if more else text.split()
    return told, len(told) + (int(more.group(1)) if more else 0)


def compare(view, servers, age_s):
    """One server in the snapshot beside what others see of it."""
    server = servers[view["name"]]
    seen = independent(server, recursive=not view["zone"])
    if seen is None:
        assert view["answer"] is None and view["trouble"] == "no answer within 1s", view
        return
    rcode, addresses, ttl = seen
    if rcode != "NOERROR":
        assert view["answer"] is None and view["trouble"] == rcode, view
        return
    assert view["answer"] is not None, f"{view} {seen}"
    told, count = addresses_told(view["answer"])
    assert set(told) <= set(addresses) and count == len(addresses), f"{view} {seen}"
    assert -1 <= view["ttl_s"] - ttl <= age_s + 2, (view, seen, age_s)
    if shutil.which("dig"):
        out = subprocess.run(
            ["dig", "@127.0.0.1", "-p", str(server.port), API, "A", "+noall", "+answer", *(["+norecurse"] if view["zone"] else [])],
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout
        rows = [line.split() for line in out.splitlines() if line.strip() and not line.startswith(";")]
        assert sorted(row[4] for row in rows) == addresses, out
        assert -1 <= view["ttl_s"] - int(rows[0][1]) <= age_s + 3, (view, out)


def test_name_servers(fill_in, servers, emulator, zone, seat, open_cockpit, proxy):
    emulator.put_weighted_records(zone, {("frankfurt", FRANKFURT): 0, ("ireland", IRELAND): 100}, name=API)
    ports = {name: str(server.port) for name, server in servers.items()}
    cockpit = open_cockpit("run", fill_in("names.yaml", **ports))
    run = cockpit.run_id()
    folder = next(row["folder"] for row in seat.status() if row["run"] == run)

    # Before anything moves: two of four answer, and everybody sees the same.
    seen = wait(lambda: monitor(folder), lambda m: len(m["servers"]) == 5 and m["freshness"] == "fresh", 20, "readings")
    for view in seen["servers"]:
        compare(view, servers, seen["age_ms"] / 1000)
    of = {view["name"]: view for view in seen["servers"]}
    assert [of[name]["region"] for name in ("quad", "big", "ns-1")] == ["Ireland"] * 3
    assert seen["value"].startswith("0/4 moved, ttl "), seen["value"]
    assert [name for name, view in of.items() if view["zone"]] == ["ns-1"]
    assert not any(recursive for _, recursive in servers["ns-1"].recursion), "the zone's own servers shall not ask others"
    cockpit.wait_for(lambda _: "resolvers in Frankfurt" in cockpit.prompt(), 20, "the gate to be shut")

    # The zone has the move; who remembers the old answer keeps it to its last second.
    for server in servers.values():
        server.fresh = "frankfurt"
    servers["ns-1"].leads = "frankfurt"
    expires = servers["quad"].expires
    wait(lambda: monitor(folder), lambda m: m["servers"][4]["moved"], 10, "the zone's server to move")
    moved = wait(lambda: monitor(folder), lambda m: m["servers"][0]["moved"], 60, "quad to move")
    moved_at = time.time() - moved["age_ms"] / 1000
    assert expires - 1 <= moved_at <= expires + 4, f"it moved at {moved_at}, what it remembered ran out at {expires}"
    assert moved["value"].startswith("1/4 moved, ttl "), moved["value"]
    for view in moved["servers"]:
        compare(view, servers, moved["age_ms"] / 1000)
    assert "resolvers in Frankfurt" in cockpit.prompt(), "a quarter is not 90 percent"

    # Everybody answers, and everybody has forgotten the old answer: the gate opens on what others see too.
    for server in servers.values():
        server.trouble = None
        if server.expires is not None:
            server.leads, server.expires = "frankfurt", time.time() + 60
    all_moved = wait(lambda: monitor(folder), lambda m: m["value"] == "4/4 moved", 20, "all to move")
    for view in all_moved["servers"]:
        assert view["region"] == "Frankfurt", view
        compare(view, servers, all_moved["age_ms"] / 1000)
    cockpit.wait_for(lambda _: cockpit.prompt().startswith("n  Send half"), 20, "the gate to open")

    # All fall silent: nothing is known, and nothing that was known opens the gate for long.
    for server in servers.values():
        server.trouble = "silent"
    silent = wait(lambda: monitor(folder), lambda m: m["freshness"] == "missing", 30, "silence")
    assert silent["value"] == "no server answers: quad: no answer within 1s", silent
    cockpit.wait_for(lambda _: "no server answers" in cockpit.prompt(), 20, "the gate to say why")
    assert all(call.operation != "ChangeResourceRecordSets" for call in proxy.calls)
