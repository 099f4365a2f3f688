"""What became laxer since a baseline: limits, counts, windows and steps, and by how many times.

A gate is the same by its Rollout, its name, and the order in which it is asked. That a query is
another is a note: what it sees is for `canary power` to say.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from canary.argo import promql, threshold
from canary.argo.gates import Finding, Gate, Release, Severity
from canary.argo.model import Metric
from canary.argo.promql import PromqlError

RULE = "laxer-than-baseline"
REMEDY = "say in the commit why this is right, or undo it"


def find(before: Sequence[Release], after: Sequence[Release]) -> Iterator[Finding]:
    """Every way in which the releases of today judge less than those of the baseline."""
    releases = {_whose(release): release for release in before}
    for release in after:
        old = releases.get(_whose(release))
        if old is not None:
            yield from dict.fromkeys(_gates(old, release))
            yield from _steps(old, release)


def _whose(release: Release) -> tuple[str, str, str]:
    return release.rollout.kind, release.rollout.namespace, release.rollout.name


def _gates(old: Release, new: Release) -> Iterator[Finding]:
    left = _by_name(new)
    for key, before in _by_name(old).items():
        now = left.get(key, [])
        if len(now) < len(before):
            message = f"{key[0]} is used at {len(now)} place(s); it was used at {len(before)}"
            yield _finding(new, "spec.strategy", message)
        # Steps are counted from the first one; what is left of fewer is compared with the first.
        for was, gate in zip(before, now, strict=False):
            if was.metric is not None and gate.metric is not None:
                for what in _metric(was.metric, gate.metric):
                    yield _of_gate(gate, Severity.WARNING, what)
                if was.metric.query != gate.metric.query:
                    what = "its query changed: canary power shows what it detects"
                    yield _of_gate(gate, Severity.NOTE, what)


def _of_gate(gate: Gate, severity: Severity, what: str) -> Finding:
    message = f"{gate.name}: {what}"
    return Finding(RULE, severity, gate.template, gate.path, message, REMEDY)


def _by_name(release: Release) -> dict[tuple[str, bool], list[Gate]]:
    found: dict[tuple[str, bool], list[Gate]] = {}
    for gate in release.gates:
        found.setdefault((gate.name, gate.moment.background), []).append(gate)
    return found


def _metric(old: Metric, new: Metric) -> Iterator[str]:
    yield from _limits(old, new)
    if new.dry_run and not old.dry_run:
        yield "it is a dry run now: measured, and not judged"
    for what, before, now in (
        ("failures allowed", old.failure_limit, new.failure_limit),
        ("errors in a row allowed", old.consecutive_error_limit, new.consecutive_error_limit),
        ("inconclusive measurements allowed", old.inconclusive_limit, new.inconclusive_limit),
    ):
        if now > before or (now < 0 <= before):
            yield f"{what}: {before} before, {now} now"
    if (new.interval_s or 0.0) > (old.interval_s or 0.0):
        yield f"measured every {new.interval_s:g} s; it was every {old.interval_s or 0:g} s"
    if new.count and not old.count and old.interval_s:
        yield f"measured {new.count} times; it was measured to the end"
    yield from _window(old, new)


def _limits(old: Metric, new: Metric) -> Iterator[str]:
    pairs = zip_longest(threshold.numbers(old), threshold.numbers(new))
    for before, now in pairs:
        if before is None or now is None or before == now:
            if before != now:
                yield "the number of limits in its conditions changed"
            continue
        rising = threshold.passes_above(old)
        if (now < before) if rising else (now > before):
            yield f"limit {before:g} before, {now:g} now{_times(before, now, rising=rising)}"


def _times(before: float, now: float, *, rising: bool) -> str:
    """How many times as much a release may do wrong; of a share that is good, the rest of it."""
    if rising and 0 < now < before < 1:
        before, now = 1 - before, 1 - now
    elif rising:
        before, now = now, before
    return f", {now / before:.3g} times as much" if before and math.isfinite(now / before) else ""


def _window(old: Metric, new: Metric) -> Iterator[str]:
    try:
        before, now = (promql.parse(metric.query).window_s for metric in (old, new))
    except PromqlError:
        return
    if now > before:
        yield f"its window is {now:g} s; it was {before:g} s"


def _steps(old: Release, new: Release) -> Iterator[Finding]:
    before, now = _first_share(old), _first_share(new)
    if now > before:
        message = f"the first step gets {now:.0%} of the requests; it got {before:.0%}"
        yield _finding(new, "spec.strategy.canary.steps", message)
    before, now = _watched_s(old), _watched_s(new)
    if now < before:
        message = f"all users get a release after {now:g} s; it was {before:g} s"
        yield _finding(new, "spec.strategy.canary.steps", message)


def _watched_s(release: Release) -> float:
    return sum(stage.duration_s for stage in release.stages if stage.share < 1)


def _first_share(release: Release) -> float:
    return release.stages[0].share if release.stages else 1.0


def _finding(release: Release, path: str, message: str) -> Finding:
    return Finding(RULE, Severity.WARNING, release.rollout, path, message, REMEDY)
