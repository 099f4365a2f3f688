"""The part of PromQL that gates are made of, over many releases at once.

A value is one number per release and whether there is one. What is not modelled raises
`UnmodelledError`, naming it: such a gate is for `canary simulate`, which asks a real Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canary.argo import promql
from canary.argo.promql import Matcher
from canary.argo.releases import LATEST, STABLE
from canary.power.samples import Track, World

# Where fast and slow requests lie, in seconds: either side of any limit that a gate would set.
FAST_S, SLOW_S = 0.01, 60.0

Present = NDArray[np.bool_]


class UnmodelledError(ValueError):
    """A query that this algebra cannot follow."""


@dataclass(frozen=True)
class Value:
    """One number per release, where `present`; `slow` makes it a histogram, `pods` a sum."""

    number: NDArray[np.float64]
    present: Present
    slow: NDArray[np.float64] | None = None
    pods: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Scene:
    """A world at the instant of a look, and the texts that name the canary in it."""

    world: World
    at_s: float
    canary_tokens: tuple[str, ...] = (LATEST,)
    stable_tokens: tuple[str, ...] = (STABLE,)


def evaluate(tree: Any, scene: Scene) -> Value:
    """The query's value in every release of a scene.

    Raises:
        UnmodelledError: if the query uses what is not modelled.
    """
    tree = promql.bare(tree)
    match type(tree).__name__:
        case "NumberLiteral":
            return _constant(scene, tree.val)
        case "UnaryExpr":
            return _replace(value := evaluate(tree.expr, scene), -value.number)
        case "BinaryExpr":
            return _binary(tree, scene)
        case "AggregateExpr":
            return _aggregate(tree, scene)
        case "Call":
            return _call(tree, scene)
        case "VectorSelector":
            return _instant(tree, scene.world.scrape_s, scene)
    raise UnmodelledError(f"{type(tree).__name__} is not modelled")


def _constant(scene: Scene, number: float) -> Value:
    n = scene.world.n
    return Value(np.full(n, float(number)), np.ones(n, dtype=bool))


def _replace(value: Value, number: NDArray[np.float64]) -> Value:
    return Value(number, value.present)


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[..., Any]] = {
    ">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal,
    "==": np.equal, "!=": np.not_equal,
}  # fmt: skip


def _binary(tree: Any, scene: Scene) -> Value:
    left, right = evaluate(tree.lhs, scene), evaluate(tree.rhs, scene)
    sign = str(tree.op)
    if sign == "or":
        number = np.where(left.present, left.number, right.number)
        return Value(number, left.present | right.present)
    if sign == "and":
        return Value(left.number, left.present & right.present, left.slow)
    if sign == "unless":
        return Value(left.number, left.present & ~right.present)
    present = left.present & right.present
    with np.errstate(divide="ignore", invalid="ignore"):
        if sign in _ARITHMETIC:
            return Value(_ARITHMETIC[sign](left.number, right.number), present)
        if sign in _COMPARISONS:
            held = _COMPARISONS[sign](left.number, right.number)
            if tree.modifier is not None and tree.modifier.return_bool:
                return Value(held.astype(float), present)
            return Value(left.number, present & held, left.slow)
    raise UnmodelledError(f"operator {sign} is not modelled")


def _aggregate(tree: Any, scene: Scene) -> Value:
    value = evaluate(tree.expr, scene)
    if str(tree.op) in ("avg", "max", "min") and value.pods is not None and not _by_pod(tree):
        each = np.divide(
            value.number, value.pods, out=np.zeros(scene.world.n), where=value.pods > 0
        )
        return _replace(value, each)
    if str(tree.op) not in ("sum", "avg", "max", "min"):
        raise UnmodelledError(f"{tree.op} is not modelled")
    return value


def _by_pod(tree: Any) -> bool:
    return tree.modifier is not None and "pod" in tree.modifier.labels


def _call(tree: Any, scene: Scene) -> Value:
    name = tree.func.name
    if name == "vector":
        return evaluate(tree.args[0], scene)
    if name in ("rate", "increase", "irate"):
        return _counter(tree.args[0], scene, per_second=name != "increase")
    if name == "last_over_time":
        return _instant(*_ranged(tree.args[0]), scene)
    if name == "histogram_quantile":
        return _quantile(promql.bare(tree.args[0]).val, evaluate(tree.args[1], scene))
    simple: dict[str, Callable[..., Any]] = {"sqrt": np.sqrt, "abs": np.abs, "ln": np.log}
    if name in simple:
        value = evaluate(tree.args[0], scene)
        with np.errstate(divide="ignore", invalid="ignore"):
            return _replace(value, simple[name](value.number))
    if name in ("clamp_min", "clamp_max"):
        value, bound = (evaluate(argument, scene) for argument in tree.args)
        pick = np.maximum if name == "clamp_min" else np.minimum
        return _replace(value, pick(value.number, bound.number))
    raise UnmodelledError(f"{name}() is not modelled")


def _quantile(q: float, histogram: Value) -> Value:
    """Two classes of requests: the quantile is slow where more than 1 − q of them are."""
    if histogram.slow is None:
        raise UnmodelledError("histogram_quantile of something that is no histogram")
    late = histogram.slow > (1 - q) * histogram.number
    number = np.where(histogram.number > 0, np.where(late, SLOW_S, FAST_S), np.nan)
    return Value(number, histogram.present)


def _ranged(matrix: Any) -> tuple[Any, float]:
    """The selector of a range and the range's seconds."""
    if type(matrix).__name__ != "MatrixSelector":
        raise UnmodelledError("subqueries are not modelled")
    return matrix.vector_selector, matrix.range.total_seconds()


def _counter(matrix: Any, scene: Scene, *, per_second: bool) -> Value:
    selector, window = _ranged(matrix)
    track = _track(promql.matchers_of(selector), scene)
    first, last = scene.world.slots(scene.at_s, window)
    seen = track.pods[first:last]
    n = scene.world.n
    alive = np.full(n, bool(seen.any()))
    if selector.name.startswith("container_cpu_usage"):
        usage = track.total("busy", first, last) / max(last - first, 1)
        pods = np.full(n, seen.mean() if len(seen) else 0.0)
        number = usage * scene.world.cpu_limit * (1.0 if per_second else window)
        return Value(number, alive, pods=pods)
    stretch = _stretch(seen, window, scene)
    scale = stretch / window if per_second else stretch
    requests = track.total("requests", first, last)
    if selector.name.endswith("_bucket"):
        slow = track.total("slow", first, last)
        return Value(requests * scale, alive, slow=slow * scale)
    failed = track.total("failed", first, last)
    number, present = _chosen(promql.matchers_of(selector), requests, failed, alive)
    return Value(number * scale, present)


def _stretch(seen: NDArray[np.float64], window: float, scene: Scene) -> float:
    """What rate() makes of the samples' own span: it reaches to the window's edges.

    A series that begins inside the window is only taken to have begun half a scrape earlier
    (`extrapolatedRate`, promql/functions.go of Prometheus).
    """
    held = np.flatnonzero(seen)
    if not len(held):
        return 1.0
    span = (len(seen) - held[0]) * scene.world.scrape_s
    spans_it = held[0] == 0 and scene.at_s - window >= scene.world.start_s
    return float(window / span if spans_it else min(window, span + scene.world.scrape_s) / span)


def _chosen(
    matchers: tuple[Matcher, ...],
    requests: NDArray[np.float64],
    failed: NDArray[np.float64],
    alive: Present,
) -> tuple[NDArray[np.float64], Present]:
    """Requests, or the failed ones; a series of failures is there from the first failure on."""
    if any(m.sign in ("!~", "!=") and m.value.startswith("5") for m in matchers):
        return requests - failed, alive
    if any(m.sign in ("=~", "=") and m.value.startswith("5") for m in matchers):
        return failed, alive & (failed > 0)
    return requests, alive


def _instant(selector: Any, window_s: float, scene: Scene) -> Value:
    """What the scrapes of a window found, whether the last one of them came or not."""
    track = _track(promql.matchers_of(selector), scene)
    first, last = scene.world.slots(scene.at_s, window_s)
    n = scene.world.n
    pods = np.full(n, track.pods[min(first, last - 1) : last].max() if last else 0.0)
    alive = pods > 0
    if selector.name == "kube_pod_container_resource_limits":
        return Value(pods * scene.world.cpu_limit, alive, pods=pods)
    if selector.name == "kube_pod_container_status_restarts_total":
        return Value(np.full(n, track.restarts), alive)
    if selector.name in ("up", "kube_pod_info"):
        return Value(pods, alive)
    raise UnmodelledError(f"{selector.name or 'a selector without a name'} is not modelled")


def _track(matchers: tuple[Matcher, ...], scene: Scene) -> Track:
    values = [m.value for m in matchers if m.sign in ("=", "=~")]

    def names(tokens: tuple[str, ...]) -> bool:
        return any(token in value for token in tokens for value in values)

    if names(scene.canary_tokens):
        return scene.world.canary
    return scene.world.stable if names(scene.stable_tokens) else scene.world.both
