"""What each command of `loadtest` does, from chosen options to an exit code."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime

from openarrivals import shapes
from openarrivals.schedule import Plan

from canary.errors import UsageError
from loadtesting import baseline, capacity, comparison, limits, monitoring, output, page, result
from loadtesting import profiles as catalogue
from loadtesting import run as running
from loadtesting.capacity import Probe
from loadtesting.generator import Generator, Setup
from loadtesting.metrics import Metrics
from loadtesting.model import Kind, Limits, Profile, Verdict
from loadtesting.profiles import Overrides
from loadtesting.run import Done, Sources
from loadtesting.view import LiveLine

MIN_PROBE_S = 10.0


def run(chosen: argparse.Namespace) -> int:
    """`loadtest run`."""
    read = limits.read(chosen.manifests, chosen.config)
    profile = _profile(chosen, read)
    if chosen.prometheus is None and (asked := set(profile.judges) & monitoring.ASKED):
        say(f"no --prometheus: {', '.join(asked)} will be INCONCLUSIVE, whatever comes")
    setup = running.prepare(_setup(chosen, profile))
    if setup.key_file is None:
        say("no --api-key-file: nothing is posted, the reads get the meters' share")
    metrics = Metrics()
    if chosen.metrics_port:
        metrics.serve(chosen.metrics_port, chosen.metrics_address)
    if profile.kind is Kind.CAPACITY:
        return _search(chosen, read, profile, setup, metrics)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{profile.name}"
    done = _execute(chosen, read, profile, setup, metrics, name)
    return _report(chosen, read, profile, setup, done, name)


def compare(chosen: argparse.Namespace) -> int:
    """`loadtest compare`."""
    if len(chosen.results) > 2:  # noqa: PLR2004 — two sides
        raise UsageError(f"{len(chosen.results)} results were given", "name one or two")
    second = result.read(chosen.results[-1])
    if len(chosen.results) == 1:
        first, where = baseline.find(chosen.out / "baselines", second["profile"]["name"])
        say(f"compared with {where}")
    else:
        first = result.read(chosen.results[0])
    compared = comparison.compare(first, second)
    if chosen.output == "json":
        say(json.dumps(asdict(compared), indent=1))
    elif chosen.output == "markdown":
        say(comparison.markdown(compared))
    else:
        say(f"{compared.headline}\n{comparison.table(compared)}")
    return compared.result.exit_code


def profiles(chosen: argparse.Namespace) -> int:
    """`loadtest profiles`."""
    read = limits.read(chosen.manifests, chosen.config)
    found = list(catalogue.catalogue(read, _overrides(chosen)).values())
    if chosen.output == "json":
        say(json.dumps([{**asdict(p), "shape": str(p.shape)} for p in found], indent=1))
        return 0
    say(f"limits from {read.source}: errors < {100 * read.max_error_ratio:.3g} %, "
        f"p{read.quantile * 100:g} < {read.max_latency_s * 1000:g} ms, CPU < "
        f"{100 * read.max_cpu_saturation:g} %, at least {read.min_requests} requests; "
        f"objective {100 * read.objective:g} %\n")  # fmt: skip
    say(f"{'profile':<14}{'verdict':<14}{'needs':>9}  {'load':<38}fault for a rehearsal")
    for profile in found:
        verdict = profile.expected if profile.gate else ""
        say(f"{profile.name:<14}{verdict:<14}{profile.needed or '':>9}  {profile.shape!s:<38}"
            f"{profile.fault}\n{'':<14}{profile.purpose}")  # fmt: skip
    return 0


def _overrides(chosen: argparse.Namespace) -> Overrides:
    return Overrides(chosen.rate or catalogue.RATE, chosen.pair, chosen.seed, chosen.seconds)


def _profile(chosen: argparse.Namespace, read: Limits) -> Profile:
    profile = catalogue.find(chosen.profile, read, _overrides(chosen))
    if not chosen.shape:
        return profile
    try:
        return replace(profile, shape=shapes.parse(chosen.shape))
    except ValueError as wrong:
        raise UsageError(f"--shape: {wrong}") from None


def _setup(chosen: argparse.Namespace, profile: Profile) -> Setup:
    for file in (chosen.api_key_file, chosen.ca_file):
        if file is not None and not file.is_file():
            raise UsageError(f"{file} does not exist", "name a file with the key, or with the CA")
    if chosen.closed and (chosen.processes > 1 or chosen.expect_workers):
        raise UsageError("closed users run in one process", "leave out --closed, or the workers")
    return Setup(
        host=chosen.host.rstrip("/"),
        plan=Plan(profile.shape, chosen.spacing, chosen.seed, chosen.max_queue_time),
        users=chosen.users or running.users_for(profile.shape.peak),
        processes=chosen.processes,
        workers=chosen.expect_workers,
        key_file=chosen.api_key_file,
        ca_file=chosen.ca_file,
        closed=chosen.closed,
    )


def _execute(
    chosen: argparse.Namespace,
    read: Limits,
    profile: Profile,
    setup: Setup,
    metrics: Metrics,
    name: str,
) -> Done:
    """One run of the generator, with its live line."""
    sources = Sources(tuple(chosen.service_metrics), chosen.prometheus, chosen.pod_hash)
    generator = Generator(chosen.out / name, setup, name)
    planned = sum(1 for _ in setup.plan.due())
    line = LiveLine(setup.plan.shape.seconds, planned)
    try:
        return running.execute(
            generator,
            profile,
            read,
            sources,
            line.show,
            metrics,
            stop_when_certain=not chosen.no_early_stop,
        )
    finally:
        line.end()


def _report(
    chosen: argparse.Namespace,
    read: Limits,
    profile: Profile,
    setup: Setup,
    done: Done,
    name: str,
) -> int:
    folder = chosen.out / name
    head = done.head(setup, id=name)
    document = result.build(head, profile, read, done.measured, done.verdict)
    file = result.write(document, folder)
    output.write(document, folder)
    shown = page.write(document, folder / "report.html")
    _conclude(done.verdict, output.lines(document))
    if not done.facts.complete:
        say(f"  stopped      after {done.seconds:.0f} s: the limit can no longer be met")
    say(f"  report       {shown}\n  result       {file}")
    if chosen.keep_baseline:
        say(f"  baseline     {baseline.keep(file, chosen.out / 'baselines', profile.name)}")
    return done.verdict.result.exit_code


def _search(
    chosen: argparse.Namespace, read: Limits, profile: Profile, setup: Setup, metrics: Metrics
) -> int:
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-capacity"
    seconds = chosen.seconds or MIN_PROBE_S
    count = 0

    def ask(rate: float) -> Probe:
        nonlocal count
        count += 1
        plan = replace(setup.plan, shape=shapes.constant(round(rate, 1), seconds))
        probe_setup = replace(setup, plan=plan, users=chosen.users or running.users_for(rate))
        done = _execute(chosen, read, profile, probe_setup, metrics, f"{name}/{count}")
        probe = replace(capacity.weigh(done, read), rate=round(rate, 1))
        word = {True: "holds", False: "breaks", None: "generator"}[probe.held]
        say(f"  {probe.rate:>8.1f}/s  {word:<10}{probe.reason}")
        return probe

    found = capacity.search(ask, chosen.rate or capacity.FIRST_RATE)
    _conclude(Verdict(found.result, found.headline), [])
    document = {"schema": "capacity-1", "headline": found.headline, **asdict(found)}
    path = chosen.out / name / "capacity.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    say(f"  result       {path}")
    return found.result.exit_code


def _conclude(verdict: Verdict, below: list[str]) -> None:
    say(f"{verdict.result}: {verdict.headline}")
    for line in below:
        say(line)


def say(text: str) -> None:
    """Prints what the user asked for."""
    print(text, flush=True)  # noqa: T201 — a program's answer
