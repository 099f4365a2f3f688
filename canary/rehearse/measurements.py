"""Measurements: those of current AnalysisRuns, taken beside the loop that walks the steps.

Each asks twice: the gate's query, and the same query about the stable ReplicaSet. The second
answer judges nothing on a cluster; here it tells a bad release from a slow machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from canary.argo import analysis
from canary.argo.expression import Result
from canary.argo.model import AnalysisRun, Hashes, Measurement, Metric, Phase
from canary.rehearse import alerts
from canary.runtime import web
from canary.runtime.prometheus import Prometheus, QueryError


class Measurements:
    """Measurements under way, by run."""

    def __init__(
        self,
        prometheus: Prometheus,
        hashes: Hashes,
        clock: Callable[[], float],
        alertmanager: str = "",
    ) -> None:
        """`alertmanager` is the address that answers what a web metric asks of one."""
        self._prometheus = prometheus
        self._alertmanager = alertmanager
        self.hashes = hashes
        self._clock = clock
        self._askers = ThreadPoolExecutor(8, "measure")
        self._under_way: dict[str, dict[str, Future[Measurement]]] = {}
        self._begun: dict[str, float] = {}

    def begin(self, runs: Iterable[AnalysisRun], now: float) -> None:
        """Starts what is due; a run's next ones wait until its last ones are in, as in Argo."""
        for run in runs:
            if run.name in self._under_way:
                continue
            due = analysis.due(run, now)
            if due:
                self._under_way[run.name] = {m.name: self._askers.submit(self._ask, m) for m in due}
                self._begun[run.name] = now

    def finished(self) -> Iterator[tuple[str, dict[str, Measurement]]]:
        """(run, measurements by metric) for each run whose measurements are all in."""
        for run, asked in list(self._under_way.items()):
            if all(future.done() for future in asked.values()):
                del self._under_way[run]
                yield run, {name: future.result() for name, future in asked.items()}

    def waited_s(self, now: float) -> float:
        """How long the oldest measurement under way has waited for its answer."""
        return max((now - self._begun[run] for run in self._under_way), default=0.0)

    def _ask(self, metric: Metric) -> Measurement:
        if metric.json_path:
            return _ask_web(metric, self._alertmanager, self._clock)
        return measure(self._prometheus, self.hashes, metric, self._clock)

    def stop(self) -> None:
        """Forgets what is under way."""
        self._askers.shutdown(wait=False, cancel_futures=True)


def measure(
    prometheus: Prometheus,
    hashes: Hashes,
    metric: Metric,
    clock: Callable[[], float],
    at_s: float | None = None,
) -> Measurement:
    """One measurement of a metric, at the server's now or at an instant of the Unix epoch."""
    started_at = clock()
    stable_query = metric.query.replace(hashes.latest, hashes.stable)
    # A query that names no ReplicaSet has no counterpart: it would be compared with itself.
    controlled = stable_query != metric.query
    try:
        result = prometheus.query(metric.query, metric.timeout_s, at_s)
        control = prometheus.query(stable_query, metric.timeout_s, at_s) if controlled else ()
    except QueryError as failed:
        return Measurement(Phase.ERROR, started_at, clock(), message=str(failed))
    phase, message = analysis.judge(metric, result)
    return Measurement(
        phase=phase,
        started_at=started_at,
        finished_at=clock(),
        value=_shown(result),
        message=message,
        number=_first(result),
        control=_first(control),
        controlled=controlled,
    )


def _ask_web(metric: Metric, alertmanager: str, clock: Callable[[], float]) -> Measurement:
    """One measurement of a web metric, which knows no stable release to compare with."""
    started_at = clock()
    try:
        value = web.get(
            alerts.local(metric.query, alertmanager), metric.json_path, metric.timeout_s
        )
    except web.WebError as failed:
        return Measurement(Phase.ERROR, started_at, clock(), message=str(failed))
    phase, message = analysis.judge(metric, value)
    shown = json.dumps(value)
    return Measurement(phase, started_at, clock(), value=shown, message=message)


def _first(result: Result) -> float | None:
    if isinstance(result, float):
        return result
    return result[0] if result else None


def _shown(result: Result) -> str:
    """As Argo shows it: a scalar bare, a vector in brackets."""
    if isinstance(result, float):
        return f"{result:.6g}"
    return "[" + ",".join(f"{sample:.6g}" for sample in result) + "]"
