"""Whether the model of each gate and a real Prometheus agree, before anything is printed of it.

The same requests are given to both: as counters to the model, as samples to Prometheus. In each of
a few worlds, whose answer is beyond doubt if the query is read rightly, every gate is asked at its
first measurement and at its last, and must come to the same phase. What it leaves out: labels other
than outcomes, namespace and pod are given the values that the query asks for, so one that the real
series do not have is not noticed here.
"""

import itertools
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from canary.argo import analysis, dialects, promql
from canary.argo.dialects import Dialect
from canary.argo.model import Phase
from canary.argo.promql import Matcher, Selector
from canary.argo.releases import LATEST, STABLE
from canary.power import backfill
from canary.power.monte_carlo import PlannedMeasurement, Study
from canary.power.samples import Fault, Floats, Samples, Trajectory
from canary.power.vectorised_promql import FAST_S, INFINITE, PROGRAMS, ROUTES, SLOW_S, Value
from canary.runtime.prometheus import Prometheus, QueryError

# So much before an instant that is a multiple of the interval is its scrape, not at it.
JUST_S = 0.001
# Before the first world on Prometheus's clock, and between two of them beside what queries reach:
# what an instant query may still see of a series that ended, and more.
EPOCH_S, GAP_S = 1_700_006_400, 600.0
# A difference that a sample more or less in a window makes, and no misreading does.
TOLERANCE = 0.1

NO_DATA = "no data"
WORLDS: Mapping[str, Fault] = {
    "healthy": Fault(error_rate=0.0, slow_share=0.0, cpu=0.05),
    "one request in ten fails": Fault(error_rate=0.1, slow_share=0.0, cpu=0.05),
    "every request fails": Fault(error_rate=1.0, slow_share=0.0, cpu=0.05),
    "every request is slow": Fault(error_rate=0.0, slow_share=1.0, cpu=0.99),
    NO_DATA: Fault(),
}


class UnverifiedError(ValueError):
    """A query for which no series can be made up; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What one measurement finds in a world: by the model, and by a real Prometheus."""

    measurement: PlannedMeasurement
    world: str
    computed: float | tuple[float, ...]
    measured: float | tuple[float, ...]

    @property
    def phases(self) -> tuple[Phase, Phase]:
        """What the metric's conditions say of either."""
        computed, measured = (
            analysis.judge(self.measurement.metric, result)[0]
            for result in (self.computed, self.measured)
        )
        return computed, measured


def disagreements(study: Study) -> list[str]:
    """Each measurement of a world where the model and a real Prometheus come to different phases.

    Raises:
        UnverifiedError: if no series can be made up that a query would take.
        MachineError: if Prometheus cannot be had.
    """
    found: list[str] = []
    for answer in answers(study):
        computed, measured = answer.phases
        if computed is not measured and not _close(answer.computed, answer.measured):
            gate, at_s = answer.measurement.metric.name, answer.measurement.at_s
            found.append(
                f"{gate}: {answer.world}, {at_s:g} s after the release: the model says"
                f" {computed} of {_told(answer.computed)},"
                f" Prometheus {measured} of {_told(answer.measured)}"
            )
    return found


def answers(study: Study) -> list[Answer]:
    """Asks both.

    Raises:
        UnverifiedError: if no series can be made up that a query would take.
        MachineError: if Prometheus cannot be had.
    """
    asked = _asked(study)
    queries = [promql.parse(measurement.metric.query) for measurement in asked]
    selectors = [selector for query in queries for selector in query.selectors]
    # No world's queries reach back into the one before it, and all begin at a multiple of the steps
    # that subqueries have.
    reach_s = max((selector.range_s + selector.offset_s for selector in selectors), default=0.0)
    apart_s = (1 + math.ceil((study.virtual_run.ended_s + reach_s) / GAP_S)) * GAP_S
    placed = [
        (EPOCH_S + index * apart_s, name, _world(study, name))
        for index, name in enumerate(WORLDS, 1)
    ]
    with tempfile.TemporaryDirectory(prefix="canary-") as scratch:
        folder = Path(scratch)
        lines = (_lines(study, world, selectors, base_s) for base_s, _, world in placed)
        backfill.load(itertools.chain.from_iterable(lines), folder, "worlds")
        with backfill.serving(folder) as server:
            return [
                _answer(study, server, measurement, name, world, base_s)
                for base_s, name, world in placed
                for measurement in asked
            ]


def _asked(study: Study) -> list[PlannedMeasurement]:
    """Each gate's first and last measurement."""
    kept: dict[str, list[PlannedMeasurement]] = {}
    for measurement in study.measurements:
        if not _per_pod(measurement):
            kept.setdefault(measurement.metric.name, []).append(measurement)
    return [
        measurement
        for measurements in kept.values()
        for measurement in {0: measurements[0], 1: measurements[-1]}.values()
    ]


def unchecked(study: Study) -> tuple[str, ...]:
    """The gates that are not compared: a ReplicaSet is one pod in the samples made up here."""
    return tuple(dict.fromkeys(m.metric.name for m in study.measurements if _per_pod(m)))


def _per_pod(measurement: PlannedMeasurement) -> bool:
    """Whether a gate asks for a pod's part, and not for what all of them do."""
    return any(
        str(getattr(node, "op", "")) in ("avg", "count")
        and any("pod" in getattr(part.modifier, "labels", ()) for part in _aggregates(node.expr))
        for node in _aggregates(promql.parse(measurement.metric.query).tree)
    )


def _aggregates(tree: Any) -> list[Any]:
    return [node for node in promql.nodes(tree) if type(node).__name__ == "AggregateExpr"]


def _world(study: Study, name: str) -> Samples:
    # Each begins at a multiple of the steps that subqueries have.
    world = replace(study.draws_of(1, turns=1).world(WORLDS[name]), phases=(0.0,))
    if name == NO_DATA:
        canary = _silent(world.canary)
        gone = np.zeros_like(canary.pods)
        canary = replace(canary, pods=gone, cpu=canary.requests, since_start=None, first=None)
        return replace(world, canary=canary, draw_stable=lambda: canary)
    # A pod's series begin with its first scrape, at nothing.
    canary = replace(world.canary, since_start=world.canary)
    if (first := canary.first) is not None:
        begin_s = np.floor(np.array([first.mean_s]) / study.scrape_s) * study.scrape_s
        first = replace(first, at_s=begin_s, seen_s=begin_s, counts=_silent(first.counts))
    return replace(world, canary=replace(canary, first=first))


def _silent(track: Trajectory) -> Trajectory:
    """The same pods, none of which is ever asked."""
    nothing = np.zeros_like(track.requests)
    return replace(track, requests=nothing, failed=nothing, slow=nothing)


def _answer(
    study: Study,
    server: Prometheus,
    measurement: PlannedMeasurement,
    name: str,
    world: Samples,
    base_s: float,
) -> Answer:
    computed = _result(study.value(measurement, world))
    try:
        measured = server.query(measurement.metric.query, at_s=base_s + measurement.at_s)
    except QueryError as why:
        raise UnverifiedError(
            f"{measurement.metric.name}: Prometheus does not take its query: {why}"
        ) from why
    return Answer(measurement, name, computed, measured)


def _result(value: Value) -> float | tuple[float, ...]:
    number = float(value.number[0])
    if value.scalar:
        return number
    return (number,) if value.present[0] else ()


def _close(computed: float | tuple[float, ...], measured: float | tuple[float, ...]) -> bool:
    """Whether both found one number, and about the same."""
    pair = [r[0] if isinstance(r, tuple) and len(r) == 1 else r for r in (computed, measured)]
    if not all(isinstance(number, float) for number in pair):
        return False
    a, b = (float(number) for number in pair if isinstance(number, float))
    return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def _told(result: float | tuple[float, ...]) -> str:
    numbers = result if isinstance(result, tuple) else (result,)
    return ", ".join(f"{number:.4g}" for number in numbers) or "nothing"


# ----------------------------------------------------------------------------------- the samples


def _lines(study: Study, world: Samples, selectors: list[Selector], base_s: float) -> Iterator[str]:
    """Every series that the gates ask for, once each."""
    written: set[str] = set()
    for side, track in (("canary", world.canary), ("stable", world.stable)):
        labels = labels_of(study, selectors, side)
        # One gate asks for the same metric many times, and only bounds make a difference.
        asked = {(s.metric, *(m for m in s.matchers if m.label == "le")): s for s in selectors}
        for selector in asked.values():
            told = told_outcomes(study, selector.metric, selectors)
            held = labels[selector.metric]
            for head, values in _series(study, selector, held, told, track):
                if head not in written:
                    written.add(head)
                    yield from _samples(head, values, track, world, base_s)


def labels_of(study: Study, selectors: list[Selector], side: str) -> dict[str, dict[str, str]]:
    """For each metric, labels of one ReplicaSet's series that its selectors take, if any can be."""
    found: dict[str, dict[str, str]] = {}
    tokens = study.canary_tokens if side == "canary" else study.stable_tokens
    for selector in selectors:
        dialect = study.vocabulary.of(selector.metric)
        pod_hash = LATEST if side == "canary" else STABLE
        own = {"pod": f"{study.rollout.name}-{pod_hash}-x7k2p"}
        own |= dict.fromkeys(dialects.owners(selector.metric), study.rollout.name)
        if study.names.namespace:
            own |= dict.fromkeys(dialects.DESTINATIONS, study.names.namespace)
            if not dialects.is_routers(selector.metric):
                own["namespace"] = study.names.namespace
        held = found.setdefault(selector.metric, own)
        telling = {"le", "__name__", *(dialect.outcomes if dialect else ())}
        for matcher in (m for m in selector.matchers if m.label not in telling):
            services = (*study.canary_tokens, *study.stable_tokens)
            hashes = (LATEST, STABLE)
            unlike = dialects.names_no_hash(matcher, hashes)
            if unlike or dialects.misnamed(selector.metric, matcher, hashes, services):
                held[matcher.label] = "other"
                continue
            if matcher.sign in ("!=", "!~"):
                # What leaves this side out is not meant to take it.
                meant = not any(token in matcher.value for token in tokens)
                if meant and not dialects.takes(matcher, held.get(matcher.label, "")):
                    held[matcher.label] = "other"
                continue
            if matcher.label not in own:
                wanted, meant = _value(study, matcher, side)
                if meant and not dialects.takes(matcher, wanted):
                    raise UnverifiedError(f"no value is known that {matcher.value!r} takes")
                held.setdefault(matcher.label, wanted)
    return found


def told_outcomes(study: Study, metric: str, selectors: list[Selector]) -> frozenset[str]:
    """The labels of outcomes that a metric's series have; those that are named, if not known."""
    dialect = study.vocabulary.of(metric)
    if dialect is None or not dialect.assumed:
        return frozenset(dialect.outcomes if dialect else ())
    named = {m.label for s in selectors if s.metric == metric for m in s.matchers}
    return frozenset(named & set(dialect.outcomes))


def _value(study: Study, matcher: Matcher, side: str) -> tuple[str, bool]:
    """A label's value for a ReplicaSet, and whether the matcher is meant to take it."""
    mine, other = (LATEST, STABLE) if side == "canary" else (STABLE, LATEST)
    tokens = study.canary_tokens if side == "canary" else study.stable_tokens
    others = study.stable_tokens if side == "canary" else study.canary_tokens
    pattern = matcher.value
    held = [t for t in (*tokens, *others) if t in pattern]
    if matcher.label in PROGRAMS:
        held = [t for t in held if t != study.rollout.name]
    named = max(held, key=len, default="")
    if named and named in others:
        return (mine if named == other else tokens[-1]), False
    if matcher.sign == "=":
        return pattern, True
    plain = re.sub(r"\.[*+]|\\", "", pattern).split("|")[0].strip("()^$")
    return (plain or "any"), True


def _series(
    study: Study,
    selector: Selector,
    labels: Mapping[str, str],
    told: frozenset[str],
    track: Trajectory,
) -> Iterator[tuple[str, Floats]]:
    """The series of one metric, each with its value at the end of every slot."""
    metric = selector.metric
    slots = track.requests.shape[1]
    pods = np.append(track.pods, track.pods[-1])
    match metric:
        case "container_cpu_usage_seconds_total":
            scale = study.scrape_s * study.cpu_limit
            yield _head(metric, labels), track.running("busy", 0) * scale
        case "kube_pod_container_resource_limits":
            yield _head(metric, labels), pods * study.cpu_limit
        case "kube_pod_container_status_restarts_total":
            yield _head(metric, labels), np.full(slots + 1, track.restarts)
        case "up" | "kube_pod_info":
            yield _head(metric, labels), pods
        case _:
            dialect = study.vocabulary.of(metric)
            if dialect is None:
                return
            # What pods count that were there before has begun long ago.
            new = track.first is not None
            late = (new, new and not dialect.zeroed)
            # Nothing says which route's requests are slow.
            parts = () if metric.endswith("_bucket") else track.routes
            for index, part in enumerate(parts):
                route = dict.fromkeys(ROUTES & dialect.spread, f"/{index}")
                yield from _requests(dialect, selector, {**route, **labels}, told, part, late)
            if not parts:
                yield from _requests(dialect, selector, labels, told, track, late)


def _requests(
    dialect: Dialect,
    selector: Selector,
    labels: Mapping[str, str],
    told: frozenset[str],
    track: Trajectory,
    late: tuple[bool, bool],
) -> Iterator[tuple[str, Floats]]:
    """A counter of requests, with the outcome's labels that some selector names (`told`).

    `late`: whether the series of good requests, and those of failures, are there from the first one
    on, and not at zero before.
    """
    requests = track.running("requests", 0)
    if selector.metric.endswith("_bucket"):
        slow = track.running("slow", 0)
        quick = [m.value for m in selector.matchers if m.label == "le" and m.value != INFINITE]
        for bound in quick or [f"{FAST_S / dialect.unit_s:g}"]:
            yield _head(selector.metric, {**labels, "le": bound}), requests - slow
        yield _head(selector.metric, {**labels, "le": f"{SLOW_S / dialect.unit_s:g}"}), requests
        yield _head(selector.metric, {**labels, "le": INFINITE}), requests
        return
    if not told:
        yield _head(selector.metric, labels), requests
        return
    failed = track.running("failed", 0)
    for place, count in enumerate((requests - failed, failed)):
        values = {label: dialect.outcomes[label][place] for label in told}
        there = (count > 0) | (not late[place])
        yield _head(selector.metric, {**labels, **values}), np.where(there, count, np.nan)


def _head(metric: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{metric}{{{inside}}} "


def _samples(
    head: str, values: Floats, track: Trajectory, world: Samples, base_s: float
) -> Iterator[str]:
    for slot, value in enumerate(values.tolist()):
        before = track.pods[slot - 1] if slot else 0.0
        after = track.pods[slot] if slot < len(track.pods) else 0.0
        if max(before, after) > 0 and not math.isnan(value):
            at_s = base_s + world.start_s + slot * world.scrape_s - JUST_S
            yield f"{head}{value} {at_s:.3f}"
