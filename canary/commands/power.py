"""`canary power`: what the gates can see."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from canary.argo import releases, virtual_rollout
from canary.argo.gates import Release
from canary.argo.model import Pause
from canary.commands import options, study
from canary.errors import UsageError
from canary.lint import check
from canary.power import alternatives, page, power_curve, verification
from canary.power.monte_carlo import Study
from canary.power.samples import Fault, Traffic
from canary.runtime import program
from canary.yamls import Document

EPILOG = """\
exit codes:
  0 computed   2 the input cannot be used
  3 a gate's query is not modelled, or the model and Prometheus differ: use canary simulate
  4 the tool or the machine is at fault   130 interrupted

examples:
  canary power --rate 20                    what the gates detect at 20 requests/s
  canary power --html out/power.html        the same as curves
  canary power --compare-queries            the error gate compared with other queries
  canary power --rehearsal out/rehearsals/latest/result.json
                                            at the traffic that a rehearsal measured
"""

# Two thousand draws give a rate of 1 % to ±0.4 %.
RELEASES = 2000

# More of them, and the table would be wrong in what it shows.
MAX_WAITING = 0.01

# The finding of lint that says which failures a gate leaves out.
SOME_FAILURES = "some-failures-only"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release, its traffic, and what to draw."""
    study.add_arguments(parser)
    study.add_releases(parser, RELEASES, "drawn for each size")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the curves as a page")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw what the first step detects")
    parser.add_argument(
        "--baseline",
        type=program.place,
        metavar="PATH",
        help="other manifests to compare with in that picture",
    )
    parser.add_argument(
        "--compare-queries", action="store_true", help="compare the error gate with other queries"
    )
    parser.add_argument(
        "--offline", action="store_true", help="do not check the model with a Prometheus"
    )
    options.output(parser)


def run(chosen: argparse.Namespace) -> int:
    """Curves, a comparison of queries, or a picture."""
    users = study.traffic(chosen)
    found, release = study.exported_release(chosen)
    scrape_s, scraped = study.scrape(chosen, found, release)
    drawn = study.study(chosen, release, users, scrape_s)
    if doubts := [*study.refusals(found, release)] or _doubts(drawn, offline=chosen.offline):
        for doubt in dict.fromkeys(doubts):
            options.remark(f"no table: {doubt}")
        return program.NO_VERDICT
    checked = f"model and Prometheus agree on {len(verification.WORLDS)} sets of samples"
    if unchecked := verification.unchecked(drawn):
        checked += f" ({', '.join(unchecked)}: not checked, every ReplicaSet is one pod in them)"
    if chosen.offline:
        checked = "not checked against a Prometheus (--offline)"
    if chosen.compare_queries:
        comparisons = alternatives.compare(drawn)
        if not comparisons:
            raise UsageError(f"no gate of {release.rollout} reads errors", "add a gate on errors")
        options.say(alternatives.table(comparisons))
        return 0
    if chosen.svg:
        page.picture(_pictured(chosen, drawn, users), chosen.svg)
        options.remark(f"wrote {chosen.svg}")
        return 0
    assumed = _assumed(found, drawn, release)
    power = power_curve.sweep(drawn, release.rollout.name, checked, scraped, assumed)
    if chosen.html:
        page.write(power, chosen.html)
        options.remark(f"wrote {chosen.html}")
    options.say(power_curve.FORMATS[chosen.output](power))
    return 0


def _assumed(found: Sequence[Document], drawn: Study, release: Release) -> dict[str, str]:
    """What is taken for granted: of metrics, of their series of failures, and of persons."""
    said = dict(drawn.assumed)
    for name, zeroed in drawn.zeroed.items():
        begins = "stands at 0 before the first one" if zeroed else "is missing until the first one"
        said[name] = "; ".join(filter(None, [said.get(name), f"its series of failures {begins}"]))
    for finding in check.lint(found).findings:
        if finding.rule == SOME_FAILURES and finding.document in release.templates:
            gate, _, what = finding.message.partition(": ")
            said[gate] = f"a failed request is a 500; {what}"
    if release.scaler:
        said["replicas"] = f"{release.replicas}, the fewest that {release.scaler} allows"
    for index, step in enumerate(release.resolved.steps):
        if step == Pause(None):
            said[f"step {index}"] = f"a person promotes after {releases.PERSON_S:g} s"
    return said


def _doubts(drawn: Study, *, offline: bool) -> list[str]:
    """Why nothing can be vouched for.

    One gate is enough: what the others see says nothing of a release that it judges too.
    """
    if drawn.virtual_run.outcome != virtual_rollout.PROMOTED:
        return [f"every release ends {drawn.virtual_run.outcome}: {drawn.virtual_run.message}"]
    waiting = float(drawn.outcomes(Fault()).waiting.mean())
    if waiting > MAX_WAITING:
        return [
            f"{waiting:.0%} of healthy releases wait at a step for more requests, and how long is"
            " not modelled; use canary simulate, or a higher --rate"
        ]
    if drawn.unmodelled or offline:
        return [f"{gate}: {why}" for gate, why in drawn.unmodelled.items()]
    try:
        return verification.disagreements(drawn)
    except verification.UnverifiedError as why:
        return [f"{why}; --offline prints it without a check"]


def _pictured(chosen: argparse.Namespace, drawn: Study, users: Traffic) -> list[tuple[str, Study]]:
    """What is drawn: the release, and beside it the one that it is compared with."""
    pictured = [(Path(chosen.manifests or options.DEFAULT_MANIFESTS).name, drawn)]
    if chosen.baseline:
        found, other = study.exported_release(chosen, chosen.baseline)
        scrape_s, _ = study.scrape(chosen, found, other)
        beside = study.study(chosen, other, users, scrape_s)
        pictured.append((Path(chosen.baseline).name, beside))
    return pictured
