"""Other ways to ask for errors that Argo can ask, and what each would gain.

Every alternative replaces the error gate of every measurement by another query over the same
series; the rest of the release stays. None is better everywhere, so what is shown is what each is
good at.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from canary import tables
from canary.argo import dialects, promql, threshold
from canary.argo.model import Analysis, Metric, Rollout, Step
from canary.argo.promql import Selector
from canary.argo.releases import LATEST, STABLE
from canary.power.monte_carlo import Study
from canary.power.samples import Fault

# Wald's bounds for a release at half of the limit against one at twice it: one good release in a
# hundred stopped, nineteen of twenty bad ones.
FALSE_ROLLBACK, MISSED = 0.01, 0.05

# Standard deviations between canary and stable. Counts of a few failures are skewed and a release
# has some sixty measurements: 3 stopped 3 of 100 good releases.
DEVIATIONS = 4.0

# Long enough to hold any canary's whole life.
WHOLE_LIFE_S = 3600.0

AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Comparison:
    """How one way of asking does; shares are 0 to 1, `detected_95` an error rate, times seconds."""

    name: str
    query: str
    condition: str
    false_rollback: float
    shared_outage: float
    detected_95: float | None
    first_measurement: float
    detect_s: float | None


@dataclass(frozen=True)
class _Asked:
    """What an alternative is made from: the selectors of failures and of all, and the limit."""

    failed: Selector
    everything: Selector
    limit: float


def compare(study: Study) -> tuple[Comparison, ...]:
    """How the error gate does as it is, and asked in other ways; empty if there is no such gate."""
    if not any(_asked(measurement.metric) for measurement in study.measurements):
        return ()
    as_it_is = _stand(study, AS_IT_IS, lambda metric: metric)
    made = {name: functools.partial(_replaced, ask=ask) for name, (ask, _) in WAYS.items()}
    return (as_it_is, *(_stand(study, name, make) for name, make in made.items()))


def _stand(study: Study, name: str, make: Callable[[Metric], Metric]) -> Comparison:
    other = replace(study, rollout=_with(study.rollout, make))
    shown, asked = next(
        (measurement.metric, asked)
        for measurement in study.measurements
        if (asked := _asked(measurement.metric))
    )
    limit = asked.limit
    sick = replace(study.traffic, error_rate=1.5 * limit)
    twice = other.outcomes(Fault(error_rate=2 * limit))
    first = min(
        (measurement.step for measurement in other.measurements if measurement.step >= 0),
        default=-1,
    )
    detect = twice.detect_s()
    return Comparison(
        name=name,
        query=make(shown).query,
        condition=make(shown).failure_condition,
        false_rollback=other.outcomes(Fault()).rollback_rate,
        shared_outage=replace(other, traffic=sick).outcomes(Fault()).rollback_rate,
        detected_95=other.smallest_detected(lambda size: Fault(error_rate=size)),
        first_measurement=twice.rollback_rate_at(first),
        detect_s=None if math.isnan(detect) else round(detect, 1),
    )


def _with(rollout: Rollout, make: Callable[[Metric], Metric]) -> Rollout:
    def changed(analysis: Analysis) -> Analysis:
        return replace(analysis, metrics=tuple(make(metric) for metric in analysis.metrics))

    steps: tuple[Step, ...] = tuple(
        changed(step) if isinstance(step, Analysis) else step for step in rollout.steps
    )
    background = changed(rollout.background) if rollout.background else None
    return replace(rollout, steps=steps, background=background)


def _asked(metric: Metric) -> _Asked | None:
    """The parts of an error ratio; None if the metric is none."""
    selectors = promql.read(metric.query).selectors
    ranged = [s for s in selectors if s.range_s]
    failed = next((s for s in ranged if dialects.picks_failures(s)), None)
    everything = next((s for s in ranged if not dialects.picks_failures(s)), None)
    limits = [limit for limit in threshold.numbers(metric) if 0 < limit < 1]
    if failed is None or everything is None or not limits:
        return None
    return _Asked(failed, everything, limits[-1])


def _replaced(metric: Metric, ask: Callable[[_Asked], tuple[str, float]]) -> Metric:
    asked = _asked(metric)
    if asked is None:
        return metric
    query, limit = ask(asked)
    sound = "len(result) > 0 && !isNaN(result[0]) && result[0]"
    return replace(
        metric,
        query=query,
        success_condition=f"{sound} < {limit:.4g}",
        failure_condition=f"{sound} >= {limit:.4g}",
    )


def _increase(selector: Selector) -> str:
    return f"sum(increase({promql.render(selector)}))"


def _failures(selector: Selector) -> str:
    return f"({_increase(selector)} or vector(0))"


def _plain(asked: _Asked) -> tuple[str, float]:
    return f"{_failures(asked.failed)}\n/ ({_increase(asked.everything)} >= 80)", asked.limit


def _with_margin(asked: _Asked) -> tuple[str, float]:
    failed = _failures(asked.failed)
    query = (
        f"clamp_min({failed}\n  - 1.5 * sqrt({failed}), 0)\n/ ({_increase(asked.everything)} >= 80)"
    )
    return query, asked.limit


def _against_stable(asked: _Asked) -> tuple[str, float]:
    """The difference of two ratios in standard deviations, pooled."""
    bad, all_ = _failures(asked.failed), f"({_increase(asked.everything)} >= 80)"
    bad_stable = _failures(_of_stable(asked.failed))
    all_stable = f"({_increase(_of_stable(asked.everything))} > 0)"
    pooled = f"(({bad} + {bad_stable}) / ({all_} + {all_stable}))"
    spread = f"sqrt(clamp_min({pooled} * (1 - {pooled}) * (1 / {all_} + 1 / {all_stable}), 1e-9))"
    return f"({bad} / {all_} - {bad_stable} / {all_stable})\n/ {spread}", DEVIATIONS


def _sequential(asked: _Asked) -> tuple[str, float]:
    """Wald's log-likelihood ratio over the canary's whole life."""
    low, high = asked.limit / 2, asked.limit * 2
    bad = _failures(replace(asked.failed, range_s=WHOLE_LIFE_S))
    all_ = _increase(replace(asked.everything, range_s=WHOLE_LIFE_S))
    query = (
        f"{bad} * {math.log(high / low):.4f}\n"
        f"+ ({all_} - {bad}) * {math.log((1 - high) / (1 - low)):.6f}"
    )
    return query, math.log((1 - MISSED) / FALSE_ROLLBACK)


def _of_stable(selector: Selector) -> Selector:
    return replace(
        selector,
        matchers=tuple(
            replace(m, value=m.value.replace(LATEST, STABLE)) for m in selector.matchers
        ),
    )


# Each way: how it is asked, and what it is good for.
WAYS: Mapping[str, tuple[Callable[[_Asked], tuple[str, float]], str]] = {
    "plain ratio": (
        _plain, "easiest to read; rolls back healthy releases where requests are few",
    ),
    "confidence margin": (
        _with_margin, "few false rollbacks at any traffic; slower on small faults",
    ),
    "canary against stable": (
        _against_stable, "not fooled by an outage that both share; blind to it too",
    ),
    "sequential": (
        _sequential, "adds up evidence over the steps; needs a bad and a good rate to be named",
    ),
}  # fmt: skip


def table(comparisons: Sequence[Comparison]) -> str:
    """For people at a terminal, with the queries below."""
    lines = tables.text(
        ("error gate", "false", "shared", "95 % from", "first measurement", "at s"),
        [
            (
                s.name,
                f"{s.false_rollback:.2%}",
                f"{s.shared_outage:.1%}",
                f"{s.detected_95:.2%}" if s.detected_95 else "none",
                f"{s.first_measurement:.1%}",
                "—" if s.detect_s is None else s.detect_s,
            )
            for s in comparisons
        ],
    )
    legend = (
        "false: healthy releases rolled back. shared: rolled back while every pod, stable too, has "
        "1.5 × the limit.\n95 % from: smallest error rate that 95 % of releases are stopped for. "
        "first measurement, at s: at twice the limit."
    )
    queries = [
        f"\n# {s.name}: {WAYS[s.name][1]}\n# fails: {s.condition}\n{s.query}"
        for s in comparisons
        if s.name != AS_IT_IS
    ]
    return "\n".join([*lines, legend, *queries])
