"""Records an outage: three agents watch a real server once a second, which is killed and comes back.

    python3 tests/recorded/record.py target/debug/cutover tests/recorded/outage.jsonl

The first line says when nothing listened, in Unix milliseconds, as the server's own parent knows it; the others are what the
agents saw. `tests/downtime.rs` plays it back.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

BEFORE, DOWN, AFTER = 100.0, 127.4, 80.0
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("up", flush=True)
server.serve_forever()
"""


def start(port):
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stdout=subprocess.PIPE)
    server.stdout.readline()
    return server


def millis():
    return int(time.time() * 1000)


def main(binary, out):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start(port)
    lines, agents = [], []
    job = json.dumps({"protocol": 1, "targets": [{"url": f"http://127.0.0.1:{port}/", "every_ms": 1000, "timeout_ms": 900}]})

    def read(vantage, agent):
        for line in agent.stdout:
            line = json.loads(line)
            if line["kind"] == "sample":
                # What is counted is when the answer, or the failure, was there.
                lines.append((millis(), vantage, line["error"] is None))

    for vantage in range(3):
        agent = subprocess.Popen([binary, "probe", "--agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        agent.stdin.write(job + "\n")
        agent.stdin.flush()
        agents.append(agent)
        threading.Thread(target=read, args=(vantage, agent), daemon=True).start()
        time.sleep(0.31)
    time.sleep(BEFORE)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    down = millis()
    time.sleep(DOWN)
    server = start(port)
    up = millis()
    time.sleep(AFTER)
    for agent in agents:
        agent.stdin.close()
        agent.wait()
    server.kill()
    with open(out, "w", encoding="utf-8") as file:
        file.write(json.dumps({"down": down, "up": up}) + "\n")
        for at, vantage, good in sorted(lines):
            file.write(json.dumps({"at": at, "vantage": vantage, "good": good}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
