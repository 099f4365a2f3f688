"""`canary blind`: what the gates cannot see."""

from __future__ import annotations

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

Some classes are released through a real Prometheus, three releases of each size. It takes up to
--cpu-seconds, about a minute of one core; a class that was not run by then is said to be not run.

examples:
  canary blind --rate 20                    what this repository's gates see, and what they do not
  canary blind path/to/manifests            anybody's
"""

# Enough for a rate of 95 % to ±3 %.
RELEASES = 200
CPU_S = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, its traffic, and what is asked of the gates."""
    study.add_arguments(parser)
    study.add_releases(parser, RELEASES, "drawn for each size")
    study.add_power(parser)
    parser.add_argument(
        "--cpu-seconds",
        type=effect_sizes.whole,
        default=CPU_S,
        metavar="S",
        help=f"begin nothing more once so many are spent; what was not run is said ({CPU_S})",
    )
    options.output(parser)


def run(chosen: argparse.Namespace) -> int:
    """The table; 3 if nothing can be said."""
    begun_s = _cpu_s()
    users = study.traffic(chosen)
    manifests, release = study.release(chosen)
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
