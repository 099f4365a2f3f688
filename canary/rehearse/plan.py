"""What is rehearsed, and how: everything that is settled before anything is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from canary.argo import manifests
from canary.argo.manifests import Bundle
from canary.argo.model import Hashes, Pause, Rollout
from canary.errors import UsageError
from canary.rehearse import fakes, replica_sets, time_compression
from canary.rehearse.config import Config
from canary.rehearse.rates import Rates
from canary.rehearse.release_pair import Build, ReleasePair


@dataclass(frozen=True)
class Choices:
    """What the caller may choose; `rate` is requests a second, nothing for what the gates need.

    `port` is the gateway's on this machine, or any free one; `rules` a folder of rule files that
    the run's Prometheus evaluates as well. `image` is the candidate's on a cluster, if it is not
    the overlay's own; `url` the gateway's address there, or nothing for a port-forward.
    """

    time_scale: float
    faults: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    rate: float | None = None
    without: frozenset[str] = frozenset()
    port: int | None = None
    rules: Path | None = None
    image: str = ""
    url: str = ""


@dataclass(frozen=True)
class Plan:
    """A rehearsal to be run; `rollout` is at real durations, `scaled` as it is rehearsed.

    The candidate's manifests decide how the release is stepped and what judges it, as they would
    once Argo CD has applied them.
    """

    id: str
    command: str
    pair: ReleasePair
    choices: Choices
    rollout: Rollout
    rates: Rates

    @property
    def bundle(self) -> Bundle:
        """The manifests that decide."""
        return self.pair.candidate.bundle

    @property
    def config(self) -> Config:
        """The candidate's fakes, and the traffic of the stable release's users."""
        traffic = self.pair.stable.config.traffic
        return self.pair.candidate.config.model_copy(update={"traffic": traffic})

    @cached_property
    def scaled(self) -> Rollout:
        """The Rollout at the rehearsal's time scale."""
        return time_compression.scale(self.rollout, self.choices.time_scale)

    @cached_property
    def hashes(self) -> Hashes:
        """The pod-template hashes that the two ReplicaSets have on this machine."""
        pair = self.pair
        return replica_sets.hashes_of(pair.stable, pair.candidate, self.choices.faults)

    @property
    def rate(self) -> float:
        """Requests a second that users are to send."""
        return 0.0 if self.without_traffic else self.rates.wanted

    @property
    def without_traffic(self) -> bool:
        """Whether nobody comes."""
        return "traffic" in self.choices.without

    @property
    def fault_variables(self) -> Mapping[str, str]:
        """What makes the candidate's pods faulty."""
        faults = self.choices.faults
        return {self.config.faults.variable: ",".join(faults)} if faults else {}

    def __str__(self) -> str:
        """The release in a few words."""
        fault, pair = ", ".join(self.choices.faults), self.pair
        if not pair.candidate.commit:
            return fault or "a healthy release"
        return f"{pair.candidate} over {pair.stable}" + (f" with {fault}" if fault else "")


def make(pair: ReleasePair, choices: Choices, command: str) -> Plan:
    """Plans a rehearsal.

    Raises:
        UsageError: if a gate cannot be resolved, a step waits for a person, or a fault is unknown.
    """
    rollout = manifests.rollout(pair.candidate.bundle, dict(choices.arguments))
    for index, step in enumerate(rollout.steps):
        if step == Pause(None):
            raise UsageError(
                f"step {index} pauses until a person resumes it",
                "give the pause a duration in the overlay you rehearse",
            )
    candidate = pair.candidate
    fakes.check_faults(candidate.config.faults, choices.faults, candidate.programs)
    rates = _rates(pair.stable, rollout, choices.time_scale)
    if choices.rate:
        # What a caller names is sent, or nothing is.
        rates = Rates(choices.rate, choices.rate)
    named = [candidate.name] if candidate.commit else []
    words = "-".join([*named, *choices.faults]).replace("%", "pct") or "healthy"
    slug = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    id_ = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{slug}"
    return Plan(id_, command, pair, choices, rollout, rates)


def named(plan: Plan, id_: str) -> Plan:
    """The same plan under another name."""
    return replace(plan, id=id_)


def _rates(stable: Build, rollout: Rollout, time_scale: float) -> Rates:
    """What the gates need of the stable release's users, and the least that they need."""
    traffic = stable.config.traffic
    wanted = traffic.canary_requests_per_look
    least = traffic.least_canary_requests_per_look
    return Rates(
        *(
            time_compression.requests_per_second(
                rollout, traffic.requests_per_second, per_look, time_scale
            )
            for per_look in (wanted, wanted if least is None else least)
        )
    )
