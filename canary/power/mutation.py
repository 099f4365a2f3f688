"""Do the gates' own tests notice a broken gate? Broken manifests, tried on releases of every kind.

What ours must do with each kind of release is stated here once, in `EXPECTATIONS`. A mutant is
killed by the first release that ends otherwise, judged by the real query engine; whether `canary
lint` would have said something too is shown beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from canary.argo import releases
from canary.argo.gates import Release, Severity
from canary.argo.virtual_rollout import PAUSED, PROMOTED, ROLLED_BACK, Walk
from canary.lint import check
from canary.lint.contract import Contract
from canary.lint.pods import container_of, cpu_limit_cores
from canary.power import edits, simulation
from canary.power.edits import Edit
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario, Subject, Trial
from canary.power.synthetic_series import ScrapeNoise
from canary.yamls import Document

MUTANTS = Path(__file__).with_name("mutants.yaml")

# A first step that shows the canary to more users than this is not the one that was asked for.
FIRST_SHARE = 0.12

# Argo gives 10 % of four replicas one pod of five, of five one of six (ten: one of ten).
REPLICAS = (4, 5, 10)

# Two of each kind: the kinds are far enough from the limits that one could do.
RELEASES = 2


@dataclass(frozen=True)
class Expectation:
    """How a kind of release must end: how, by which gate (if it matters), when, how far."""

    scenario: Scenario
    outcome: str
    gate: str = ""
    by_s: float = 1e9
    most_weight: int = 100
    from_s: float = 0.0

    def broken_by(self, walk: Walk) -> str:
        """What is wrong with how a release of this kind ended; nothing if it ended as it must."""
        if walk.outcome != self.outcome:
            return f"{self.scenario.name} {walk.outcome}"
        if self.gate and self.gate not in walk.tripped:
            return f"{self.scenario.name} by {', '.join(walk.tripped)}"
        if not self.from_s <= walk.ended_s <= self.by_s:
            return f"{self.scenario.name} at {walk.ended_s:.0f} s"
        reached = max((weight for _, weight in walk.weights), default=0)
        if reached > self.most_weight:
            return f"{self.scenario.name} reaches {reached} %"
        return ""


ROUTES = (0.3, 0.3, 0.2, 0.195, 0.005)


def _s(
    name: str,
    fault: Fault | None = None,
    rps: float = 100.0,
    error_rate: float = 0.001,
    **more: Any,
) -> Scenario:
    traffic = Traffic(rps, error_rate=error_rate, routes=ROUTES)
    return Scenario(name, fault or Fault(), traffic, **more)


# Deadlines leave 25 s for pods to become ready and for the look itself.
EXPECTATIONS = (
    Expectation(_s("healthy"), PROMOTED),
    Expectation(_s("errors 0.5 %", Fault(error_rate=0.005)), PROMOTED),
    Expectation(_s("errors 1.5 %", Fault(error_rate=0.015)), ROLLED_BACK, "errors-against-stable"),
    Expectation(_s("errors 2 %", Fault(error_rate=0.02)), ROLLED_BACK, "errors-against-stable"),
    Expectation(_s("errors 3 %", Fault(error_rate=0.03)), ROLLED_BACK, "errors-against-stable"),
    Expectation(_s("errors 10 %", Fault(error_rate=0.1)), ROLLED_BACK, "", 45.0),
    Expectation(_s("a route", Fault(route_broken=True)), ROLLED_BACK, "route-errors", 150.0),
    Expectation(_s("an outage of 2 s", Fault(outage_s=2.0)), PROMOTED),
    Expectation(_s("both fail 5 %", error_rate=0.05), ROLLED_BACK, "error-ratio", 100.0),
    Expectation(_s("slow 2 %", Fault(slow_share=0.02)), PROMOTED),
    Expectation(_s("slow 10 %", Fault(slow_share=0.1)), ROLLED_BACK, "p95-latency-seconds", 85.0),
    Expectation(_s("CPU 40 %", Fault(cpu=0.4)), PROMOTED),
    Expectation(_s("CPU 90 %", Fault(cpu=0.9)), ROLLED_BACK, "cpu-saturation-ratio", 85.0),
    Expectation(_s("crash", Fault(restarts=1)), ROLLED_BACK, "container-restarts", 85.0),
    Expectation(
        _s("errors 10 % from 80 s", Fault(error_rate=0.1, onset_s=80.0)),
        ROLLED_BACK, "errors-against-stable", 130.0, 25,
    ),
    Expectation(
        _s("errors 10 % from 230 s", Fault(error_rate=0.1, onset_s=230.0)),
        ROLLED_BACK, "errors-against-stable", 290.0,
    ),
    Expectation(
        _s("errors 10 % from 400 s", Fault(error_rate=0.1, onset_s=400.0)),
        ROLLED_BACK, "error-ratio",
    ),
    Expectation(_s("idle", rps=0.01), PAUSED, "", 700.0),
    Expectation(_s("6 requests/s", rps=6.0), PROMOTED, from_s=500.0),
    Expectation(_s("20 requests/s", rps=20.0), PROMOTED),
    Expectation(_s("late scrapes", weather=ScrapeNoise(discovery_s=20.0)), PROMOTED),
    Expectation(_s("Prometheus gone", prometheus_gone=True), ROLLED_BACK, "", 125.0),
    Expectation(_s("label missing", weather=ScrapeNoise(hashed=False)), PAUSED),
    Expectation(_s("first 4 s slow", Fault(warm_up_s=4.0)), PROMOTED),
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One broken copy; `equivalent` gives the reason why no release can tell it."""

    name: str
    edits: tuple[Edit, ...]
    equivalent: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a mutant was killed by, and what lint said; empty where nothing did."""

    mutant: Mutant
    killed_by: tuple[str, ...]
    linted: tuple[str, ...]


def mutants() -> tuple[Mutant, ...]:
    """Every mutant of `mutants.yaml`."""
    raw = yaml.safe_load(MUTANTS.read_text(encoding="utf-8"))
    return tuple(
        Mutant(m["name"], tuple(edits.read(e) for e in m["edits"]), m.get("equivalent", ""))
        for m in raw
    )


def try_all(
    documents: Sequence[Document], contract: Contract | None, chosen: Sequence[Mutant]
) -> Iterator[Verdict]:
    """Tries the mutants one by one.

    Raises:
        UsageError: if an edit no longer fits the manifests.
        MachineError: if Prometheus cannot be had.
    """
    for mutant in chosen:
        linted = findings_of(mutant, documents, contract)
        yield Verdict(mutant, tuple(complaints(edits.apply(documents, mutant.edits))), linted)


def findings_of(
    mutant: Mutant, documents: Sequence[Document], contract: Contract | None
) -> tuple[str, ...]:
    """The rules of lint that notice it and that the manifests as they are keep."""
    broken = edits.apply(documents, mutant.edits)
    known = {f.rule for f in check.lint(documents, contract).findings}
    said = {f.rule for f in check.lint(broken, contract).findings if _matters(f.severity)}
    return tuple(sorted(said - known))


def complaints(documents: Sequence[Document]) -> list[str]:
    """Every expectation that the manifests break, in a few words each; empty for good ones."""
    (release,) = releases.find(documents)
    first = release.stages[0].share if release.stages else 1.0
    found = [f"first step shows {first:.0%}"] if first > FIRST_SHARE else []
    trials = simulation.simulate(
        subject_of(release), [expectation.scenario for expectation in EXPECTATIONS], RELEASES
    )
    expectations = {expectation.scenario.name: expectation for expectation in EXPECTATIONS}
    found += [_complaint(expectations, trial, walk) for trial, walk in trials]
    return list(dict.fromkeys(text for text in found if text))


def endings(documents: Sequence[Document], replicas: int) -> dict[str, str]:
    """How each kind of release ends with so many replicas, by its name; ✗ where it should not."""
    counted = edits.Edit("Rollout", ("spec", "replicas"), replicas)
    ours = all(d.spec.get("replicas") == replicas for d in documents if d.kind == "Rollout")
    (release,) = releases.find(documents if ours else edits.apply(documents, [counted]))
    scenarios = [expectation.scenario for expectation in EXPECTATIONS]
    trials = simulation.simulate(subject_of(release), scenarios, 1)
    expectations = {expectation.scenario.name: expectation for expectation in EXPECTATIONS}
    return {
        trial.scenario.name: _ending(walk) + (" ✗" if _complaint(expectations, trial, walk) else "")
        for trial, walk in trials
    }


def _ending(walk: Walk) -> str:
    by = f" by {walk.tripped[0]}" if walk.tripped else ""
    return walk.outcome + (f"{by} at {walk.ended_s:.0f} s" if walk.outcome != PROMOTED else "")


def subject_of(release: Release) -> Subject:
    """What the simulation needs to know of a release."""
    return Subject(
        releases.walkable(release),
        container_of(release.rollout),
        cpu_limit_cores(release.rollout) or 1.0,
    )


def _complaint(expectations: dict[str, Expectation], trial: Trial, walk: Walk) -> str:
    return expectations[trial.scenario.name].broken_by(walk)


def _matters(severity: Severity) -> bool:
    return severity is not Severity.NOTE
