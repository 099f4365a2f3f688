"""`canary mutate`: broken gates against every kind of release."""

from __future__ import annotations

import argparse

from canary.commands import options
from canary.errors import UsageError
from canary.power import mutation, mutation_report
from canary.runtime import documents

EPILOG = """\
exit codes:
  0 every broken gate was noticed   1 one was not   2 the input cannot be used
  4 the tool or the machine is at fault   130 interrupted

examples:
  canary mutate                             41 broken copies of the gates: is each noticed?
  canary mutate --only limit                those whose name holds a word
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The gates to break, and which ways of breaking them."""
    options.manifests(parser)
    options.contract(parser)
    parser.add_argument("--only", default="", metavar="WORD", help="mutants whose name holds it")
    options.output(parser, (*options.OUTPUTS, "junit"))


def run(chosen: argparse.Namespace) -> int:
    """Which broken gate was noticed; 1 if one was not."""
    found = documents.read_all([chosen.manifests or options.DEFAULT_MANIFESTS])
    exported = options.exported(chosen)
    wanted = [m for m in mutation.mutants() if chosen.only in m.name]
    if not wanted:
        raise UsageError(f"no mutant is called {chosen.only!r}", "see them all without --only")
    equivalent = [m for m in wanted if m.equivalent]
    if chosen.output == "table":
        options.say(mutation_report.introduction(equivalent))
    step = options.progress("mutants")
    own = mutation.complaints(found)
    verdicts = []
    tried = [m for m in wanted if not m.equivalent]
    for verdict in mutation.try_all(found, exported, tried):
        verdicts.append(verdict)
        step(len(verdicts), len(tried))
    endings = {replicas: mutation.endings(found, replicas) for replicas in mutation.REPLICAS}
    result = mutation_report.Matrix(tuple(own), tuple(verdicts), tuple(equivalent), endings)
    options.say(mutation_report.FORMATS[chosen.output](result))
    return 0 if result.complete else 1
