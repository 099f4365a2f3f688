"""Do lint and the gates' own releases notice a broken gate? Broken manifests, each tried on both.

What ours must do with each kind of release is stated here once, in `EXPECTATIONS`. A mutant that
`canary lint` accuses is noticed; any other is released, through the real query engine, until a
release ends otherwise. What is left is noticed only beside the manifests as they are, as
`canary lint --baseline` compares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from canary.argo import promql, releases
from canary.argo.gates import Release, Severity
from canary.argo.virtual_rollout import PAUSED, PROMOTED, ROLLED_BACK, VirtualRollout
from canary.lint import check, looser
from canary.lint.contract import Contract
from canary.lint.pods import container_of, cpu_limit_cores
from canary.power import edits, exporters, simulation
from canary.power.mutants import Mutant
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Recordings, Scenario, Subject, Trial
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


def _s(
    name: str,
    fault: Fault | None = None,
    rps: float = 100.0,
    error_rate: float = 0.001,
    routes: tuple[float, ...] = ROUTES,
    **more: Any,
) -> Scenario:
    traffic = Traffic(rps, error_rate=error_rate, routes=routes)
    return Scenario(name, fault or Fault(), traffic, **more)


# Deadlines leave 25 s for pods to become ready and for the measurement itself.
EXPECTATIONS = (
    Expectation(_s("healthy"), PROMOTED),
    Expectation(_s("errors 0.5 %", Fault(error_rate=0.005)), PROMOTED),
    Expectation(
        _s("errors 0.45 %, 300 requests/s", Fault(error_rate=0.0045), rps=300.0), PROMOTED
    ),
    Expectation(_s("errors 1 %", Fault(error_rate=0.01)), ROLLED_BACK, "errors-against-stable"),
    Expectation(_s("errors 1.5 %", Fault(error_rate=0.015)), ROLLED_BACK, "errors-against-stable"),
    Expectation(_s("errors 2 %", Fault(error_rate=0.02)), ROLLED_BACK, "errors-against-stable"),
    Expectation(_s("errors 3 %", Fault(error_rate=0.03)), ROLLED_BACK, "errors-against-stable"),
    Expectation(_s("errors 10 %", Fault(error_rate=0.1)), ROLLED_BACK, "", 45.0),
    Expectation(_s("a route", Fault(route_broken=True)), ROLLED_BACK, "route-errors", 150.0),
    Expectation(
        _s("errors 1.5 % beside 0.5 %", Fault(error_rate=0.015), error_rate=0.005),
        ROLLED_BACK, "errors-against-stable",
    ),
    Expectation(
        _s("10 % fail in a pod's first 5 s", Fault(failing_s=5.0), rps=300.0, routes=(0.5, 0.5)),
        ROLLED_BACK, "errors-against-stable", 45.0,
    ),
    Expectation(_s("an outage of 2 s", Fault(outage_s=2.0)), PROMOTED),
    Expectation(_s("both fail 0.8 %", error_rate=0.008), PROMOTED),
    # Of 24 releases: after 55 to 126 s, by when five of six ratios happen to be beyond the limit.
    Expectation(_s("both fail 5 %", error_rate=0.05), ROLLED_BACK, "error-ratio", 150.0),
    # A share of a tenth meets the hundred requests that the ratio wants at least in 50 s.
    Expectation(
        _s("both fail 20 %, 20 requests/s", rps=20.0, error_rate=0.2),
        ROLLED_BACK, "error-ratio", 150.0,
    ),
    Expectation(_s("slow 4 %, 20 requests/s", Fault(slow_share=0.04), rps=20.0), PROMOTED),
    Expectation(_s("p95 of 50 ms", Fault(slow_share=1.0, slow_s=0.03)), PROMOTED),
    Expectation(
        _s("slow 10 % from 80 s", Fault(slow_share=0.1, onset_s=80.0)),
        ROLLED_BACK, "p95-latency-seconds", 290.0, 25,
    ),
    Expectation(
        _s("slow 10 % from 230 s", Fault(slow_share=0.1, onset_s=230.0)),
        ROLLED_BACK, "p95-latency-seconds", most_weight=50,
    ),
    Expectation(_s("slow 2 %", Fault(slow_share=0.02)), PROMOTED),
    Expectation(_s("slow 10 %", Fault(slow_share=0.1)), ROLLED_BACK, "p95-latency-seconds", 85.0),
    Expectation(_s("CPU 40 %", Fault(cpu=0.4)), PROMOTED),
    Expectation(_s("CPU 95 % in a third of the pods", Fault(third_cpu=0.95)), PROMOTED),
    Expectation(_s("CPU 90 %", Fault(cpu=0.9)), ROLLED_BACK, "cpu-saturation-ratio", 85.0),
    Expectation(_s("crash", Fault(restarts=1)), ROLLED_BACK, "container-restarts", 85.0),
    Expectation(
        _s("crash before it is scraped", Fault(restarts=1, crash_s=-1.0)),
        ROLLED_BACK, "container-restarts", 60.0,
    ),
    Expectation(_s("a proxy in its pods crashes", Fault(proxy_restarts=1)), PROMOTED),
    Expectation(_s("never ready", never_ready=True), ROLLED_BACK, "", 150.0),
    Expectation(
        _s("150 ms slower on 20 %", Fault(slow_share=0.2, slow_s=0.17)),
        ROLLED_BACK, "p95-against-stable", 85.0,
    ),
    Expectation(
        _s("60 % never answered", Fault(lost_share=0.6)),
        ROLLED_BACK, "requests-against-stable", 150.0,
    ),
    Expectation(_s("2 % refused", Fault(refused_share=0.02)), PROMOTED),
    Expectation(
        _s("10 % refused", Fault(refused_share=0.1)),
        ROLLED_BACK, "client-errors-against-stable", 85.0,
    ),
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
    ended: dict[str, list[VirtualRollout]] = {}
    for trial, virtual_run in simulation.simulate(
        subject_of(release), _KINDS, RELEASES, recordings=recordings
    ):
        ended.setdefault(trial.scenario.name, []).append(virtual_run)
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


def _complaints(
    trials: Sequence[tuple[Trial, VirtualRollout]], expected: Sequence[Expectation]
) -> list[str]:
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
