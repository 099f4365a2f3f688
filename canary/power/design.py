"""Which weights, pauses, intervals and limits would see a fault of a given size, and their patch.

The shape of the release stays: the same steps and gates, a measurement at the end of each pause.
What changes is how long the pauses and the windows behind them last, the weights, and the intervals
of the gates, each by one factor; and the limit of the gate in question. The shortest release that
does what is asked for is proposed, and of these the one that shows the canary to the fewest users.
"""

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import yaml

from canary import tables
from canary.argo import dialects, promql, releases, threshold
from canary.argo.dialects import Vocabulary
from canary.argo.gates import Gate, Release
from canary.argo.model import Pause, SetWeight
from canary.argo.resolve import PLACEHOLDER
from canary.errors import UsageError
from canary.power import edits, effect_sizes
from canary.power.edits import Edit
from canary.power.monte_carlo import Study
from canary.power.samples import Fault, Traffic
from canary.power.stats import requests_to_detect
from canary.yamls import Document, listed, mapping, scalar

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)

# The first step of a canary is for few users, so that weights grow no further than this.
WEIGHTS, MAX_WEIGHT = (1.0, 1.5, 2.0), 50
# Between two scrapes there is nothing new to measure.
INTERVALS, SHORTEST_INTERVAL_S = (1.0, 0.5), 5

# The operating curve: sizes as multiples of the one that is asked for.
CURVE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)

ROC_POINTS = 24

# A search may be coarse; what it proposes is tried again on fresh draws and more of them.
SEARCH_RELEASES, FINAL_RELEASES = 1000, 4000

# Pauses are rounded up to this, and no shorter than two scrapes past readiness.
ROUND_S, MIN_S = 10, 30


@dataclass(frozen=True)
class Goal:
    """What is asked of the gates.

    Shares are 0 to 1. `vocabulary` is how metrics are read, `scrape_s` how often pods are scraped.
    """

    kind: str
    size: float
    power: float = 0.95
    false_rollback: float = 0.01
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    scrape_s: float = 5.0


@dataclass(frozen=True)
class Knobs:
    """What a release is changed by: factors of its lengths, weights and intervals, and a limit."""

    lengths: float = 1.0
    weights: float = 1.0
    intervals: float = 1.0
    limit: float | None = None


@dataclass(frozen=True)
class Candidate:
    """One release that was tried."""

    knobs: Knobs
    documents: tuple[Document, ...]
    study: Study
    power: float
    false_rollback: float
    detect_s: float


@dataclass(frozen=True)
class Point:
    """What becomes of releases of one size of fault."""

    size: float
    rolled_back: float
    paused: float
    detect_s: float | None
    errors: float


@dataclass(frozen=True)
class Plan:
    """What came of the search: a candidate that does it, or the reason why none does."""

    goal: Goal
    traffic: Traffic
    now: Candidate
    chosen: Candidate | None
    why_not: str = ""


def plan(
    documents: Sequence[Document],
    release: Release,
    goal: Goal,
    traffic: Traffic,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Plan:
    """Searches from short to long, and at each length from the shipped limit to others."""
    gate = _gate(release, goal)
    now = _try(documents, release, goal, traffic, Knobs(), FINAL_RELEASES)
    if why := _hopeless(release, goal, traffic, gate):
        return Plan(goal, traffic, now, None, why)
    if _holds(now, goal):
        return Plan(goal, traffic, now, now)
    assert gate is not None  # noqa: S101 — without a gate it is hopeless
    attempt = functools.partial(_try, documents, release, goal, traffic)
    limits = [None, *_limits(gate, goal, traffic)]
    shapes = list(itertools.product(FACTORS, WEIGHTS, INTERVALS))
    best, tried = now, {_edits(release, goal, Knobs())}
    for done, shape in enumerate(shapes):
        progress(done, len(shapes))
        # The lowest limit detects most: where it does too little, no other does enough.
        for limit in (limits[-1], *limits[:-1]):
            knobs = Knobs(*shape, limit)
            if (changes := _edits(release, goal, knobs)) in tried:
                continue
            tried.add(changes)
            found = attempt(knobs, SEARCH_RELEASES)
            if _holds(found, goal):
                found = attempt(knobs, FINAL_RELEASES)
                if _holds(found, goal):
                    return Plan(goal, traffic, now, found)
            if found.false_rollback <= goal.false_rollback and found.power > best.power:
                best = found
            if limit == limits[-1] and found.power < goal.power and shape[0] != FACTORS[-1]:
                break
    return Plan(goal, traffic, now, None, _too_small(goal, traffic, gate, release, best))


def _holds(found: Candidate, goal: Goal) -> bool:
    return found.power >= goal.power and found.false_rollback <= goal.false_rollback


def _try(
    documents: Sequence[Document],
    release: Release,
    goal: Goal,
    traffic: Traffic,
    knobs: Knobs,
    n: int,
) -> Candidate:
    changes = _edits(release, goal, knobs)
    changed = edits.apply(documents, changes) if changes else tuple(documents)
    (other,) = (r for r in releases.find(changed) if r.rollout.name == release.rollout.name)
    drawn = replace(study(other, goal, traffic), n=n, seed=n)
    if drawn.unmodelled:  # such as a window that is shorter than two scrapes
        return Candidate(knobs, changed, drawn, 0.0, 1.0, math.nan)
    healthy = drawn.outcomes(Fault())
    bad = drawn.outcomes(effect_sizes.fault(goal.kind, goal.size))
    false_rollback = healthy.rollback_rate + healthy.pause_rate
    return Candidate(knobs, changed, drawn, bad.rollback_rate, false_rollback, bad.detect_s())


def study(release: Release, goal: Goal, traffic: Traffic) -> Study:
    """The release as it is drawn: its metrics and scrapes as the goal has them."""
    whole = Study.of(release, traffic)
    return replace(whole, vocabulary=goal.vocabulary, scrape_s=goal.scrape_s)


def curve(candidate: Candidate, goal: Goal) -> tuple[Point, ...]:
    """The operating curve: a healthy release, and sizes around the one that is asked for."""
    sizes = [0.0, *(goal.size * part for part in CURVE if goal.size * part <= 1)]
    return tuple(_point(candidate.study, goal.kind, size) for size in sizes)


def roc(
    documents: Sequence[Document], release: Release, goal: Goal, traffic: Traffic
) -> tuple[tuple[float, float], ...]:
    """Shares of healthy and of faulty releases that do not go through, over the gate's limits.

    Raises:
        UsageError: if no gate of this kind has a limit that can be moved.
    """
    gate = _gate(release, goal)
    usual = effect_sizes.usual(goal.kind, traffic)
    if gate is None or not _is_movable(gate, goal):
        raise UsageError(
            f"{release.rollout} has no limit of {goal.kind} to move", "leave --roc out"
        )
    low, high = math.log(max(usual, 1e-6) / 2), math.log(min(2 * goal.size, 1.0))
    shares = (math.exp(low + (high - low) * part / ROC_POINTS) for part in range(ROC_POINTS + 1))
    attempt = functools.partial(_try, documents, release, goal, traffic)
    knobs = (Knobs(limit=_as_limit(gate, share)) for share in shares)
    tried = [attempt(each, SEARCH_RELEASES) for each in knobs]
    return tuple(sorted((one.false_rollback, one.power) for one in tried))


def _point(study: Study, kind: str, size: float) -> Point:
    outcomes = study.outcomes(effect_sizes.fault(kind, size) if size else Fault())
    detect_s = outcomes.detect_s()
    return Point(
        size,
        outcomes.rollback_rate,
        outcomes.pause_rate,
        None if math.isnan(detect_s) else round(detect_s, 1),
        round(float(outcomes.errors.mean()), 1),
    )


# --------------------------------------------------------------------------- what can be changed


def _edits(release: Release, goal: Goal, knobs: Knobs) -> tuple[Edit, ...]:
    return (
        *_longer(release, knobs.lengths),
        *_heavier(release, knobs.weights),
        *more_often(release, knobs.intervals),
        *_limited(release, goal, knobs.limit),
    )


def _heavier(release: Release, factor: float) -> Iterator[Edit]:
    """Weights, in steps of 5, and none that was below half of the traffic above it."""
    for at, step in _steps_of(release):
        weight = step.get("setWeight")
        if isinstance(weight, int) and 0 < weight < MAX_WEIGHT:
            heavier = min(MAX_WEIGHT, max(weight, round(weight * factor / 5) * 5))
            if heavier != weight:
                yield _set("Rollout", f"{at}.setWeight", heavier)


def more_often(release: Release, factor: float) -> Iterator[Edit]:
    """Intervals, as arguments or in the metrics themselves."""
    if factor == 1.0:
        return

    def often(span: float) -> str:
        return f"{max(SHORTEST_INTERVAL_S, math.ceil(span * factor))}s"

    names: set[str] = set()
    for gate in _gates(release):
        if span := releases.seconds(gate.raw.get("interval")):
            yield _set(gate.template.kind, f"{gate.path}.interval", often(span))
        names.update(PLACEHOLDER.findall(scalar(gate.raw.get("interval"))))
    for template in release.templates:
        yield from _arguments(template.kind, "spec.args", template.spec.get("args"), names, often)


def _longer(release: Release, factor: float) -> Iterator[Edit]:
    """Pauses, and the windows that measurement back over them."""
    if factor == 1.0:
        return

    def longer(span: float) -> str:
        length = max(MIN_S, math.ceil(span * factor / ROUND_S) * ROUND_S)
        return f"{length // 60}m" if length % 60 == 0 else f"{length}s"

    names = {name for gate in release.gates for name in _WINDOW.findall(gate.query)}
    for at, step in _steps_of(release):
        if pause := releases.pause_s(step):
            yield _set("Rollout", f"{at}.pause.duration", longer(pause))
        given = mapping(step.get("analysis")).get("args")
        yield from _arguments("Rollout", f"{at}.analysis.args", given, names, longer)
    for template in release.templates:
        yield from _arguments(template.kind, "spec.args", template.spec.get("args"), names, longer)
    for gate in _gates(release):
        query = _path(f"{gate.path}.provider.prometheus.query")
        for literal in sorted(set(_LITERAL.findall(gate.query))):
            swap = (f"[{literal}]", f"[{longer(releases.seconds(literal) or 0.0)}]")
            yield Edit(gate.template.kind, query, swap=swap)


def _arguments(
    kind: str, at: str, given: object, names: set[str], changed: Callable[[float], str]
) -> Iterator[Edit]:
    """Lengths that are given as arguments of these names."""
    for argument in listed(given):
        name, span = scalar(argument.get("name")), releases.seconds(argument.get("value"))
        if name in names and span:
            yield _set(kind, f"{at}[name={name}].value", changed(span))


def _gates(release: Release) -> Iterable[Gate]:
    """Each gate once, however many analyses refer to it."""
    return {(gate.template, gate.index): gate for gate in release.gates}.values()


def _steps_of(release: Release) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each step, with its path."""
    canary = mapping(mapping(release.rollout.spec.get("strategy")).get("canary"))
    for index, step in enumerate(listed(canary.get("steps"))):
        yield f"spec.strategy.canary.steps[{index}]", mapping(step)


_LITERAL = re.compile(r"\[(\d+[smh])\]")
_WINDOW = re.compile(rf"\[{PLACEHOLDER.pattern}\]")


def _limited(release: Release, goal: Goal, limit: float | None) -> Iterator[Edit]:
    """The gate's limit: the argument that its conditions compare with, or the number itself."""
    gate = _gate(release, goal)
    if limit is None or gate is None or gate.metric is None:
        return
    kind = gate.template.kind
    fields = [key for key in ("successCondition", "failureCondition") if gate.raw.get(key)]
    names = {name for key in fields for name in threshold.arguments(scalar(gate.raw[key]))}
    if names:
        for name in names:
            yield _set(kind, f"spec.args[name={name}].value", f"{limit:.4g}")
        return
    old = _limit(gate)
    for key in fields:
        for found in re.finditer(r"[<>]=?\s*(\d*\.?\d+)", scalar(gate.raw[key])):
            if float(found[1]) == old:
                swap = (found[0], found[0].replace(found[1], f"{limit:.4g}"))
                yield Edit(kind, _path(f"{gate.path}.{key}"), swap=swap)


def _set(kind: str, path: str, value: Any) -> Edit:
    return Edit(kind, _path(path), value)


def _path(path: str) -> tuple[str, ...]:
    return edits.read({"kind": "", "path": path}).path


# ------------------------------------------------------------------------ which gate, what limits


def _gate(release: Release, goal: Goal) -> Gate | None:
    """The gate that judges this kind of fault, if any does."""
    tests: Mapping[str, Callable[[Gate], bool]] = {
        "errors": lambda g: _reads_failures(g) or _reads_successes(g),
        "slow": lambda g: bool(promql.quantiles(_parsed(g).tree)),
        "cpu": lambda g: any("cpu_usage" in s.metric for s in _parsed(g).selectors),
    }
    found = [g for g in release.gates if g.metric and tests[goal.kind](g)]
    # One that compares with a share has a limit to move; evidence and odds have none.
    return next((g for g in found if _limit(g) < 1), next(iter(found), None))


def _reads_failures(gate: Gate) -> bool:
    return any(dialects.picks_failures(s) for s in _parsed(gate).selectors)


def _reads_successes(gate: Gate) -> bool:
    """Whether its limit is one of good requests, as in a ratio of successes."""
    selectors = _parsed(gate).selectors
    return any(map(dialects.picks_successes, selectors)) and not _reads_failures(gate)


def _as_limit(gate: Gate, share: float) -> float:
    """A share of faulty requests as the number that the gate compares with."""
    return 1 - share if _reads_successes(gate) else share


def _parsed(gate: Gate) -> promql.Query:
    return promql.read(gate.metric.query if gate.metric else "")


def _limit(gate: Gate) -> float:
    numbers = threshold.numbers(gate.metric) if gate.metric else ()
    return numbers[-1] if numbers else math.nan


def _is_movable(gate: Gate, goal: Goal) -> bool:
    """Whether a gate compares with a share; p95 keeps its own limit."""
    return goal.kind != "slow" and _limit(gate) < 1


def _limits(gate: Gate, goal: Goal, traffic: Traffic) -> list[float]:
    """Limits between the ordinary rate and the fault's, even on a logarithm."""
    if not _is_movable(gate, goal):
        return []
    usual = effect_sizes.usual(goal.kind, traffic)
    low, high = math.log(max(usual, 1e-6)), math.log(goal.size)
    shares = (math.exp(low + (high - low) * part) for part in (0.75, 0.6, 0.45, 0.3))
    return [_as_limit(gate, float(f"{share:.2g}")) for share in shares]


def _hopeless(release: Release, goal: Goal, traffic: Traffic, gate: Gate | None) -> str:
    """Why no length and no limit would do, known before any is tried."""
    if gate is None:
        return f"no gate of {release.rollout} reads {goal.kind}: add one"
    usual = effect_sizes.usual(goal.kind, traffic)
    if goal.size <= usual:
        return (
            f"{goal.kind}={goal.size:.3%} is not more than the ordinary {usual:.3%}, so there is "
            "nothing to tell apart"
        )
    for q in promql.quantiles(_parsed(gate).tree) if goal.kind == "slow" else []:
        if goal.size <= 1 - q:
            return (
                f"{gate.name} asks for the {q:g} quantile, which stays where it is until more than "
                f"{1 - q:.1%} of requests are slow: ask for the {1 - goal.size / 2:.4g} quantile"
            )
    return ""


def _too_small(goal: Goal, traffic: Traffic, gate: Gate, release: Release, best: Candidate) -> str:
    """Why the longest tried was not enough, with the requests it would take."""
    said = (
        f"with pauses up to {FACTORS[-1]:g} times as long, the best that rolls back no more than "
        f"{goal.false_rollback:.1%} of healthy releases stops {best.power:.1%}"
    )
    share = release.stages[-1].share if release.stages else 0.0
    if goal.kind != "errors" or not share:
        return said
    middle = math.sqrt(max(traffic.error_rate, 1e-6) * goal.size)
    needed = requests_to_detect(goal.size, middle, goal.power)
    if needed is None:
        return said
    hours = needed / (traffic.requests_per_s * share) / 3600
    return (
        f"{said}. One measurement of {gate.name} would need about {needed} canary requests: "
        f"{hours:.1f} h at {traffic.requests_per_s:g} requests/s and {share:.0%} of them. "
        "Ask for a larger fault, send more traffic, or give the canary a larger share"
    )


# ------------------------------------------------------------------------------------- its words


def patch(before: Sequence[Document], after: Sequence[Document]) -> str:
    """The changes as `patches:` of a kustomization."""
    entries = []
    for old, new in zip(before, after, strict=True):
        operations = [
            {"op": "replace", "path": pointer, "value": value}
            for pointer, value in _differences("", old.body, new.body)
        ]
        if operations:
            target = {"kind": old.kind, "name": old.name}
            lines = yaml.safe_dump(operations, sort_keys=False, default_flow_style=False, width=999)
            entries.append({"target": target, "patch": _Block(lines)})
    return yaml.dump({"patches": entries}, Dumper=_Dumper, sort_keys=False, width=999)


class _Block(str):
    """A text that YAML shows in a block of its own."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Knows blocks."""


_Dumper.add_representer(
    _Block, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|")
)


def _differences(pointer: str, old: Any, new: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            escaped = str(key).replace("~", "~0").replace("/", "~1")
            yield from _differences(f"{pointer}/{escaped}", old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{pointer}/{index}", one, other)
    elif old != new:
        yield pointer, new


def table(found: Plan, documents: Sequence[Document]) -> str:
    """For people at a terminal: what was asked, what is proposed, and the patch."""
    goal, traffic = found.goal, found.traffic
    lines = [
        f"asked: stop {goal.kind}={100 * goal.size:g}% in {goal.power:.0%} of releases, roll back "
        f"or pause at most {goal.false_rollback:.1%} of healthy "
        f"ones, at {traffic.requests_per_s:g} requests/s",
        f"now:   {_said(found.now)}",
    ]
    if found.chosen is None:
        return "\n".join([*lines, f"\nimpossible: {found.why_not}"])
    if found.chosen is found.now:
        return "\n".join([*lines, "\nnothing to change: the gates as they are do it"])
    return "\n".join(
        [
            *lines,
            f"plan:  {_said(found.chosen)}",
            "",
            *_steps(found.chosen, traffic),
            "",
            *_curve(found),
            "",
            patch(documents, found.chosen.documents).rstrip(),
        ]
    )


def _said(candidate: Candidate) -> str:
    knobs = candidate.knobs
    limit = "" if knobs.limit is None else f", limit {knobs.limit:g}"
    limit += "" if knobs.intervals == 1 else ", measured more often"
    when = "" if math.isnan(candidate.detect_s) else f", in {candidate.detect_s:.0f} s"
    return (
        f"stops {candidate.power:.1%}{when}; rolls back or pauses "
        f"{candidate.false_rollback:.2%} of healthy ones; "
        f"pauses {_pauses_s(candidate):.0f} s in all{limit}"
    )


def _pauses_s(candidate: Candidate) -> float:
    steps = candidate.study.rollout.steps
    return sum(step.duration_s or 0.0 for step in steps if isinstance(step, Pause))


def _steps(candidate: Candidate, traffic: Traffic) -> list[str]:
    rows = []
    weight = 0
    for index, step in enumerate(candidate.study.rollout.steps):
        if isinstance(step, SetWeight):
            weight = step.weight
        elif isinstance(step, Pause) and step.duration_s:
            seen = traffic.requests_per_s * weight / 100 * step.duration_s
            rows.append((index, f"{weight}%", f"{step.duration_s:.0f}s", 1, f"{seen:.0f}"))
    return tables.text(("step", "weight", "pause", "count", "requests seen"), rows, left=())


def _curve(found: Plan) -> list[str]:
    """The operating curve of the plan, with the shipped release's beside it."""
    assert found.chosen is not None  # noqa: S101 — there is a plan
    rows = [
        (
            f"{point.size:.3%}" if point.size else "healthy",
            f"{before.rolled_back:.1%}",
            f"{point.rolled_back:.1%}",
            f"{point.paused:.1%}",
            "—" if point.detect_s is None else f"{point.detect_s:.0f}",
            f"{point.errors:.0f}",
        )
        for before, point in zip(
            curve(found.now, found.goal), curve(found.chosen, found.goal), strict=True
        )
    ]
    head = (
        found.goal.kind,
        "rolled back now",
        "planned",
        "paused",
        "median s",
        "errors users meet",
    )
    return tables.text(head, rows)


def document(found: Plan, documents: Sequence[Document]) -> dict[str, Any]:
    """For programs."""
    chosen = found.chosen

    def said(candidate: Candidate) -> dict[str, Any]:
        return {
            **asdict(candidate.knobs),
            "power": candidate.power,
            "false_rollback": candidate.false_rollback,
            "detect_s": None if math.isnan(candidate.detect_s) else candidate.detect_s,
            "pauses_s": _pauses_s(candidate),
        }

    return {
        "goal": {key: value for key, value in vars(found.goal).items() if key != "vocabulary"},
        "now": said(found.now),
        "plan": said(chosen) if chosen else None,
        "impossible": found.why_not or None,
        "curve": [asdict(point) for point in curve(chosen, found.goal)] if chosen else None,
        "patch": patch(documents, chosen.documents) if chosen else None,
    }
