"""From the last observation to a verdict: what happened, which gate decided, what to exit with.

A failed gate is believed only if it tells the candidate from the stable release: every
measurement asks the same question about the stable pods, which run on the same machine under the
same load. If stable fails too, or the machine was strained and the two are alike, the machine is at
fault and not the release. What cannot be read of either side says nothing of one. `conditions` says
what the machine did to the measurements, from what was seen.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from canary import durations
from canary.argo import analysis, threshold
from canary.argo.model import (
    AnalysisRun,
    Hashes,
    Measurement,
    Metric,
    MetricResult,
    Phase,
    Rollout,
)
from canary.rehearse import alerts, rates, units
from canary.rehearse.load import Second
from canary.rehearse.outage import WORLD
from canary.rehearse.target import Event, Observation, Place

# On a strained machine a canary must differ from stable by this factor to be called the worse one:
# pods that have just started are slower there than those that are warm.
DISTINCT_FACTOR = 3.0
# In time they differ more: the p95 of a healthy canary was 3.4 times stable's, beside 27 programs
# that waited for two cores.
SLOWER_FACTOR = 10.0
# The load is met if no more than this share of the seconds fell short by a tenth.
SHORT_SECONDS = 0.1
# Users who waited so long for what then failed sent nothing meanwhile, whatever the machine did.
WAITED_MS = 5000.0
# Above it every program waits for others all the time.
BUSY_SHARE = 0.95
# A gate that reads less than this part of the failures takes off a confidence margin.
MARGIN = 0.9
# Canary and stable fail alike if the canary's share of failures is not this many times stable's.
ALIKE_FACTOR = 2.0
# What the name of a gate about failed requests holds.
_FAILURES = units.FAILING | {"success", "successful", "availability", "good"}
SHARED = "so the cause is probably shared"
SHARED_REMEDY = "look in the pods' logs for a dependency of both, such as a database"
PROBE_FAILED = "probe failed; restart"


@dataclass(frozen=True)
class Conditions:
    """Why not to trust what was measured, in words; empty where there is no reason.

    `strained` makes the machine's what is alike on both sides. `blind` lets nothing be said.
    `shared` is an outage of both that was asked for: then stable may fail a gate too.
    """

    strained: str = ""
    blind: str = ""
    shared: bool = False

    @property
    def fair(self) -> bool:
        """Whether the machine stood in nobody's way."""
        return not (self.strained or self.blind)


FAIR = Conditions()


UNKNOWN = Place()


class Outcome(Enum):
    """How a rehearsal ends: its name in result.json, and the exit code."""

    PROMOTED = ("promoted", 0)
    ROLLED_BACK = ("rolled-back", 1)
    NOT_RELEASED = ("not-released", 1)
    UNUSABLE = ("unusable", 2)
    NOT_MEASURED = ("not-measured", 3)
    INCONCLUSIVE = ("inconclusive", 3)
    UNJUDGED = ("unjudged", 3)
    FAULT = ("fault", 4)
    INTERRUPTED = ("interrupted", 130)

    @property
    def exit_code(self) -> int:
        """What the program exits with."""
        return self.value[1]

    def __str__(self) -> str:
        return self.value[0]


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


def decide(last: Observation, told: Conditions = FAIR, place: Place = UNKNOWN) -> Verdict:
    """The verdict on a release that has settled, in one sentence.

    Args:
        last: The last observation.
        told: What the machine did to what was measured.
        place: Where and when it was decided.
    """
    decision = _decision(last.runs)
    if last.unjudged:
        return Verdict(Outcome.UNJUDGED, last.unjudged)
    if told.blind:
        return _fault(f"no gate can be trusted: {told.blind}", decision)
    if last.promoted:
        judged = f"every gate but {', '.join(last.left_out)}" if last.left_out else "every gate"
        headline = f"Promoted: {judged} passed at every step{place.timed}"
        return Verdict(Outcome.PROMOTED, headline)
    if last.inconclusive and not last.timed_out:
        return _paused(last, decision, told, place)
    if decision is None or last.timed_out:
        return _stuck(last, told, place)
    if decision.result.phase is Phase.ERROR:
        # No machine keeps a query that is answered from finding something.
        if told.strained and analysis.NO_DATA not in decision.measurement.message:
            return _fault(f"{_unread(decision)}, and {told.strained}", decision)
        return Verdict(
            Outcome.NOT_MEASURED,
            f"{_ended(last, place)} without a measurement: {_unread(decision)}{place.timed}",
            decision,
        )
    blame = _machine_fault(decision, told, place)
    if blame:
        return _fault(blame, decision)
    alone = _fails_alone(decision.metric.name, place)
    if _incomparable(decision.measurement) and not told.shared and not alone:
        silent = "gave this gate no data" if place.stable_share is not None else "had no requests"
        return Verdict(
            Outcome.NOT_MEASURED,
            f"{_ended(last, place)}, and not comparable: {_broken(decision, place)}"
            f"; stable {silent} then{place.timed}",
            decision,
        )
    headline = f"{_ended(last, place)}: {_broken(decision, place)}{place.timed}"
    return Verdict(Outcome.ROLLED_BACK, headline, decision)


def _fault(because: str, decision: Decision | None) -> Verdict:
    # A machine that was not strained made nothing fail on both sides.
    remedy = SHARED_REMEDY if because.endswith(f"the same gate, {SHARED}") else rates.REMEDY
    return Verdict(Outcome.FAULT, f"Not the release: {because} — {remedy}", decision)


def _stuck(last: Observation, told: Conditions, place: Place) -> Verdict:
    """No gate decided: the release made no progress in time, or something else ended it."""
    if told.strained:
        return _fault(f"{_reason(last.message)}, and {told.strained}", None)
    if last.timed_out:
        return Verdict(
            Outcome.ROLLED_BACK,
            f"Stuck: {last.message}; not rolled back, because progressDeadlineAbort is off",
        )
    because = _reason(last.message).removesuffix(".")
    return Verdict(Outcome.ROLLED_BACK, f"{_ended(last, place)}: {because}{place.timed}")


def _ended(last: Observation, place: Place) -> str:
    """That it was rolled back; or its users were not, as of a blueGreen whose pods are gone."""
    if last.settled and last.aborted and last.weight:
        return (
            f"Aborted{place.weighed} and not rolled back: the active Service returns to stable "
            "only while every new pod is available"
        )
    return f"Rolled back{place.weighed}"


def _paused(
    last: Observation, decision: Decision | None, told: Conditions, place: Place
) -> Verdict:
    looked = _inconclusive(decision)
    if told.strained:
        return _fault(f"{looked}, and {told.strained}", decision)
    # Where no traffic was asked for, nothing to read is what was asked for.
    if last.rate and (unread := _unread_gates(last.runs)):
        names = " and ".join(unread)
        return _fault(f"{names} returned no data for the canary or for stable", decision)
    headline = f"Paused{place.weighed}: {looked}; a manual decision is needed{place.timed}"
    return Verdict(Outcome.INCONCLUSIVE, headline, decision)


def _unread_gates(runs: Iterable[AnalysisRun]) -> list[str]:
    """The gates that found neither side in a measurement that asked about both."""
    found = (
        result.name
        for run in runs
        for result in run.results.values()
        for measurement in result.measurements
        if measurement.phase is Phase.INCONCLUSIVE
        if measurement.controlled and measurement.number is None and measurement.control is None
    )
    return list(dict.fromkeys(found))


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
                    # The last measurement in the metric's own phase.
                    same = [m for m in result.measurements if m.phase is phase]
                    return Decision(run, metric, result, (same or result.measurements)[-1])
    return None


def _machine_fault(decision: Decision, told: Conditions, place: Place) -> str:
    """Why a failed gate says nothing of the release, or nothing."""
    if told.shared:
        return ""
    strained = told.strained
    canary, control = decision.measurement.number, decision.measurement.control
    if canary is None or control is None:
        return ""
    name = decision.metric.name
    ours, theirs = units.shown(canary, name), units.shown(control, name)
    both = f"{name} is {ours} on the canary and {theirs} on"
    shared = f", {SHARED}" * bool(_words(name) & _FAILURES)
    if analysis.judge(decision.metric, (control,))[0] is Phase.FAILED:
        why = shared or " on this machine"
        return f"{both} the stable release, which fails the same gate{why}"
    if _fails_alone(name, place):
        return ""
    factor = SLOWER_FACTOR if "_bucket" in decision.metric.query else DISTINCT_FACTOR
    if strained and control > 0 and canary < factor * control:
        return f"{both} stable, and {strained}{shared}"
    return ""


def _fails_alone(name: str, place: Place) -> bool:
    """Whether a gate about failures saw what the gateway did: the canary's and not stable's.

    Shares of success are alike where shares of failure are not: 85 % and 100 %.
    """
    failed, stable = place.failed_share, place.stable_share
    if not (_words(name) & _FAILURES and failed and stable is not None):
        return False
    return failed >= DISTINCT_FACTOR * stable


def _incomparable(taken: Measurement) -> bool:
    """Whether stable was asked and had nothing to say, as in the final scale-up."""
    silent = taken.control is None or math.isnan(taken.control)
    return taken.controlled and taken.number is not None and silent


def _broken(decision: Decision, place: Place) -> str:
    """What the canary did, with the limit and the stable release's value."""
    name, value = decision.metric.name, decision.measurement.number
    if value is None:
        return f"{name} {_measured(decision)}"
    failed, stable = place.failed_share, place.stable_share
    failing = bool(_words(name) & units.FAILING)
    alike = _words(name) & _FAILURES and failed and stable and failed < ALIKE_FACTOR * stable
    share = "" if failing else f" ({units.percent(stable or 0)})"
    shared = f"; stable failed too{share}, {SHARED}" if alike else ""
    if failed and failing and not units.of(name):
        # What such a gate weighs, odds for example, is not a number that people say.
        beside = "" if stable is None else f" (stable {units.percent(stable)})"
        weighed = f"{name} was {units.shown(value, name)}{_compared(decision, control=None)}"
        return f"{units.percent(failed)} of canary requests failed{beside}; {weighed}{shared}"
    ratio = failing and units.of(name) == "ratio"
    margin = ratio and failed is not None and value < MARGIN * failed
    # Stable pods that have left took their counters with them; the gateway has counted all.
    control = stable if ratio and stable is not None else decision.measurement.control
    said = units.said(value, name, at_least=margin)
    return f"{said}{_compared(decision, control)}{shared}"


def _words(name: str) -> set[str]:
    return set(name.split("-"))


def may_time(gate: str) -> bool:
    """Whether a gate may have told the releases apart by time: not one of failures or restarts."""
    return not _words(gate) & {*_FAILURES, "restarts"}


def _unread(decision: Decision) -> str:
    return (
        f"{decision.metric.name} could not be read {decision.result.consecutive_error} times in a "
        f"row ({decision.measurement.message})"
    )


def _inconclusive(decision: Decision | None) -> str:
    if decision is None:
        return "an analysis was inconclusive"
    read = "" if decision.measurement.number is None else "was "
    return f"{decision.metric.name} {read}{_measured(decision)}, so it neither passed nor failed"


def _measured(decision: Decision) -> str:
    """The canary's value, with the limit and the stable release's value."""
    name, taken = decision.metric.name, decision.measurement
    if decision.metric.json_path and (found := alerts.named(taken.value)):
        return f"found that {found}"
    value = "returned no data" if taken.number is None else units.shown(taken.number, name)
    return f"{value}{_compared(decision, taken.control)}"


def _compared(decision: Decision, control: float | None) -> str:
    """The limit and the stable release's value, in brackets, where they are known."""
    name = decision.metric.name
    known = []
    if limit := threshold.of(decision.metric):
        word = "at least" if limit.comparison in (">", ">=") else "limit"
        known.append(f"{word} {units.shown(limit.value, name)}")
    if control is not None:
        known.append(f"stable {units.shown(control, name)}")
    return f" ({', '.join(known)})" if known else ""


def _reason(message: str) -> str:
    """Argo's message without its prefix."""
    return re.sub(r"^.*: Rollout aborted update to revision \d+: ", "", message)


def deciding_window_s(last: Observation) -> float:
    """How far back the gate that decided looks; 0 if none did, or if it has no window."""
    decision = _decision(last.runs)
    return max(windows_s(decision.metric), default=0.0) if decision else 0.0


def windows_s(metric: Metric) -> tuple[float, ...]:
    """How far back a metric's query looks, in seconds."""
    return durations.ranges_s(metric.query)


def conditions(
    last: Observation,
    hashes: Hashes,
    rollout: Rollout,
    *,
    seconds: Sequence[Second],
    events: Sequence[Event],
    late_s: float,
    busy_share: float,
) -> Conditions:
    """The conditions of a release that has settled.

    Args:
        last: The last observation.
        hashes: The ReplicaSets it was about.
        rollout: How it went.
        seconds: What users met since the release.
        events: What happened.
        late_s: How late the harness ran at the worst.
        busy_share: The share of all cores that was busy.
    """
    strained = next(_strains(last, seconds, busy_share), "")
    shared = any(event.kind == WORLD for event in events)
    repeated = (m for judging in rollout.analyses for m in judging.metrics if m.count != 1)
    intervals = (metric.interval_s for metric in repeated if metric.interval_s is not None)
    interval_s = min(intervals, default=None)
    if interval_s is not None and late_s > interval_s:
        blind = f"the harness ran {late_s:.1f} s late, and a gate measures every {interval_s:.1f} s"
        return Conditions(strained, blind, shared)
    return Conditions(strained, _killed(hashes, events, strained=bool(strained)), shared)


def _held(seconds: Sequence[Second]) -> Callable[[float], bool]:
    """Whether users sent less at a moment because they waited for an answer that never came.

    Locust's users wait for one answer before they ask again: a release that hangs has them all.
    """
    failing = [second for second in seconds if second.failed or second.lost]
    longest_ms = max((second.p95_ms or 0 for second in failing), default=0)
    if longest_ms < WAITED_MS:
        return lambda _: False
    return lambda at: any(s.at - longest_ms / 1000 <= at <= s.at for s in failing)


def _strains(last: Observation, seconds: Sequence[Second], busy_share: float) -> Iterator[str]:
    held = _held(seconds)
    short = sum(not rates.met(second, last.rate) for second in seconds if not held(second.at))
    if short > SHORT_SECONDS * max(1, len(seconds)):
        yield "the machine could not keep up the load"
    if last.scrapes_lost:
        yield f"{last.scrapes_lost} of {last.scrapes} scrapes of the containers were lost"
    if busy_share >= BUSY_SHARE:
        yield f"the machine was {busy_share:.0%} busy"


def _killed(hashes: Hashes, events: Sequence[Event], *, strained: bool) -> str:
    """Whether probes ended pods that a machine with time would have answered for."""
    killed = [event.text for event in events if event.at_s >= 0 and PROBE_FAILED in event.text]
    sides = {
        side
        for side, pod_hash in (("canary", hashes.latest), ("stable", hashes.stable))
        if any(pod_hash in text for text in killed)
    }
    if len(sides) > 1:
        return "probes ended pods of the canary and of the stable release alike"
    if sides and strained:
        return f"a probe ended a pod of the {sides.pop()} release"
    return ""
