"""The world that the cockpit is pointed at: an emulator of AWS and one HTTPS server for each region.

Everything listens on loopback, is a child of the test, and goes away with it.
"""

import datetime
import http.client
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

IRELAND, FRANKFURT, CAPE_TOWN = "eu-west-1", "eu-central-1", "af-south-1"
# Zone ids of API Gateway's regional domains (rule 11 of the domain rules).
GATEWAY_ZONE = {IRELAND: "ZLY8HYME6SFDD", FRANKFURT: "Z1U9ULNL0V5AJ3", CAPE_TOWN: "Z2DHW2332DAMTN"}
GATEWAY = {region: f"d-0000000000.execute-api.{region}.amazonaws.com" for region in GATEWAY_ZONE}
API = "api.medzenhealth.app"
# Below MedZen's public name: the weighted one.
EUROPE = f"eu.{API}"
MEDIA_HOST = {IRELAND: "ew1.app.chime.aws", FRANKFURT: "ec1.app.chime.aws", CAPE_TOWN: "fs1.app.chime.aws"}

TINY_STACK = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Topic: {Type: AWS::SNS::Topic}
"""


def free_port():
    """A loopback port that nobody has right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Emulator:
    """ministack as a child process, with shortcuts to what the tests put there and look at."""

    def __init__(self, folder):
        self.port = free_port()
        self.log_path = folder / "emulator.log"
        keep = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
        env = {name: os.environ[name] for name in keep if name in os.environ}
        # Its default is to listen on every interface.
        env |= {"GATEWAY_PORT": str(self.port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING", "TMPDIR": str(folder)}
        self._log = open(self.log_path, "wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=env, cwd=folder, stdout=self._log, stderr=subprocess.STDOUT
        )
        self._clients = {}
        self._wait_until_up()
        self.account = self.client("sts").get_caller_identity()["Account"]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._log.close()

    def _wait_until_up(self, timeout_s=30):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            try:
                connection.request("GET", "/_ministack/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.1)
            finally:
                connection.close()
        tail = self.log_path.read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"the emulator did not come up within {timeout_s} s:\n{tail}")

    def client(self, service, region="us-east-1"):
        """A boto3 client that talks to the emulator directly, past any proxy."""
        if (service, region) not in self._clients:
            self._clients[service, region] = boto3.client(
                service,
                region_name=region,
                endpoint_url=self.url,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20, proxies={}),
            )
        return self._clients[service, region]

    # --- zone ---------------------------------------------------------------------------------------------------

    def make_zone(self, name="medzenhealth.app"):
        """A hosted zone; its id without the path in front."""
        zone = self.client("route53").create_hosted_zone(Name=name, CallerReference=str(time.time_ns()))
        return zone["HostedZone"]["Id"].rsplit("/", 1)[-1]

    def put_simple_record(self, zone, region=IRELAND, name=API):
        self._create(zone, [self.record(region, name)])

    def put_weighted_records(self, zone, weights, name=API, check=None):
        """`weights` is {(set identifier, region): weight}; `check` is {set identifier: health check id}."""
        records = []
        for (identifier, region), weight in weights.items():
            records.append(self.record(region, name) | {"SetIdentifier": identifier, "Weight": weight})
            if check and identifier in check:
                records[-1]["HealthCheckId"] = check[identifier]
        self._create(zone, records)

    def make_health_check(self):
        """A health check that follows an alarm; its id."""
        config = {
            "Type": "CLOUDWATCH_METRIC",
            "AlarmIdentifier": {"Region": IRELAND, "Name": "leave-frankfurt"},
            "InsufficientDataHealthStatus": "Healthy",
        }
        made = self.client("route53").create_health_check(CallerReference=str(time.time_ns()), HealthCheckConfig=config)
        return made["HealthCheck"]["Id"]

    def edit_weight(self, zone, identifier, weight, name=API):
        """What a third party does: one record gets another weight, whatever it had."""
        record = next(r for r in self.records(zone, name) if r.get("SetIdentifier") == identifier)
        change = {"Action": "UPSERT", "ResourceRecordSet": record | {"Weight": weight}}
        self.client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})

    def metric_maximum(self, region, namespace, metric, dimensions):
        """The largest value of a metric within the last minutes, or None."""
        now = datetime.datetime.now(datetime.timezone.utc)
        minutes = datetime.timedelta(minutes=5)
        found = self.client("cloudwatch", region).get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=now - minutes,
            EndTime=now + minutes,
            Period=60,
            Statistics=["Maximum"],
        )
        return max((point["Maximum"] for point in found["Datapoints"]), default=None)

    @staticmethod
    def record(region, name=API):
        target = {"HostedZoneId": GATEWAY_ZONE[region], "DNSName": GATEWAY[region], "EvaluateTargetHealth": True}
        return {"Name": name, "Type": "A", "AliasTarget": target}

    def _create(self, zone, records):
        changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
        self.client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})

    def records(self, zone, name=API):
        """All record sets of a name."""
        found = self.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return [record for record in found if record["Name"].rstrip(".") == name]

    def weights(self, zone, name=API):
        """Set identifier → weight; a simple record is {None: None}."""
        return {record.get("SetIdentifier"): record.get("Weight") for record in self.records(zone, name)}

    # --- the audit table ------------------------------------------------------------------------------------------

    def make_audit_table(self, region, name):
        self.client("dynamodb", region).create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        )

    def put_audit_entry(self, region, name, entry):
        item = {key: {"N" if key == "ttl" else "S": str(value)} for key, value in entry.items()}
        self.client("dynamodb", region).put_item(TableName=name, Item=item)

    # --- stacks -------------------------------------------------------------------------------------------------

    def make_stack(self, name, region):
        self.client("cloudformation", region).create_stack(StackName=name, TemplateBody=TINY_STACK)
        end = time.monotonic() + 20
        while self.stack_status(name, region) != "CREATE_COMPLETE":
            assert time.monotonic() < end, f"stack {name} is {self.stack_status(name, region)} after 20 s"
            time.sleep(0.1)

    def stack_status(self, name, region):
        """Its status word, or None when there is no such stack."""
        cloudformation = self.client("cloudformation", region)
        try:
            return cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        except cloudformation.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise


class MetricFeed:
    """Publishes metrics once a minute, as the real services do.

    The backend believes a point only when its minute is over, and the emulator adds to a minute instead of replacing
    it. So a minute is published when it has ended, with the level of that moment; raising a level is visible at once
    (the ended minute gets a second, larger point), lowering it with the next minute. The constructor publishes the last
    few minutes, so that nothing has to be waited for in the beginning.
    """

    HISTORY_MIN = 4

    def __init__(self, emulator):
        self._emulator = emulator
        self._series = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._minute = int(time.time()) // 60
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join(5)

    def publish(self, name, region, namespace, metric, dimensions, value):
        """From now on there is this metric, with this value in every minute."""
        shape = [{"Name": key, "Value": text} for key, text in dimensions.items()]
        with self._lock:
            self._series[name] = [region, namespace, metric, shape, value]
            for back in range(1, self.HISTORY_MIN + 1):
                self._put(self._series[name], self._minute - back)

    def set(self, name, value):
        """Changes the level. A higher one shows at once, a lower one in the next minute."""
        with self._lock:
            series = self._series[name]
            rises = value > series[4]
            series[4] = value
            if rises:
                self._put(series, int(time.time()) // 60 - 1)

    def _run(self):
        while not self._stop.wait(0.25):
            minute = int(time.time()) // 60
            with self._lock:
                while self._minute < minute:
                    for series in self._series.values():
                        self._put(series, self._minute)
                    self._minute += 1

    def _put(self, series, minute):
        region, namespace, metric, dimensions, value = series
        at = datetime.datetime.fromtimestamp(minute * 60 + 30, datetime.timezone.utc)
        point = {"MetricName": metric, "Dimensions": dimensions, "Timestamp": at, "Value": value}
        self._emulator.client("cloudwatch", region).put_metric_data(Namespace=namespace, MetricData=[point])


class Authority:
    """A certificate authority for one test run, and one certificate for every name that the servers answer to."""

    def __init__(self, folder, names):
        self.ca_path = folder / "ca.pem"
        self.cert_path = folder / "server.pem"
        now = datetime.datetime.now(datetime.timezone.utc)
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cutover test authority")])
        key = ec.generate_private_key(ec.SECP256R1())

        def builder(subject, public_key):
            return (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(ca_name)
                .public_key(public_key)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=2))
            )

        ca = builder(ca_name, ca_key.public_key())
        ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        ca = ca.sign(ca_key, hashes.SHA256())
        alternatives = [x509.DNSName(name) for name in names] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        leaf = builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]), key.public_key())
        leaf = leaf.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        leaf = leaf.sign(ca_key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        self.ca_path.write_bytes(ca.public_bytes(pem))
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.cert_path.write_bytes(private + leaf.public_bytes(pem))


class Region:
    """The API of one region: an HTTPS server with a /health that can be made to fail."""

    def __init__(self, name, authority):
        self.name = name
        # "ok": 200; "fail": 503; "drop": the connection is cut; "hang": no answer for half a minute.
        self.mode = "ok"
        self.requests = 0
        # Is told what would be written in the audit table when a meeting is created.
        self.audit = None
        self._stopped = threading.Event()
        region = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                region.requests += 1
                mode = region.mode
                if mode == "hang":
                    region._stopped.wait(30)
                if mode in ("hang", "drop"):
                    self.close_connection = True
                    return
                body = f'{{"status": "{mode}", "region": "{region.name}"}}'.encode()
                self.send_response(200 if mode == "ok" else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                """A meeting, as Chime would host it here, and its audit entry."""
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                host, meeting = MEDIA_HOST[region.name], f"m-{time.time_ns()}"
                places = {"AudioHostUrl": f"k.m3.{host}", "SignalingUrl": f"wss://signal.m3.{host}", "ScreenDataUrl": f"wss://bitpw.m3.{host}"}
                if region.audit:
                    entry = {"pk": f"MEETING#{meeting}", "sk": "CREATED#now", "action": "CREATED", "ttl": 1984522983}
                    region.audit(entry | {"appointmentId": asked["appointmentId"]})
                made = {"Meeting": {"MeetingId": meeting, "MediaRegion": region.name, "MediaPlacement": places}}
                body = json.dumps(made).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, client_address):
                """A probe that gave up is no news."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.cert_path)
        self._server = Server(("127.0.0.1", 0), Handler)
        # The handshake belongs to the handler's thread: a client that does not finish it must not stop the others.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
