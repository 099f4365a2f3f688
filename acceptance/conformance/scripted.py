"""A Prometheus that answers what a scenario says, and nothing else.

The path's first part names the scenario; which gate is asked is told by the query's own words. Each
gate has its list of answers, one a question; the last one repeats. A script may turn: once a gate
was asked for a certain window, or the release's follower says so, all gates have other answers.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from canary.argo import analysis
from canary.argo.model import Measurement, Metric, Phase

# A word of each shipped gate's query, looked for in this order.
WORDS = {
    "cpu-saturation-ratio": "container_cpu_usage_seconds_total",
    "container-restarts": "restarts_total",
    "p95-against-stable": "- 3 * sqrt(",
    "p95-latency-seconds": "histogram_quantile",
    "errors-against-stable": "exp(sum_over_time",
    "route-errors": "by (method, route)",
    "error-ratio": "quantile_over_time",
    "requests-against-stable": "avg(",
    "client-errors-against-stable": "429",
    "canary-requests": "http_requests_total",
}

# What a query answers: samples of a vector, or None for no answer at all.
Answer = Sequence[float] | None


@dataclass(frozen=True)
class Script:
    """Each gate's answers in order, `*` for any other; `then` once it has turned, as by `turn`.

    That is a gate and a window: the guard's gates have the same windows at all steps, so when they
    turn is told by a gate that is asked at the end of one.
    """

    answers: Mapping[str, Sequence[Answer]]
    turn: tuple[str, str] | None = None
    then: Mapping[str, Sequence[Answer]] = field(default_factory=dict)


class Reader:
    """A script as far as it was read."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._asked: Counter[tuple[str, bool]] = Counter()
        self._turned = False

    @property
    def asked(self) -> int:
        """How many questions were answered."""
        return self._asked.total()

    def turn(self) -> None:
        """Has all gates answer what comes then."""
        self._turned = True

    def read(self, query: str) -> Answer:
        """The answer to a query."""
        gate = gate_of(query)
        turned = self._turned
        if self._script.turn:
            by, window = self._script.turn
            self._turned |= gate == by and window in query
        number = self._asked[gate, turned]
        self._asked[gate, turned] += 1
        chosen = self._script.then if turned else self._script.answers
        answers = chosen.get(gate) or chosen["*"]
        return answers[min(number, len(answers) - 1)]

    def measure(self, metric: Metric, now: float) -> Measurement:
        """What comes of a metric's query at an instant."""
        answer = self.read(metric.query)
        phase = Phase.ERROR if answer is None else analysis.judge(metric, tuple(answer))[0]
        return Measurement(phase, now, now)


class Scripted:
    """One server for many scenarios, on an address that the controller reaches."""

    def __init__(self, host: str, scripts: Mapping[str, Script], port: int = 0) -> None:
        self._readers = {name: Reader(script) for name, script in scripts.items()}
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
        return self._readers[scenario].asked

    def turn(self, scenario: str) -> None:
        """Turns a scenario's script."""
        with self._lock:
            self._readers[scenario].turn()

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, scenario: str, query: str) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to a query."""
        with self._lock:
            said = self._readers[scenario].read(query)
        if said is None:
            return 503, {"status": "error", "errorType": "unavailable", "error": "scripted away"}
        samples = [{"metric": {"n": str(i)}, "value": [0, _text(v)]} for i, v in enumerate(said)]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": samples}}


def gate_of(query: str) -> str:
    """Which gate a query belongs to; a query of a conformance metric is its name."""
    return next((gate for gate, word in WORDS.items() if word in query), query)


def _text(value: float) -> str:
    if value != value:  # noqa: PLR0124 — NaN
        return "NaN"
    return {float("inf"): "+Inf", float("-inf"): "-Inf"}.get(value, repr(value))
