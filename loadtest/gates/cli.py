"""`gates`: what do your canary gates see, and what do they miss?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rehearsal.errors import RehearsalError, UsageError

from gates import documents, lint, output
from gates.contract import load

DEFAULT_PATH = "deploy/base"
DEFAULT_CONTRACT = "observability/contract.prom"

EPILOG = """\
exit codes:
  0 nothing found   1 findings   2 the input cannot be read   4 the tool or the machine is at fault

examples:
  gates lint                               this repository's gates
  gates lint my/manifests                  anybody's: a folder, a kustomization, a file
  kubectl kustomize app | gates lint -     or a stream
  gates lint --queries                     the queries as the controller would send them
  gates lint -o sarif > gates.sarif        for code scanning

A finding is suppressed, with its reason, on the object that it is about:
  metadata: {annotations: {gates.gridos/ignore: "unguarded-end: promoted by hand from 50 %"}}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except RehearsalError as wrong:
        print(f"gates: {wrong}", file=sys.stderr)  # noqa: T201 — a program's error
        return wrong.exit_code
    except KeyboardInterrupt:
        print("gates: interrupted", file=sys.stderr)  # noqa: T201 — same
        return 2
    except BrokenPipeError:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gates",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_lint(commands)
    rules = commands.add_parser("rules", help="every rule of lint, with its reason and remedy")
    rules.set_defaults(run=_rules)
    return parser


def _add_lint(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "lint",
        help="read Rollouts and AnalysisTemplates offline and say which gates guard nothing",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", nargs="*", help=f"manifests, - for a stream ({DEFAULT_PATH})")
    parser.add_argument(
        "--contract",
        metavar="SCRAPE",
        help="a /metrics address or a saved scrape of the service; without PATH, "
        f"{DEFAULT_CONTRACT}",
    )
    parser.add_argument("--queries", action="store_true", help="print the resolved queries")
    parser.add_argument("-o", "--output", choices=[*output.FORMATS], default="table")
    parser.set_defaults(run=_lint)


def _lint(chosen: argparse.Namespace) -> int:
    report = _report(chosen.path, chosen.contract)
    _print(output.queries(report) if chosen.queries else output.FORMATS[chosen.output](report))
    return 1 if report.faults else 0


def _report(paths: list[str], contract: str | None) -> lint.Report:
    """Lints the paths; with none, this repository's own against what its service exports."""
    source = contract or (DEFAULT_CONTRACT if not paths and _exists(DEFAULT_CONTRACT) else None)
    report = lint.lint(documents.read(paths or [DEFAULT_PATH]), load(source) if source else None)
    if not report.releases:
        where = ", ".join(paths) or DEFAULT_PATH
        raise UsageError(f"{where} holds no canary Rollout", "name manifests that hold one")
    return report


def _exists(path: str) -> bool:
    return Path(path).is_file()


def _rules(_chosen: argparse.Namespace) -> int:
    from gates import catalogue  # noqa: PLC0415 — reads the examples; lint need not

    _print(catalogue.render())
    return 0


def _print(text: str) -> None:
    print(text)  # noqa: T201 — what the program is for
