"""What is rehearsed, and how: everything that is settled before anything is started.

The release pair, stable and candidate, is this checkout or the git references of a caller.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from canary.argo import manifests
from canary.argo.manifests import Bundle
from canary.argo.model import Hashes, Pause, Rollout
from canary.errors import UsageError
from canary.rehearse import config as configuration
from canary.rehearse import programs, time_compression, worktrees
from canary.rehearse.config import Config
from canary.rehearse.programs import OWN_PROGRAMS
from canary.rehearse.rates import Rates
from canary.rehearse.worktrees import WORKTREE, Reference
from canary.runtime import documents

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own, which spells no words
CONFIG = Path("loadtest/rehearsal.yaml")
CACHE = Path("out/references")
DEFAULT_STABLE = "main"
HERE = Path()

Say = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """Stable or candidate: what it ships, and where its programs are installed.

    `name` is what a person calls it and `commit` the git commit it was built from; both are empty
    where both are this checkout, which differ only by a fault.
    """

    bundle: Bundle
    config: Config
    config_file: Path
    programs: Path = OWN_PROGRAMS
    folder: Path = field(default_factory=Path.cwd)
    name: str = ""
    commit: str = ""

    def __str__(self) -> str:
        """As a person would name it."""
        return f"{self.name} ({self.commit[:8]})" if self.commit else "this checkout"


def choose(
    stable: str | None, candidate: str | None, config: Path | None, deploy: Path | None, say: Say
) -> tuple[Build, Build]:
    """Stable and candidate: this checkout, or the two references.

    Args:
        stable: The git reference that users have; None is `main` if a candidate is named.
        candidate: The git reference to release; None is this checkout if a stable one is named.
        config: A rehearsal.yaml for both; None is each one's own.
        deploy: Manifests for the candidate; None is what its rehearsal.yaml names.
        say: Is told what takes long.

    Raises:
        UsageError: if a reference, a file or a manifest cannot be used.
        MachineError: if an environment cannot be built.
    """
    if stable is None and candidate is None:
        own = read(config, deploy)
        return own, own
    before = worktrees.resolve(Path(), DEFAULT_STABLE if stable is None else stable)
    after = worktrees.resolve(Path(), WORKTREE if candidate is None else candidate)
    return _build(before, config, None, say), _build(after, config, deploy, say)


def _build(reference: Reference, config: Path | None, deploy: Path | None, say: Say) -> Build:
    checkout = worktrees.check_out(Path(), reference, CACHE, say)
    return replace(
        read(config, deploy, checkout.folder),
        programs=checkout.programs,
        folder=checkout.folder,
        name=reference.title if reference.name == WORKTREE else reference.name,
        commit=reference.commit,
    )


def read(config: Path | None, deploy: Path | None, folder: Path = HERE) -> Build:
    """What a folder ships, by its own rehearsal.yaml and manifests unless others are named.

    Raises:
        UsageError: if a file or a manifest cannot be used.
    """
    file = config or folder / CONFIG
    found = configuration.read(file)
    source = deploy or folder / found.manifests
    return Build(manifests.read(documents.read(source), str(source)), found, file)


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
    stable: Build
    candidate: Build
    choices: Choices
    rollout: Rollout
    rates: Rates

    @property
    def bundle(self) -> Bundle:
        """The manifests that decide."""
        return self.candidate.bundle

    @property
    def config(self) -> Config:
        """The candidate's fakes, and the traffic of the stable release's users."""
        traffic = self.stable.config.traffic
        return self.candidate.config.model_copy(update={"traffic": traffic})

    @cached_property
    def scaled(self) -> Rollout:
        """The Rollout at the rehearsal's time scale."""
        return time_compression.scale(self.rollout, self.choices.time_scale)

    @cached_property
    def hashes(self) -> Hashes:
        """The pod-template hashes that the two ReplicaSets have on this machine."""
        return hashes_of(self.stable, self.candidate, self.choices.faults)

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

    @property
    def changes(self) -> Iterator[str]:
        """What a reader of the verdict must know: what else changes than the code."""
        before, after = self.stable.bundle, self.candidate.bundle
        if before.templates != after.templates:
            yield "the gates: this release is judged by its own, as it would be once applied"
        if before.rollout.spec.strategy != after.rollout.spec.strategy:
            yield "the steps of the rollout: it runs its own"
        if before.rollout.spec.template != after.rollout.spec.template:
            yield "the pod template: each side runs under its own"
        if before.config_maps != after.config_maps:
            yield "the configuration: each side runs under its own"

    def __str__(self) -> str:
        """The release in a few words."""
        fault = ", ".join(self.choices.faults)
        if not self.candidate.commit:
            return fault or "a healthy release"
        return f"{self.candidate} over {self.stable}" + (f" with {fault}" if fault else "")


def make(stable: Build, candidate: Build, choices: Choices, command: str) -> Plan:
    """Plans a rehearsal.

    Raises:
        UsageError: if a gate cannot be resolved, a step waits for a person, or a fault is unknown.
    """
    rollout = manifests.rollout(candidate.bundle, dict(choices.arguments))
    for index, step in enumerate(rollout.steps):
        if step == Pause(None):
            raise UsageError(
                f"step {index} pauses until a person resumes it",
                "give the pause a duration in the overlay you rehearse",
            )
    programs.check_faults(candidate.config.faults, choices.faults, candidate.programs)
    rates = _rates(stable, rollout, choices.time_scale)
    if choices.rate:
        # What a caller names is sent, or nothing is.
        rates = Rates(choices.rate, choices.rate)
    named = [candidate.name] if candidate.commit else []
    words = "-".join([*named, *choices.faults]).replace("%", "pct") or "healthy"
    slug = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    id_ = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{slug}"
    return Plan(id_, command, stable, candidate, choices, rollout, rates)


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


def hashes_of(stable: Build, candidate: Build, faults: Sequence[str]) -> Hashes:
    """The pod-template hashes, as long as Argo's; the same for the same builds and faults."""
    return Hashes(
        latest=_hash("latest" + _identity(candidate) + ",".join(faults)),
        stable=_hash("stable" + _identity(stable)),
    )


def _identity(build: Build) -> str:
    return build.commit + build.bundle.rollout.spec.template.model_dump_json()


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:10])
