"""`canary lint`: the findings of every rule about some manifests."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from canary.commands import options
from canary.errors import UsageError
from canary.lint import baseline, check, looser, output, repository, revision, settings
from canary.lint.check import Report
from canary.lint.contract import Contract
from canary.power import catalogue
from canary.runtime import helm, program

EPILOG = """\
exit codes:
  0 no error   1 errors, or warnings with --strict   2 the input, or a file with gates in it,
  cannot be read (the rest is judged)
  4 the tool or the machine is at fault   130 interrupted

examples:
  canary lint                               this repository's gates
  canary lint my/manifests                  other gates: a folder, a kustomization, a file
  canary lint .                             a whole repository; other files are only counted
  helm template chart | canary lint -       a rendered chart, from standard input
  canary lint --helm chart -f values.yaml   the same, with the helm on PATH
  canary lint -o sarif > gates.sarif        for code scanning
  canary lint --baseline main               new findings, and limits that became laxer, since main
  canary lint -o json > known.json          today's findings; later --baseline known.json
  canary lint --explain not-scoped          what a rule checks, why, and an example
  canary lint --queries                     the queries as the controller sends them

To suppress a finding, annotate its object with the rule and the reason:
  metadata: {annotations: {canary-rehearsal/ignore: "unguarded-end: promoted by hand from 50 %"}}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to read, against which contract, and how to tell."""
    options.manifests(parser, several=True)
    options.contract(parser)
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    parser.add_argument("--queries", action="store_true", help="print the resolved queries")
    parser.add_argument(
        "--list-rules", action="store_true", help="print every rule, its reason and its remedy"
    )
    parser.add_argument("--explain", metavar="RULE", help="print one rule, with an example")
    parser.add_argument(
        "--settings",
        type=program.place,
        metavar="FILE",
        help=f"paths, severities and ignores ({settings.FILE}, if there is one)",
    )
    parser.add_argument(
        "--baseline",
        type=program.place,
        metavar="FILE|COMMIT",
        help="an earlier output of -o json, or a commit such as main: only new findings count;"
        " with a commit, limits that became laxer since then are findings too",
    )
    chart = parser.add_argument_group("a Helm chart (needs helm on PATH)")
    chart.add_argument("--helm", type=program.place, metavar="CHART", help="a folder or archive")
    chart.add_argument(
        "-f",
        "--values",
        action="append",
        default=[],
        type=program.place,
        metavar="FILE",
        help="a file of values; give it several times",
    )
    options.output(parser, [*output.FORMATS])


def run(chosen: argparse.Namespace) -> int:
    """Findings; 1 if there are errors."""
    if chosen.list_rules:
        options.say(catalogue.render())
        return 0
    if chosen.explain is not None:
        options.say(catalogue.explain(chosen.explain))
        return 0
    wanted = _settings(chosen)
    if chosen.values and not chosen.helm:
        raise UsageError("--values without --helm", "name the chart with --helm")
    chosen.manifests = chosen.manifests or [*([] if chosen.helm else wanted.paths)]
    paths = chosen.manifests or ([] if chosen.helm else [options.DEFAULT_MANIFESTS])
    contract = options.exported(chosen)
    reading = repository.read(paths)
    if chosen.helm:
        values = helm.Release(tuple(map(Path, chosen.values)))
        rendered = helm.template(Path(chosen.helm), values)
        reading = replace(reading, documents=(*reading.documents, *rendered))
        paths = [*paths, chosen.helm]
    report = check.lint_repository(reading, contract)
    report = settings.apply(report, wanted, datetime.now(UTC).date())
    if chosen.baseline:
        report = _since(chosen.baseline, report, paths, contract)
    if not report.releases:
        for passed in report.passed_over:
            options.remark(f"not judged: {passed}")
        raise UsageError(
            f"{', '.join(paths)} contains no readable Rollout or AnalysisTemplate",
            "name manifests with one",
        )
    options.say(output.queries(report) if chosen.queries else output.FORMATS[chosen.output](report))
    for passed in () if chosen.output == "table" else report.broken:
        options.remark(f"not judged: {passed}")
    if report.errors or (chosen.strict and report.faults):
        return 1
    # Gates that nobody could read are no pass.
    return 2 if report.broken else 0


def _since(given: str, report: Report, paths: Sequence[str], contract: Contract | None) -> Report:
    """What is new since a file of findings or a commit, and what became laxer since a commit."""
    if Path(given).is_file():
        return baseline.apply(report, baseline.load(Path(given)))
    with revision.files(given, paths) as (folder, there):
        before = check.lint_repository(repository.read(there), contract)
    laxer = tuple(looser.find(before.releases, report.releases))
    new = baseline.apply(report, baseline.known(before, folder))
    return replace(new, findings=(*new.findings, *laxer))


def _settings(chosen: argparse.Namespace) -> settings.Settings:
    if chosen.settings:
        return settings.load(Path(chosen.settings))
    return settings.load(settings.FILE) if settings.FILE.is_file() else settings.Settings()
