"""Do lint and the gates' own releases notice a broken gate? Broken manifests, each tried on both.

What ours must do with each kind of release is stated once, in `expectations.yaml`. A mutant that
`canary lint` accuses is noticed; any other is released, through the real query engine, until a
release ends otherwise. What is left is noticed only beside the manifests as they are, as
`canary lint --baseline` compares them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from canary.argo import promql, releases
from canary.argo.gates import Release, Severity
from canary.argo.virtual_rollout import ROLLED_BACK, VirtualRollout
from canary.lint import check, looser
from canary.lint.contract import Contract
from canary.lint.pods import container_of, cpu_limit_cores
from canary.power import edits, exporters, simulation
from canary.power.mutants import Mutant
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Recordings, Released, Scenario, Subject
from canary.power.synthetic_series import Family, ScrapeNoise
from canary.yamls import Document

# A first step that shows the canary to more users than this is not the one that was asked for.
FIRST_SHARE = 0.12

# Two of each kind of the gates as they are: the kinds are far enough from the limits.
RELEASES = 2

# A release of somebody's gates may be stopped so much later than before, and no mistake is made.
LATER_S = 60.0

# So many kinds are released together; a mutant that one of them notices is released no further.
TOGETHER = 4


@dataclass(frozen=True)
class Expectation:
    """How a kind of release must end: how, by which gate (if it matters), when, how far."""

    scenario: Scenario
    outcome: str
    gate: str = ""
    by_s: float = 1e9
    most_weight: int = 100
    from_s: float = 0.0

    def broken_by(self, virtual_run: VirtualRollout) -> str:
        """What is wrong with how a release of this kind ended; nothing if it ended as it must."""
        if virtual_run.outcome != self.outcome:
            return f"{self.scenario.name} {virtual_run.outcome}"
        if self.gate and self.gate not in virtual_run.tripped:
            return f"{self.scenario.name} by {', '.join(virtual_run.tripped)}"
        if not self.from_s <= virtual_run.ended_s <= self.by_s:
            return f"{self.scenario.name} at {virtual_run.ended_s:.0f} s"
        reached = max((weight for _, weight in virtual_run.weights), default=0)
        if reached > self.most_weight:
            return f"{self.scenario.name} reaches {reached} %"
        return ""


ROUTES = (0.3, 0.3, 0.2, 0.195, 0.005)


def _stated(raw: dict[str, Any]) -> Expectation:
    """One entry of the file."""
    scenario = Scenario(
        raw.pop("release"),
        Fault(**raw.pop("fault", {})),
        Traffic(
            **{"requests_per_s": 100.0, **raw.pop("traffic", {})},
            routes=tuple(raw.pop("routes", ROUTES)),
        ),
        ScrapeNoise(**raw.pop("scrapes", {})),
        raw.pop("prometheus_gone", False),
        raw.pop("never_ready", False),
    )
    return Expectation(scenario, raw.pop("ends"), **raw)


_FILE = Path(__file__).with_name("expectations.yaml")
EXPECTATIONS = tuple(map(_stated, yaml.safe_load(_FILE.read_text(encoding="utf-8"))))


@dataclass(frozen=True)
class Verdict:
    """What a mutant was noticed by.

    The rules of lint, else the first kinds of release, else how it is laxer than what it was.
    """

    mutant: Mutant
    killed_by: tuple[str, ...]
    linted: tuple[str, ...]
    laxer: tuple[str, ...] = ()

    @property
    def noticed(self) -> bool:
        """Whether anything did."""
        return bool(self.killed_by or self.linted or self.laxer)


# All of them, whichever are expected of a release: then its releases are the same each time.
_KINDS = tuple(expectation.scenario for expectation in EXPECTATIONS)


def expectations(
    documents: Sequence[Document], recordings: Recordings | None = None
) -> tuple[Expectation, ...]:
    """How each kind of release must end: as stated, for our gates; for anybody else's as it does.

    What two releases of a kind agree on is expected of it, and the gate that stopped them.

    Raises:
        UsageError: if what a gate asks for cannot be simulated.
        MachineError: if Prometheus cannot be had.
    """
    (release,) = releases.find(documents)
    if {e.gate for e in EXPECTATIONS} - {""} <= {gate.name for gate in release.gates}:
        return EXPECTATIONS
    subject = subject_of(release)
    released = simulation.simulate(subject, _KINDS, RELEASES, recordings=recordings)
    ended = simulation.by_kind(released)
    found = ((kind, ended[kind.name]) for kind in _KINDS)
    return tuple(
        _as_it_ended(kind, virtual_runs)
        for kind, virtual_runs in found
        if len({(one.outcome, one.tripped[:1]) for one in virtual_runs}) == 1
    )


def _as_it_ended(kind: Scenario, virtual_runs: Sequence[VirtualRollout]) -> Expectation:
    first = virtual_runs[0]
    gate = first.tripped[0] if first.outcome == ROLLED_BACK and first.tripped else ""
    late = max(virtual_run.ended_s for virtual_run in virtual_runs) + LATER_S
    reached = max(weight for virtual_run in virtual_runs for _, weight in virtual_run.weights)
    return Expectation(kind, first.outcome, gate, late, reached)


def try_all(
    documents: Sequence[Document],
    contract: Contract | None,
    chosen: Sequence[Mutant],
    expected: Sequence[Expectation],
    recordings: Recordings | None = None,
) -> Iterator[Verdict]:
    """Tries the mutants one by one; what is in the recordings need not be written again.

    Raises:
        UsageError: if an edit no longer fits the manifests.
        MachineError: if Prometheus cannot be had.
    """
    known = {finding.rule for finding in check.lint(documents, contract).findings}
    (release,) = releases.find(documents)
    # What listens, and what is exported, is what the unbroken gates ask for.
    usual = replace(
        subject_of(release),
        addresses=frozenset(gate.metric.address for gate in release.gates if gate.metric),
    )
    for mutant in chosen:
        broken = edits.apply(documents, mutant.edits)
        linted = tuple(sorted(_rules(broken, contract) - known))
        killed = () if linted else _first_complaint(broken, mutant, usual, expected, recordings)
        found = () if linted or killed else looser.find([release], releases.find(broken))
        laxer = tuple(f.message for f in found if f.severity is not Severity.NOTE)
        yield Verdict(mutant, killed, linted, laxer)


def _rules(documents: Sequence[Document], contract: Contract | None) -> set[str]:
    report = check.lint(documents, contract)
    return {f.rule for f in report.findings if f.severity is not Severity.NOTE}


def _first_complaint(
    documents: Sequence[Document],
    mutant: Mutant,
    usual: Subject,
    expected: Sequence[Expectation],
    recordings: Recordings | None,
) -> tuple[str, ...]:
    """What the first kinds of release that end otherwise do; those of its own gate come first."""
    (release,) = releases.find(documents)
    subject = _subject(release, usual.families, usual.addresses)
    if expected is EXPECTATIONS and (wide := _first_step(release)):
        return (wide,)
    ordered = sorted(expected, key=lambda e: (e.gate not in mutant.gates, e.gate == ""))
    for first in range(0, len(ordered), TOGETHER):
        names = {e.scenario.name for e in ordered[first : first + TOGETHER]}
        trials = simulation.simulate(subject, _KINDS, 1, only=names, recordings=recordings)
        if found := _complaints(trials, expected):
            return tuple(found)
    return ()


def complaints(
    documents: Sequence[Document],
    expected: Sequence[Expectation] = EXPECTATIONS,
    recordings: Recordings | None = None,
) -> list[str]:
    """Every expectation that the manifests break, in a few words each; empty for good ones."""
    (release,) = releases.find(documents)
    names = {expectation.scenario.name for expectation in expected}
    trials = simulation.simulate(
        subject_of(release), _KINDS, RELEASES, only=names, recordings=recordings
    )
    wide = _first_step(release) if expected is EXPECTATIONS else ""
    return [text for text in (wide, *_complaints(trials, expected)) if text]


def _first_step(release: Release) -> str:
    first = release.stages[0].share if release.stages else 1.0
    return f"first step shows {first:.0%}" if first > FIRST_SHARE else ""


def _complaints(trials: Released, expected: Sequence[Expectation]) -> list[str]:
    by_name = {expectation.scenario.name: expectation for expectation in expected}
    found = (by_name[trial.scenario.name].broken_by(virtual_run) for trial, virtual_run in trials)
    return list(dict.fromkeys(text for text in found if text))


def subject_of(release: Release) -> Subject:
    """What the simulation needs to know of a release."""
    return _subject(release, exporters.families(release))


def _subject(
    release: Release, families: tuple[Family, ...], addresses: frozenset[str] = frozenset()
) -> Subject:
    return Subject(
        releases.in_virtual_time(release),
        container_of(release.rollout) or _asked_container(release),
        cpu_limit_cores(release.rollout) or 1.0,
        addresses,
        families,
    )


def _asked_container(release: Release) -> str:
    """The container that gates ask for, where the pods are described elsewhere (`workloadRef`)."""
    queries = (gate.metric.query for gate in release.gates if gate.metric)
    selectors = (selector for query in queries for selector in promql.read(query).selectors)
    matchers = (matcher for selector in selectors for matcher in selector.matchers)
    return next((m.value for m in matchers if (m.label, m.sign) == ("container", "=")), "")
