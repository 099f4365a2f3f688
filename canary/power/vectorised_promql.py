"""The part of PromQL that gates are made of, over many releases at once, as Prometheus reads it.

A vector is a few series, each with its labels and, for every release, a number and whether there is
one. Pods of one ReplicaSet, methods and routes are one series here: a query that would tell them
apart is not modelled. What is not modelled raises `UnmodelledError`, naming it: such a gate is for
`simulate`, which asks a real Prometheus.
"""

import functools
import math
import warnings
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import promql_parser

from canary.argo import dialects, promql
from canary.argo.dialects import Dialect, Outcome, UnmodelledError, Vocabulary
from canary.argo.promql import Matcher
from canary.argo.releases import LATEST, STABLE
from canary.power.samples import Bools, Floats, Samples, Trajectory

# Where fast and slow requests lie, in seconds: either side of any limit that a gate would set.
FAST_S, SLOW_S = 0.01, 60.0

# How a counter is read without a function.
AS_IT_STANDS = ""

# The value of a label that divides what is one series here, and of one that is the same everywhere.
MANY, HERE = "*", "."

INFINITE = "+Inf"

# Scope labels that the canary's series and the stable ones share.
SHARED = frozenset(
    {"namespace", "job", "container", "cluster", "endpoint", "app", "env", "reporter"}
)

# Labels that hold a program's name as often as a Service's: then they tell no ReplicaSets apart.
PROGRAMS = frozenset({"app", "container", "job", "name"})

# The labels by which a request's route is told: its method is part of it.
ROUTES = frozenset({"method", "route", "path", "handler", "uri"})

# What is read as it stands, without rate().
INSTANT = frozenset(
    {
        "kube_pod_container_resource_limits", "kube_pod_container_status_restarts_total",
        "kube_pod_info", "up",
    }
)  # fmt: skip

# What the kubelet and kube-state-metrics say: nothing of requests.
PLATFORM = INSTANT | {"container_cpu_usage_seconds_total"}

Labels = frozenset[tuple[str, str]]
# A series that begins nearer to a window's edge than so many scrapes is taken back to it.
NEAR = 1.1

# What pods' counters grew by between two slots.
Counted = Callable[[Trajectory, int, int], Floats]


def _sums(what: str, less: str = "") -> Counted:
    def counted(track: Trajectory, first: int, last: int) -> Floats:
        found: Floats = track.total(what, first, last)
        return found - track.total(less, first, last) if less else found

    return counted


_EVERY, _GOOD, _QUICK = _sums("requests"), _sums("requests", "failed"), _sums("requests", "slow")
_FAILED = _sums("failed")


@dataclass(frozen=True)
class Names:
    """What a release's objects are called, as label values show it; empty: not known."""

    rollout: str = ""
    namespace: str = ""
    canary: tuple[str, ...] = (LATEST,)
    stable: tuple[str, ...] = (STABLE,)


@dataclass(frozen=True)
class Value:
    """One number per release, where `present`; `scalar` if it is a number and no series."""

    number: Floats
    present: Bools
    scalar: bool = False


@dataclass(frozen=True)
class Series:
    """One number per release, where `present`, under labels.

    Attributes:
        raw: Straight from a selector: its labels are those of many series that count as one here.
        side: Which ReplicaSet's pods they come from, while `raw`.
        pods: How many pods' numbers it sums, where each pod's is about the same; None if not known.
    """

    labels: Labels
    number: Floats
    present: Bools
    raw: bool = False
    side: str = ""
    pods: Floats | None = None

    @property
    def each_pod(self) -> bool:
        """Whether it stands for one series of each pod: only what is linear can be summed later."""
        return not self.raw and any(label == "pod" for label, _ in self.labels)


Vector = tuple[Series, ...]


@dataclass(frozen=True)
class Scene:
    """A world at the instant of a measurement, and what the labels in it mean."""

    world: Samples
    at_s: float
    names: Names = field(default_factory=Names)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    by_route: bool = False
    # What parts of the query were found to be, by their text and their instant.
    known: dict[tuple[str, float], Vector | Floats] = field(default_factory=dict, compare=False)


def evaluate(tree: Any, scene: Scene) -> Value:
    """The query's value in every release of a scene.

    Raises:
        UnmodelledError: if the query uses what is not modelled, or answers with several series.
    """
    found = _evaluate(tree, replace(scene, by_route=_tells_routes(tree), known={}))
    if isinstance(found, np.ndarray):
        return Value(found, np.ones(scene.world.n, dtype=bool), scalar=True)
    number, present = np.full(scene.world.n, np.nan), np.zeros(scene.world.n, dtype=bool)
    for series in found:
        if series.each_pod:
            raise UnmodelledError("a result of several series, one a pod, is not modelled")
        if (series.raw and len(found) > 1) or (present & series.present).any():
            raise UnmodelledError("a result of several series is not modelled")
        number = np.where(series.present, series.number, number)
        present = present | series.present
    return Value(number, present)


@lru_cache(maxsize=1024)
def _tells_routes(tree: Any) -> bool:
    """Whether routes must be told apart, and not counted as one."""
    groups = (node.modifier for node in promql.nodes(tree) if hasattr(node, "modifier"))
    return any(set(getattr(group, "labels", ())) & ROUTES for group in groups if group)


def _evaluate(tree: Any, scene: Scene) -> Vector | Floats:
    """A vector, or a scalar as one number per release; a part that is repeated is asked once."""
    tree = promql.bare(tree)
    key = (_text(tree), scene.at_s)
    if key not in scene.known:
        scene.known[key] = _computed_anew(tree, scene)
    return scene.known[key]


@lru_cache(maxsize=4096)
def _text(tree: Any) -> str:
    """A part of a query as text; parts are the same objects as long as their query is kept."""
    return str(tree)


def _computed_anew(tree: Any, scene: Scene) -> Vector | Floats:
    match type(tree).__name__:
        case "NumberLiteral":
            return np.full(scene.world.n, float(tree.val))
        case "UnaryExpr":
            return _each(_evaluate(tree.expr, scene), np.negative)
        case "BinaryExpr":
            return _binary(tree, scene)
        case "AggregateExpr":
            return _aggregate(tree, scene)
        case "Call":
            return _call(tree, scene)
        case "VectorSelector":
            return _instant(tree, scene.world.scrape_s, scene)
    raise UnmodelledError(f"{type(tree).__name__} is not modelled")


def _vector(tree: Any, scene: Scene) -> Vector:
    found = _evaluate(tree, scene)
    if isinstance(found, np.ndarray):
        raise UnmodelledError("a number stands where Prometheus needs series")
    return found


def _scalar(tree: Any, scene: Scene) -> Floats:
    found = _evaluate(tree, scene)
    if isinstance(found, np.ndarray):
        return found
    raise UnmodelledError("series stand where Prometheus needs a number")


def _each(found: Vector | Floats, change: Callable[[Floats], Floats]) -> Vector | Floats:
    with np.errstate(all="ignore"):
        if isinstance(found, np.ndarray):
            return change(found)
        if change is not np.negative:
            _refuse_each_pod(found)
        return tuple(replace(s, number=change(s.number), pods=None) for s in found)


def _refuse_each_pod(found: Iterable[Series]) -> None:
    if any(series.each_pod or series.raw for series in found):
        raise UnmodelledError("what is computed pod by pod is not modelled")


def _refuse_raw(found: Iterable[Series], what: str) -> None:
    if any(series.raw for series in found):
        raise UnmodelledError(f"{what} series that nothing sums is not modelled")


# --------------------------------------------------------------------------------- operators

_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power,
    "%": np.fmod, "atan2": np.arctan2,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[..., Any]] = {
    ">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal,
    "==": np.equal, "!=": np.not_equal,
}  # fmt: skip


def _binary(tree: Any, scene: Scene) -> Vector | Floats:
    left, right = _evaluate(tree.lhs, scene), _evaluate(tree.rhs, scene)
    sign, modifier = str(tree.op), tree.modifier
    if isinstance(left, np.ndarray):
        if not isinstance(right, np.ndarray):
            return tuple(_computed(tree, s, s, left, right=True) for s in right)
        with np.errstate(all="ignore"):
            return np.asarray(_operator(sign)(left, right), dtype=float)
    if isinstance(right, np.ndarray):
        return tuple(_computed(tree, s, s, right, right=False) for s in left)
    key = _key(modifier)
    if sign in ("and", "or", "unless"):
        return _set(sign, left, right, key)
    return _matched(tree, left, right, key)


def _operator(sign: str) -> Callable[..., Any]:
    found = _ARITHMETIC.get(sign) or _COMPARISONS.get(sign)
    if found is None:
        raise UnmodelledError(f"operator {sign} is not modelled")
    return found


def _computed(tree: Any, into: Series, series: Series, other: Floats, *, right: bool) -> Series:
    """One series and a number; `right` if the series stands on the right."""
    sign = str(tree.op)
    if sign != "*" and (sign != "/" or right):
        _refuse_each_pod((into,))
    sides = (other, series.number) if right else (series.number, other)
    with np.errstate(all="ignore"):
        found = _operator(sign)(*sides)
    if sign in _ARITHMETIC:
        return replace(into, number=found, pods=None)
    if tree.modifier is not None and tree.modifier.return_bool:
        return replace(into, number=found.astype(float), pods=None)
    return replace(into, number=series.number, present=into.present & found, pods=into.pods)


Key = Callable[[Series], Labels]


def _key(modifier: Any) -> Key:
    """By which labels two sides find each other."""
    if modifier is None or modifier.matching is None:
        return lambda series: series.labels
    named = set(modifier.matching.labels)
    include = modifier.matching.type == promql_parser.LabelModifierType.Include
    return lambda series: _labels(series, named, kept=include)


def _labels(series: Series, named: Container[str], *, kept: bool) -> Labels:
    """The labels of these names, or all but them."""
    return frozenset((name, value) for name, value in series.labels if (name in named) is kept)


def _set(sign: str, left: Vector, right: Vector, key: Key) -> Vector:
    """`and`, `or` and `unless`, release by release."""
    if any(key(s) for s in (*left, *right)):
        _refuse_raw((*left, *right), f"{sign} between")
    if sign == "or":
        added = tuple(
            replace(s, present=s.present & ~_any(left, key, key(s), s.present)) for s in right
        )
        return _merged((*left, *added))
    keep: list[Series] = []
    for series in left:
        there = _any(right, key, key(series), series.present)
        present = series.present & (there if sign == "and" else ~there)
        keep.append(replace(series, present=present))
    return tuple(keep)


def _any(vector: Vector, key: Key, wanted: Labels, like: Bools) -> Bools:
    found = np.zeros_like(like)
    for series in vector:
        if key(series) == wanted:
            found = found | series.present
    return found


def _merged(vector: Vector) -> Vector:
    """Series of the same labels as one, where never two are there at once."""
    by_labels: dict[Labels, Series] = {}
    for series in vector:
        held = by_labels.get(series.labels)
        if held is None or series.raw:
            by_labels[series.labels] = series
            continue
        number = np.where(held.present, held.number, series.number)
        by_labels[series.labels] = replace(
            held, number=number, present=held.present | series.present, pods=None
        )
    return tuple(by_labels.values())


def _matched(tree: Any, left: Vector, right: Vector, key: Key) -> Vector:
    """Arithmetic and comparisons between series with the same labels."""
    _refuse_raw((*left, *right), f"{tree.op} between")
    linear = str(tree.op) in ("+", "-")
    if not linear:
        _refuse_each_pod((*left, *right))
    card = tree.modifier.card if tree.modifier else promql_parser.VectorMatchCardinality.OneToOne
    swapped = card == promql_parser.VectorMatchCardinality.OneToMany
    many, one = (right, left) if swapped else (left, right)
    grouped = swapped or card == promql_parser.VectorMatchCardinality.ManyToOne
    if _twice(one, key) or (not grouped and _twice(many, key)):
        raise UnmodelledError("several series match one: Prometheus refuses that")
    found: list[Series] = []
    for series in many:
        for other in (s for s in one if key(s) == key(series)):
            labels = series.labels if grouped else key(series)
            into = Series(labels, series.number, series.present & other.present)
            if linear and into.each_pod:
                pair = (other.number, series.number) if swapped else (series.number, other.number)
                found.append(replace(into, number=_operator(str(tree.op))(*pair)))
                continue
            found.append(_computed(tree, into, series, other.number, right=swapped))
    return tuple(found)


def _twice(vector: Vector, key: Key) -> bool:
    """Whether two series of one side would find the same partner in some release."""
    return any(
        key(a) == key(b) and bool((a.present & b.present).any())
        for index, a in enumerate(vector)
        for b in vector[index + 1 :]
    )


# ------------------------------------------------------------------- aggregations and functions


def _aggregate(tree: Any, scene: Scene) -> Vector:
    name = str(tree.op)
    if name not in ("sum", "avg", "max", "min"):
        raise UnmodelledError(f"{name} is not modelled")
    vector = _vector(tree.expr, scene)
    named = () if tree.modifier is None else tuple(tree.modifier.labels)
    by = tree.modifier is None or tree.modifier.type == promql_parser.AggModifierType.By
    if not by:
        _refuse_raw(vector, f"{name} without (…) of")
    groups: dict[Labels, list[Series]] = {}
    for series in vector:
        left = _grouped(series, named, vector) if by else _labels(series, named, kept=False)
        groups.setdefault(left, []).append(series)
    by_pod = by and "pod" in named
    return tuple(_folded(name, left, members, by_pod=by_pod) for left, members in groups.items())


def _grouped(series: Series, by: Sequence[str], vector: Vector) -> Labels:
    """The labels of a group; refuses to tell apart what is one series here."""
    if not series.raw:
        return _labels(series, by, kept=True)
    held = dict(series.labels)
    for label in by:
        if label == "pod" and series.pods is not None:
            held[label] = series.side
        elif held.get(label) == MANY:
            raise UnmodelledError(
                f"by ({label}): the share of the requests of each value is not known"
            )
        elif label not in held and (
            label not in dialects.SCOPE
            or (label not in SHARED and len({s.side for s in vector}) > 1)
        ):
            raise UnmodelledError(f"by ({label}): the values of this label are not known")
    return frozenset((label, held.get(label, HERE)) for label in by)


def _folded(name: str, labels: Labels, members: Sequence[Series], *, by_pod: bool) -> Series:
    """One group as one series."""
    if len({bound for s in members for label, bound in s.labels if label == "le"}) > 1:
        raise UnmodelledError(f"{name} over the bounds of a histogram is not modelled")
    present = np.logical_or.reduce([s.present for s in members])
    numbers = [np.where(s.present, s.number, 0.0) for s in members]
    if name != "sum":
        _refuse_raw((s for s in members if dict(s.labels).keys() - {"pod"}), f"{name} of")
    if name == "sum" or by_pod:
        pods = None
        if by_pod and all(s.pods is not None for s in members):
            pods = np.max([s.pods for s in members if s.pods is not None], axis=0)
        return Series(labels, np.sum(numbers, axis=0), present, pods=pods)
    if any((s.raw or s.each_pod) and s.pods is None for s in members):
        raise UnmodelledError(f"{name} of series that nothing sums is not modelled")
    counts = [np.ones(len(s.number)) if s.pods is None else s.pods for s in members]
    with np.errstate(all="ignore"):
        if name == "avg":
            weights = [np.where(s.present, c, 0.0) for s, c in zip(members, counts, strict=True)]
            return Series(labels, np.sum(numbers, axis=0) / np.sum(weights, axis=0), present)
        each = [
            np.where(s.present & (c > 0), s.number / c, np.nan)
            for s, c in zip(members, counts, strict=True)
        ]
        pick = np.fmax if name == "max" else np.fmin
        return Series(labels, pick.reduce(each), present)


_OVER_TIME: dict[str, Callable[[Floats], Floats]] = {
    "sum_over_time": lambda found: np.nansum(found, axis=0),
    "avg_over_time": lambda found: np.nanmean(found, axis=0),
    "max_over_time": lambda found: np.nanmax(found, axis=0),
    "min_over_time": lambda found: np.nanmin(found, axis=0),
}


def _over_time(function: str, arguments: Sequence[Any], scene: Scene) -> Vector:
    """A function of what a query answered at the instants of a subquery.

    Prometheus's instants are the multiples of the step, and a release begins anywhere between
    them. Steps no longer than the scrape interval miss no scrape, wherever they lie.
    """
    subquery, world = arguments[-1], scene.world
    q = _scalar(arguments[0], scene) if function == "quantile_over_time" else None
    if q is None and function not in _OVER_TIME:
        raise UnmodelledError(f"{function}() of a subquery is not modelled")
    if subquery.step is None or subquery.offset is not None or subquery.at is not None:
        raise UnmodelledError("a subquery without a step, or with an offset, is not modelled")
    step_s = subquery.step.total_seconds()
    phases = world.phases if step_s > world.scrape_s else (0.0,)
    found = [_at_instants(function, subquery, phase * step_s, q, scene) for phase in phases]
    turn = np.arange(world.n) % len(phases)
    return tuple(
        Series(
            labels,
            np.choose(turn, [one[labels].number if labels in one else np.nan for one in found]),
            np.choose(turn, [one[labels].present if labels in one else False for one in found]),
        )
        for labels in dict.fromkeys(labels for one in found for labels in one)
    )


def _at_instants(
    function: str, subquery: Any, begin_s: float, q: Floats | None, scene: Scene
) -> dict[Labels, Series]:
    """The function's answers where an instant of the subquery lies so long after the release."""
    step_s, text = subquery.step.total_seconds(), _text(subquery.expr)
    last = math.floor((scene.at_s - begin_s) / step_s + 1e-9)
    reach_s = scene.at_s - subquery.range.total_seconds() - begin_s
    first = math.floor(reach_s / step_s + 1e-9) + 1
    found: list[Vector] = []
    if first > last:  # what is not modelled is named, whether an instant lies there or not
        _refuse_raw(_vector(subquery.expr, scene), "a subquery of")
    for instant in range(first, last + 1):
        key = (text, begin_s + instant * step_s)
        if key not in scene.world.found:
            scene.world.found[key] = _vector(subquery.expr, replace(scene, at_s=key[1]))
        found.append(scene.world.found[key])
    return {
        labels: _folded_over_time(function, labels, found, q)
        for labels in dict.fromkeys(s.labels for vector in found for s in vector)
    }


def _folded_over_time(
    function: str, labels: Labels, found: Sequence[Vector], q: Floats | None
) -> Series:
    every = [s for vector in found for s in vector if s.labels == labels]
    _refuse_raw(every, "a subquery of")
    present = np.stack([series.present for series in every])
    numbers = np.where(present, np.stack([series.number for series in every]), np.nan)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of releases that have no sample at all
        if q is not None:
            number = _quantile_of(numbers, float(q[0]))
        else:
            number = _OVER_TIME[function](numbers)
    return Series(labels, number, np.asarray(present.any(axis=0)))


def _quantile_of(numbers: Floats, q: float) -> Floats:
    """`np.nanquantile` over the first axis, which asks each column by itself and takes a minute."""
    ordered = np.sort(numbers, axis=0)  # NaN last
    rank = q * np.maximum((~np.isnan(numbers)).sum(axis=0) - 1, 0)
    below = np.floor(rank).astype(int)
    above, column = np.ceil(rank).astype(int), np.arange(numbers.shape[1])
    low, high = ordered[below, column], ordered[above, column]
    found: Floats = low + (high - low) * (rank - below)
    return found


_SIMPLE: dict[str, Callable[[Floats], Any]] = {
    "sqrt": np.sqrt, "abs": np.abs, "ln": np.log, "exp": np.exp, "log2": np.log2, "log10": np.log10,
    "ceil": np.ceil, "floor": np.floor, "sgn": np.sign,
}  # fmt: skip
_CLAMPS: dict[str, Callable[..., Any]] = {
    "clamp_min": np.maximum, "clamp_max": np.minimum, "clamp": np.clip,
}  # fmt: skip


def _call(tree: Any, scene: Scene) -> Vector | Floats:
    name, arguments = tree.func.name, tree.args
    if name in ("rate", "increase", "irate"):
        return _counter(name, *_ranged(arguments[0]), scene)
    if arguments and type(arguments[-1]).__name__ == "SubqueryExpr":
        return _over_time(name, arguments, scene)
    if name == "last_over_time":
        return _instant(*_ranged(arguments[0]), scene)
    if name == "vector":
        number = _scalar(arguments[0], scene)
        return (Series(frozenset(), number, np.ones(scene.world.n, dtype=bool)),)
    if name == "scalar":
        return _to_scalar(_vector(arguments[0], scene), scene.world.n)
    if name == "histogram_quantile":
        return _quantile(_scalar(arguments[0], scene), _vector(arguments[1], scene))
    if name in _SIMPLE:
        return _each(_evaluate(arguments[0], scene), _SIMPLE[name])
    if name in _CLAMPS:
        bounds = [_scalar(argument, scene) for argument in arguments[1:]]
        return _each(_vector(arguments[0], scene), lambda number: _CLAMPS[name](number, *bounds))
    raise UnmodelledError(f"{name}() is not modelled")


def _to_scalar(vector: Vector, n: int) -> Floats:
    _refuse_raw(vector, "scalar() of")
    count = np.sum([s.present for s in vector], axis=0) if vector else np.zeros(n)
    number = np.sum([np.where(s.present, s.number, 0.0) for s in vector], axis=0)
    return np.where(count == 1, number, np.nan)


def _quantile(q: Floats, buckets: Vector) -> Vector:
    """Two classes of requests: the quantile is slow where more than 1 − q of them are."""
    groups: dict[Labels, dict[str, Series]] = {}
    for series in buckets:
        held = dict(series.labels)
        if series.raw or "le" not in held:
            raise UnmodelledError(
                "histogram_quantile of what is not summed by (le) is not modelled"
            )
        groups.setdefault(_labels(series, ("le",), kept=False), {})[held["le"]] = series
    found: list[Series] = []
    for labels, by_bound in groups.items():
        bounds = sorted(by_bound, key=float)
        if len(bounds) != 2 or bounds[1] != INFINITE:  # noqa: PLR2004 — fast and all
            raise UnmodelledError("histogram_quantile over some of the buckets is not modelled")
        fast, everything = by_bound[bounds[0]], by_bound[INFINITE]
        with np.errstate(invalid="ignore"):  # where q is none, for want of requests
            late = everything.number - fast.number > (1 - q) * everything.number
        quick = float(bounds[0])
        number = np.where(late, quick / FAST_S * SLOW_S, quick)
        number = np.where(everything.number > 0, number, np.nan)
        found.append(Series(labels, number, everything.present))
    return tuple(found)


# --------------------------------------------------------------------------------- selectors


def _ranged(matrix: Any) -> tuple[Any, float]:
    """The selector of a range and the range's seconds."""
    if type(matrix).__name__ != "MatrixSelector":
        raise UnmodelledError("a subquery is not modelled")
    return matrix.vector_selector, matrix.range.total_seconds()


def _counter(function: str, selector: Any, window_s: float, scene: Scene) -> Vector:
    """What rate(), increase() or irate() make of a counter, or what it is without them."""
    at_s = _instant_of(selector, scene)
    metric, matchers = _read(selector)
    cpu = metric == "container_cpu_usage_seconds_total"
    if not cpu and (scene.vocabulary.of(metric) is None or metric.endswith("_sum")):
        named = metric or "a series without a name"
        raise UnmodelledError(f"{named} is not modelled: what it counts is not known")
    scrape_s = scene.world.scrape_s
    if scrape_s < window_s < 2 * scrape_s:
        raise UnmodelledError(
            f"a window of {window_s:g} s holds one scrape of some pods and two of others, which are"
            f" scraped every {scrape_s:g} s: that is not modelled"
        )

    def grown(turn: Scene) -> list[Series]:
        found: list[Series] = []
        (first, last), span_s = turn.world.slots(at_s, window_s), window_s
        if function == "irate":
            first = max(first, last - 1)
        if function == AS_IT_STANDS:  # since its pods began, or since the model does
            first, span_s = 0, at_s - turn.world.start_s
        for side, track in _sides(metric, matchers, turn):
            if cpu:
                span = _Span(track, first, last, at_s, span_s, turn)
                found.append(_cpu(function, span, side))
                continue
            counted = (track.since_start or track) if function == AS_IT_STANDS else track
            for route, part in _parts(counted, turn):
                span = _Span(part, first, last, at_s, span_s, turn)
                found += _requests(function, metric, matchers, span, side, route)
        return found

    return _of_all_turns(scene, grown)


def _of_all_turns(scene: Scene, of_one: Callable[[Scene], list[Series]]) -> Vector:
    """The series of one query, of pods that are scraped at different instants."""
    turns = [of_one(replace(scene, world=world)) for world in scene.world.turns]
    return tuple(functools.reduce(_with, series) for series in zip(*turns, strict=True))


def _with(one: Series, other: Series) -> Series:
    """The same series of more pods."""
    pods = None if one.pods is None or other.pods is None else one.pods + other.pods
    number = np.where(one.present, one.number, 0.0) + np.where(other.present, other.number, 0.0)
    return replace(one, number=number, present=one.present | other.present, pods=pods)


def _parts(track: Trajectory, scene: Scene) -> list[tuple[str, Trajectory]]:
    """The routes of a ReplicaSet by a name for each; all as one where none must be told apart."""
    if not scene.by_route or not track.routes:
        return [(MANY, track)]
    return [(str(index), part) for index, part in enumerate(track.routes)]


@dataclass(frozen=True)
class _Span:
    """The slots of one ReplicaSet that a range holds."""

    track: Trajectory
    first: int
    last: int
    at_s: float
    window_s: float
    scene: Scene

    def counted(self, function: str, grown: Counted) -> Floats:
        """What a function answers for counters that grew by so much between their samples."""
        total, scrape_s = grown(self.track, self.first, self.last), self.scene.world.scrape_s
        if function == AS_IT_STANDS:
            return total
        if function == "irate":
            return total / scrape_s
        found = total * self._stretch(grown)
        return found / self.window_s if function == "rate" else found

    def counted_late(self, function: str) -> Floats:
        """The same of failures whose series begin with them, which no sample shows at zero.

        Growth between a series' samples is taken on to the instant, and back to the window's edge
        or, from further away, by half a scrape (`extrapolatedRate`, promql/functions.go).
        """
        late, scrape_s = self.track.late, self.scene.world.scrape_s
        if function == "irate":
            return np.asarray((late.sums[self.last] - late.sums[self.first]) / scrape_s)
        # A pod is scraped somewhere within each slot: on average half of the last one is not seen.
        span_s = np.maximum(np.arange(self.last - self.first, -1, -1) - 0.5, 0.0) * scrape_s
        after_s = max(self.at_s - (self.scene.world.start_s + self.last * scrape_s), 0.0)
        after_s += scrape_s / 2
        before_s = np.maximum(self.window_s - span_s - after_s, 0.0)
        before_s = np.where(before_s < NEAR * scrape_s, before_s, scrape_s / 2)
        begun = np.diff(late.series[self.first : self.last + 1], axis=0, prepend=0.0).clip(min=0.0)
        held, taken = span_s @ begun, (span_s + before_s + after_s) @ begun
        stretch = np.divide(taken, held, out=np.ones_like(held), where=held > 0)
        found = np.asarray(late.grown(self.first, self.last) * stretch)
        return found / self.window_s if function == "rate" else found

    @property
    def seen(self) -> Floats:
        """Scraped pods in each slot."""
        return self.track.pods[self.first : self.last]

    def alive(self, function: str) -> Bools:
        """Whether some pod has been scraped, or twice where growth is asked for."""
        scraped = np.full(self.scene.world.n, bool(self.seen.any()))
        first = self.track.first
        if first is None or not first.mean_s:
            return scraped
        again_s = 0.0 if function == AS_IT_STANDS else self.scene.world.scrape_s
        found: Bools = scraped & (first.at_s.min(axis=1) + again_s <= self.at_s)
        return found

    def _stretch(self, grown: Counted) -> Floats | float:
        """How far growth is taken beyond the samples (`extrapolatedRate`, promql/functions.go).

        To the window's edges for pods that were scraped before it. Of one that is first scraped
        inside it, growth is taken back to when its counter would have stood at zero or, from
        further away than about a scrape, by half of one. Series of one pod are on either side of
        that by chance: its slow requests alone may be taken back by half a scrape.
        """
        scrape_s, world = self.scene.world.scrape_s, self.scene.world
        first_s, last_s = (world.start_s + slot * scrape_s for slot in (self.first, self.last))
        # Pods are scraped in turn: what is lost after each last sample and what is added there
        # are the same on average, so only the slot that has just begun is missing.
        after_s = max(self.at_s - last_s, 0.0)
        begun, old, start_s = self.track.first, 1, self.at_s - self.window_s
        young: list[int] = []
        if begun is not None and begun.mean_s:
            old = sum(at_s <= start_s for at_s in begun.mean_s)
            young = [n for n, at_s in enumerate(begun.mean_s) if start_s < at_s < last_s]
        held_s = old * (last_s - first_s)
        beyond_s = max(self.window_s - (last_s - first_s), 0.0)
        taken_s: Floats | float = old * beyond_s / 2 * (1 + self._risen(old, grown))
        if begun is not None:
            held_s += sum(last_s - max(begun.mean_s[pod], first_s) for pod in young)
            each = grown(self.track, self.first, self.last) / max(held_s, 1e-9)
            for pod in young:
                edge_s = begun.seen_s[:, pod] - start_s
                with np.errstate(all="ignore"):  # where nothing grew
                    zero_s = grown(begun.counts, pod, pod + 1) / each
                before_s = np.fmin(np.maximum(edge_s, 0.0), zero_s)
                near = before_s < NEAR * scrape_s
                taken_s = taken_s + np.where(near, before_s, scrape_s / 2) + after_s
        return 1.0 + taken_s / held_s if held_s > 0 else 1.0

    def _risen(self, pods: float, grown: Counted) -> Floats | float:
        """The share of old pods whose counter is above zero on its first sample in the window."""
        whole = self.track.since_start
        if whole is None:
            return 1.0
        return np.asarray(1.0 - (1.0 - 1.0 / max(pods, 1.0)) ** grown(whole, 0, self.first))


def _cpu(function: str, span: _Span, side: str) -> Series:
    slots = span.last - span.first
    cores = span.track.total("busy", span.first, span.last) / max(slots, 1)
    cores = cores * span.scene.world.cpu_limit
    n = span.scene.world.n
    pods = np.full(n, span.seen.mean() if slots > 0 else 0.0)
    number = cores * span.window_s if function == "increase" else cores
    labels = frozenset({("pod", MANY)})
    present = span.alive(function)
    return Series(labels, number, present, raw=True, side=side, pods=pods)


def _requests(
    function: str, metric: str, matchers: Sequence[Matcher], span: _Span, side: str, route: str
) -> list[Series]:
    """A counter of requests: one series for each outcome, or for each bound of a histogram."""
    dialect = span.scene.vocabulary.of(metric)
    if dialect is None:  # for the type checker
        raise UnmodelledError(metric)
    if not all(_taken(m, dialect, metric) for m in matchers if m.label not in dialect.outcomes):
        return []
    telling = [m for m in matchers if m.label in dialect.outcomes]
    spread = frozenset(
        (label, route if label in ROUTES else MANY)
        for label in (*dialect.spread, "pod", "instance")
    )
    if metric.endswith("_bucket"):
        if telling:
            raise UnmodelledError(f"{metric}: durations of some outcomes alone are not modelled")
        spread |= {(label, MANY) for label in dialect.outcomes}
        return _buckets(function, matchers, dialect, span, side, spread)
    found: list[Series] = []
    for outcome in Outcome:
        if not all(dialect.selects(m, outcome) for m in telling):
            continue
        good = outcome is Outcome.GOOD
        number, present = _of_outcome(function, dialect, outcome, span), span.alive(function)
        # A series that begins with its first request; growth takes two samples of it. Stable pods
        # have answered well long ago.
        if (side == "canary") if good else not dialect.zeroed:
            begun, count = span.last - (function != AS_IT_STANDS), _GOOD if good else _FAILED
            present = present & (count(span.track.since_start or span.track, 0, begun) > 0)
        values = {(name, pair[0 if good else 1]) for name, pair in dialect.outcomes.items()}
        pods = np.full(len(number), span.seen[-1] if len(span.seen) else 0.0)
        found.append(Series(spread | values, number, present, raw=True, side=side, pods=pods))
    return found


def _of_outcome(function: str, dialect: Dialect, outcome: Outcome, span: _Span) -> Floats:
    """What a function answers for the series of good requests, or of failed ones."""
    if outcome is Outcome.GOOD:
        return span.counted(function, _GOOD)
    if dialect.zeroed or function == AS_IT_STANDS:
        return span.counted(function, _FAILED)
    return span.counted_late(function)


def _buckets(
    function: str,
    matchers: Sequence[Matcher],
    dialect: Dialect,
    span: _Span,
    side: str,
    labels: Labels,
) -> list[Series]:
    """The fast requests and all of them, under the bounds that the query asks for."""
    wanted = [m for m in matchers if m.label == "le"]
    if any(m.sign != "=" for m in wanted):
        raise UnmodelledError("an expression for le is not modelled")
    bounds = [m.value for m in wanted] or [f"{FAST_S / dialect.unit_s:g}", INFINITE]
    found: list[Series] = []
    every = span.counted(function, _EVERY)
    whole = np.ones_like(every)
    if dialect.outcomes:  # then a bucket has a series of each outcome, as the histogram's count has
        with np.errstate(all="ignore"):
            parts = [_of_outcome(function, dialect, outcome, span) for outcome in Outcome]
            whole = np.where(every > 0, np.sum(parts, axis=0) / every, 1.0)
    for bound in bounds:
        if not dialects.is_bound(bound):
            raise UnmodelledError(f"le={bound!r} is not a bound as exporters write it")
        finite = bound != INFINITE
        if finite and not FAST_S <= float(bound) * dialect.unit_s < SLOW_S:
            raise UnmodelledError(f"le={bound!r}: how many requests are as quick is not known")
        number = whole * (span.counted(function, _QUICK) if finite else every)
        present = span.alive(function)
        found.append(Series(labels | {("le", bound)}, number, present, raw=True, side=side))
    return found


def _instant(selector: Any, window_s: float, scene: Scene) -> Vector:
    """What the scrapes of a window found, whether the last one of them came or not."""
    at_s = _instant_of(selector, scene)
    metric, matchers = _read(selector)
    counter = scene.vocabulary.of(metric) and not metric.endswith(("_bucket", "_sum"))
    if counter and window_s == scene.world.scrape_s:
        return _counter(AS_IT_STANDS, selector, window_s, scene)
    if metric not in INSTANT:
        raise UnmodelledError(
            f"{metric or 'a selector without a name'} is not modelled"
            + (" without rate()" if scene.vocabulary.of(metric) else "")
        )
    if metric == "kube_pod_container_resource_limits" and not _of_cores(matchers):
        raise UnmodelledError(f"{metric} of other resources than cpu is not modelled")

    def standing(turn: Scene) -> list[Series]:
        slots = turn.world.slots(at_s, window_s)
        sides = _sides(metric, matchers, turn)
        return [
            _of_platform(metric, side, track, slots, turn.world.cpu_limit) for side, track in sides
        ]

    if metric == "kube_pod_container_status_restarts_total":
        return tuple(standing(scene))  # of one pod, whichever it is
    return _of_all_turns(scene, standing)


def _of_cores(matchers: Sequence[Matcher]) -> bool:
    """Whether limits are asked of cores alone."""
    told = {"resource": ("cpu", "memory"), "unit": ("core", "byte")}
    asked = [m for m in matchers if m.label in told]
    return all(dialects.takes(m, told[m.label][0]) for m in asked) and any(
        not dialects.takes(m, told[m.label][1]) for m in asked
    )


def _of_platform(
    metric: str, side: str, track: Trajectory, slots: tuple[int, int], cpu_limit: float
) -> Series:
    """The series that say what pods have, such as limits and restarts."""
    first, last = slots
    n = len(track.requests)
    pods = np.full(n, track.pods[min(first, last - 1) : last].max() if last else 0.0)
    match metric:
        case "kube_pod_container_resource_limits":
            number, each = pods * cpu_limit, pods
        case "kube_pod_container_status_restarts_total":
            number, each = np.full(n, track.restarts), np.ones(n)
        case _:
            number, each = pods, pods
    labels = frozenset({("pod", MANY)})
    return Series(labels, number, pods > 0, raw=True, side=side, pods=each)


@lru_cache(maxsize=4096)
def _read(selector: Any) -> tuple[str, tuple[Matcher, ...]]:
    """The metric of a selector, and its matchers."""
    matchers = promql.matchers_of(selector)
    named = (m.value for m in matchers if (m.label, m.sign) == ("__name__", "="))
    return str(selector.name or next(named, "")), matchers


def _instant_of(selector: Any, scene: Scene) -> float:
    """When a selector looks, with its offset."""
    if selector.at is not None:
        raise UnmodelledError("@ is not modelled")
    offset_s = selector.offset.total_seconds() if selector.offset else 0.0
    if offset_s < 0:
        raise UnmodelledError("a negative offset, which reads what is yet to come, is not modelled")
    return float(scene.at_s - offset_s)


def _taken(matcher: Matcher, dialect: Dialect, metric: str) -> bool:
    """Whether the series have a value that a matcher of no outcome takes: all of them, or none."""
    label = matcher.label
    names_a_release = LATEST in matcher.value or STABLE in matcher.value
    if label in dialects.SCOPE or label in ("le", "__name__") or names_a_release:
        return True  # what they say of the ReplicaSets is asked by `_sides`
    known = dialect.values.get(label)
    if known is not None:
        taken = {dialects.takes(matcher, value) for value in known}
        if len(taken) == 1:
            return taken.pop()
    elif label not in dialect.spread:
        if dialect.values:
            return dialects.takes(matcher, "")  # the scrape has no such label
        raise UnmodelledError(f"{metric} may or may not have the label {label}")
    if dialect.takes_all(matcher):
        return True
    raise UnmodelledError(
        f"{label}{matcher.sign}{matcher.value!r}: its share of the requests is not known"
    )


def _sides(metric: str, matchers: Sequence[Matcher], scene: Scene) -> list[tuple[str, Trajectory]]:
    """The ReplicaSets whose pods' series the matchers take."""
    return [
        (side, scene.world.canary if side == "canary" else scene.world.stable)
        for side in _sides_named(metric, tuple(matchers), scene.names)
    ]


@lru_cache(maxsize=4096)
def _sides_named(metric: str, matchers: tuple[Matcher, ...], names: Names) -> tuple[str, ...]:
    told, owned = [], dialects.owners(metric) if names.rollout else frozenset()
    if dialects.contradictory(matchers) or any(
        dialects.names_no_hash(m, (LATEST, STABLE)) for m in matchers
    ):
        return ()
    for matcher in matchers:
        if dialects.misnamed(metric, matcher, (LATEST, STABLE), (*names.canary, *names.stable)):
            return ()
        if matcher.label in owned:
            if not dialects.takes(matcher, names.rollout):
                return ()
        elif matcher.label in dialects.APPLICATIONS and any(
            token in matcher.value for token in (*names.canary[1:], *names.stable[1:])
        ):
            raise UnmodelledError(f"{matcher.label} is one for canary and stable")
        elif matcher.label != "namespace" or not dialects.is_routers(metric):
            told.append(matcher)
    sides = (("canary", names.canary), ("stable", names.stable))
    return tuple(side for side, tokens in sides if all(_side_taken(m, tokens, names) for m in told))


def _side_taken(matcher: Matcher, tokens: Sequence[str], names: Names) -> bool:
    """Whether the series of one ReplicaSet have a value that the matcher takes."""
    if matcher.label in {"namespace", *dialects.DESTINATIONS} and names.namespace:
        return dialects.takes(matcher, names.namespace)
    if matcher.label == "pod" and names.rollout:
        return dialects.takes(matcher, f"{names.rollout}-{tokens[0]}-x7k2p")
    told = [token for token in (*names.canary, *names.stable) if token and token in matcher.value]
    if matcher.label in PROGRAMS:
        told = [token for token in told if token != names.rollout]
    if not told:
        own = (names.rollout, *(name for name in names.stable if name != STABLE))
        if dialects.may_tell_sides(matcher, own):
            words = f'{matcher.label}{matcher.sign}"{matcher.value}"'
            raise UnmodelledError(f"{words} may or may not tell canary from stable")
        return True
    positive = matcher.sign in ("=", "=~")
    plain = replace(matcher, sign={"!=": "=", "!~": "=~"}.get(matcher.sign, matcher.sign))
    return _means(plain, tokens, names, told) is positive


def _means(matcher: Matcher, tokens: Sequence[str], names: Names, told: Sequence[str]) -> bool:
    """Whether a positive matcher takes what one ReplicaSet's label would hold.

    A pod-template hash is matched as Prometheus would, alone or in a pod's name. The name of a
    Service stands in labels in many forms, so the longest name that the matcher holds decides.
    """
    if any(token in (LATEST, STABLE) for token in told):
        held = (tokens[0], f"{names.rollout}-{tokens[0]}", f"{names.rollout}-{tokens[0]}-x7k2p")
        return any(dialects.takes(matcher, value) for value in held)
    return max(told, key=len) in tokens
