"""`canary history`: how often the gates would have rolled back releases that changed nothing."""

import argparse
import time

from canary.argo import releases
from canary.commands import options, study
from canary.power import effect_sizes, history
from canary.power.history import Span
from canary.runtime import program
from canary.runtime.prometheus import Client

EPILOG = """\
exit codes:
  0 no more false rollbacks than allowed   1 more, and not by chance
  2 the input cannot be used, or Prometheus does not answer   3 no release could begin
  4 the tool or the machine is at fault   130 interrupted

examples:
  canary history --prometheus http://localhost:9090 --days 30
                                            through kubectl --namespace monitoring
                                            port-forward service/prometheus-operated 9090
  canary history path/to/manifests --prometheus http://localhost:9090
                                            other gates

The command sends instant queries, one at a time: about a hundred for each release.
"""

RELEASES = 300
MAX_DAYS = 3660


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, and the history."""
    options.manifests(parser)
    parser.add_argument("--rollout", metavar="NAME", help="the Rollout, if there are several")
    parser.add_argument(
        "--prometheus",
        type=program.address,
        required=True,
        metavar="URL",
        help="the Prometheus that scrapes the stable pods",
    )
    parser.add_argument(
        "--days", type=_days, default=30.0, metavar="N", help="days of history to use (30)"
    )
    study.add_releases(parser, RELEASES, "A/A releases, spread evenly over these days")
    parser.add_argument(
        "--per-day",
        type=options.requests_per_s,
        default=1.0,
        metavar="N",
        help="real releases a day, for the false rollbacks in a month (1)",
    )
    parser.add_argument(
        "--false-rollback",
        type=effect_sizes.share,
        default=0.01,
        metavar="P",
        help="share of releases that may be rolled back falsely (1%%)",
    )
    options.output(parser)


def run(chosen: argparse.Namespace) -> int:
    """The tally; 1 if there are too many false rollbacks beyond doubt."""
    _, release = study.release(chosen)
    now = time.time()
    tally = history.find(
        releases.in_virtual_time(release),
        Client(chosen.prometheus),
        Span(now - chosen.days * 86_400, now),
        chosen.releases,
        options.progress("A/A releases"),
    )
    options.say(history.FORMATS[chosen.output](tally, chosen.per_day))
    if not tally.releases:
        return program.NO_VERDICT
    return program.BAD if tally.low > chosen.false_rollback else program.GOOD


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days up to {MAX_DAYS}")
    return value
