"""The `rehearse` program.

Exit codes: 0 promoted, 1 rolled back by a gate or the progress deadline, 2 the input cannot be
used, 3 no verdict, 4 the harness or the machine is at fault, 130 interrupted.
"""

from __future__ import annotations

import argparse
import math
import re
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rehearsal import (
    kubectl,
    plan,
    pullrequest,
    replaying,
    report,
    result,
    runner,
    sides,
    timescale,
)
from rehearsal.cluster import ClusterGround, Shipping, refuse_manual_pauses
from rehearsal.config import Traffic
from rehearsal.errors import MachineError, RehearsalError, UsageError
from rehearsal.local import LocalGround, Options
from rehearsal.rates import Rates
from rehearsal.result import Rehearsal
from rehearsal.sides import Sides
from rehearsal.standins import check_faults
from rehearsal.verdict import Outcome
from rehearsal.view import View

# A run leaves about 20 MB, most of it Prometheus's; PostgreSQL's folder takes 60 MB while it runs.
NEEDED_BYTES = 200_000_000

# Runs on any cluster without Azure.
DEFAULT_SCALE = {"local": 6.0, "cluster": 1.0}
CLUSTER_MANIFESTS = Path("deploy/overlays/local")

ENDING = (signal.SIGINT, signal.SIGTERM)

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
  rehearse                                   a healthy release, in about a minute and a half
  rehearse --fault errors=3%                 a bad one: rolled back at the first step
  rehearse --time-scale 1                    in real time, at the traffic the gates are made for
  rehearse --stable main --candidate fix-42  one branch released over another
  rehearse --stable main                     this working tree released over main
  rehearse --replay out/rehearsals/latest --arg window=2m
                                             would other gates have caught it?
  rehearse serve --port 8000                 one pod of it to try by hand, with a database

Each run leaves result.json, report.html, report.md and junit.xml in out/rehearsals/<id>, and
out/rehearsals/latest points at the newest.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one rehearsal, or one pod; every failure is one line on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for number in ENDING:
        signal.signal(number, _interrupt)
    try:
        if given[:1] == ["serve"]:
            return _serve(_serve_parser().parse_args(given[1:]))
        chosen = _parser().parse_args(given)
        return _replay(chosen) if chosen.replay else _rehearse(chosen, given)
    except RehearsalError as failed:
        return _fail(str(failed), failed.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", Outcome.INTERRUPTED.exit_code)
    except OSError as failed:
        return _fail(f"{failed} — is the disk full or the folder not writable?", 4)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rehearse",
        description="Run the shipped canary, its pods and its gates on real traffic on this "
        "machine, and say promote or roll back, and why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_config(parser)
    _add_release(parser)
    _add_gates(parser)
    _add_run(parser)
    _add_cluster(parser)
    return parser


def _add_release(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the release")
    group.add_argument(
        "--fault", action="append", default=[], metavar="F", help="make the candidate a bad release"
    )
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


def _add_gates(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("its gates")
    group.add_argument(
        "--manifests", type=Path, metavar="DIR", help="kustomization to rehearse (deploy/base)"
    )
    group.add_argument(
        "--arg",
        type=_argument,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the gates instead of the manifests' own, such as window=2m",
    )
    group.add_argument(
        "--replay",
        type=Path,
        metavar="RUN",
        help="judge a run of before (its folder, or what --record wrote); nothing is run",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the run")
    group.add_argument(
        "--time-scale",
        type=_positive,
        metavar="N",
        help="how much faster than real time the steps go (6; on a cluster 1)",
    )
    group.add_argument(
        "--rate",
        type=_rate,
        metavar="N",
        help="requests a second that users send (what the gates need at this scale)",
    )
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
    group.add_argument("--port", type=int, metavar="N", help="the gateway's port (any free one)")


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "on a cluster",
        "The release is shipped to a real Kubernetes, and its own Argo Rollouts walks it in real "
        "time. deploy/README.md says how to get one.",
    )
    group.add_argument("--ground", choices=("local", "cluster"), default="local", help="(local)")
    group.add_argument(
        "--context", metavar="NAME", help="kube context (the current one, unless it is production)"
    )
    group.add_argument(
        "--url", default="", metavar="URL", help="the gateway's address (a port-forward to it)"
    )
    group.add_argument(
        "--image", default="", metavar="REF", help="the candidate's image (the overlay's)"
    )


def _serve_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rehearse serve",
        description="Run one pod of the manifests on this machine, with a database and what "
        "rehearsal.yaml prepares, until Ctrl-C.",
    )
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="(8000)")
    parser.add_argument("--manifests", type=Path, metavar="DIR", help="(deploy/base)")
    _add_config(parser)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"what stands in for images, secrets and users ({sides.CONFIG})",
    )


def _rehearse(chosen: argparse.Namespace, given: Sequence[str]) -> int:
    if chosen.ground == "cluster":
        _refuse_on_cluster(chosen)
        chosen.manifests = chosen.manifests or CLUSTER_MANIFESTS
    chosen.time_scale = chosen.time_scale or DEFAULT_SCALE[chosen.ground]
    chosen_sides = sides.choose(
        chosen.stable, chosen.candidate, chosen.config, chosen.manifests, _say
    )
    what = _plan(chosen, given, chosen_sides)
    folder = chosen.out / what.id
    ground = _ground(chosen, what, chosen_sides.traffic_file, folder)
    _make(folder)
    release = _title(what)
    view = View(f"rehearsing {what.rollout.name} · {release} · ×{what.time_scale:g}", what.scaled)
    try:
        with view:
            run = runner.rehearse(ground, view.watch)
        document = result.build(what, ground, run)
    except Exception:  # noqa: BLE001 — the last line of defence: a user sees no traceback
        return _report_bug(folder)
    file = result.write(document, folder)
    page = report.write(document, folder / "report.html")
    pullrequest.write(document, folder)
    if chosen.record:
        replaying.pack(folder, chosen.record)
    said = document["verdict"]
    view.conclude(_lines(document, file, page), said["headline"], said["exit_code"])
    return int(said["exit_code"])


def _ground(
    chosen: argparse.Namespace, what: Rehearsal, traffic_file: Path, folder: Path
) -> LocalGround | ClusterGround:
    locustfile = (chosen.config or sides.CONFIG).with_name("locustfile.py")
    without_traffic = "traffic" in chosen.without
    if chosen.ground == "cluster":
        check_faults(what.candidate, what.faults)
        refuse_manual_pauses(what.rollout)
        shipping = Shipping(
            rate=what.rate,
            faults=what.faults,
            time_scale=what.time_scale,
            image=chosen.image,
            url=chosen.url,
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
    options = Options(
        rates=Rates(what.rate, what.least_rate),
        time_scale=what.time_scale,
        faults=what.faults,
        port=chosen.port,
        without_traffic=without_traffic,
        without_prometheus="prometheus" in chosen.without,
        rules=chosen.rules,
    )
    return LocalGround(
        what.stable, what.candidate, what.scaled, traffic_file, locustfile, options, folder
    )


def _refuse_on_cluster(chosen: argparse.Namespace) -> None:
    """What only one machine can do.

    Raises:
        UsageError: if it was asked for.
    """
    asked = {
        "--stable": chosen.stable,
        "--candidate": chosen.candidate,
        "--port": chosen.port,
        "--arg": chosen.arg,
        "--record": chosen.record,
        "--without prometheus": "prometheus" in chosen.without,
    }
    if wrong := [name for name, value in asked.items() if value]:
        raise UsageError(
            f"{', '.join(wrong)} cannot be had on a cluster", "name the candidate by --image"
        )


def _plan(chosen: argparse.Namespace, given: Sequence[str], two: Sides) -> Rehearsal:
    """What is to be rehearsed, and how, from the arguments and the files they name."""
    rollout = plan.rollout(two.candidate.bundle, dict(chosen.arg))
    traffic = two.stable.config.traffic
    rate, least = (
        timescale.requests_per_second(
            rollout, traffic.requests_per_second, per_look, chosen.time_scale
        )
        for per_look in (traffic.canary_requests_per_look, _least_per_look(traffic))
    )
    if chosen.rate:
        # What a caller names is sent, or nothing is.
        rate = least = chosen.rate
    return Rehearsal(
        id=_name(chosen.fault, two),
        command=shlex.join(["rehearse", *given]),
        stable=two.stable,
        candidate=two.candidate,
        rollout=rollout,
        scaled=timescale.scale(rollout, chosen.time_scale),
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


def _replay(chosen: argparse.Namespace) -> int:
    """Judges a recorded run by other gates."""
    two = sides.choose(None, None, chosen.config, chosen.manifests, _say)
    rollout = plan.rollout(two.candidate.bundle, dict(chosen.arg))
    with replaying.opened(chosen.replay) as recording:
        scaled = timescale.scale(rollout, recording.time_scale)
        judged = replaying.replay(recording, scaled)
        said = replaying.decide(recording, judged)
        print(replaying.table(recording, judged))  # noqa: T201 — what was asked for
        print(f"\nrecorded: {recording.document['verdict']['headline']}")  # noqa: T201 — same
        print(f"these gates, after {judged.last.at_s:.0f} s: {said.headline}")  # noqa: T201 — same
    return said.outcome.exit_code


def _serve(chosen: argparse.Namespace) -> int:
    from rehearsal import serving  # noqa: PLC0415 — only this command needs it

    own = sides.choose(None, None, chosen.config, chosen.manifests, _say)
    return serving.serve(own.candidate, chosen.port)


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


def _make(folder: Path) -> None:
    """Makes the run's folder.

    Raises:
        MachineError: if there is too little disk space for a run.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if free < NEEDED_BYTES:
        raise MachineError(
            f"{folder.parent} has {free // 1_000_000} MB free and a run needs "
            f"{NEEDED_BYTES // 1_000_000}",
            "free some, or choose another folder with --out",
        )
    folder.mkdir()


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 60:  # noqa: PLR2004 — beyond it a step is shorter than a second
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 60")
    return value


def _report_bug(folder: Path) -> int:
    """A fault of ours: the traceback goes to a file, a line to the user."""
    log = folder / "harness.log"
    log.write_text(traceback.format_exc(), encoding="utf-8")
    return _fail(f"the harness itself failed — please report {log}", 4)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Either signal ends a rehearsal once: a second one must not stop the tearing down."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"rehearse: {text}", file=sys.stderr, flush=True)  # noqa: T201 — what takes long


def _fail(message: str, code: int) -> int:
    print(f"rehearse: {message}", file=sys.stderr)  # noqa: T201 — a program's error
    return code
