"""One run: the generator is started, followed, ended, and judged."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from loadtesting import monitoring, request_metrics, service, target, verdict
from loadtesting.generator import Generator, Setup
from loadtesting.metrics import Metrics
from loadtesting.mix import NEWER_READS, READS
from loadtesting.model import Check, Limits, Profile, Verdict
from loadtesting.request_metrics import RequestMetrics
from loadtesting.verdict import Facts

TICK_S = 0.5
# Enough users that a stall of so many seconds drops nothing.
STALL_S = 5.0
MIN_USERS, MAX_USERS = 20, 2000
# A generator that has not ended by then hangs.
END_TIMEOUT_S = 120.0
PROBE_PATH = next(iter(READS)).path


@dataclass(frozen=True)
class Sources:
    """Where else to ask: the service's own /metrics, Prometheus, and about which pods."""

    service_metrics: tuple[str, ...] = ()
    prometheus: str | None = None
    pod_hash: str = ".+"


@dataclass(frozen=True)
class Done:
    """A run that has ended."""

    measured: RequestMetrics
    verdict: Verdict
    facts: Facts
    seconds: float
    started_at: datetime
    cpu_percent: float
    difference: dict[str, float] | None

    def head(self, setup: Setup, **more: Any) -> dict[str, Any]:
        """What a document says of the run beside its measurements."""
        return {
            "host": setup.host,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "shape": str(setup.plan.shape),
            "spacing": setup.plan.spacing,
            "seed": setup.plan.seed,
            "planned": self.facts.planned,
            "complete": self.facts.complete,
            "closed": setup.closed,
            "users": setup.users,
            "generator_cpu_percent": self.cpu_percent,
            "service": self.difference,
            **more,
        }


def users_for(peak: float) -> int:
    """How many requests may be under way at once for a peak rate."""
    return min(MAX_USERS, max(MIN_USERS, math.ceil(peak * STALL_S)))


def prepare(setup: Setup) -> Setup:
    """Reaches the target and learns what it offers.

    Raises:
        Unreachable: if no answer came.
    """
    target.reach(setup.host, PROBE_PATH, setup.ca_file)
    newer = target.answering(setup.host, [ask.path for ask in NEWER_READS], setup.ca_file)
    return replace(setup, newer=tuple(newer))


def execute(
    generator: Generator,
    profile: Profile,
    limits: Limits,
    sources: Sources,
    show: Callable[[RequestMetrics], None],
    metrics: Metrics,
    *,
    stop_when_certain: bool = True,
) -> Done:
    """Runs it to its end, or until failing is certain.

    Raises:
        MachineError: if the generator did not work.
        MeasureError: if the service's metrics were asked for and cannot be read.
    """
    setup = generator.setup
    planned = sum(1 for _ in setup.plan.due())
    measured = RequestMetrics(
        limits.max_latency_s, request_metrics.slice_length_s(setup.plan.shape.seconds)
    )
    before = service.read(sources.service_metrics) if sources.service_metrics else None
    started_at, began = datetime.now(UTC), time.time()
    generator.start()
    try:
        watched = planned if stop_when_certain else 0
        complete = _follow(generator, measured, limits, watched, show, metrics)
    finally:
        generator.stop()
    generator.check_ended_well()
    ended = time.time()
    difference = None if before is None else _difference(sources, before, measured)
    extra = _elsewhere(profile, limits, sources, began, ended)
    facts = Facts(measured.counts.due if setup.closed else planned, complete, extra)
    return Done(
        measured=measured,
        verdict=verdict.judge(measured, limits, profile, facts),
        facts=facts,
        seconds=ended - began,
        started_at=started_at,
        cpu_percent=generator.cpu_percent,
        difference=difference,
    )


def _follow(
    generator: Generator,
    measured: RequestMetrics,
    limits: Limits,
    planned: int,
    show: Callable[[RequestMetrics], None],
    metrics: Metrics,
) -> bool:
    """Takes what comes until the generator ends; returns whether it ended by itself."""
    deadline = time.monotonic() + generator.setup.plan.shape.seconds + END_TIMEOUT_S
    running = True
    while running and time.monotonic() < deadline:
        running = generator.running
        for batch in generator.read():
            metrics.take(measured.take(batch), len(batch.dropped_s))
        show(measured)
        if running and planned and verdict.failing_is_certain(measured, limits, planned):
            return False
        time.sleep(TICK_S if running else 0)
    return not running


def _difference(
    sources: Sources, before: service.Reading, measured: RequestMetrics
) -> dict[str, float]:
    said = service.read(sources.service_metrics).since(before)
    group = measured.overall
    return service.compare(
        said,
        sent=group.requests,
        answered=group.answered,
        failed=sum(n for o, n in group.outcomes.items() if o in ("failed", "gateway")),
        mean_s=group.histogram.get_mean_value() / 1e6 if group.requests else 0.0,
    )


def _elsewhere(
    profile: Profile, limits: Limits, sources: Sources, began: float, ended: float
) -> tuple[Check, ...]:
    found = []
    if monitoring.CPU in profile.judges:
        found.append(monitoring.cpu(sources.prometheus, limits, sources.pod_hash, ended - began))
    if monitoring.MEMORY in profile.judges:
        found.append(monitoring.memory(sources.prometheus, limits, began, ended))
    return tuple(found)
