"""The `rehearse` program.

Exit codes: 0 promoted, 1 rolled back by a gate or the progress deadline, 2 could not be measured
(or the input cannot be used), 3 paused inconclusive, 4 the harness or the machine is at fault.
"""

from __future__ import annotations

import argparse
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

from rehearsal import config as configuration
from rehearsal import manifests, plan, report, result, runner, timescale
from rehearsal.errors import MachineError, RehearsalError
from rehearsal.local import LocalGround, Options
from rehearsal.result import Rehearsal
from rehearsal.verdict import Outcome
from rehearsal.view import View

# A run leaves about 20 MB, most of it Prometheus's; PostgreSQL's folder takes 60 MB while it runs.
NEEDED_BYTES = 200_000_000

ENDING = (signal.SIGINT, signal.SIGTERM)

EPILOG = """\
faults (in the candidate's pods only; give --fault several times for several at once):
  errors=3%             this share of requests fails with a 500
  latency=400ms@10%     added to this share of requests (all of them without @)
  cpu=90%               the pod's total CPU, of its limit
  slow-start=20s        ready only after this time
  crash=500             the pod dies after so many requests

exit codes:
  0 promoted   1 rolled back by a gate or the progress deadline   2 could not be measured
  3 paused inconclusive   4 the harness or the machine is at fault
  (`make rehearse` turns every one of 1 to 4 into its own 2: CI should call this program)

examples:
  rehearse                                   a healthy release, in about a minute and a half
  rehearse --fault errors=3%                 a bad one: rolled back at the first step
  rehearse --time-scale 1                    in real time, at the traffic the gates are made for
  rehearse serve --port 8000                 one pod of it to try by hand, with a database

Each run leaves result.json and report.html in out/rehearsals/<id>, and out/rehearsals/latest.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one rehearsal, or one pod; every failure is one line on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for number in ENDING:
        signal.signal(number, _interrupt)
    try:
        if given[:1] == ["serve"]:
            return _serve(_serve_parser().parse_args(given[1:]))
        return _rehearse(_parser().parse_args(given), given)
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
    parser.add_argument(
        "--fault", action="append", default=[], metavar="F", help="make the candidate a bad release"
    )
    parser.add_argument(
        "--time-scale",
        type=_positive,
        default=6.0,
        metavar="N",
        help="how much faster than real time the steps go (6)",
    )
    parser.add_argument(
        "--manifests", type=Path, metavar="DIR", help="kustomization to rehearse (deploy/base)"
    )
    parser.add_argument(
        "--without",
        choices=("traffic", "prometheus"),
        action="append",
        default=[],
        help="send no requests, or kill Prometheus halfway through the first pause",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/rehearsals"), metavar="DIR", help="(out/rehearsals)"
    )
    parser.add_argument("--port", type=int, metavar="N", help="the gateway's port (any free one)")
    _add_config(parser)
    return parser


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
        default=Path("loadtest/rehearsal.yaml"),
        metavar="FILE",
        help="what stands in for images, secrets and users (loadtest/rehearsal.yaml)",
    )


def _rehearse(chosen: argparse.Namespace, given: Sequence[str]) -> int:
    what = _plan(chosen, given)
    options = Options(
        rate=what.rate,
        time_scale=what.time_scale,
        faults=what.faults,
        port=chosen.port,
        without_traffic="traffic" in chosen.without,
        without_prometheus="prometheus" in chosen.without,
    )
    folder = chosen.out / what.id
    ground = LocalGround(what.bundle, what.scaled, what.config, chosen.config, options, folder)
    _make(folder)
    release = ", ".join(what.faults) or "a healthy release"
    view = View(f"rehearsing {what.rollout.name} · {release} · ×{what.time_scale:g}", what.scaled)
    try:
        with view:
            run = runner.rehearse(ground, what.rate, view.watch)
        document = result.build(what, ground, run)
    except Exception:  # noqa: BLE001 — the last line of defence: a user sees no traceback
        return _report_bug(folder)
    file = result.write(document, folder)
    page = report.write(document, folder / "report.html")
    said = document["verdict"]
    view.conclude(_lines(document, file, page), said["headline"], said["exit_code"])
    return int(said["exit_code"])


def _plan(chosen: argparse.Namespace, given: Sequence[str]) -> Rehearsal:
    """What is to be rehearsed, and how, from the arguments and the files they name."""
    config = configuration.read(chosen.config)
    bundle = manifests.read(chosen.manifests or config.manifests)
    rollout = plan.rollout(bundle)
    traffic = config.traffic
    rate = timescale.requests_per_second(
        rollout, traffic.requests_per_second, traffic.canary_requests_per_look, chosen.time_scale
    )
    return Rehearsal(
        id=_name(chosen.fault),
        command=shlex.join(["rehearse", *given]),
        config=config,
        bundle=bundle,
        rollout=rollout,
        scaled=timescale.scale(rollout, chosen.time_scale),
        time_scale=chosen.time_scale,
        faults=tuple(chosen.fault),
        rate=0.0 if "traffic" in chosen.without else rate,
    )


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
        ("torn down", ", ".join(document["torn_down"])),
        ("report", str(page)),
        ("result", str(file)),
    ]
    return lines


def _serve(chosen: argparse.Namespace) -> int:
    from rehearsal import serving  # noqa: PLC0415 — only this command needs it

    config = configuration.read(chosen.config)
    bundle = manifests.read(chosen.manifests or config.manifests)
    return serving.serve(bundle, config, chosen.port)


def _name(faults: Sequence[str]) -> str:
    """A run's name: when it began, and what is wrong with its release."""
    words = "-".join(faults).replace("%", "pct") or "healthy"
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


def _fail(message: str, code: int) -> int:
    print(f"rehearse: {message}", file=sys.stderr)  # noqa: T201 — a program's error
    return code
