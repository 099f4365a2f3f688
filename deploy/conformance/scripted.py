"""A Prometheus that answers what a scenario says, and nothing else.

The path's first part names the scenario; which gate is asked is told by the query's own words. Each
gate has its list of answers, one a question; the last one repeats.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A word of each shipped gate's query, looked for in this order.
WORDS = {
    "cpu-saturation-ratio": "container_cpu_usage_seconds_total",
    "container-restarts": "restarts_total",
    "p95-latency-seconds": "histogram_quantile",
    "error-ratio": "clamp_min",
    "canary-requests": "increase",
}

# What a query answers: samples of a vector, or None for no answer at all.
Answer = Sequence[float] | None
Script = Mapping[str, Sequence[Answer]]


class Scripted:
    """One server for many scenarios, on an address that the controller reaches."""

    def __init__(self, host: str, scripts: Mapping[str, Script], port: int = 0) -> None:
        self._scripts = scripts
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            """Answers one query."""

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                form = urllib.parse.parse_qs(self.rfile.read(length).decode())
                status, body = outer.answer(self.path.split("/")[1], form["query"][0])
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address, without a scenario."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def asked(self, scenario: str) -> int:
        """How many questions of a scenario were answered."""
        return sum(count for (name, _), count in self._asked.items() if name == scenario)

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, scenario: str, query: str) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a query."""
        gate = gate_of(query)
        with self._lock:
            number = self._asked[scenario, gate]
            self._asked[scenario, gate] += 1
        said = look(self._scripts[scenario], gate, number)
        if said is None:
            return 503, {"status": "error", "errorType": "unavailable", "error": "scripted away"}
        samples = [{"metric": {"n": str(i)}, "value": [0, _text(v)]} for i, v in enumerate(said)]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": samples}}


def gate_of(query: str) -> str:
    """Which gate a query belongs to; a query of a conformance metric is its name."""
    return next((gate for gate, word in WORDS.items() if word in query), query)


def look(script: Script, gate: str, number: int) -> Answer:
    """What the script answers a gate's question of this number, from 0."""
    answers = script.get(gate) or script["*"]
    return answers[min(number, len(answers) - 1)]


def _text(value: float) -> str:
    if value != value:  # noqa: PLR0124 — NaN
        return "NaN"
    return {float("inf"): "+Inf", float("-inf"): "-Inf"}.get(value, repr(value))
