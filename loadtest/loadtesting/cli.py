"""Send load to a running service, and judge it by the limits of the release gates."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from openarrivals.schedule import SPACINGS

from canary.runtime import program
from loadtesting import commands

EPILOG = """\
exit codes:
  0 PASS   1 FAIL   2 the target cannot be reached, or the input cannot be used
  3 INCONCLUSIVE: too few requests, dropped requests, a generator out of CPU
  4 the tool or the machine is at fault
  130 interrupted

examples:
  loadtest profiles                                      the profiles, and the expected verdicts
  loadtest run smoke --host http://127.0.0.1:8000        a short check of every gate
  loadtest run errors-bad --host https://grid.example --api-key-file key.txt
  loadtest run errors-good --pair 0.5%,1.5% --host …     a closer pair, and as many requests
  loadtest run cpu-good --host … --prometheus http://127.0.0.1:9090
  loadtest run capacity --host …                         the highest rate that meets the limits
  loadtest run smoke --host … --shape "10..200 for 1m"   the same checks with another shape
  loadtest compare before/result.json after/result.json  what changed between two runs

Each run writes result.json, report.html, summary.md and junit.xml to out/loadtest/<id>.
"""

# Of a count: more than a machine can have of anything.
DIGITS = 6

Commands = argparse._SubParsersAction  # noqa: SLF001 — argparse has no public name for it


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    return program.run("loadtest", _run, arguments)


def _run(arguments: Sequence[str]) -> int:
    chosen = parser().parse_args(arguments)
    return int(chosen.run(chosen))


def parser() -> argparse.ArgumentParser:
    """The command line, all of it."""
    parser = program.parser("loadtest", description=__doc__, epilog=EPILOG)
    commands_of = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands_of)
    _add_compare(commands_of)
    _add_profiles(commands_of)
    return parser


def _add_run(commands_of: Commands[argparse.ArgumentParser]) -> None:
    what = "send a profile's load to a target and judge the responses"
    parser = _command(commands_of, "run", what)
    parser.set_defaults(run=commands.run)
    parser.add_argument("profile", metavar="PROFILE", help="one of `loadtest profiles`")
    parser.add_argument(
        "--host",
        required=True,
        type=program.address,
        metavar="URL",
        help="base URL of the target, such as https://…",
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="a file with the API key; without it nothing is posted",
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="the certificate authority to trust"
    )
    _add_overrides(parser)
    parser.add_argument("--shape", metavar="SHAPE", help='rates, as "10..200 for 1m, 200 for 30s"')
    parser.add_argument("--spacing", choices=SPACINGS, default="poisson", help="arrivals (poisson)")
    parser.add_argument("--users", type=_count, metavar="N", help="maximum of concurrent requests")
    parser.add_argument(
        "--max-queue-time",
        type=_positive,
        default=1.0,
        metavar="S",
        help="seconds that an arrival waits for a free user before it is dropped (1)",
    )
    parser.add_argument(
        "--processes", type=_count, default=1, metavar="N", help="Locust processes (1)"
    )
    parser.add_argument(
        "--expect-workers", type=_count, default=0, metavar="N", help="be the master of N workers"
    )
    parser.add_argument(
        "--closed", action="store_true", help="closed users at the mean rate (hides stalls)"
    )
    parser.add_argument("--no-early-stop", action="store_true", help="run on when it must fail")
    parser.add_argument(
        "--prometheus", type=program.address, metavar="URL", help="a Prometheus, for CPU and memory"
    )
    parser.add_argument("--pod-hash", default=".+", metavar="HASH", help="pods for CPU (all)")
    parser.add_argument(
        "--service-metrics",
        action="append",
        default=[],
        metavar="URL",
        help="a pod's /metrics, to compare client and service; once for each pod",
    )
    parser.add_argument(
        "--metrics-port", type=program.port, metavar="N", help="serve the load test's own /metrics"
    )
    parser.add_argument(
        "--metrics-address",
        default="127.0.0.1",
        metavar="ADDR",
        help="address for these (127.0.0.1)",
    )
    parser.add_argument("--keep-baseline", action="store_true", help="keep it for `compare`")
    _add_folder(parser)
    _add_limits(parser)


def _add_compare(commands_of: Commands[argparse.ArgumentParser]) -> None:
    what = "compare two runs, with intervals; exit code 1 if the second is worse"
    parser = _command(commands_of, "compare", what)
    parser.set_defaults(run=commands.compare)
    parser.add_argument(
        "results",
        nargs="+",
        type=Path,
        metavar="RESULT",
        help="two runs; or one, which is compared with the branch's kept baseline",
    )
    parser.add_argument("-o", "--output", choices=("table", "markdown", "json"), default="table")
    _add_folder(parser)


def _add_profiles(commands_of: Commands[argparse.ArgumentParser]) -> None:
    what = "the profiles, the fault that goes with each, and how many requests each needs"
    parser = _command(commands_of, "profiles", what)
    parser.set_defaults(run=commands.profiles)
    _add_overrides(parser)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    _add_limits(parser)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=_positive, metavar="N", help="requests a second (50)")
    parser.add_argument("--seconds", type=_positive, metavar="S", help="instead of the profile's")
    parser.add_argument(
        "--pair", type=_pair, metavar="GOOD,BAD", help="a closer pair, such as 0.5%%,1.5%% errors"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of every choice (1)")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("out/loadtest"), metavar="DIR", help="(out/loadtest)"
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manifests",
        type=Path,
        default=Path("deploy/base"),
        metavar="DIR",
        help="whose AnalysisTemplates hold the limits (deploy/base)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("loadtest/rehearsal.yaml"),
        metavar="FILE",
        help="where the SLO stands (loadtest/rehearsal.yaml)",
    )


def _command(
    commands_of: Commands[argparse.ArgumentParser], name: str, what: str
) -> argparse.ArgumentParser:
    return commands_of.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=EPILOG,
    )


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > DIGITS or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _pair(text: str) -> tuple[float, float]:
    try:
        good, bad = (float(part.strip().rstrip("%")) / 100 for part in text.split(","))
    except ValueError:
        good, bad = math.nan, math.nan
    if not 0 <= good < bad <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pair such as 0.5%,1.5%")
    return good, bad
