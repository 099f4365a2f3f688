"""Rules about what a gate reads: its series, its window, and how much of it is the canary."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import promql_parser

from canary.argo import dialects, promql, threshold
from canary.argo.dialects import UnmodelledError, Vocabulary
from canary.argo.gates import Gate, Release, Strategy
from canary.argo.model import Phase
from canary.argo.promql import Matcher, PromqlError, Query, Selector
from canary.argo.releases import LATEST, STABLE
from canary.lint import exporters, values
from canary.lint.contract import covers
from canary.lint.pods import copied_labels, cpu_limit_cores, monitor_of, target_labels
from canary.lint.rule import Asked, Context, Family, Hit, at, judged, percent, queries
from canary.lint.values import LIMITS, USED, measurements
from canary.yamls import Document

# Below this, rate() has too few samples to lose one: the usual rule (canary-analysis literature).
SCRAPES_IN_WINDOW = 4

# No pod is let restart so often within a window.
MOST_RESTARTS = 10.0

# No service answers faster, and no user waits for longer.
LEAST_LIMIT_S, MOST_LIMIT_S = 0.002, 120.0

_CORES = re.compile(r"cpu_usage_seconds|cpu_seconds_total|cpu_usage_seconds_total:sum")


rule = Family()


@rule.over(queries, "not-scoped", needs=Strategy.CANARY)
def _not_scoped(asked: Asked) -> Iterator[str]:
    selectors = asked.query.selectors
    if selectors and not any(_singles_out(asked.release, s) for s in selectors):
        yield _dilution(asked)


def _singles_out(release: Release, selector: Selector) -> bool:
    """Whether a selector names the canary, or may: by a word that is no name of the release's."""
    owned = [
        m
        for m in selector.matchers
        if m.label in dialects.APPLICATIONS
        or dialects.is_of_owner(selector.metric, m, release.rollout.name)
    ]
    telling = tuple(
        m for m in selector.matchers if m not in owned and not _takes_stable(release, m)
    )
    return replace(selector, matchers=telling).mentions(release.canary_tokens) or any(
        dialects.may_tell_sides(matcher, release.own_names) for matcher in telling
    )


def _takes_stable(release: Release, matcher: Matcher) -> bool:
    """Whether an expression that holds the canary's hash takes stable's too, or an empty label."""
    if LATEST not in matcher.value or matcher.sign != "=~":
        return False
    try:
        name = release.rollout.name
        return any(dialects.takes(matcher, v) for v in ("", STABLE, f"{name}-{STABLE}-x7k2p"))
    except UnmodelledError:
        return False


def _dilution(asked: Asked) -> str:
    moment, window_s = asked.gate.moment, asked.query.window_s
    exposure = moment.exposure(window_s) if math.isfinite(asked.age_s) else moment.share
    words = f"at {moment} the canary is {percent(exposure)} of what the query reads"
    limit = _share_limit(asked)
    if limit is None or not exposure:
        return words
    needed = limit / exposure
    if needed >= 1:
        return f"{words}: the gate cannot fail even at 100 % errors"
    fault = "be slow on" if promql.quantiles(asked.query.tree) else "fail"
    return f"{words}: the canary must {fault} {percent(needed)} of its requests to fail the gate"


@rule.over(queries, "window-beyond-exposure", needs=Strategy.CANARY)
def _window_beyond_exposure(asked: Asked) -> Iterator[str]:
    window_s, lived_s = _diluting_window_s(asked.query.tree, asked.release), asked.age_s
    if window_s > lived_s:
        what = f"the window is {window_s:g} s, and the canary is {lived_s:g} s old"
        yield f"at {asked.gate.moment} {what}"


def _diluting_window_s(tree: Any, release: Release) -> float:
    """The longest range that what lies before the canary would dilute.

    The canary's own series begin with it: only what `rate` divides by the whole range is less for
    that, unless it is divided by another such rate.
    """
    return max(_past_s(tree, release), _divided_s(tree, release))


def _past_s(tree: Any, release: Release) -> float:
    """The longest range of series that were there before the canary.

    A range of stable's own series is meant to lie there. A subquery of series that begin with the
    canary has no sample from before them.
    """
    if promql.calls(tree, *_LAST_TWO):
        return 0.0
    if isinstance(tree, promql_parser.MatrixSelector):
        (selector,) = promql.selectors(tree)
        stable = selector.mentions(release.stable_tokens)
        return 0.0 if stable or _has_no_past(release, selector) else selector.range_s
    within = max((_past_s(part, release) for part in promql.children(tree)), default=0.0)
    if not isinstance(tree, promql_parser.SubqueryExpr) or tree.range is None:
        return within
    own = any(_has_no_past(release, selector) for selector in promql.selectors(tree.expr))
    return within if own else max(within, tree.range.total_seconds())


# These read the newest two samples of a range, however long it is.
_LAST_TWO = ("irate", "idelta")


def _divided_s(tree: Any, release: Release) -> float:
    """The longest range of the canary's own series by which `rate` divides, if that tells."""
    if promql.is_quantile(tree) or _is_ratio_of_rates(tree):
        return 0.0
    if promql.calls(tree, "rate"):
        own = (s for s in promql.selectors(tree) if _has_no_past(release, s))
        return max((selector.range_s for selector in own), default=0.0)
    return max((_divided_s(part, release) for part in promql.children(tree)), default=0.0)


def _is_ratio_of_rates(tree: Any) -> bool:
    if not promql.joins(tree, "/"):
        return False
    above, below = ({s.range_s for s in promql.selectors(t)} for t in (tree.lhs, tree.rhs))
    rates = (
        any(promql.calls(node, "rate", "increase") for node in promql.nodes(side))
        for side in (tree.lhs, tree.rhs)
    )
    return above == below and all(rates)


def _has_no_past(release: Release, selector: Selector) -> bool:
    """Whether its series begin with the canary: by its hash, or as what a router sends to it."""
    if selector.mentions((LATEST,)):
        return True
    routed = release.routed and dialects.is_routers(selector.metric)
    return routed and _singles_out(release, selector)


@rule.over(queries, "window-under-four-scrapes", needs=Strategy.BLUE_GREEN)
def _window_under_four_scrapes(asked: Asked) -> Iterator[str]:
    scrape_s = asked.context.scrape_s
    if scrape_s is None:
        return
    for selector in asked.query.selectors:
        few = selector.range_s < SCRAPES_IN_WINDOW * scrape_s
        if selector.range_s and few and _from_service(selector.metric):
            held = f"{math.floor(selector.range_s / scrape_s)} scrapes, one every {scrape_s:g} s"
            yield f"at {asked.gate.moment} a window of {selector.range_s:g} s holds {held}"
    for range_s, step_s in promql.sparse_subqueries(asked.query.tree):
        yield f"a subquery of {range_s:g} s at steps of {step_s:g} s is empty at most instants"


@rule("no-minimum-sample", needs=Strategy.BLUE_GREEN)
def _no_minimum_sample(context: Context) -> Iterator[Hit]:
    for analysis in context.release.analyses:
        guarded = any(_counts_requests(gate) for gate in analysis.gates)
        for asked in queries(context, analysis):
            limit = _share_limit(asked)
            if guarded or limit is None or promql.has_minimum(asked.query.tree):
                continue
            if 0 < measurements(asked) <= asked.metric.failure_limit:
                continue  # no failure trips it: said by another rule
            few = f"with fewer than {math.ceil(1 / limit)} requests"
            yield at(asked.gate, f"{few} one failure fails it")


@rule.over(judged, "measured-before-data", needs=Strategy.CANARY)
def _measured_before_data(asked: Asked) -> Iterator[str]:
    metric, query, age_s = asked.metric, asked.query, asked.age_s
    # Growth takes two scrapes.
    data_s = (asked.context.scrape_s or 0.0) if query.window_s else 0.0
    begun = all(_has_no_past(asked.release, selector) for selector in query.selectors)
    limits = {Phase.INCONCLUSIVE: metric.inconclusive_limit, Phase.FAILED: metric.failure_limit}
    phase, empty = threshold.phase_of(metric), promql.may_be_empty(query.tree)
    if not (asked.gate.moment.background and age_s <= data_s and begun and empty):
        return
    early = 1 + int((data_s - age_s) // metric.interval_s) if metric.interval_s else 1
    if 0 <= limits.get(phase, -1) < early:
        times = f"it is measured {early} time(s) before a second scrape"
        yield f"without data it is {phase}, and {times}"


@rule.over(queries, "first-series-only")
def _first_series_only(asked: Asked) -> Iterator[str]:
    if promql.may_be_many(asked.query.tree) and threshold.ignores_later_series(asked.metric):
        yield "a later series beyond the limit is not judged"


@rule.over(queries, "rate-as-ratio")
def _rate_as_ratio(asked: Asked) -> Iterator[str]:
    limits = threshold.numbers(asked.metric)
    nodes = list(promql.nodes(asked.query.tree))
    answered = _answered_first(asked.query.tree)
    counted = list(promql.selectors(answered))
    failures = counted and all(dialects.picks_failures(s) for s in counted)
    if failures and not promql.divides(answered) and limits and 0 < max(limits) < 1:
        rate = any(promql.calls(n, "rate") for n in nodes) and "increase" not in asked.metric.query
        unit = "a second" if rate else "in its window"
        yield f"its limit {max(limits):g} is a number of failures {unit}, not a share"
    for node in nodes:
        if promql.counts(node) == ("increase", "rate"):
            span = f"{promql.window_s(node):g}"
            yield f"increase() over rate() is {span} times the share that failed"


def _answered_first(tree: Any) -> Any:
    """What of a query answers where every series is there: `or` binds less than division."""
    tree = promql.bare(tree)
    while promql.joins(tree, "or"):
        tree = promql.bare(tree.lhs)
    return tree


@rule.over(queries, "divided-by-more")
def _divided_by_more(asked: Asked) -> Iterator[str]:
    vocabulary, release = asked.context.vocabulary, asked.release
    for node in promql.nodes(asked.query.tree):
        if (
            promql.joins(node, "/")
            and not promql.divides(node.lhs)
            and not promql.divides(node.rhs)
        ):
            yield from (
                [*_of_more(node, vocabulary)]
                or [*_of_others(node, release, vocabulary)]
                or [*_of_longer(node)]
                or [*_of_other_pods(node, release)]
            )
        yield from _of_other_levels(node)


def _of_more(ratio: Any, vocabulary: Vocabulary) -> Iterator[str]:
    """What one outcome is asked for, and all requests below it are not."""
    for some in promql.selectors(ratio.lhs):
        every = [s for s in promql.selectors(ratio.rhs) if s.metric == some.metric]
        dialect = vocabulary.of(some.metric)
        if not every or not dialect or not dialect.outcomes.keys() & some.labels:
            continue
        telling = dialect.outcomes.keys() | dialects.TELLING | {"le"}
        for matcher in (m for m in _narrowing(some) if m.label not in telling):
            wider = (
                matcher.label not in s.labels
                and set(_narrowing(s)) <= set(some.matchers)
                and promql.adds_up(ratio.rhs, s, matcher.label)
                for s in every
            )
            if all(wider):
                yield f"{matcher} is asked of {some.metric} above the line and not below it"


def _of_others(ratio: Any, release: Release, vocabulary: Vocabulary) -> Iterator[str]:
    """The canary's failures, or its good requests, divided by requests that are stable's too."""
    every = [s for s in promql.selectors(ratio.rhs) if not _tells(s, vocabulary)]
    for some in promql.selectors(ratio.lhs):
        alike = [s for s in every if s.metric == some.metric]
        told = _tells(some, vocabulary) and _singles_out(release, some)
        mixed = not some.mentions(release.stable_tokens)
        others = (
            not _singles_out(release, s) or (mixed and s.mentions(release.stable_tokens))
            for s in alike
        )
        if told and alike and all(others):
            yield f"{some.metric} is of the canary above the line, and of others too below it"
            return


def _of_other_pods(ratio: Any, release: Release) -> Iterator[str]:
    """The canary's durations by others' requests, or its usage by others' limits."""
    above, below = (list(promql.selectors(side)) for side in (ratio.lhs, ratio.rhs))
    sums = {s.metric.removesuffix("_sum") for s in above if s.metric.endswith("_sum")}
    means = sums == {s.metric.removesuffix("_count") for s in below}
    usage = all(s.metric in USED for s in above) and all(s.metric == LIMITS for s in below)
    alike = bool(above) and bool(below) and (means or usage)
    own = all(_singles_out(release, s) for s in above)
    if alike and own and not any(_singles_out(release, s) for s in below):
        yield f"{above[0].metric} is of the canary above the line, and {below[0].metric} is not"


_UNITS = {
    ("cpu", "resource"): "cpu",
    ("cpu", "unit"): "core",
    ("memory", "resource"): "memory",
    ("memory", "unit"): "byte",
}


def _of_other_levels(node: Any) -> Iterator[str]:
    """One quantile that is compared with another."""
    if promql.joins(node, "/", "-"):
        sides = (promql.bare(node.lhs), promql.bare(node.rhs))
        levels = [promql.quantiles(side) for side in sides if promql.answers_a_quantile(side)]
        if len(levels) == len(sides) and levels[0] and levels[1] and levels[0] != levels[1]:
            yield f"the {levels[0][0]:g} quantile is compared with the {levels[1][0]:g} one"


def _of_longer(ratio: Any) -> Iterator[str]:
    """Requests of a window that are counted in another one below the line."""
    above, below = ({s.range_s for s in promql.selectors(t)} for t in (ratio.lhs, ratio.rhs))
    counters = {s.metric for s in promql.selectors(ratio)}
    if len(counters) == len(above) == len(below) == 1 and 0.0 in above ^ below:
        where = "above" if above == {0.0} else "below"
        yield f"{where} the line is what pods counted since they began, and not a window"
    if promql.counts(ratio) == ("increase", "increase") and len(above) == len(below) == 1:
        some, every = above.pop(), below.pop()
        if some < every:
            yield f"{some:g} s are counted above the line, and {every:g} s below it"


def _tells(selector: Selector, vocabulary: Vocabulary) -> bool:
    """Whether it selects by outcome."""
    dialect = vocabulary.of(selector.metric)
    return dialect is not None and bool(dialect.outcomes.keys() & selector.labels)


def _narrowing(selector: Selector) -> list[Matcher]:
    """The matchers that ask for some values of a label."""
    return [m for m in selector.matchers if m.sign in ("=", "=~") and m.value not in (".*", ".+")]


@rule.over(queries, "series-counted")
def _series_counted(asked: Asked) -> Iterator[str]:
    vocabulary = asked.context.vocabulary
    for node in promql.nodes(asked.query.tree):
        if (operator := promql.divided_aggregates(node)) not in ("count", "avg"):
            continue
        above, below = (list(promql.selectors(side)) for side in (node.lhs, node.rhs))
        told = [s.metric for s in above if _tells(s, vocabulary)]
        if told and not any(_tells(s, vocabulary) for s in below):
            yield f"{operator} of {told[0]} over {operator} of all its series"


@rule.over(queries, "quantile-without-answer")
def _quantile_without_answer(asked: Asked) -> Iterator[str]:
    tree = asked.query.tree
    for level in (*promql.quantiles(tree), *promql.other_quantiles(tree)):
        if not 0 <= level <= 1:
            yield f"its level is {level:g}"
    for node in filter(promql.is_quantile, promql.nodes(tree)):
        kept = promql.kept_labels(node.args[1])
        buckets = (s.metric.endswith("_bucket") for s in promql.selectors(node.args[1]))
        if kept is not None and "le" not in kept and any(buckets):
            yield "the aggregation inside it drops the label le"
        for selector in promql.selectors(node.args[1]):
            if selector.metric.endswith(("_count", "_sum", "_total")):
                yield f"{selector.metric} has no buckets"
            for matcher in (m for m in selector.matchers if m.label == "le"):
                if not dialects.may_take(matcher, "+Inf"):
                    yield f"{matcher} leaves out the bucket +Inf, so it is NaN"


@rule.over(queries, "buckets-added-up")
def _buckets_added_up(asked: Asked) -> Iterator[str]:
    for node in promql.outside_quantiles(asked.query.tree):
        for selector in promql.selectors(node) if promql.drops(node, "le") else ():
            bounds = [m for m in selector.matchers if (m.label, m.sign) == ("le", "=")]
            if selector.metric.endswith("_bucket") and not bounds:
                yield f"{node.op} of {selector.metric} over all values of le"


@rule.over(queries, "limit-in-another-unit")
def _limit_in_another_unit(asked: Asked) -> Iterator[str]:
    vocabulary, query = asked.context.vocabulary, asked.query
    yield from _far_bounds(query, vocabulary)
    limits = [limit for limit in threshold.numbers(asked.metric) if limit > 0]
    if limits and (window_s := promql.restarts_a_second(query.tree)):
        restarts = min(limits) * window_s
        if restarts > MOST_RESTARTS:
            yield f"{min(limits):g} per second is {restarts:g} restarts in {window_s:g} s"
    dialect = vocabulary.of(query.selectors[0].metric) if query.selectors else None
    duration = promql.answers_a_quantile(query.tree) or promql.answers_a_mean(query.tree)
    if not limits or not dialect or not duration:
        return
    least, most = min(limits) * dialect.unit_s, max(limits) * dialect.unit_s
    if most < LEAST_LIMIT_S or least > MOST_LIMIT_S:
        counts = "milliseconds" if dialect.unit_s < 1 else "seconds"
        yield f"{query.selectors[0].metric} counts {counts}: the limit is {most:g} s"


def _far_bounds(query: Query, vocabulary: Vocabulary) -> Iterator[str]:
    """Bounds of buckets below which no request lies, or all do."""
    for selector in query.selectors:
        dialect = vocabulary.of(selector.metric)
        for matcher in selector.matchers if dialect else ():
            if (matcher.label, matcher.sign) != ("le", "=") or not dialects.is_bound(matcher.value):
                continue
            bound_s = float(matcher.value) * (dialect.unit_s if dialect else 1.0)
            if bound_s < LEAST_LIMIT_S or MOST_LIMIT_S < bound_s < math.inf:
                yield f"{selector.metric}: {matcher} is {bound_s:g} s"


@rule.over(queries, "labels-do-not-match")
def _labels_do_not_match(asked: Asked) -> Iterator[str]:
    for node in promql.nodes(asked.query.tree):
        for left, right in promql.unpaired(node):
            yield f"{_named(left)} {node.op} {_named(right)} is always empty"
        for labels in promql.ambiguous(node):
            what = f"several series of {_named(labels)} match one, which Prometheus refuses"
            yield f"at {node.op} {what}"


def _named(labels: frozenset[str]) -> str:
    return f"({', '.join(sorted(labels))})" if labels else "(no label)"


@rule.over(queries, "cores-as-ratio")
def _cores_as_ratio(asked: Asked) -> Iterator[str]:
    query = asked.query
    highest = max(threshold.numbers(asked.metric), default=math.inf)
    cores = highest <= 1 and any(_CORES.search(selector.metric) for selector in query.selectors)
    if cores and not promql.divides(query.tree):
        yield _cores(highest, cpu_limit_cores(asked.release.rollout))
    yield from _of_other_resources(query.selectors)
    for node in promql.nodes(query.tree):
        if cores and _is_usage_of_a_window(node):
            what = f"increase() counts the CPU seconds of {promql.window_s(node.lhs):g} s"
            yield f"{what}, and the limit is cores"


def _of_other_resources(selectors: Iterable[Selector]) -> Iterator[str]:
    """Limits of another resource than what is used, or of all at once."""
    found = list(selectors)
    used = next((USED[s.metric] for s in found if s.metric in USED), "")
    other = {"cpu": "memory", "memory": "cpu"}.get(used, "")
    for selector in (s for s in found if s.metric == LIMITS and used):
        told = [m for m in selector.matchers if m.label in ("resource", "unit")]
        words = ", ".join(map(str, told)) or "all resources"
        if told and not all(dialects.may_take(m, _UNITS[used, m.label]) for m in told):
            yield f"{used} is compared with {LIMITS} of {words}"
        elif all(dialects.may_take(m, _UNITS[other, m.label]) for m in told):
            yield f"{used} is compared with {LIMITS} of {words}, {other} too"


def _is_usage_of_a_window(node: Any) -> bool:
    """Whether CPU seconds of a window are divided by cores."""
    if not promql.joins(node, "/"):
        return False
    grown = promql.bare(node.lhs)
    while isinstance(grown, promql_parser.AggregateExpr):
        grown = promql.bare(grown.expr)
    limits = any(s.metric == LIMITS for s in promql.selectors(node.rhs))
    cores = any(_CORES.search(s.metric) for s in promql.selectors(grown))
    return promql.calls(grown, "increase") and cores and limits


def _cores(threshold: float, limit: float | None) -> str:
    words = f"{threshold:g} means {threshold:g} of a core"
    if limit is None:
        return words
    if threshold >= limit:
        return f"{words}; the container's limit is {limit:g}, so the gate can never fail"
    return f"{words}: with the container's limit of {limit:g} it trips at {threshold / limit:.0%}"


@rule.over(queries, "series-not-recorded")
def _series_not_recorded(asked: Asked) -> Iterator[str]:
    for selector in asked.query.selectors:
        if ":" in selector.metric and selector.metric not in asked.context.recorded:
            hint = ""
            if selector.metric.endswith("cpu_usage_seconds_total:sum_rate"):
                hint = " (kubernetes-mixin renamed it in 2021)"
            yield f"no rule here records {selector.metric}{hint}"


@rule.over(queries, "not-exported")
def _not_exported(asked: Asked) -> Iterator[str]:
    for selector in asked.query.selectors:
        yield from _not_there(asked.context, selector)


def _not_there(context: Context, selector: Selector) -> Iterator[str]:
    contract, metric = context.contract, selector.metric
    if metric in context.recorded:
        for inner in promql.read(context.recorded[metric]).selectors:
            for words in exporters.unknown(inner):
                yield f"{metric} is recorded of it: {words}"
    elif contract is None or not covers(metric):
        yield from exporters.unknown(selector)
        yield from _of_other_targets(context, selector)
        labels = dict((*_not_copied(context, selector), *_misspelt_labels(context, selector)))
        yield from labels.values()
    elif metric not in contract.labels:
        yield f"the service exports no {metric}"
    else:
        known = contract.labels[metric] | context.target_labels | {"__name__"}
        if monitor_of(context.documents, context.release) is None:
            # What scrapes the pods is elsewhere, and may copy their hash.
            known |= {m.label for m in selector.matchers if m.value in (LATEST, STABLE)}
        for label in sorted(selector.labels - known):
            yield f"{metric} has no label {label}"
        yield from _of_other_targets(context, selector)


def _of_other_targets(context: Context, selector: Selector) -> Iterator[str]:
    """What asks for another container, port or job than that of which the monitor's series are."""
    for monitor, _, matcher in _uncopied(context, selector):
        values = target_labels(monitor, context.release.rollout).get(matcher.label)
        if values and not any(dialects.may_take(matcher, value) for value in values):
            yield f"{matcher}: as {monitor} scrapes these pods it is {' or '.join(sorted(values))}"


def _misspelt_labels(context: Context, selector: Selector) -> Iterator[tuple[str, str]]:
    """Labels that are spelt almost as one that a scrape adds, or that tells what the gate asks."""
    dialect = Vocabulary().of(selector.metric)
    telling = {*dialect.outcomes, *dialect.spread} if dialect else set()
    known = context.target_labels | telling
    if dialect and not dialect.assumed:
        for label in sorted(selector.labels & dialects.OUTCOMES - telling):
            tells = f"{' or '.join(dialect.outcomes) or 'nothing'} tells what became of them"
            yield label, f"{selector.metric} has no label {label}: {tells}"
    for label in sorted(selector.labels - known - dialects.SCOPE - {"le", "__name__"}):
        for meant in get_close_matches(label, sorted(known), 1, exporters.ALIKE):
            yield label, f"{selector.metric} has no label {label}, but {meant}"


def _not_copied(context: Context, selector: Selector) -> Iterator[tuple[str, str]]:
    """A label for the pod-template hash that the monitor of these pods does not give to series."""
    for monitor, labels, matcher in _uncopied(context, selector):
        if matcher.value in (LATEST, STABLE):
            copied = ", ".join(sorted(labels)) or "no label of the pods"
            yield matcher.label, f"{monitor} copies {copied}, and not {matcher.label}"


def _uncopied(
    context: Context, selector: Selector
) -> Iterator[tuple[Document, frozenset[str], Matcher]]:
    """The pods' monitor, what it copies, and each matcher of another label, as far as known."""
    monitor = monitor_of(context.documents, context.release)
    if monitor is None or dialects.is_routers(selector.metric) or not covers(selector.metric):
        return
    if (labels := copied_labels(monitor)) is None:
        return
    for matcher in selector.matchers:
        if matcher.label not in labels:
            yield monitor, labels, matcher


@rule.over(queries, "threshold-off-bucket")
def _threshold_off_bucket(asked: Asked) -> Iterator[str]:
    contract, query = asked.context.contract, asked.query
    asks = promql.quantiles(query.tree) and promql.answers_a_quantile(query.tree)
    if contract is None or not asks:
        return
    for selector in query.selectors:
        bounds = contract.bounds.get(selector.metric, frozenset())
        for limit in threshold.numbers(asked.metric):
            if bounds and limit not in bounds:
                below = max((b for b in bounds if b < limit), default=0.0)
                above = min((b for b in bounds if b > limit), default=math.inf)
                yield f"{limit:g} lies between the bounds {below:g} and {above:g}"


def _share_limit(asked: Asked) -> float | None:
    """The share of bad requests at which a gate trips; None for gates of another kind."""
    metric, query = asked.metric, asked.query
    quantiles = promql.quantiles(query.tree)
    if quantiles:
        return 1 - quantiles[0] if 0 < quantiles[0] < 1 else None
    unit = _unit(query)
    limits = [limit / unit for limit in threshold.numbers(metric) if 0 < limit < unit]
    if limits and threshold.phase_of(metric, limits[0] * unit) is Phase.ERROR:
        return None  # said by another rule
    counted = any(
        dialects.picks_failures(selector) or dialects.picks_successes(selector)
        for selector in query.selectors
    )
    if not limits or not counted or not promql.divides(query.tree):
        return None
    # A success ratio trips when it falls below its limit.
    return 1 - max(limits) if threshold.passes_above(metric) else min(limits)


def _unit(query: Query) -> float:
    """What a query answers of everything: 100 if it counts per cent, else taken for 1."""
    answers = (values.answer(query.tree, failing, Vocabulary()) for failing in (0.0, 1.0))
    return 100.0 if 100.0 in answers else 1.0  # noqa: PLR2004 — per cent


def _counts_requests(gate: Gate) -> bool:
    """Whether a metric demands a minimum of traffic."""
    if gate.metric is None or gate.metric.dry_run or not threshold.numbers(gate.metric):
        return False
    try:
        query = promql.parse(gate.metric.query)
    except PromqlError:
        return False
    rising = threshold.passes_above(gate.metric)
    return rising and max(threshold.numbers(gate.metric)) > 1 and not promql.divides(query.tree)


def _from_service(metric: str) -> bool:
    return not metric.startswith(("container_", "kube_", "node_")) and ":" not in metric
