"""`canary blind`: what the gates cannot see."""

import argparse
import functools

from canary.commands import options, study
from canary.power import blind, effect_sizes, mutation
from canary.power.blind import Budget
from canary.runtime import processes, program

EPILOG = """\
exit codes:
  0 computed   2 the input cannot be used   3 no class of fault can be judged
  4 the tool or the machine is at fault   130 interrupted

Some classes are simulated with a real Prometheus, three releases of each size. The command takes
about a minute of one core (--cpu-seconds); classes that were not begun by then are "not run".

examples:
  canary blind --rate 20                    what this repository's gates detect, and what not
  canary blind path/to/manifests            other gates
"""

# Enough for a rate of 95 % to ±3 %.
RELEASES = 200
CPU_S = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, its traffic, and what is asked of the gates."""
    study.add_arguments(parser)
    study.add_releases(parser, RELEASES, "releases drawn for each size of fault")
    study.add_power(parser)
    parser.add_argument(
        "--cpu-seconds",
        type=effect_sizes.whole,
        default=CPU_S,
        metavar="S",
        help=f"start no further class after this CPU time; the output lists the rest ({CPU_S})",
    )
    options.output(parser)


def run(chosen: argparse.Namespace) -> int:
    """The table; 3 if nothing can be said."""
    begun_s = _cpu_s()
    users = study.traffic(chosen)
    manifests, release = study.exported_release(chosen)
    scrape_s, _ = study.scrape(chosen, manifests, release)
    drawn = study.study(chosen, release, users, scrape_s)
    found = blind.find(
        drawn,
        functools.cache(lambda: mutation.subject_of(release)),
        chosen.power,
        Budget(chosen.cpu_seconds, lambda: _cpu_s() - begun_s),
        options.progress("classes of fault"),
    )
    options.say(blind.FORMATS[chosen.output](found))
    return 0 if found.says_something else program.NO_VERDICT


def _cpu_s() -> float:
    """What this program and the children that have ended have spent so far."""
    return sum(processes.cpu_spent().values())
