"""`gates`: what do your canary gates see, and what do they miss?"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from canary.lint import output
from canary.power import commands, effect_sizes
from canary.power.commands import DEFAULT_CONTRACT, DEFAULT_PATH
from canary.runtime import program

EPILOG = """\
exit codes:
  0 nothing found   1 findings   2 the input cannot be used   4 the tool or the machine is at fault
  130 interrupted

examples:
  gates lint                               this repository's gates
  gates lint my/manifests                  anybody's: a folder, a kustomization, a file
  kubectl kustomize app | gates lint -     or a stream
  gates lint -o sarif > gates.sarif        for code scanning
  gates power --rps 20                     what they see at 20 requests/s
  gates power --html out/power.html        the same as curves
  gates power --alternatives               the error gate asked in other ways
  gates plan --detect errors=0.5% --rps 50 pauses and limits that would see it
  gates simulate --fault errors=2%         500 such releases through a real Prometheus
  gates mutate                             41 broken copies of the gates: is each noticed?

A finding is suppressed, with its reason, on the object that it is about:
  metadata: {annotations: {gates.gridos/ignore: "unguarded-end: promoted by hand from 50 %"}}
"""

SHORT_FORMATS = ("table", "json", "markdown")

# Two thousand draws give a rate of 1 % to ±0.4 %, and the answer within two seconds.
POWER_RELEASES, SIMULATED_RELEASES = 2000, 500

Commands = argparse._SubParsersAction  # noqa: SLF001 — argparse has no public name for it


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    return program.run("gates", _run, arguments)


def _run(arguments: Sequence[str]) -> int:
    chosen = _parser().parse_args(arguments)
    return int(chosen.run(chosen))


def _parser() -> argparse.ArgumentParser:
    parser = program.parser("gates", description=__doc__, epilog=EPILOG)
    commands_of = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_lint(commands_of)
    _add(commands_of, "rules", commands.run_rules, "every rule of lint, its reason and remedy")
    _add_power(commands_of)
    _add_plan(commands_of)
    _add_simulate(commands_of)
    _add_mutate(commands_of)
    return parser


def _add(
    commands_of: Commands[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser = commands_of.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)
    return parser


def _add_lint(commands_of: Commands[argparse.ArgumentParser]) -> None:
    what = "read Rollouts and AnalysisTemplates offline and say which gates guard nothing"
    parser = _add(commands_of, "lint", commands.run_lint, what)
    parser.add_argument(
        "path",
        nargs="*",
        type=program.place,
        help=f"manifests, - for a stream ({DEFAULT_PATH})",
    )
    _add_contract(parser)
    parser.add_argument("--queries", action="store_true", help="print the resolved queries")
    parser.add_argument("-o", "--output", choices=[*output.FORMATS], default="table")


def _add_power(commands_of: Commands[argparse.ArgumentParser]) -> None:
    what = "how likely the gates stop a fault of each size, when, and at what cost"
    parser = _add(commands_of, "power", commands.run_power, what)
    _add_release(parser)
    _add_traffic(parser)
    _add_releases(parser, POWER_RELEASES, "drawn for each size")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the curves as a page")
    parser.add_argument(
        "--svg", type=Path, metavar="FILE", help="draw what the first step stops, as one picture"
    )
    parser.add_argument(
        "--against",
        type=program.place,
        metavar="PATH",
        help="other manifests to draw beside these in that picture",
    )
    parser.add_argument(
        "--alternatives", action="store_true", help="compare the error gate with other queries"
    )
    parser.add_argument("-o", "--output", choices=SHORT_FORMATS, default="table")


def _add_plan(commands_of: Commands[argparse.ArgumentParser]) -> None:
    what = "propose pauses, windows and limits that would stop a fault, as a patch"
    parser = _add(commands_of, "plan", commands.run_plan, what)
    _add_release(parser)
    _add_traffic(parser)
    parser.add_argument(
        "--detect",
        type=effect_sizes.sized,
        required=True,
        metavar="KIND=SIZE",
        help="such as errors=2%%",
    )
    parser.add_argument(
        "--power",
        type=effect_sizes.share,
        default=0.95,
        metavar="P",
        help="releases of it to stop (95%%)",
    )
    parser.add_argument(
        "--false-rollback",
        type=effect_sizes.share,
        default=0.01,
        metavar="P",
        help="good releases that may be rolled back or paused (1%%)",
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_simulate(commands_of: Commands[argparse.ArgumentParser]) -> None:
    what = "thousands of releases through a real Prometheus, judged as the controller would"
    parser = _add(commands_of, "simulate", commands.run_simulate, what)
    _add_release(parser)
    _add_traffic(parser)
    _add_releases(parser, SIMULATED_RELEASES, "of each fault")
    parser.add_argument(
        "--fault",
        action="append",
        metavar="F",
        help="healthy, errors=2%%, slow=10%%, cpu=90%%, crash, idle, late-scrapes, "
        "prometheus-gone or label-missing; give it several times for several (healthy)",
    )
    parser.add_argument("-o", "--output", choices=SHORT_FORMATS, default="table")


def _add_mutate(commands_of: Commands[argparse.ArgumentParser]) -> None:
    what = "break the gates on purpose, one by one, and see whether some release notices"
    parser = _add(commands_of, "mutate", commands.run_mutate, what)
    _add_path(parser)
    _add_contract(parser)
    parser.add_argument("--only", default="", metavar="WORD", help="mutants whose name holds it")
    parser.add_argument("-o", "--output", choices=(*SHORT_FORMATS, "junit"), default="table")


def _add_path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        nargs="?",
        type=program.place,
        help=f"manifests, - for a stream ({DEFAULT_PATH})",
    )


def _add_release(parser: argparse.ArgumentParser) -> None:
    _add_path(parser)
    parser.add_argument("--rollout", metavar="NAME", help="which one, if there are several")


def _add_contract(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--contract",
        metavar="SCRAPE",
        help="a /metrics address or a saved scrape of the service; without PATH, "
        f"{DEFAULT_CONTRACT}",
    )


def _add_traffic(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("traffic")
    group.add_argument("--rps", type=effect_sizes.rate, metavar="N", help="requests a second (100)")
    group.add_argument(
        "--baseline",
        type=effect_sizes.sized,
        action="append",
        default=[],
        metavar="KIND=SIZE",
        help="what a good release does (errors=0.1%% slow=0.5%% cpu=20%%)",
    )
    group.add_argument(
        "--overdispersion",
        type=effect_sizes.share,
        metavar="R",
        help="how requests of one scrape fail together, 0 to 1 (0: independently)",
    )
    group.add_argument(
        "--rehearsal", type=Path, metavar="FILE", help="take it all from a rehearsal's result.json"
    )


def _add_releases(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    parser.add_argument(
        "--releases",
        type=effect_sizes.whole,
        default=default,
        metavar="N",
        help=f"{what} ({default})",
    )
