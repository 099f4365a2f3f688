"""`canary replay`: a recorded rehearsal, judged by other gates."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from canary.argo import manifests
from canary.commands import options
from canary.rehearse import plan, replay, time_compression

EPILOG = """\
exit codes:
  0 these gates promote it   1 they roll it back   2 the input cannot be used
  3 no verdict: inconclusive, or not measured   4 the tool or the machine is at fault
  130 interrupted

examples:
  canary replay out/rehearsals/latest --arg window=2m
                                            what would a longer window have decided?
  canary replay run.tar.gz --manifests deploy/overlays/staging
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recording, and the gates to judge it by."""
    parser.add_argument(
        "run_of", type=Path, metavar="RUN", help="a run's folder, or the file of --record"
    )
    options.kustomization(parser)
    options.arg(parser)
    options.config(parser)
    options.output(parser, ("table", "json"))


def run(chosen: argparse.Namespace) -> int:
    """What the gates say of the recording."""
    own = plan.read(chosen.config, chosen.manifests)
    rollout = manifests.rollout(own.bundle, dict(chosen.arg))
    with replay.opened(chosen.run_of) as recording:
        scaled = time_compression.scale(rollout, recording.result.time_scale)
        judged = replay.replay(recording, scaled)
        said = replay.decide(recording, judged)
        rejudged = replay.compared(recording, judged)
        if chosen.output == "json":
            document = {
                "recorded": recording.result.verdict.headline,
                "outcome": str(said.outcome),
                "exit_code": said.outcome.exit_code,
                "headline": said.headline,
                "after_s": round(judged.last.at_s, 1),
                "gates": [asdict(row) for row in rejudged],
            }
            options.say(json.dumps(document, indent=1))
        else:
            options.say(replay.table(rejudged))
            options.say(f"\nrecorded: {recording.result.verdict.headline}")
            options.say(f"these gates, after {judged.last.at_s:.0f} s: {said.headline}")
    return said.outcome.exit_code
