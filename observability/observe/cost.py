"""What evaluating every rule costs a real Prometheus that scrapes fifty pods of forty routes."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rehearsal import processes
from rehearsal.prometheus import ScrapeJob, Target

from observe.stack import Stack

PODS, ROUTES = 50, 40
STATUSES = ("200", "201", "404", "500", "503")
BOUNDS = (
    "0.005",
    "0.01",
    "0.025",
    "0.05",
    "0.1",
    "0.15",
    "0.2",
    "0.225",
    "0.25",
    "0.275",
    "0.3",
    "0.4",
    "0.5",
    "1.0",
    "2.5",
    "10.0",
    "+Inf",
)
SCRAPE_S = 5.0
# Longer than the longest window that rules ask of raw counters.
LONG_S = 330.0
ALLOWED_S = 1.0


def measure(folder: Path) -> dict[str, float]:
    """Seconds of the last evaluation of each group, after enough scrapes to fill every window."""
    server = ThreadingHTTPServer(("127.0.0.1", processes.free_port()), _Pods)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    jobs = [
        ScrapeJob(f"pod{number}", f"/{number}", SCRAPE_S, [Target(port, _labels(number))])
        for number in range(PODS)
    ]
    try:
        with Stack(folder, jobs) as stack:
            time.sleep(LONG_S)
            return _durations(stack)
    finally:
        server.shutdown()
        server.server_close()


def exposition(pod: int, at_s: float) -> Iterator[str]:
    """A pod's counters at an instant: every route steadily busy."""
    count = (at_s % 1e6) * 0.25 * (1 + pod % 3)
    for route in range(ROUTES):
        labels = f'method="GET",route="/v1/route{route}"'
        for status in STATUSES:
            yield f'http_requests_total{{{labels},status="{status}"}} {count:.3f}'
        for rank, bound in enumerate(BOUNDS):
            share = min(1.0, (rank + 1) / (len(BOUNDS) - 4))
            bucket = f'request_duration_seconds_bucket{{{labels},le="{bound}"}}'
            yield f"{bucket} {count * share * len(STATUSES):.3f}"
        yield f"request_duration_seconds_count{{{labels}}} {count * len(STATUSES):.3f}"
    own = _platform(pod)
    yield f'container_cpu_usage_seconds_total{{{own},image="i"}} {count / 10:.3f}'
    yield f'kube_pod_container_resource_limits{{{own},resource="cpu"}} 0.5'
    yield f"kube_pod_container_status_restarts_total{{{own}}} 0"
    yield f"kube_pod_created{{{own}}} {1000 + pod}"


def _platform(pod: int) -> str:
    return f'uid="{pod}"'


def _labels(pod: int) -> dict[str, str]:
    pod_hash = "bcdfg2456" if pod % 2 else "hjklm2456"
    return {
        "namespace": "gridos",
        "pod": f"gridos-{pod_hash}-p{pod}",
        "container": "gridos",
        "rollouts_pod_template_hash": pod_hash,
    }


def _durations(stack: Stack) -> dict[str, float]:
    query = urllib.parse.urlencode({"query": "prometheus_rule_group_last_duration_seconds"})
    url = f"http://127.0.0.1:{stack.prometheus.port}/api/v1/query?{query}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return {one["metric"]["rule_group"].rpartition(";")[2]: float(one["value"][1]) for one in found}


class _Pods(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answers one pod's scrape."""
        body = "\n".join(exposition(int(self.path.strip("/")), time.time())) + "\n"
        content = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — http.server's name
        """Says nothing."""
