"""The plan's own shell steps, run as the engine runs them, and what they meet: a second emulator, answers for what no
emulator has, and programs that write down how they were called.

The steps are read from plans/medzen, so the tests follow the plan: its scripts, its environments, its outputs.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from cloud import free_port
from cockpit import ROOT

MEDZEN = ROOT / "plans" / "medzen"
VENV = Path(sys.executable).parent
# What the engine hands on of its own environment, besides AWS_*, LC_*, SSL_CERT_* and the proxies.
ALLOWED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR")

# Nobody's; the tests look for them where they must not be.
SECRETS = {
    "SUPABASE_ACCESS_TOKEN": "sbp_the-token-of-the-test",
    "SUPABASE_SERVICE_KEY": "service.key-of-the-test",
    "SUPABASE_ANON_KEY": "anon.key-of-the-test",
}


class Plan:
    """The plan as a person reads it: variables and steps, without any of the loader's rules."""

    def __init__(self, folder=MEDZEN):
        self.folder = folder
        self.vars, self.steps = {}, {}
        main = yaml.safe_load((folder / "plan.yaml").read_text())
        for name in main["include"]:
            part = yaml.safe_load((folder / name).read_text())
            self.vars |= {key: str(value) for key, value in part.get("vars", {}).items()}
            for phase in part.get("phases", []):
                self.steps |= {step["id"]: step for step in phase["steps"]}
            for rollback in part.get("rollbacks", {}).values():
                self.steps |= {step["id"]: step for step in rollback["steps"]}

    def expand(self, text, outputs):
        """`${name}` and `${outputs.STEP.NAME}`, as far as they go."""

        def value(found):
            name = found.group(1)
            return outputs[name.removeprefix("outputs.")] if name.startswith("outputs.") else self.vars[name]

        while "${" in text:
            text = re.sub(r"\$\{([^}]*)\}", value, text)
        return text

    def scripts(self):
        """Every (step id, script) of the plan, undos as `STEP undo`."""
        for name, step in self.steps.items():
            undo = step.get("undo")
            if "shell" in step:
                yield name, step["shell"]
            if isinstance(undo, dict) and "shell" in undo:
                yield f"{name} undo", undo["shell"]


class Done:
    """What a step did: exit code, everything printed, outputs."""

    def __init__(self, process, outputs):
        self.code, self.text, self.outputs = process.returncode, process.stdout, outputs

    def ok(self):
        assert self.code == 0, f"exit {self.code}\n{self.text}"
        return self

    def failed(self, *words):
        assert self.code != 0, f"it should have failed:\n{self.text}"
        for word in words:
            assert word in self.text, f"{word!r} is not in:\n{self.text}"
        return self


class Runner:
    """Runs scripts of a plan in a working tree of their own, with the environment that the engine gives them."""

    def __init__(self, folder, aws):
        self.plan = Plan()
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.fakes = folder / "programs"
        self.fakes.mkdir()
        (folder / "tmp").mkdir()
        self.temporary = folder / "tmp"
        self.secrets = {}
        self.env = {
            "PATH": f"{self.fakes}:{VENV}:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.temporary),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        } | aws
        # Something of the engine's own that no script may see.
        self.env["UNRELATED"] = "must not arrive"

    def step(self, name, outputs=None, **changed):
        """A step of the plan, or its undo (`NAME undo`); `changed` replaces single values of its environment."""
        shell = dict(self.plan.scripts())[name]
        env = {key: self.plan.expand(str(value), outputs or {}) for key, value in shell.get("env", {}).items()}
        assert set(changed) <= set(env), f"{name} has no {set(changed) - set(env)}"
        secrets = {secret: self.secrets[secret] for secret in shell.get("secrets", [])}
        script = self.plan.folder / shell["script"]
        return self._run([script], env | changed | secrets, name, shell.get("outputs", []))

    def done_if(self, name, outputs=None, **changed):
        """Whether the step's own question says that it is done."""
        shell = dict(self.plan.scripts())[name]
        env = {key: self.plan.expand(str(value), outputs or {}) for key, value in shell.get("env", {}).items()}
        secrets = {secret: self.secrets[secret] for secret in shell.get("secrets", [])}
        return self._run(["-c", shell["done-if"]], env | changed | secrets, name, []).code == 0

    def _run(self, what, env, name, wanted):
        seen = {key: value for key, value in self.env.items() if key in ALLOWED or key.startswith(("AWS_", "LC_", "SSL_CERT_"))}
        seen |= {key: value for key, value in self.env.items() if key.lower().endswith("_proxy")}
        output = self.temporary / "outputs"
        output.write_text("")
        seen |= env | {
            "CUTOVER_RUN": "01TEST",
            "CUTOVER_STEP": name.split()[0],
            "CUTOVER_PLAN": str(self.plan.folder),
            "CUTOVER_OUTPUT": str(output),
        }
        process = subprocess.run(
            ["bash", "--noprofile", "--norc", "-euo", "pipefail", *map(str, what)],
            env=seen,
            cwd=self.tree,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # The AWS CLI takes a second of CPU for a call, and a script makes dozens, beside other tests.
            timeout=600,
        )
        pairs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        assert set(pairs) <= set(wanted), f"{name} writes outputs that the plan does not name: {set(pairs) - set(wanted)}"
        return Done(process, pairs)

    # --- programs that are not there ----------------------------------------------------------------------------------

    def fake(self, name, body="exit 0"):
        """A program that writes down its arguments, its environment and its files, and then does `body` (bash)."""
        path = self.fakes / name
        path.write_text(
            "#!/usr/bin/env bash\n"
            f"log='{self.fakes}/{name}.log'\n"
            'for word in "$@"; do printf \'%q \' "$word"; done >>"$log.argv"; echo >>"$log.argv"\n'
            'env >>"$log.env"\n' + body + "\n"
        )
        path.chmod(0o755)

    def argv(self, name):
        """How a program was called: a line for each call."""
        path = self.fakes / f"{name}.log.argv"
        return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []

    def env_of(self, name):
        return (self.fakes / f"{name}.log.env").read_text()


class Moto:
    """moto's server as a child process, for what the first emulator lacks."""

    def __init__(self, folder):
        self.port = free_port()
        self._log = open(folder / "moto.log", "wb")
        keep = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
        env = {name: os.environ[name] for name in keep if name in os.environ} | {"TMPDIR": str(folder)}
        self._process = subprocess.Popen(
            [VENV / "moto_server", "-H", "127.0.0.1", "-p", str(self.port)],
            env=env, cwd=folder, stdout=self._log, stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < end, "moto did not come up"
            time.sleep(0.1)

    url = property(lambda self: f"http://127.0.0.1:{self.port}")

    def _answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/moto-api/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def reset(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("POST", "/moto-api/reset")
        assert connection.getresponse().status == 200

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._log.close()


class Answers:
    """Answers for calls that no emulator knows. The AWS CLI builds and reads them, so it still judges every parameter.

    An answer is a function of the request's body. Calls with a JSON body are named by their target (`RequestServiceQuota-
    Increase`), the others by method and path. It is also an HTTP proxy, for names that lead nowhere.
    """

    def __init__(self):
        self.calls = []
        self.answers = {}
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                path = re.sub(r"^https?://[^/]*", "", self.path)
                action = re.search(r"(?:^|&)Action=(\w+)", body)
                target = (self.headers.get("X-Amz-Target") or "").rpartition(".")[2]
                name = target or (action and action.group(1)) or f"{self.command} {path}"
                world.calls.append((name, body))
                found = next((value for key, value in world.answers.items() if name.startswith(key)), None)
                answer = found(body) if callable(found) else found
                text = answer if isinstance(answer, str) else json.dumps(answer)
                self.send_response(500 if answer is None else 200)
                self.send_header("Content-Type", "text/xml" if text.startswith("<") else "application/json")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = do_any

            def log_message(self, format, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def of(self, name):
        """Bodies of the calls of a name."""
        return [body for called, body in self.calls if called.startswith(name)]

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
