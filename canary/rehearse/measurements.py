"""Measurements: those of current AnalysisRuns, taken beside the loop that takes the steps.

Each asks twice: the gate's query, and the same query about the stable ReplicaSet. The second
answer judges nothing on a cluster; here it tells a bad release from a slow machine. Once all users
of a blueGreen were switched, it is about stable at the moment of the switch.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from canary.argo import analysis
from canary.argo.expression import Result
from canary.argo.model import AnalysisRun, Hashes, Measurement, Metric, Phase, Rollout
from canary.rehearse.providers import Providers
from canary.runtime.prometheus import Prometheus, QueryError

NO_OTHERS = Providers()


@dataclass(frozen=True)
class Sides:
    """What gates may name a side of a release by, beside its hash.

    `services` are those of canary and stable, and `labels` the values that the controller gives to
    a label of their pods, by the label's name in series.
    """

    services: tuple[str, str] = ("", "")
    labels: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, rollout: Rollout) -> Self:
        """Those of a release; a label that only one side has is empty for the other."""
        canary, stable = rollout.canary_metadata.labels, rollout.stable_metadata.labels
        labels = {re.sub(r"\W", "_", name): (canary[name], stable.get(name, "")) for name in canary}
        return cls(rollout.routing.services if rollout.routing else ("", ""), labels)


NO_SIDES = Sides()


class Measurements:
    """Measurements under way, by run."""

    def __init__(
        self,
        prometheus: Prometheus,
        hashes: Hashes,
        clock: Callable[[], float],
        others: Providers = NO_OTHERS,
        sides: Sides = NO_SIDES,
    ) -> None:
        """`others` answer what Prometheus does not; `sides` are as for `measure`."""
        self._sides = sides
        self._prometheus = prometheus
        self.switched_at_s: float | None = None
        self._others = others
        self.hashes = hashes
        self._clock = clock
        self._askers = ThreadPoolExecutor(8, "measure")
        self._under_way: dict[str, tuple[float, dict[Metric, Future[Measurement]]]] = {}

    def begin(self, runs: Iterable[AnalysisRun], now: float) -> None:
        """Starts what is due; a run's next ones wait until its last ones are in, as in Argo."""
        for run in runs:
            if run.name not in self._under_way and (due := analysis.due(run, now)):
                self._under_way[run.name] = now, {m: self._askers.submit(self._ask, m) for m in due}

    def finished(self) -> Iterator[tuple[str, dict[str, Measurement]]]:
        """(run, measurements by metric) for each run whose measurements are all in."""
        for run, (_, asked) in list(self._under_way.items()):
            if all(future.done() for future in asked.values()):
                del self._under_way[run]
                yield run, {metric.name: future.result() for metric, future in asked.items()}

    def waited_s(self, now: float) -> float:
        """How long the oldest question to Prometheus has waited for its answer."""
        waited = (
            now - begun
            for begun, asked in self._under_way.values()
            for metric, future in asked.items()
            if not (metric.json_path or metric.job or future.done())
        )
        return max(waited, default=0.0)

    def _ask(self, metric: Metric) -> Measurement:
        if metric.json_path or metric.job:
            return self._others.measure(metric, self._clock)
        return measure(
            self._prometheus,
            self.hashes,
            metric,
            self._clock,
            sides=self._sides,
            switched_at_s=self.switched_at_s,
        )

    def stop(self) -> None:
        """Forgets what is under way."""
        self._askers.shutdown(wait=False, cancel_futures=True)


def measure(
    prometheus: Prometheus,
    hashes: Hashes,
    metric: Metric,
    clock: Callable[[], float],
    at_s: float | None = None,
    sides: Sides = NO_SIDES,
    switched_at_s: float | None = None,
) -> Measurement:
    """One measurement of a metric, at the server's now or at an instant of the Unix epoch.

    `sides` is what a gate may name canary and stable by; `switched_at_s` is when all users left
    stable, if they have.
    """
    started_at = clock()
    stable_query = _about_stable(metric.query, hashes, sides)
    # A query that names no side has no counterpart: it would be compared with itself. What fires on
    # the platform is neither side's.
    sided = stable_query != metric.query or switched_at_s is not None
    controlled = sided and "ALERTS" not in metric.query
    then_s = at_s if switched_at_s is None else switched_at_s
    try:
        result = prometheus.query(metric.query, metric.timeout_s, at_s)
        control = prometheus.query(stable_query, metric.timeout_s, then_s) if controlled else ()
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


def _about_stable(query: str, hashes: Hashes, sides: Sides) -> str:
    """The same query about stable, by its hash, its Service or a label of its pods."""
    about = query.replace(hashes.latest, hashes.stable)
    # ingress-nginx tells the canary's series by a label that stable's have not.
    about = _OF_NGINX.sub(r'\1=""', about)
    canary, stable = sides.services
    if canary and stable:
        about = re.sub(rf"(?<![\w-]){re.escape(canary)}(?![\w-])", stable, about)
    for name, (mine, other) in sides.labels.items():
        value = rf'(\b{name}\s*=~?\s*)(["\']){re.escape(mine)}\2'
        about = re.sub(value, rf"\1\2{other}\2", about)
    return about


_OF_NGINX = re.compile(r'(nginx_ingress_controller_\w+\{[^}]*?\bcanary)\s*(?:=~?|!=)\s*"[^"]*"')


def _first(result: Result) -> float | None:
    if isinstance(result, float):
        return result
    return result[0] if result else None


def _shown(result: Result) -> str:
    """As Argo shows it: a scalar bare, a vector in brackets."""
    if isinstance(result, float):
        return f"{result:.6g}"
    return "[" + ",".join(f"{sample:.6g}" for sample in result) + "]"
