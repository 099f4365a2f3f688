"""`canary mutate`: broken gates against every kind of release."""

import argparse

from canary.commands import options
from canary.errors import UsageError
from canary.power import mutants, mutation, mutation_report, simulation
from canary.runtime import documents

EPILOG = """\
exit codes:
  0 every broken gate was noticed   1 one was not   2 the input cannot be used
  4 the tool or the machine is at fault   130 interrupted

examples:
  canary mutate                             about 150 broken copies of this repository's gates
  canary mutate --only limit                only mutants whose name contains "limit"
  canary mutate my/manifests                other gates, by the kinds of release that end alike
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The gates to break, and which ways of breaking them."""
    options.manifests(parser)
    options.contract(parser)
    parser.add_argument(
        "--only", default="", metavar="WORD", help="only mutants whose name contains it"
    )
    options.output(parser, (*options.OUTPUTS, "junit"))


def run(chosen: argparse.Namespace) -> int:
    """Which broken gate was noticed; 1 if one was not."""
    found = documents.read_all([chosen.manifests or options.DEFAULT_MANIFESTS])
    exported = options.exported(chosen)
    wanted = [m for m in mutants.generate(found) if chosen.only in m.name]
    if not wanted:
        raise UsageError(f"no mutant is called {chosen.only!r}", "see them all without --only")
    step = options.progress("mutants")
    verdicts = []
    with simulation.Recordings(keeps=True) as recordings:
        expected = mutation.expectations(found, recordings)
        own = mutation.complaints(found, expected, recordings)
        recordings.keeps = False
        for verdict in mutation.try_all(found, exported, wanted, expected, recordings):
            verdicts.append(verdict)
            step(len(verdicts), len(wanted))
    result = mutation_report.Matrix(tuple(own), tuple(verdicts))
    options.say(mutation_report.FORMATS[chosen.output](result))
    return 0 if result.complete else 1
