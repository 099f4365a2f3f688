"""A real HTTP server, and real Locust runs against it; nothing else of this repository."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

LOCUSTFILE = """
import json, os
from locust import FastHttpUser, events, task
from openarrivals import OpenArrivals, of

class Visitor(OpenArrivals, FastHttpUser):
    network_timeout = 20

    @task
    def look(self):
        self.client.get("/", headers={"X-Request-ID": str(self.arrival.number)})

@events.init.add_listener
def listen(environment, **_):
    def write(batch):
        with open(os.environ["OUT"], "a") as file:
            rows = [s._asdict() for s in batch.samples]
            counts = vars(batch.counts) | {"open": batch.counts.open}
            file.write(json.dumps({"rows": rows, "counts": counts}) + "\\n")
    of(environment).listeners.append(write)
"""


class Log:
    """Which requests a server has answered, and when; it can be frozen for a while."""

    def __init__(self):
        self.answered = {}
        self.thaw = threading.Event()
        self.thaw.set()


@pytest.fixture
def server():
    """(base URL, log) of a server that answers at once unless it is frozen."""
    log = Log()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def do_GET(self):
            log.thaw.wait(timeout=20)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            log.answered[int(self.headers["X-Request-ID"])] = time.time()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", log
    log.thaw.set()
    listening.shutdown()
    listening.server_close()
    thread.join()


class Run:
    """One Locust, and what it wrote."""

    def __init__(self, folder, host, *options, base="FastHttpUser"):
        (folder / "locustfile.py").write_text(LOCUSTFILE.replace("FastHttpUser", base))
        self.out = folder / "out.jsonl"
        command = [sys.executable, "-m", "locust", "-f", str(folder / "locustfile.py")]
        command += ["--headless", "--host", host, "--only-summary", *options]
        self.process = subprocess.Popen(
            command,
            env={"OUT": str(self.out), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self):
        """(exit code, text) once it has ended by itself."""
        text, _ = self.process.communicate(timeout=60)
        return self.process.returncode, text

    def comes_to(self, condition, timeout_s=30):
        """Whether a condition is met while it runs."""
        deadline = time.monotonic() + timeout_s
        while not (met := condition()) and time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        return met

    @property
    def lines(self):
        """What the listener wrote so far."""
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    @property
    def samples(self):
        """Every request, by the number it carried."""
        return [row for line in self.lines for row in line["rows"]]

    @property
    def counts(self):
        """The last totals."""
        return self.lines[-1]["counts"]


@pytest.fixture
def locust(tmp_path, server):
    """Starts Locust with `-u` and other options against the server."""
    runs = []

    def start(*options, **kind):
        runs.append(Run(tmp_path, server[0], *options, **kind))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()
        run.process.stdout.close()
