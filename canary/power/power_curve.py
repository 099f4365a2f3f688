"""Power over fault sizes: what `canary power` says, as data, tables and a page."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from canary import tables
from canary.argo import dialects, promql, threshold
from canary.power import effect_sizes
from canary.power.monte_carlo import Outcomes, Study
from canary.power.samples import Fault, Traffic
from canary.power.stats import requests_to_detect

# A month as the SLO counts it (rehearsal.yaml states 30 days and 99.9 %).
MONTH_S = 30 * 86400.0
OBJECTIVE = 0.999

# Sizes to try: even on a logarithm, from a tenth of the usual limits on.
SIZES = {
    "errors": (
        0.001, 0.002, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 0.6,
        0.75, 0.9, 1.0,
    ),
    "slow": (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.2, 0.5, 1.0),
    "cpu": (0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One fault size. Shares are 0 to 1, times seconds; `by_step` maps a step to a share."""

    size: float
    rolled_back: float
    paused: float
    by_step: Mapping[str, float]
    by_gate: Mapping[str, float]
    detect_s: float | None
    errors: float
    budget: float


@dataclass(frozen=True)
class Curve:
    """One kind of fault: its rows, and the smallest size that 95 % of releases are stopped for."""

    kind: str
    rows: tuple[Row, ...]
    detected_95: float | None


@dataclass(frozen=True)
class Power:
    """What the gates of one release can see at one traffic."""

    release: str
    traffic: Traffic
    false_rollback: float
    false_pause: float
    curves: tuple[Curve, ...]
    limits: Mapping[str, float]
    needed: Mapping[str, int]
    assumed: Mapping[str, str]
    checked: str
    scraped: str
    releases: int
    measurements: int


def sweep(study: Study, name: str, checked: str, scraped: str, assumed: Mapping[str, str]) -> Power:
    """Tries every kind and size of fault.

    `checked` says what the model was held against, `scraped` how often pods are read and who says
    so, and `assumed` what else is taken for granted, and of what.
    """
    healthy = study.outcomes(Fault())
    return Power(
        release=name,
        traffic=study.traffic,
        false_rollback=healthy.rollback_rate,
        false_pause=healthy.pause_rate,
        curves=tuple(_curve(study, kind) for kind in SIZES),
        limits=_limits(study),
        needed=_needed(study),
        assumed=assumed,
        checked=checked,
        scraped=scraped,
        releases=study.n,
        measurements=len(study.measurements),
    )


def _curve(study: Study, kind: str) -> Curve:
    make = functools.partial(effect_sizes.fault, kind)
    rows = tuple(_row(study, size, study.outcomes(make(size))) for size in SIZES[kind])
    return Curve(kind, rows, _detected(rows))


def _detected(rows: Sequence[Row], power: float = 0.95) -> float | None:
    """Where the curve crosses the power, interpolated on the logarithm of the size."""
    for below, above in itertools.pairwise(rows):
        if below.rolled_back < power <= above.rolled_back:
            share = (power - below.rolled_back) / (above.rolled_back - below.rolled_back)
            low, high = math.log(below.size), math.log(above.size)
            return math.exp(low + share * (high - low))
    return rows[0].size if rows and rows[0].rolled_back >= power else None


def _row(study: Study, size: float, outcomes: Outcomes) -> Row:
    detect = outcomes.detect_s()
    steps = sorted(
        {measurement.step for measurement in study.measurements}, key=lambda step: (step < 0, step)
    )
    errors = float(outcomes.errors.mean())
    monthly = study.traffic.requests_per_s * MONTH_S * (1 - OBJECTIVE)
    return Row(
        size=size,
        rolled_back=outcomes.rollback_rate,
        paused=outcomes.pause_rate,
        by_step={
            f"step {step}" if step >= 0 else "background": outcomes.rollback_rate_at(step)
            for step in steps
        },
        by_gate={gate: outcomes.rollback_rate_by(gate) for gate in outcomes.gates},
        detect_s=None if math.isnan(detect) else round(detect, 1),
        errors=round(errors, 1),
        budget=errors / monthly,
    )


def _limits(study: Study) -> dict[str, float]:
    """The threshold of each gate that has one, for the plots."""
    metrics = (measurement.metric for measurement in study.measurements)
    return {m.name: numbers[-1] for m in metrics if (numbers := threshold.numbers(m))}


def _needed(study: Study) -> dict[str, int]:
    """Requests that one measurement at a plain error ratio needs, by a fault of twice its limit."""
    needed: dict[str, int] = {}
    for measurement in study.measurements:
        numbers = [n for n in threshold.numbers(measurement.metric) if 0 < n < 1]
        if not numbers or study.unmodelled.get(measurement.metric.name):
            continue
        query = promql.parse(measurement.metric.query)
        if any(dialects.picks_failures(selector) for selector in query.selectors):
            found = requests_to_detect(2 * numbers[-1], numbers[-1])
            needed |= {measurement.metric.name: found} if found else {}
    return needed


def table(power: Power) -> str:
    """For people at a terminal."""
    traffic = power.traffic
    lines = [
        f"{power.release} at {traffic.requests_per_s:g} requests/s, baseline "
        f"{traffic.error_rate:.2%} errors, {traffic.slow_share:.2%} slow, CPU {traffic.cpu:.0%}"
        + (f", overdispersion {traffic.overdispersion:g}" if traffic.overdispersion else ""),
        f"{power.releases} releases of each fault, {power.measurements} measurements in each",
        power.checked,
        f"pods are scraped {power.scraped}",
        "",
        f"a healthy release: rolled back {power.false_rollback:.2%}, "
        f"paused {power.false_pause:.2%}",
    ]
    lines += [f"assumed of {metric}: {what}" for metric, what in power.assumed.items()]
    for curve in power.curves:
        lines += ["", *_curve_lines(curve)]
    for gate, requests in power.needed.items():
        lines.append(
            f"\n{gate}: one measurement needs {requests} canary requests to fail a release at "
            "twice its limit with 95 % (exact, without a confidence margin)"
        )
    return "\n".join(lines)


def _curve_lines(curve: Curve) -> list[str]:
    steps = list(curve.rows[0].by_step)
    detected = f"{curve.detected_95:.2%}" if curve.detected_95 else "none"
    head = (curve.kind, "rolled back", "paused", *steps, "median s", "errors", "budget")
    rows = [
        (
            f"{row.size:.2%}",
            f"{row.rolled_back:.1%}",
            f"{row.paused:.1%}",
            *(f"{row.by_step[step]:.1%}" for step in steps),
            "—" if row.detect_s is None else row.detect_s,
            f"{row.errors:.0f}",
            f"{row.budget:.3%}",
        )
        for row in curve.rows
    ]
    found = f"smallest {curve.kind} detected in 95 % of releases: {detected}"
    return [*tables.text(head, rows, left=()), found]


def markdown(power: Power) -> str:
    """For a pull request: the rows that matter of each kind."""
    title = (
        f"**canary power** · {power.release} at {power.traffic.requests_per_s:g} requests/s · a "
        f"healthy release is rolled back {power.false_rollback:.2%} of the time"
    )
    head = ("fault", "size", "rolled back", "median s", "errors users see", "month's budget")
    rows = [
        (
            curve.kind,
            f"{row.size:.2%}",
            f"{row.rolled_back:.1%}",
            row.detect_s or "—",
            f"{row.errors:.0f}",
            f"{row.budget:.3%}",
        )
        for curve in power.curves
        for row in curve.rows
    ]
    return "\n".join([title, "", *tables.markdown(head, rows)])


FORMATS: Mapping[str, Callable[[Power], str]] = {
    "table": table,
    "json": tables.document,
    "markdown": markdown,
}
