"""A Prometheus that answers what a scenario says, and nothing else.

The path's first part names the scenario; which gate is asked is told by the query's own words. Each
gate has its list of answers, one a question; the last one repeats. A script may turn: once a gate
was asked for a certain window, or the release's follower says so, all gates have other answers.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from werkzeug import Request, Response

from acceptance.answering import answering
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
    """What many scenarios' scripts answer, at an address that the controller reaches."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._readers = {name: Reader(script) for name, script in scripts.items()}
        self._lock = threading.Lock()
        self.url = ""

    def asked(self, scenario: str) -> int:
        """How many questions of a scenario were answered."""
        return self._readers[scenario].asked

    def turn(self, scenario: str) -> None:
        """Turns a scenario's script."""
        with self._lock:
            self._readers[scenario].turn()

    def answer(self, request: Request) -> Response:
        """The answer to a query."""
        with self._lock:
            said = self._readers[request.path.split("/")[1]].read(request.form["query"])
        if said is None:
            wrong = {"status": "error", "errorType": "unavailable", "error": "scripted away"}
            return Response(json.dumps(wrong), 503, mimetype="application/json")
        samples = [{"metric": {"n": str(i)}, "value": [0, _text(v)]} for i, v in enumerate(said)]
        body = {"status": "success", "data": {"resultType": "vector", "result": samples}}
        return Response(json.dumps(body), mimetype="application/json")


@contextmanager
def serving(scripts: Mapping[str, Script], host: str = "127.0.0.1") -> Iterator[Scripted]:
    """One server for all of them."""
    scripted = Scripted(scripts)
    with answering(scripted.answer, host) as server:
        scripted.url = f"http://{host}:{server.port}"
        yield scripted


def gate_of(query: str) -> str:
    """Which gate a query belongs to; a query of a conformance metric is its name."""
    return next((gate for gate, word in WORDS.items() if word in query), query)


def _text(value: float) -> str:
    if value != value:  # noqa: PLR0124 — NaN
        return "NaN"
    return {float("inf"): "+Inf", float("-inf"): "-Inf"}.get(value, repr(value))
