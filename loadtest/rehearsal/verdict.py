"""From the last observation to a verdict: what happened, which gate decided, what to exit with.

A failed gate is believed only if it tells the candidate from the stable release: every look asks
the same question about the stable pods, which run on the same machine under the same load. If
stable fails too, or the users' load was not met and the two are alike, the machine is at fault and
not the release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from rehearsal import analysis, durations
from rehearsal.ground import Observation
from rehearsal.model import AnalysisRun, Measurement, Metric, MetricResult, Phase

_THRESHOLD = re.compile(r"result\[0\]\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)")

# On a starved machine a canary must differ from stable by this factor to be called the worse one.
DISTINCT_FACTOR = 1.5


class Outcome(Enum):
    """How a rehearsal ends: its name in result.json, and the exit code."""

    PROMOTED = ("promoted", 0)
    ROLLED_BACK = ("rolled-back", 1)
    NOT_RELEASED = ("not-released", 1)
    UNUSABLE = ("unusable", 2)
    NOT_MEASURED = ("not-measured", 3)
    INCONCLUSIVE = ("inconclusive", 3)
    FAULT = ("fault", 4)
    INTERRUPTED = ("interrupted", 130)

    @property
    def exit_code(self) -> int:
        """What the program exits with."""
        return self.value[1]

    def __str__(self) -> str:
        return self.value[0]


@dataclass(frozen=True)
class Threshold:
    """The comparison a condition makes with `result[0]`."""

    comparison: str
    value: float


@dataclass(frozen=True)
class Decision:
    """The metric that decided, and the measurement it decided by."""

    run: AnalysisRun
    metric: Metric
    result: MetricResult
    measurement: Measurement


@dataclass(frozen=True)
class Verdict:
    """What is said at the end."""

    outcome: Outcome
    headline: str
    decision: Decision | None = None


def threshold(metric: Metric) -> Threshold | None:
    """What the success condition compares the first sample with, if it says so plainly."""
    found = _THRESHOLD.search(metric.success_condition)
    return Threshold(found[1], float(found[2])) if found else None


def decide(last: Observation, *, load_met: bool) -> Verdict:
    """The verdict on a release that has settled.

    Args:
        last: The last observation.
        load_met: Whether the users' request rate was kept up to the end.
    """
    decision = _decision(last.runs)
    if last.promoted:
        return Verdict(Outcome.PROMOTED, "Promoted: every gate passed at every step")
    if last.timed_out:
        return Verdict(
            Outcome.ROLLED_BACK,
            f"Stuck, and left in place since progressDeadlineAbort is off: {last.message}",
        )
    if last.inconclusive:
        outcome = Outcome.INCONCLUSIVE if load_met else Outcome.FAULT
        return Verdict(outcome, _inconclusive(decision, load_met=load_met), decision)
    if decision is None:
        return Verdict(Outcome.ROLLED_BACK, f"Rolled back: {_reason(last.message)}")
    if decision.result.phase is Phase.ERROR:
        return Verdict(Outcome.NOT_MEASURED, _not_measured(decision), decision)
    blame = _machine_fault(decision, load_met=load_met)
    if blame:
        return Verdict(Outcome.FAULT, blame, decision)
    return Verdict(Outcome.ROLLED_BACK, _rolled_back(decision), decision)


def _decision(runs: Iterable[AnalysisRun]) -> Decision | None:
    """The worst metric of the worst run: what made the controller act."""
    order = (Phase.FAILED, Phase.ERROR, Phase.INCONCLUSIVE)
    for phase in order:
        for run in runs:
            if run.phase is not phase:
                continue
            for metric in run.metrics:
                result = run.results.get(metric.name)
                if result and result.phase is phase and result.measurements and not metric.dry_run:
                    return Decision(run, metric, result, _decisive(result))
    return None


def _decisive(result: MetricResult) -> Measurement:
    """The last measurement in the metric's own phase."""
    same = [m for m in result.measurements if m.phase is result.phase]
    return (same or list(result.measurements))[-1]


def _machine_fault(decision: Decision, *, load_met: bool) -> str:
    """Why a failed gate says nothing of the release, or nothing."""
    canary, control = decision.measurement.number, decision.measurement.control
    if canary is None or control is None:
        return ""
    name = decision.metric.name
    if analysis.judge(decision.metric, (control,))[0] is Phase.FAILED:
        return (
            f"Not the release: {name} is {canary:.4g} on the canary and {control:.4g} on the "
            "stable release, which fails the same gate on this machine — use an idler machine or a "
            "smaller --time-scale"
        )
    alike = control > 0 and canary < DISTINCT_FACTOR * control
    if not load_met and alike:
        return (
            f"Not the release: {name} is {canary:.4g} on the canary and {control:.4g} on stable, "
            "and the machine could not keep up the load — use an idler machine or a smaller "
            "--time-scale"
        )
    return ""


def _rolled_back(decision: Decision) -> str:
    limit = threshold(decision.metric)
    wanted = f", which is not {limit.comparison} {limit.value:g}" if limit else ""
    return f"Rolled back by {decision.metric.name}: {_number(decision)}{wanted}"


def _not_measured(decision: Decision) -> str:
    return (
        f"Rolled back without a measurement: {decision.metric.name} could not be read "
        f"{decision.result.consecutive_error} times in a row ({decision.measurement.message})"
    )


def _inconclusive(decision: Decision | None, *, load_met: bool) -> str:
    looked = "an analysis was inconclusive"
    if decision is not None:
        limit = threshold(decision.metric)
        wanted = f", which is not {limit.comparison} {limit.value:g}," if limit else ""
        read = f"{decision.metric.name} read {_number(decision)}{wanted}"
        looked = f"{read} and is neither good nor bad"
    if load_met:
        return f"Paused for a person: {looked}"
    return (
        f"Not the release: {looked}, and the machine could not keep up the load — use an idler "
        "machine or a smaller --time-scale"
    )


def _number(decision: Decision) -> str:
    number = decision.measurement.number
    return "nothing" if number is None else f"{number:.4g}"


def _reason(message: str) -> str:
    """Argo's message without its prefix."""
    return message.partition(": Rollout aborted update to revision 2: ")[2] or message


def windows_s(metric: Metric) -> tuple[float, ...]:
    """How far back a metric's query looks, in seconds."""
    return durations.ranges_s(metric.query)
