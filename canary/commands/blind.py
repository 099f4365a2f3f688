"""`canary blind`: what the gates cannot see."""

from __future__ import annotations

import argparse
import functools

from canary.commands import options, study
from canary.power import blind, mutation
from canary.runtime import program

EPILOG = """\
exit codes:
  0 computed   2 the input cannot be used   3 no class of fault can be judged
  4 the tool or the machine is at fault   130 interrupted

Some classes are released through a real Prometheus, eight releases of each size.

examples:
  canary blind --rate 20                    what this repository's gates see, and what they do not
  canary blind path/to/manifests            anybody's
"""

# Enough for a rate of 95 % to ±2.1 %, and for all classes in a minute or two of a core.
RELEASES = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, its traffic, and what is asked of the gates."""
    study.add_arguments(parser)
    study.add_releases(parser, RELEASES, "drawn for each size")
    study.add_power(parser)
    options.output(parser)


def run(chosen: argparse.Namespace) -> int:
    """The table; 3 if nothing can be said."""
    users = study.traffic(chosen)
    manifests, release = study.release(chosen)
    scrape_s, _ = study.scrape(chosen, manifests, release)
    drawn = study.study(chosen, release, users, scrape_s)
    found = blind.find(
        drawn,
        functools.cache(lambda: mutation.subject_of(release)),
        chosen.power,
        options.progress("classes of fault"),
    )
    options.say(blind.FORMATS[chosen.output](found))
    return 0 if found.says_something else program.NO_VERDICT
