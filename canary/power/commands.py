"""What each command of `gates` does once its arguments are read. Imports late: lint is instant."""
# ruff: noqa: PLC0415 — numpy and scipy take longer to import than lint to run

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from canary.errors import UsageError
from canary.lint import check, documents, output
from canary.lint.contract import Contract, load

if TYPE_CHECKING:
    from canary.argo.gates import Document, Release
    from canary.power.monte_carlo import Study
    from canary.power.samples import Traffic

DEFAULT_PATH = "deploy/base"
DEFAULT_CONTRACT = "observability/contract.prom"


def run_lint(chosen: argparse.Namespace) -> int:
    """Findings; 1 if there are any that matter."""
    paths = chosen.path or [DEFAULT_PATH]
    report = check.lint(documents.read(paths), _contract(chosen))
    if not report.releases:
        raise _no_rollout(paths)
    say(output.queries(report) if chosen.queries else output.FORMATS[chosen.output](report))
    return 1 if report.faults else 0


def run_rules(_chosen: argparse.Namespace) -> int:
    """The catalogue of rules."""
    from canary.power import catalogue

    say(catalogue.render())
    return 0


def run_power(chosen: argparse.Namespace) -> int:
    """What the gates can see."""
    from canary.power import alternatives, power_curve

    traffic = _traffic(chosen)
    _, release = _release(chosen)
    study = _study(release, traffic, chosen.releases)
    if chosen.alternatives:
        standings = alternatives.compare(study)
        if not standings:
            raise UsageError(f"no gate of {release.rollout} reads errors", "there is none to ask")
        say(alternatives.table(standings))
        return 0
    if chosen.svg:
        from canary.power import page

        page.picture(_pictured(chosen, study, traffic), chosen.svg)
        print(f"gates: wrote {chosen.svg}", file=sys.stderr)  # noqa: T201 — not the output
        return 0
    power = power_curve.sweep(study, release.rollout.name)
    if chosen.html:
        from canary.power import page

        page.write(power, chosen.html)
        print(f"gates: wrote {chosen.html}", file=sys.stderr)  # noqa: T201 — not the output
    say(power_curve.FORMATS[chosen.output](power))
    return 0


def _pictured(
    chosen: argparse.Namespace, study: Study, traffic: Traffic
) -> list[tuple[str, Study]]:
    """What is drawn: the release, and beside it the one that it is compared with."""
    drawn = [(Path(chosen.path or DEFAULT_PATH).name, study)]
    if chosen.against:
        _, other = _release(chosen, chosen.against)
        drawn.append((Path(chosen.against).name, _study(other, traffic, chosen.releases)))
    return drawn


def run_plan(chosen: argparse.Namespace) -> int:
    """Pauses, windows and limits that would do; 1 if nothing would."""
    from canary.power import design

    traffic = _traffic(chosen)
    found, release = _release(chosen)
    kind, size = chosen.detect
    goal = design.Goal(kind, size, chosen.power, chosen.false_rollback)
    plan = design.plan(found, release, goal, traffic, _progress("plans"))
    text = design.table(plan, found)
    as_json = json.dumps(design.document(plan, found), indent=2)
    say(as_json if chosen.output == "json" else text)
    return 0 if plan.chosen else 1


def run_simulate(chosen: argparse.Namespace) -> int:
    """Releases of some faults through a real Prometheus."""
    from canary.power import faults, mutation, simulation, simulation_report

    traffic = _traffic(chosen)
    _, release = _release(chosen)
    scenarios = [faults.scenario(given, traffic) for given in chosen.fault or ["healthy"]]
    began = time.monotonic()
    results = simulation.simulate(
        mutation.subject_of(release), scenarios, chosen.releases, _progress("releases")
    )
    summary = simulation_report.summarise(release.rollout.name, results, time.monotonic() - began)
    say(simulation_report.FORMATS[chosen.output](summary))
    return 0


def run_mutate(chosen: argparse.Namespace) -> int:
    """Broken gates against every kind of release; 1 if one lives."""
    from canary.power import mutation, mutation_report

    paths = [chosen.path or DEFAULT_PATH]
    found, contract = documents.read(paths), _contract(chosen)
    wanted = [m for m in mutation.mutants() if chosen.only in m.name]
    if not wanted:
        raise UsageError(f"no mutant is called {chosen.only!r}", "see them all without --only")
    equivalent = [m for m in wanted if m.equivalent]
    if chosen.output == "table":
        say(mutation_report.introduction(equivalent))
    step = _progress("mutants")
    own = mutation.complaints(found)
    verdicts = []
    tried = [m for m in wanted if not m.equivalent]
    for verdict in mutation.try_all(found, contract, tried):
        verdicts.append(verdict)
        step(len(verdicts), len(tried))
    endings = {replicas: mutation.endings(found, replicas) for replicas in mutation.REPLICAS}
    result = mutation_report.Matrix(tuple(own), tuple(verdicts), tuple(equivalent), endings)
    say(mutation_report.FORMATS[chosen.output](result))
    return 0 if result.complete else 1


def say(text: str) -> None:
    """Prints a command's output."""
    print(text)  # noqa: T201 — what the program is for


def _contract(chosen: argparse.Namespace) -> Contract | None:
    """What the service exports: as given, or for this repository's own gates as saved."""
    own = not chosen.path and Path(DEFAULT_CONTRACT).is_file()
    source = chosen.contract or (DEFAULT_CONTRACT if own else None)
    return load(source) if source else None


def _release(
    chosen: argparse.Namespace, path: str | None = None
) -> tuple[tuple[Document, ...], Release]:
    from canary.argo import releases

    paths = [path or chosen.path or DEFAULT_PATH]
    found = documents.read(paths)
    named = [r for r in releases.find(found) if chosen.rollout in (None, r.rollout.name)]
    if not named:
        raise _no_rollout(paths)
    if len(named) > 1:
        names = ", ".join(r.rollout.name for r in named)
        raise UsageError(f"there are several Rollouts: {names}", "choose one with --rollout")
    for gate in named[0].gates:
        if gate.unresolved:
            raise UsageError(
                f"{gate.template} {gate.path}: argument {gate.unresolved[0]!r} has no value",
                "give it one; gates lint says more",
            )
    return found, named[0]


def _no_rollout(paths: list[str]) -> UsageError:
    return UsageError(f"{', '.join(paths)} holds no canary Rollout", "name manifests that hold one")


def _traffic(chosen: argparse.Namespace) -> Traffic:
    from canary.power import effect_sizes
    from canary.power.samples import Traffic

    measured = effect_sizes.of_rehearsal(chosen.rehearsal) if chosen.rehearsal else Traffic(100.0)
    given = dict(chosen.baseline)
    if chosen.rps is not None:
        given |= {"rps": chosen.rps}
    if chosen.overdispersion is not None:
        given |= {"overdispersion": chosen.overdispersion}
    return effect_sizes.changed(measured, given)


def _study(release: Release, traffic: Traffic, n: int) -> Study:
    from canary.argo import releases
    from canary.lint.rules import cpu_limit_cores
    from canary.power.monte_carlo import Study

    return Study(
        releases.walkable(release),
        traffic,
        cpu_limit=cpu_limit_cores(release.rollout) or 1.0,
        canary_tokens=release.canary_tokens,
        n=n,
    )


def _progress(what: str) -> Callable[[int, int], None]:
    """A line that rewrites itself, for people only."""
    if not sys.stderr.isatty():
        return lambda _done, _all: None

    def show(done: int, everything: int) -> None:
        end = "\n" if done == everything else ""
        print(f"\r{done} of {everything} {what}", end=end, file=sys.stderr, flush=True)  # noqa: T201 — progress

    return show
