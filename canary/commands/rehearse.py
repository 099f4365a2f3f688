"""`canary rehearse`: one release, from its manifests to its verdict.

Exit codes: 0 promoted, 1 rolled back by a gate or the progress deadline, 2 the input cannot be
used, 3 no verdict, 4 the harness or the machine is at fault, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from canary.argo import manifests
from canary.commands import options
from canary.errors import MachineError, UsageError
from canary.rehearse import (
    pull_request,
    release_pair,
    replay,
    report,
    result,
    runner,
    time_compression,
)
from canary.rehearse.cluster import ClusterGround, Shipping, refuse_manual_pauses
from canary.rehearse.config import Traffic
from canary.rehearse.fakes import check_faults
from canary.rehearse.local import LocalGround, Options
from canary.rehearse.rates import Rates
from canary.rehearse.release_pair import Sides
from canary.rehearse.result import Rehearsal
from canary.rehearse.view import View
from canary.runtime import kubectl, program

# A run leaves about 20 MB, most of it Prometheus's; PostgreSQL's folder takes 60 MB while it runs.
NEEDED_BYTES = 200_000_000

# Runs on any cluster without Azure.
DEFAULT_SCALE = {"local": 6.0, "cluster": 1.0}
CLUSTER_MANIFESTS = Path("deploy/overlays/local")

# What only one machine can do, and what is asked of a cluster alone.
LOCAL_ALONE = {"stable", "candidate", "port", "arg", "record", "rules"}
CLUSTER_ALONE = {"context", "url", "image"}

EPILOG = """\
faults (in the candidate's pods only; give --fault several times for several at once):
  errors=3%             this share of requests fails with a 500
  latency=400ms@10%     added to this share of requests (all of them without @)
  cpu=90%               the pod's total CPU, of its limit
  slow-start=20s        ready only after this time
  crash=500             the pod dies after so many requests

exit codes:
  0 promoted   1 rolled back by a gate or the progress deadline   2 the input cannot be used
  3 no verdict: paused inconclusive, or not measured   4 the harness or the machine is at fault
  130 interrupted   (`make rehearse` turns every one but 0 into its own 2: CI calls this program)

examples:
  canary rehearse                            a healthy release, in about a minute and a half
  canary rehearse --fault errors=3%          a faulty one: rolled back at the first step
  canary rehearse --time-scale 1             in real time, at the traffic the gates are made for
  canary rehearse --stable main --candidate fix-42
                                             one branch released over another
  canary rehearse --stable main              this working tree released over main

Each run leaves result.json, report.html, report.md and junit.xml in out/rehearsals/<id>, and
out/rehearsals/latest points at the newest.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, its gates, how it is run, and where."""
    group = parser.add_argument_group("the release")
    options.fault(group, "make the candidate a faulty release")
    group.add_argument(
        "--stable",
        metavar="REF",
        help="git reference of the release that users have (this checkout; main with --candidate)",
    )
    group.add_argument(
        "--candidate",
        metavar="REF",
        help="git reference of the release to try (this checkout, with what is not committed yet)",
    )
    options.config(group)
    group = parser.add_argument_group("its gates")
    options.kustomization(group)
    options.arg(group)
    _add_run(parser.add_argument_group("the run"))
    _add_cluster(
        parser.add_argument_group(
            "on a cluster",
            "The release is shipped to a real Kubernetes, and its own Argo Rollouts runs it in "
            "real time. deploy/README.md says how to get one.",
        )
    )


def _add_run(group: options.Container) -> None:
    group.add_argument(
        "--time-scale",
        type=time_compression.factor,
        metavar="N",
        help="how much faster than real time the steps go (6; on a cluster 1)",
    )
    options.rate(group, "that users send (what the gates need at this scale)")
    group.add_argument(
        "--without",
        choices=("traffic", "prometheus"),
        action="append",
        default=[],
        help="send no requests, or kill Prometheus halfway through the first pause",
    )
    group.add_argument(
        "--rules",
        type=Path,
        metavar="DIR",
        help="rule files that the run's Prometheus evaluates too, such as observability/rules",
    )
    group.add_argument(
        "--out", type=Path, default=Path("out/rehearsals"), metavar="DIR", help="(out/rehearsals)"
    )
    group.add_argument(
        "--record", type=Path, metavar="FILE", help="keep the run's Prometheus data, as one file"
    )
    options.port(group, None, "the gateway's port (any free one)")


def _add_cluster(group: options.Container) -> None:
    group.add_argument("--target", choices=("local", "cluster"), default="local", help="(local)")
    group.add_argument(
        "--context", metavar="NAME", help="kube context (the current one, unless it is production)"
    )
    group.add_argument(
        "--url",
        type=program.address,
        metavar="URL",
        help="the gateway's address (a port-forward to it)",
    )
    group.add_argument("--image", metavar="REF", help="the candidate's image (the overlay's)")


def run(chosen: argparse.Namespace) -> int:
    """Runs one rehearsal."""
    _refuse_contradictions(chosen)
    if chosen.target == "cluster":
        chosen.manifests = chosen.manifests or CLUSTER_MANIFESTS
    chosen.time_scale = chosen.time_scale or DEFAULT_SCALE[chosen.target]
    if chosen.rules is not None and not any(chosen.rules.rglob("*.yaml")):
        raise UsageError(f"{chosen.rules} holds no rule file", "name a folder of rules, *.yaml")
    chosen_sides = release_pair.choose(
        chosen.stable, chosen.candidate, chosen.config, chosen.manifests, options.remark
    )
    what = _plan(chosen, chosen_sides)
    what, folder = _make(chosen.out, what)
    try:
        ground = _ground(chosen, what, chosen_sides.traffic_file, folder)
    except BaseException:
        folder.rmdir()  # nothing was rehearsed
        raise
    release = _title(what)
    view = View(f"rehearsing {what.rollout.name} · {release} · ×{what.time_scale:g}", what.scaled)
    with view:
        run = runner.rehearse(ground, view.watch)
    document = result.build(what, ground, run)
    file = result.write(document, folder)
    page = report.write(document, folder / "report.html")
    pull_request.write(document, folder)
    if chosen.record:
        replay.pack(folder, chosen.record)
    said = document["verdict"]
    view.conclude(_lines(document, file, page), said["headline"], said["exit_code"])
    return int(said["exit_code"])


def _ground(
    chosen: argparse.Namespace, what: Rehearsal, traffic_file: Path, folder: Path
) -> LocalGround | ClusterGround:
    locustfile = (chosen.config or release_pair.CONFIG).with_name("locustfile.py")
    without_traffic = "traffic" in chosen.without
    if chosen.target == "cluster":
        check_faults(what.candidate.config.faults, what.faults, what.candidate.programs)
        refuse_manual_pauses(what.rollout)
        shipping = Shipping(
            rate=what.rate,
            faults=what.faults,
            time_scale=what.time_scale,
            image=chosen.image or "",
            url=chosen.url or "",
            without_traffic=without_traffic,
        )
        return ClusterGround(
            kubectl.connect(chosen.context),
            what.bundle,
            what.config,
            what.scaled,
            traffic_file,
            locustfile,
            shipping,
            folder,
        )
    how = Options(
        rates=Rates(what.rate, what.least_rate),
        time_scale=what.time_scale,
        faults=what.faults,
        port=chosen.port,
        without_traffic=without_traffic,
        without_prometheus="prometheus" in chosen.without,
        rules=chosen.rules,
    )
    return LocalGround(
        what.stable, what.candidate, what.scaled, traffic_file, locustfile, how, folder
    )


def _refuse_contradictions(chosen: argparse.Namespace) -> None:
    """Options that mean nothing beside each other.

    Raises:
        UsageError: if some were given: an option that is passed over in silence misleads.
    """
    given = {name for name, value in vars(chosen).items() if value not in (None, [])}

    def refuse(names: set[str], why: str, remedy: str) -> None:
        if wrong := sorted(given & names):
            named = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
            raise UsageError(f"{named} {why}", remedy)

    if chosen.target == "cluster":
        refuse(LOCAL_ALONE, "cannot be had on a cluster", "name the candidate by --image")
        if "prometheus" in chosen.without:
            raise UsageError("--without prometheus cannot be had on a cluster", "leave it out")
    else:
        refuse(CLUSTER_ALONE, "is for a cluster", "add --target cluster, or leave it out")
    if "traffic" in chosen.without:
        refuse({"rate"}, "contradicts --without traffic", "give one of the two")
    if not all(word.strip() for fault in chosen.fault for word in fault.split(",")):
        raise UsageError("a --fault holds no word", "leave it out for a healthy release")


def _plan(chosen: argparse.Namespace, two: Sides) -> Rehearsal:
    """What is to be rehearsed, and how, from the arguments and the files they name."""
    rollout = manifests.rollout(two.candidate.bundle, dict(chosen.arg))
    traffic = two.stable.config.traffic
    rate, least = (
        time_compression.requests_per_second(
            rollout, traffic.requests_per_second, per_look, chosen.time_scale
        )
        for per_look in (traffic.canary_requests_per_look, _least_per_look(traffic))
    )
    if chosen.rate:
        # What a caller names is sent, or nothing is.
        rate = least = chosen.rate
    return Rehearsal(
        id=_name(chosen.fault, two),
        command=shlex.join(["canary", *chosen.given]),
        stable=two.stable,
        candidate=two.candidate,
        rollout=rollout,
        scaled=time_compression.scale(rollout, chosen.time_scale),
        time_scale=chosen.time_scale,
        faults=tuple(chosen.fault),
        rate=0.0 if "traffic" in chosen.without else rate,
        least_rate=least,
    )


def _least_per_look(traffic: Traffic) -> float:
    least = traffic.least_canary_requests_per_look
    return traffic.canary_requests_per_look if least is None else least


def _lines(document: dict[str, Any], file: Path, page: Path) -> list[tuple[str, str]]:
    """What stands below the verdict."""
    said, traffic, budget = document["verdict"], document["traffic"], document["budget"]
    lines = [("Rollout", f"{said['rollout_phase']}  {said['rollout_message']}")]
    if said["gate"]:
        gate = said["gate"]
        control = "" if gate["control"] is None else f"; the stable release: {gate['control']:.4g}"
        lines.append(("gate", f"{gate['name']}{control}"))
        lines.append(("seen", f"{said['requests_seen']} canary requests in the look's window"))
    if said["decided_after_s"] is not None:
        lines.append(("decided after", f"{said['decided_after_s']:.1f} s"))
    if said["last_canary_response_after_s"] is not None and said["exit_code"] == 1:
        lines.append(("last bad response", f"{said['last_canary_response_after_s']:.1f} s"))
    lines += [
        (
            "users",
            f"{traffic['requests']} requests, {traffic['failed']} failed, {traffic['lost']} lost",
        ),
        (
            "error budget",
            f"{budget['spent_unscaled_requests']:.0f} of {budget['monthly_budget']} requests a "
            f"month ({budget['spent_share']:.3%}), unscaled",
        ),
        ("machine", _machine(document["machine"])),
        ("torn down", ", ".join(document["torn_down"])),
        ("report", str(page)),
        ("pull request", f"{page.with_name('report.md')}, {page.with_name('junit.xml')}"),
        ("result", str(file)),
    ]
    return lines


def _machine(machine: dict[str, Any]) -> str:
    """What the run cost and how well the machine kept up, on one line."""
    spent = sorted(machine["cpu_seconds"].items(), key=lambda item: -item[1])
    parts = ", ".join(f"{program} {seconds:.0f}" for program, seconds in spent if seconds >= 1)
    trouble = f"; {machine['because']}" if machine["because"] else ""
    return (
        f"{machine['cpu_seconds_total']:.0f} CPU-seconds ({parts}), "
        f"{machine['cpu_busy_share']:.0%} busy, "
        f"harness {machine['harness_lag_p99_ms']:.0f} ms late (p99), "
        f"{machine['scrapes_lost']} of {machine['scrapes']} scrapes lost{trouble}"
    )


def _title(what: Rehearsal) -> str:
    """The release in a few words."""
    fault = ", ".join(what.faults)
    if not what.candidate.commit:
        return fault or "a healthy release"
    return f"{what.candidate} over {what.stable}" + (f" with {fault}" if fault else "")


def _name(faults: Sequence[str], two: Sides) -> str:
    """A run's name: when it began, and what was released or is wrong with it."""
    reference = [two.candidate.name] if two.candidate.commit else []
    words = "-".join([*reference, *faults]).replace("%", "pct") or "healthy"
    slug = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{slug}"


def _make(out: Path, what: Rehearsal) -> tuple[Rehearsal, Path]:
    """Makes the run's folder; what began within the same second is told apart by a number.

    Raises:
        MachineError: if there is too little disk space for a run.
    """
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < NEEDED_BYTES:
        raise MachineError(
            f"{out} has {free // 1_000_000} MB free and a run needs {NEEDED_BYTES // 1_000_000}",
            "free some, or choose another folder with --out",
        )
    names = itertools.chain([what.id], (f"{what.id}-{number}" for number in itertools.count(2)))
    for name in names:
        with contextlib.suppress(FileExistsError):
            (out / name).mkdir()
            return replace(what, id=name), out / name
    raise AssertionError("there is always another number")
