"""What the machine did to a measurement, from what was seen: the evidence beside a verdict.

A release is judged by a machine that also runs it. Where that machine had no time, a gate's answer
says as much of the machine as of the release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from canary.argo.model import Analysis, Hashes, Rollout
from canary.rehearse import rates
from canary.rehearse.load import Second
from canary.rehearse.target import Event, Observation

# The load is met if no more than this share of the seconds fell short by a tenth.
SHORT_SECONDS = 0.1
# Above it every program waits for others all the time.
BUSY_SHARE = 0.95
PROBE_FAILED = "probe failed; restart"


@dataclass(frozen=True)
class Conditions:
    """Why not to trust what was measured, in words; empty where there is no reason.

    `strained` makes the machine's what is alike on both sides. `blind` lets nothing be said.
    """

    strained: str = ""
    blind: str = ""

    @property
    def fair(self) -> bool:
        """Whether the machine stood in nobody's way."""
        return not (self.strained or self.blind)


def judge(
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
        rollout: How it was walked.
        seconds: What users met since the release.
        events: What happened.
        late_s: How late the harness ran at the worst.
        busy_share: The share of all cores that was busy.
    """
    strained = next(_strains(last, seconds, busy_share), "")
    interval_s = min(_intervals_s(rollout), default=None)
    if interval_s is not None and late_s > interval_s:
        blind = f"the harness ran {late_s:.1f} s late, and a gate is asked every {interval_s:.1f} s"
        return Conditions(strained, blind)
    return Conditions(strained, _killed(hashes, events, strained=bool(strained)))


def _strains(last: Observation, seconds: Sequence[Second], busy_share: float) -> Iterator[str]:
    short = sum(not rates.met(second, last.rate) for second in seconds)
    if short > SHORT_SECONDS * max(1, len(seconds)):
        yield "the machine could not keep up the load"
    if last.scrapes_lost:
        yield f"{last.scrapes_lost} of {last.scrapes} scrapes of the containers were lost"
    if busy_share >= BUSY_SHARE:
        yield f"the machine was {busy_share:.0%} busy"


def _intervals_s(rollout: Rollout) -> Iterator[float]:
    """Between the looks of each gate that looks more than once."""
    analyses = [step for step in rollout.steps if isinstance(step, Analysis)]
    for analysis in (*analyses, *([rollout.background] if rollout.background else [])):
        for metric in analysis.metrics:
            if metric.interval_s is not None and metric.count != 1:
                yield metric.interval_s


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
