"""A proxy between the cockpit and the emulator: it knows every call by name, and can make trouble.

The emulator is too good a cloud: it answers at once and never loses an answer. This proxy stands in front of it,
writes down which operations were asked for and what became of them, and by rule delays, withholds, drops or replaces
answers. It listens on loopback only.
"""

import http.client
import json
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import cbor2

# Headers that belong to one connection and must not be passed on.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-connection"}

# Route 53 speaks REST, so an operation is recognised by method and path.
ROUTE53_PATHS = [
    ("POST", r"/hostedzone/[^/]+/rrset/?$", "ChangeResourceRecordSets"),
    ("GET", r"/hostedzone/[^/]+/rrset/?$", "ListResourceRecordSets"),
    ("GET", r"/change/[^/]+/?$", "GetChange"),
    ("GET", r"/healthcheck/[^/]+/?$", "GetHealthCheck"),
    ("POST", r"/healthcheck/[^/]+/?$", "UpdateHealthCheck"),
    ("GET", r"/hostedzone/[^/]+/?$", "GetHostedZone"),
]

# What a service says to a request that it does not take: HTTP status, code, message.
REFUSALS = {
    "throttle": (400, "Throttling", "Rate exceeded"),
    "prior": (400, "PriorRequestNotComplete", "The request was rejected because Route 53 was still processing a prior request."),
    "expired": (403, "ExpiredToken", "The security token included in the request is expired"),
}
# Who signed a request, and for which region and service.
CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")


def refusal(kind, headers):
    """Status, headers and body of a refusal, in the protocol that the client speaks."""
    status, code, message = REFUSALS[kind]
    content = headers.get("Content-Type", "")
    if "cbor" in headers.get("smithy-protocol", "") + content:
        body = cbor2.dumps({"__type": code, "message": message})
        return status, [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")], body
    if "json" in content:
        return status, [("Content-Type", "application/x-amz-json-1.0")], json.dumps({"__type": code, "message": message}).encode()
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f"<ErrorResponse>{error}<RequestId>proxy</RequestId></ErrorResponse>"
    return status, [("Content-Type", "text/xml")], body.encode()


def operation_of(method, path, headers, body):
    """The service's own name of what a request asks for."""
    route = path.split("?", 1)[0]
    rpc = re.search(r"/service/[^/]+/operation/([A-Za-z0-9]+)$", route)
    if rpc:
        return rpc.group(1)
    target = headers.get("X-Amz-Target")
    if target:
        return target.rsplit(".", 1)[-1]
    for wanted, pattern, name in ROUTE53_PATHS:
        if method == wanted and route.startswith("/2013-04-01/") and re.search(pattern, route):
            return name
    action = parse_qs(body.decode("utf-8", "replace")).get("Action")
    return action[0] if action else f"{method} {route}"


@dataclass
class Call:
    """One request that came through."""

    operation: str
    at: float
    body: bytes
    # Who signed it, for which region, and the number of the connection that it came over.
    key: str | None = None
    region: str | None = None
    connection: int = 0
    # Status that the emulator answered with; None when the request was never passed on.
    upstream: int | None = None
    # Whether the client was given an answer.
    answered: bool = False


@dataclass
class Rule:
    """What is done to requests for one operation (None: for all of them)."""

    operation: str | None = None
    # Only requests that this access key signed (None: whoever did).
    key: str | None = None
    # After this many requests the rule is over (None: when it is cleared). What it holds by then it goes on holding.
    times: int | None = None
    # The rule that takes its place when it is over.
    then: "Rule | None" = None
    # Wait here for `release` before the request is passed on; if `drop` is set by then, it never is.
    hold_before: bool = False
    # Pass the request on, and wait for `release` before the answer is given back; with `drop`, it never is.
    hold_answer: bool = False
    # One of REFUSALS, "garbage", "hang", "drop": what to say instead of passing the request on.
    instead: str | None = None
    delay_s: float = 0.0
    drop: bool = False
    release: threading.Event = field(default_factory=threading.Event)
    # Set as soon as the rule has got hold of a request.
    reached: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Listens on a free loopback port and passes everything on to the emulator."""

    # However a test ends, no request is held for longer than this.
    HOLD_MAX_S = 60.0

    def __init__(self, upstream_port):
        self.upstream_port = upstream_port
        self.calls = []
        self.rules = []
        # Answers in the emulator's place what it answers wrongly or not at all: a function of call, body and a way to pass a
        # body on, that gives status, headers and body, or None.
        self.stand_in = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._server = None
        self.port = None
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        """Listens, on the same port as before if there was one."""
        self._server = _Server(("127.0.0.1", self.port or 0), _Handler)
        self._server.proxy = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def refuse(self):
        """Stops listening and cuts what is connected: from now on connections are refused. `start` ends it."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_all()

    def stop(self):
        """Lets go of everything that is held and stops listening for good."""
        self._stopped.set()
        self.clear_rules()
        self.refuse()

    def add_rule(self, operation=None, **what):
        rule = Rule(operation, **what)
        with self._lock:
            self.rules.append(rule)
        return rule

    def clear_rules(self):
        """Ends all rules; what they hold is dropped if they said so, and passed on if not."""
        with self._lock:
            rules, self.rules = self.rules, []
        for rule in rules:
            rule.release.set()

    def rule_for(self, call):
        with self._lock:
            for rule in self.rules:
                if rule.operation in (None, call.operation) and rule.key in (None, call.key) and rule.times != 0:
                    rule.times = None if rule.times is None else rule.times - 1
                    if rule.times == 0 and rule.then:
                        self.rules.append(rule.then)
                    return rule
        return None

    def record(self, call):
        with self._lock:
            self.calls.append(call)

    def operations(self):
        """Names of all operations so far, in order."""
        with self._lock:
            return [call.operation for call in self.calls]

    def of(self, operation):
        """All calls of one operation so far."""
        with self._lock:
            return [call for call in self.calls if call.operation == operation]

    def wait_applied(self, operation, count, timeout_s=20):
        """Waits until the emulator has accepted so many calls of an operation."""
        self._wait_count(self.applied, operation, count, timeout_s)

    def wait_refused(self, operation, count, timeout_s=20):
        """Waits until the emulator has refused so many calls of an operation."""
        self._wait_count(self.refused, operation, count, timeout_s)

    def _wait_count(self, of, operation, count, timeout_s):
        end = time.monotonic() + timeout_s
        while of(operation) < count:
            assert time.monotonic() < end, f"{of.__name__}: {of(operation)} of {operation} and not {count}"
            time.sleep(0.05)

    def refused(self, operation):
        """How many calls of an operation the emulator refused."""
        return sum(1 for call in self.of(operation) if call.upstream is not None and call.upstream >= 400)

    def applied(self, operation):
        """How many calls of an operation the emulator accepted."""
        return sum(1 for call in self.of(operation) if call.upstream is not None and call.upstream < 300)

    def hold(self, rule):
        """Waits until the rule lets go, for a bounded time."""
        end = time.monotonic() + self.HOLD_MAX_S
        while not rule.release.wait(0.05):
            if self._stopped.is_set() or time.monotonic() > end:
                return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    # A port that was refused is taken again at once.
    block_on_close = False

    def __init__(self, *args):
        self._open = set()
        super().__init__(*args)

    def get_request(self):
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def close_request(self, request):
        self._open.discard(request)
        super().close_request(request)

    def cut_all(self):
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request, client_address):
        """A client that was killed in the middle is what some tests are about, so it is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers go out at once instead of waiting for more.
    disable_nagle_algorithm = True

    def _serve(self):
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Call(operation_of(self.command, self.path, self.headers, body), time.monotonic(), body)
        signed = CREDENTIAL.search(self.headers.get("Authorization", ""))
        if signed:
            call.key, call.region = signed.group(1, 2)
        # The client's port: no connection that is open at the same time has it.
        call.connection = self.client_address[1]
        proxy.record(call)
        rule = proxy.rule_for(call)
        if rule:
            rule.reached.set()
            time.sleep(rule.delay_s)
            if rule.instead:
                self._instead(rule, call)
                return
            if rule.hold_before:
                proxy.hold(rule)
                if rule.drop:
                    self._cut()
                    return
        answered = proxy.stand_in(call, body, self._forward) if proxy.stand_in else None
        status, headers, answer = answered or self._forward(body)
        call.upstream = status
        if rule and rule.hold_answer:
            proxy.hold(rule)
            if rule.drop:
                self._cut()
                return
        self._answer(call, status, headers, answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

    def _forward(self, body):
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream_port, timeout=30)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP | {"content-length"}}
            upstream.request(self.command, self.path, body=body, headers=headers)
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            upstream.close()

    def _answer(self, call, status, headers, answer):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        call.answered = True

    def _instead(self, rule, call):
        if rule.instead in REFUSALS:
            self._answer(call, *refusal(rule.instead, self.headers))
        elif rule.instead == "garbage":
            self._answer(call, 200, [("Content-Type", "text/xml")], b"\x00\xff<not><xml" * 64)
        elif rule.instead == "hang":
            self.server.proxy.hold(rule)
            self._cut()
        elif rule.instead == "drop":
            self._cut()
        else:
            raise ValueError(f"a rule cannot do {rule.instead!r}")

    def _cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format, *args):
        """Quiet: what came through is in `calls`."""
