"""What power, design and simulate have in common: which release, under which traffic."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from canary import durations
from canary.argo import dialects, promql, releases, threshold
from canary.argo.dialects import Vocabulary
from canary.argo.gates import Gate, Release
from canary.argo.model import Metric
from canary.commands import options
from canary.errors import MeasureError, UsageError
from canary.lint import check
from canary.lint.pods import scraping
from canary.power import effect_sizes
from canary.power.monte_carlo import Study
from canary.power.samples import Traffic
from canary.rehearse import config_files
from canary.runtime import documents
from canary.yamls import Document

# Between two scrapes, where nobody says; and what a window of any length could still hold.
SCRAPE_S, LEAST_SCRAPE_S, MOST_SCRAPE_S = 5.0, 1.0, 300.0

# The findings of lint with which no release gets as far as its gates.
REFUSED = {"analysis-refused", "rollout-refused", "template-missing", "background-never-starts"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The release and its traffic."""
    options.manifests(parser)
    options.contract(parser)
    parser.add_argument("--rollout", metavar="NAME", help="the Rollout, if there are several")
    group = parser.add_argument_group("traffic")
    options.rate(group, "that users send (100)")
    group.add_argument(
        "--healthy",
        type=effect_sizes.sized,
        action="append",
        default=[],
        metavar="KIND=SIZE",
        help="what a healthy release shows (errors=0.1%% latency=400ms@0.5%% cpu=20%%)",
    )
    group.add_argument(
        "--overdispersion",
        type=effect_sizes.share,
        metavar="R",
        help="correlation of the failures within one scrape, 0 to 1 (0: independent)",
    )
    group.add_argument(
        "--routes",
        type=effect_sizes.shares,
        metavar="N,N,…",
        help="each route's part of the requests, for gates that judge routes"
        " (for this repository's own manifests as in rehearsal.yaml)",
    )
    group.add_argument(
        "--scrape",
        type=_interval,
        metavar="T",
        help="the scrape interval (that of the PodMonitor or ServiceMonitor, or 5s)",
    )
    group.add_argument(
        "--rehearsal", type=Path, metavar="FILE", help="the traffic of a rehearsal, its result.json"
    )


def add_releases(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    """How many releases."""
    parser.add_argument(
        "--releases",
        type=effect_sizes.whole,
        default=default,
        metavar="N",
        help=f"{what} ({default})",
    )


def add_power(parser: argparse.ArgumentParser) -> None:
    """How often a fault must be detected."""
    parser.add_argument(
        "--power",
        type=effect_sizes.share,
        default=0.95,
        metavar="P",
        help="share of the faulty releases that must be detected (95%%)",
    )


def release(
    chosen: argparse.Namespace, path: str | None = None
) -> tuple[tuple[Document, ...], Release]:
    """The objects and the Rollout among them.

    Raises:
        UsageError: if there is no such Rollout, several, or one that the cluster refuses.
    """
    paths = [path or chosen.manifests or options.DEFAULT_MANIFESTS]
    found = documents.read_all(paths)
    named = [r for r in releases.find(found) if chosen.rollout in (None, r.rollout.name)]
    if not named:
        raise releases.none_in(paths)
    if len(named) > 1:
        names = ", ".join(r.rollout.name for r in named)
        raise UsageError(f"there are several Rollouts: {names}", "choose one with --rollout")
    for refused in check.refusals(found, named[0]):
        raise UsageError(f"{refused.document} {refused.path}: {refused.message}", refused.remedy)
    return found, named[0]


def exported_release(
    chosen: argparse.Namespace, path: str | None = None
) -> tuple[tuple[Document, ...], Release]:
    """As `release`, of gates that read what is exported, as far as that is known.

    Raises:
        MeasureError: if one does not, so that it would see nothing.
    """
    found, one = release(chosen, path)
    for finding in check.lint(found, options.exported(chosen)).findings:
        own = finding.document is one.rollout or finding.document in one.templates
        if own and finding.rule == "not-exported":
            raise MeasureError(f"{finding.path}: {finding.message}", finding.remedy)
    return found, one


def traffic(chosen: argparse.Namespace) -> Traffic:
    """What users send, and what a healthy release does with it."""
    measured = effect_sizes.of_rehearsal(chosen.rehearsal) if chosen.rehearsal else Traffic(100.0)
    given = dict(chosen.healthy)
    if chosen.rate is not None:
        given |= {"rps": chosen.rate}
    if chosen.overdispersion is not None:
        given |= {"overdispersion": chosen.overdispersion}
    return replace(effect_sizes.changed(measured, given), routes=_routes(chosen))


def scrape(
    chosen: argparse.Namespace, found: Iterable[Document], release: Release
) -> tuple[float, str]:
    """How many seconds lie between two scrapes, and in words who says so."""
    if chosen.scrape:
        return chosen.scrape, f"every {chosen.scrape:g} s (--scrape)"
    monitor, interval_s = scraping(found, release)
    if interval_s:
        return interval_s, f"every {interval_s:g} s, as {monitor} says"
    return SCRAPE_S, f"every {SCRAPE_S:g} s: no monitor says how often, --scrape does"


def refusals(found: Sequence[Document], release: Release) -> Iterator[str]:
    """Why the controller would release nothing, and what else judges that nobody can follow."""
    for finding in check.lint(found).findings:
        own = finding.document is release.rollout or finding.document in release.templates
        if own and finding.rule in REFUSED:
            yield f"{finding.path}: {finding.message} — see canary lint --explain {finding.rule}"
    for gate in release.gates:
        if unread := gate.broken or (gate.metric and threshold.unread(gate.metric)):
            yield f"{gate.name}: {unread}"
        if gate.metric is None:
            yield f"{gate.name}: what {gate.provider or 'no provider'} will answer is not known"
        elif service := _service_of_before(release, gate, gate.metric):
            yield (
                f"{gate.name}: at {gate.moment} its window begins before the canary, when {service}"
                " selected stable pods, which is not modelled"
            )
    for index, step in release.unfollowed:
        yield f"step {index}: how {step} ends is not known"


def _service_of_before(release: Release, gate: Gate, metric: Metric) -> str:
    """The canary's Service by which a gate reads pods from before the canary, if it does.

    A router's own metrics have none: it sent nothing there before.
    """
    services = release.canary_tokens[1:]
    age_s = release.age_s(gate.moment) + metric.initial_delay_s
    selectors = promql.read(metric.query).selectors
    reading = (s for s in selectors if s.mentions(services) and not dialects.is_routers(s.metric))
    return services[0] if any(s.range_s > age_s for s in reading) else ""


def _interval(text: str) -> float:
    try:
        interval_s = durations.parse(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None
    if not LEAST_SCRAPE_S <= interval_s <= MOST_SCRAPE_S:
        raise argparse.ArgumentTypeError(f"{text} is not from 1s to 5m")
    return interval_s


def _routes(chosen: argparse.Namespace) -> tuple[float, ...]:
    if chosen.routes or chosen.manifests not in (None, options.DEFAULT_MANIFESTS):
        return chosen.routes or ()
    file = config_files.config_in(Path())
    weights = config_files.weights(file) if file.exists() else ()
    return tuple(weight / sum(weights) for weight in weights)


def vocabulary(chosen: argparse.Namespace) -> Vocabulary:
    """What metrics mean, as the contract says."""
    contract = options.exported(chosen)
    return Vocabulary(contract.values if contract else {})


def study(
    chosen: argparse.Namespace, found: Release, users: Traffic, scrape_s: float = SCRAPE_S
) -> Study:
    """As many draws of the release as were asked for, its metrics read as the contract says."""
    whole = Study.of(found, users)
    return replace(whole, scrape_s=scrape_s, vocabulary=vocabulary(chosen), n=chosen.releases)
