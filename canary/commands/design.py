"""`canary design`: weights, pauses, intervals and limits that would detect a fault."""

import argparse
import json
from pathlib import Path

from canary.commands import options, study
from canary.power import design, effect_sizes, page
from canary.runtime import program

EPILOG = """\
exit codes:
  0 a design, or none is needed   1 no design can do it   2 the input cannot be used
  3 a gate's query is not modelled: use canary simulate
  4 the tool or the machine is at fault   130 interrupted

examples:
  canary design --rate 20 --baseline 0.1% --detect 2%
  canary design --detect latency=400ms@10% --rate 5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, its traffic, and what is asked of the gates."""
    study.add_arguments(parser)
    parser.add_argument(
        "--detect",
        type=effect_sizes.sized,
        required=True,
        metavar="KIND=SIZE",
        help="the fault to detect, such as errors=2%%; 2%% alone means errors",
    )
    parser.add_argument(
        "--baseline",
        type=effect_sizes.share,
        metavar="SHARE",
        help="errors of a healthy release (0.1%%): short for --healthy errors=SHARE",
    )
    study.add_power(parser)
    parser.add_argument(
        "--false-rollback",
        type=effect_sizes.share,
        default=0.01,
        metavar="P",
        help="share of healthy releases that may be rolled back or paused (1%%)",
    )
    parser.add_argument(
        "--roc",
        type=Path,
        metavar="FILE",
        help="draw, for all limits of the gate, faulty releases stopped against healthy ones",
    )
    options.output(parser, ("table", "json"))


def run(chosen: argparse.Namespace) -> int:
    """A design and its patch; 1 if nothing would do."""
    if chosen.baseline is not None:
        chosen.healthy.append(("errors", chosen.baseline))
    users = study.traffic(chosen)
    found, release = study.exported_release(chosen)
    kind, size = chosen.detect
    scrape_s, _ = study.scrape(chosen, found, release)
    shares = (chosen.power, chosen.false_rollback)
    goal = design.Goal(kind, size, *shares, study.vocabulary(chosen), scrape_s)
    unmodelled = design.study(release, goal, users).unmodelled.items()
    if doubts := [*study.refusals(found, release), *(f"{gate}: {why}" for gate, why in unmodelled)]:
        for doubt in dict.fromkeys(doubts):
            options.remark(f"no design: {doubt}")
        return program.NO_VERDICT
    plan = design.plan(found, release, goal, users, options.progress("designs"))
    if chosen.roc:
        points = design.roc(found, release, goal, users)
        page.roc(points, (plan.now.false_rollback, plan.now.power), chosen.roc)
        options.remark(f"wrote {chosen.roc}")
    as_json = chosen.output == "json"
    options.say(
        json.dumps(design.document(plan, found), indent=2) if as_json else design.table(plan, found)
    )
    return 0 if plan.chosen else 1
