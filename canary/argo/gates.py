"""The frozen types the gates tool speaks in. Does nothing.

Argo's words: a Rollout takes steps; an analysis at a step, or beside the steps, measures metrics.
A *gate* is one metric as one of those analyses resolves it; the moment that it measures is its
*moment*.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from canary.argo import model, resolve
from canary.argo.model import Metric
from canary.argo.templates import Reference
from canary.yamls import Document, listed, mapping, scalar


class Severity(StrEnum):
    """How much a finding matters; a note is no finding, only something worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Strategy(IntEnum):
    """How a release goes about; what is known of a canary is known of those before it."""

    NONE = 0  # a template that no Rollout here refers to
    BLUE_GREEN = 1
    CANARY = 2


# The place of an analysis whose template no Rollout refers to.
ANYWHERE = "any step"


@dataclass(frozen=True)
class Stage:
    """A stretch of a release with one weight.

    `start_s` counts from the first pod of the canary, readiness taken as instant; `share` is what
    the replica counts really give.
    """

    weight: int
    canary: int
    stable: int
    start_s: float
    duration_s: float
    share: float


@dataclass(frozen=True)
class Moment:
    """Where an analysis stands in the release.

    `at_s` is when its first measurement is taken and `step` the index of the analysis step, or of
    the first step that a background analysis runs beside; `place` names one that has no step.
    """

    background: bool
    step: int
    at_s: float
    stages: tuple[Stage, ...]
    place: str = ""

    @property
    def share(self) -> float:
        """The canary's share of the replicas at this measurement."""
        return self.stages[-1].share if self.stages else 0.0

    def exposure(self, window_s: float) -> float:
        """The mean share of the canary over the window before this measurement (0 to 1)."""
        start = self.at_s - window_s
        held = (
            stage.share
            * max(0.0, min(self.at_s, stage.start_s + stage.duration_s) - max(start, stage.start_s))
            for stage in self.stages
        )
        return sum(held) / window_s if window_s else self.share

    @property
    def path(self) -> str:
        """Where the analysis stands in the Rollout."""
        if self.place:
            return "spec" if self.place == ANYWHERE else f"spec.strategy.blueGreen.{self.place}"
        return f"spec.strategy.canary{'' if self.background else f'.steps[{self.step}]'}.analysis"

    def __str__(self) -> str:
        if self.place:
            return self.place
        return f"background from step {self.step}" if self.background else f"step {self.step}"


@dataclass(frozen=True)
class Gate:
    """One metric as one analysis resolves it.

    `metric` is None for providers other than Prometheus. `tokens` are the texts by which a
    selector can name the canary: its pod-template hash, its Service.
    """

    template: Document
    index: int
    name: str
    provider: str
    moment: Moment
    raw: Mapping[str, Any]
    metric: Metric | None
    unresolved: tuple[str, ...] = ()
    broken: str = ""

    @property
    def query(self) -> str:
        """What it asks Prometheus, as it is written."""
        return scalar(mapping(mapping(self.raw.get("provider")).get("prometheus")).get("query"))

    @property
    def path(self) -> str:
        """Where the metric stands in its template."""
        return f"spec.metrics[{self.index}]"

    @property
    def count(self) -> str:
        """How many measurements end it, as it is written."""
        return scalar(self.raw.get("count"))

    @property
    def endless(self) -> bool:
        """Whether it has no end for the controller, which checks a template by its own values.

        Those of the Rollout's reference and of a template beside it come later
        (`validation_references.go`).
        """
        own = resolve.literals(self.template.spec.get("args"))
        count = resolve.fill(self.count, own)[0].strip()
        return "interval" in self.raw and "count" in self.raw and not count.isdigit()


@dataclass(frozen=True)
class Analysis:
    """One reference of a Rollout to templates, with what is odd about it.

    `resolved` is the analysis as the controller gets it, its hashes still unknown.
    """

    moment: Moment
    gates: tuple[Gate, ...]
    resolved: model.Analysis
    missing: tuple[Reference, ...] = ()
    dropped: tuple[str, ...] = ()
    dry_run: tuple[str, ...] = ()

    @property
    def unmatched(self) -> tuple[str, ...]:
        """The patterns of metrics not to be judged that no metric has: its run ends in Error."""
        names = [gate.name for gate in self.gates]
        return tuple(p for p in self.dry_run if not any(resolve.matches(p, n) for n in names))

    @property
    def endless(self) -> tuple[Gate, ...]:
        """Gates that the controller refuses the Rollout for; a background analysis needs no end."""
        return tuple(g for g in self.gates if g.endless and not self.moment.background)

    @property
    def least_s(self) -> float:
        """How long it takes at least, at a step, where every measurement passes."""
        metrics = [gate.metric for gate in self.gates if gate.metric is not None]
        counted = ((m, m.consecutive_success_limit or m.count) for m in metrics)
        lasting = (m.initial_delay_s + max(n - 1, 0) * (m.interval_s or 0.0) for m, n in counted)
        return max(lasting, default=0.0)


@dataclass(frozen=True)
class Release:
    """One Rollout, its canary stages and everything that judges it.

    A template that no Rollout refers to stands for one, as `rollout`, without a strategy.
    `resolved` is the same for the step machine; with a traffic router its pods are a hundred.
    `scaler` is the autoscaler that says how many replicas there are, where the Rollout does not.
    """

    rollout: Document
    replicas: int
    max_surge: int | str
    max_unavailable: int | str
    routed: bool
    steps: int
    stages: tuple[Stage, ...]
    analyses: tuple[Analysis, ...]
    resolved: model.Rollout
    canary_tokens: tuple[str, ...] = ()
    stable_tokens: tuple[str, ...] = ()
    strategy: Strategy = Strategy.CANARY
    scaler: Document | None = None

    def age_s(self, moment: Moment) -> float:
        """How old the canary is at a measurement, at least; without end where nobody knows.

        A person who is waited for, an experiment and a plugin take as long as they take.
        """
        waits = model.Pause(None) in self.resolved.steps[: moment.step]
        if waits or any(index < moment.step for index, _ in self.unfollowed):
            return math.inf
        before = (
            a for a in self.analyses if not a.moment.background and a.moment.step < moment.step
        )
        return moment.at_s + sum(analysis.least_s for analysis in before)

    @property
    def unfollowed(self) -> tuple[tuple[int, str], ...]:
        """The steps that judge in their own way, by index: experiments and plugins."""
        canary = mapping(mapping(self.rollout.spec.get("strategy")).get("canary"))
        named = ((i, n) for i, s in enumerate(listed(canary.get("steps"))) for n in mapping(s))
        return tuple((index, name) for index, name in named if name in ("experiment", "plugin"))

    @property
    def templates(self) -> tuple[Document, ...]:
        """The templates that judge it."""
        return tuple({id(gate.template): gate.template for gate in self.gates}.values())

    @property
    def own_names(self) -> tuple[str, ...]:
        """What the release and its Services are called, and the Ingresses that it stands behind."""
        canary = mapping(mapping(self.rollout.spec.get("strategy")).get("canary"))
        nginx = mapping(mapping(canary.get("trafficRouting")).get("nginx"))
        ingresses = (nginx.get("stableIngress"), *listed(nginx.get("stableIngresses")))
        names = (self.rollout.name, canary.get("stableService"), *ingresses)
        return tuple(name for name in map(scalar, names) if name)

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Every gate of every analysis, in the order of the release."""
        return tuple(gate for analysis in self.analyses for gate in analysis.gates)


@dataclass(frozen=True)
class Finding:
    """What a rule found, where, and what to do about it."""

    rule: str
    severity: Severity
    document: Document
    path: str
    message: str
    remedy: str

    @property
    def position(self) -> tuple[int, int]:
        """The line and column it is about, from 1."""
        return self.document.position(self.path)
