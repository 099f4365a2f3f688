"""The one place where time is compressed, and where it says what cannot be.

A rehearsal at scale 6 waits a sixth of every pause, looks back a sixth of every window and sends
more requests a second, so that each measurement still sees the requests its gate was sized for.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from canary import durations
from canary.argo import releases
from canary.argo.model import (
    POST_PROMOTION,
    PRE_PROMOTION,
    Analysis,
    Metric,
    Pause,
    Rollout,
    SetWeight,
    Step,
)
from canary.argo.replicas import split
from canary.argo.templates import KINDS

_DURATION = re.compile(r"(\d+(ms|s|m|h))+")
# A strategy's waits in whole seconds, and its analyses.
_WAITS = {"scaleDownDelaySeconds", "abortScaleDownDelaySeconds", "autoPromotionSeconds"}
_ANALYSES = {"analysis", PRE_PROMOTION, POST_PROMOTION}

NOT_SCALED = (
    "pod start-up, and progressDeadlineSeconds, which bounds it",
    "container restart back-off (0 s, 10 s, 20 s, … as the kubelet's)",
    "Argo's fixed 10 s retry after a measurement in Error",
    "CPU per request: at a higher request rate each pod is busier than it would be",
    "preStop sleeps and termination grace periods",
    "probe periods and timeouts",
)

# Prometheus rejects intervals under a millisecond, and a scrape costs each pod about 10 ms of CPU.
MIN_SCRAPE_S = 0.25
# Beyond it a step is shorter than a second.
MOST = 60


def factor(text: str) -> float:
    """An option's value: how much faster than real time.

    Raises:
        argparse.ArgumentTypeError: if no step could be taken at it.
    """
    value = float(text)
    if not 0 < value <= MOST:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {MOST}")
    return value


def scale(rollout: Rollout, factor: float) -> Rollout:
    """The same Rollout with every wait, interval and window divided by `factor`."""
    routing = rollout.routing
    if routing is not None:
        routing = replace(
            routing,
            scale_down_delay_s=_divided(routing.scale_down_delay_s, factor),
            abort_scale_down_delay_s=_divided(routing.abort_scale_down_delay_s, factor),
        )
    return replace(
        rollout,
        steps=tuple(_step(step, factor) for step in rollout.steps),
        background=_analysis(rollout.background, factor) if rollout.background else None,
        min_ready_s=rollout.min_ready_s / factor,
        routing=routing,
    )


def _divided(seconds: float | None, factor: float) -> float | None:
    return None if seconds is None else seconds / factor


def share_of(rollout: Rollout, weight: int) -> float:
    """The canary's share of the requests at a weight: the router's, or that of its pods."""
    if rollout.routing is not None:
        return weight / rollout.max_weight
    canary, stable = split(rollout.replicas, weight, rollout.max_surge, rollout.max_unavailable)
    return canary / max(canary + stable, 1)


def shorten(
    documents: Sequence[dict[str, Any]], factor: float, promote_s: float | None = None
) -> None:
    """The same for manifests that a cluster's own controller will read, in place.

    Pauses, delays of scaling down, measurement intervals, durations in queries, and every analysis
    argument that is a duration. A pause that waits for a person gets the duration after which the
    person would promote, if there is one.
    """
    for body in documents:
        spec = body.get("spec", {})
        if body.get("kind") in KINDS:
            _shorten_values(spec.get("args", []), "value", factor)
            for metric in spec.get("metrics", []):
                _shorten_values([metric], "interval", factor)
                _shorten_values([metric], "initialDelay", factor)
                query = metric["provider"].get("prometheus", {})
                if "query" in query:
                    query["query"] = durations.scale_query(query["query"], factor)
        if body.get("kind") == "Rollout":
            (strategy,) = spec["strategy"].values()
            _shorten_strategy(strategy, factor, promote_s)


def _shorten_strategy(strategy: dict[str, Any], factor: float, promote_s: float | None) -> None:
    if promote_s is not None and strategy.pop("autoPromotionEnabled", None) is False:
        strategy["autoPromotionSeconds"] = max(1, round(promote_s))
    # Argo refuses a pause of no length, and to it no delay is one without end.
    for wait in _WAITS & strategy.keys():
        strategy[wait] = strategy[wait] and max(1, round(strategy[wait] / factor))
    for step in strategy.get("steps", []):
        pause = step.get("pause") or {}
        if (wait_s := releases.seconds(pause.get("duration"))) is not None:
            pause["duration"] = durations.render(wait_s / factor)
        if promote_s is not None and "pause" in step and not pause:
            step["pause"] = {"duration": f"{max(1, round(promote_s / factor))}s"}
    for holder in (strategy, *strategy.get("steps", [])):
        for place in _ANALYSES & holder.keys():
            _shorten_values((holder[place] or {}).get("args", []), "value", factor)


def _shorten_values(holders: Sequence[dict[str, Any]], key: str, factor: float) -> None:
    for holder in holders:
        if _DURATION.fullmatch(str(holder.get(key, ""))):
            holder[key] = durations.render(durations.parse(holder[key]) / factor)


def scrape_interval_s(interval_s: float, factor: float) -> float:
    """How often Prometheus scrapes at this scale."""
    return max(interval_s / factor, MIN_SCRAPE_S)


def requests_per_second(
    rollout: Rollout, declared: float, canary_requests_per_look: float, factor: float
) -> float:
    """The rate at which every measurement still sees `canary_requests_per_look` canary requests.

    `declared` is the rate the gates are made for, at real time; never less is sent.
    """
    sparsest = min((share * s / factor for share, s in _last_measurements(rollout)), default=0.0)
    if not sparsest or not declared:
        return declared
    return max(declared, canary_requests_per_look / sparsest)


def _last_measurements(rollout: Rollout) -> list[tuple[float, float]]:
    """(share of the replicas, seconds of traffic) that each inline analysis has to look at."""
    measurements, share, waited_s = [], 0.0, 0.0
    for step in rollout.steps:
        if isinstance(step, SetWeight):
            share, waited_s = share_of(rollout, step.weight), 0.0
        elif isinstance(step, Pause):
            waited_s += step.duration_s or 0.0
        elif isinstance(step, Analysis):
            windows = [w for m in step.metrics for w in durations.ranges_s(m.query)]
            first = [waited_s + m.initial_delay_s or m.interval_s or 0.0 for m in step.metrics]
            measurements.append((share, min([*first, *windows])))
    return [measurement for measurement in measurements if measurement[0] and measurement[1]]


def _step(step: Step, factor: float) -> Step:
    if isinstance(step, Analysis):
        return _analysis(step, factor)
    if isinstance(step, Pause):
        return replace(step, duration_s=_divided(step.duration_s, factor))
    return step


def _analysis(analysis: Analysis, factor: float) -> Analysis:
    return replace(analysis, metrics=tuple(_metric(m, factor) for m in analysis.metrics))


def _metric(metric: Metric, factor: float) -> Metric:
    return replace(
        metric,
        query=metric.query if metric.json_path else durations.scale_query(metric.query, factor),
        interval_s=_divided(metric.interval_s, factor),
        initial_delay_s=metric.initial_delay_s / factor,
    )
