"""Rules that ask what a gate says at each kind of result, and at each value its query can have.

A condition is tried with the controller's own evaluator at nothing, NaN, its limits, either side of
them, and far beyond; a query's values lie between bounds that follow from what it divides.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import promql_parser

from canary.argo import dialects, model, promql, threshold
from canary.argo.analysis import ERROR_RETRY_S
from canary.argo.dialects import Nothing, Outcome, UnmodelledError, Vocabulary
from canary.argo.gates import ANYWHERE, Release, Strategy
from canary.argo.model import Metric, Phase
from canary.argo.promql import Query, Selector
from canary.argo.releases import LATEST, STABLE
from canary.argo.resolve import PLACEHOLDER
from canary.lint import exporters
from canary.lint.pods import containers_of
from canary.lint.rule import Asked, Context, Family, judged, queries

rule = Family()

# The share of stable's requests that fails.
USUAL = 0.0005

# More requests than any gate wants at least, and for how long counters have stood.
MANY, LONG_S = 1e6, 3600.0

# What the kubelet and kube-state-metrics say of each container.
_OF_CONTAINERS = re.compile("container_|kube_pod_container_")

# By what a selector may name a ReplicaSet in a label of any name.
_OF_PODS = re.compile(rf"{LATEST}|{STABLE}|{PLACEHOLDER.pattern}")

# By how a dialect tells good from failed: its words of failures, and of what is neither.
FAILURES = {
    dialects.STATUS: ("500", "502", "503", "504"),
    dialects.CODES: ("Internal", "Unavailable", "Unknown"),
}
# Codes of RFC 9110 and its kin, and those of gateways alone: 0 of a mesh that got no response.
_BESIDE_RFC = "0 444 460 463 494 495 496 497 499 520 521 522 523 524 525 526 527 530"
_OF_CLIENTS = (
    "Canceled InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied Aborted"
    " ResourceExhausted FailedPrecondition OutOfRange Unimplemented DataLoss Unauthenticated"
)
NEITHER = {
    dialects.STATUS: (*(str(status.value) for status in HTTPStatus), *_BESIDE_RFC.split()),
    dialects.CODES: tuple(_OF_CLIENTS.split()),
    ("SUCCESS", "SERVER_ERROR"): ("CLIENT_ERROR", "REDIRECTION", "INFORMATIONAL", "UNKNOWN"),
    ("2xx", "5xx"): ("4xx", "3xx", "1xx", "other"),
    ("2", "5"): ("4", "3", "1"),
}
# Failures that hardly any service has.
RARE = {
    dialects.STATUS: tuple(
        status
        for status in NEITHER[dialects.STATUS]
        if status[0] == "5" and status not in FAILURES[dialects.STATUS]
    )
}
PASSED, FAILED = {Phase.SUCCESSFUL}, {Phase.FAILED}
# What is said of the best result and of a bad one where the comparison points the wrong way.
REVERSED = (Phase.FAILED, Phase.SUCCESSFUL)
HUGE = 1e12

RESTARTS, DURATIONS, USAGE = "restarts", "durations", "the usage of a limit"
# What of a resource is used, by the metric that says so, and how much of it may be.
USED = {
    "container_cpu_usage_seconds_total": "cpu",
    "container_memory_working_set_bytes": "memory",
}
LIMITS = "kube_pod_container_resource_limits"
THROTTLED = "container_cpu_cfs_throttled_periods_total"
_DURATION = re.compile(r"duration|latency|(?<!up)time(_|$)|_(seconds|milliseconds|ms)(_|$)")
# No gate on durations has so low a limit; one that asks for more asks for data.
SOME_S = 0.002

# The share of requests that fail: of all selectors, or of each.
Failing = float | Callable[[Selector], float]

# What a query's number can be: least and most.
Range = tuple[float, float]
ANY: Range = (-math.inf, math.inf)
SHARE: Range = (0.0, 1.0)
COUNTED: Range = (0.0, math.inf)
# Usage of a limit: it is measured with some noise.
OF_LIMITS: Range = (0.0, 1.2)


@rule.over(judged, "condition-always-errors")
def _condition_always_errors(asked: Asked) -> Iterator[str]:
    if set(phases(asked.metric).values()) == {Phase.ERROR}:
        late = asked.metric.consecutive_error_limit * ERROR_RETRY_S
        yield f"every release is aborted, {late:g} s after its first measurement"


@rule.over(judged, "cannot-fail")
def _cannot_fail(asked: Asked) -> Iterator[str]:
    low, high = among = _range(asked.query.tree)
    found = set(phases(asked.metric, among).values())
    if found == {Phase.SUCCESSFUL}:
        where = "" if math.isinf(high) else f" from {low:g} to {high:g}, the query's whole range,"
        yield f"every number{where} is judged Successful"
    most = asked.metric.inconclusive_limit
    endless = 0 < measurements(asked) <= most and not asked.metric.consecutive_success_limit
    if found == {Phase.SUCCESSFUL, Phase.INCONCLUSIVE} and endless:
        yield f"no number is judged Failed, and inconclusiveLimit {most} is never exceeded"


@rule.over(judged, "always-fails")
def _always_fails(asked: Asked) -> Iterator[str]:
    metric, tree = asked.metric, asked.query.tree
    found = set(phases(metric, _range(tree)).values())
    second = promql.may_be_many(tree)  # what a number alone does not pass, several may
    wrong = found - {Phase.SUCCESSFUL, Phase.ERROR} and not (second and Phase.ERROR in found)
    if wrong and Phase.SUCCESSFUL not in found:
        # A comparison that leaves nothing is how some gates pass.
        if threshold.phase_of(metric) is not Phase.SUCCESSFUL:
            yield "no number that the query can return is judged Successful"
        return
    if not promql.divides(tree):
        return  # how much is counted is a matter of the traffic
    answers = [answer(tree, failing, asked.context.vocabulary) for failing in (0.0, 0.5, 1.0)]
    known = [answer for answer in answers if answer is not None]
    if len(known) == len(answers) and {threshold.phase_of(metric, a) for a in known} == FAILED:
        yield f"it fails at {known[0]:g}, where no request failed, and at any other"


@rule.over(judged, "half-may-fail")
def _half_may_fail(asked: Asked) -> Iterator[str]:
    metric, tree = asked.metric, asked.query.tree
    for level in promql.quantiles(tree):
        upper = promql.answers_a_quantile(tree) and not threshold.passes_above(metric)
        if upper and 0 <= level < 0.5:  # noqa: PLR2004 — the median
            yield f"{1 - level:.0%} of requests may be slower than the {level:g} quantile"
    if not promql.divides(tree):
        return
    good, half, full = (_answer_of_canary(tree, x, asked.context) for x in (0.0, 0.5, 1.0))
    if good is None or half is None:
        return
    mine = [s for s in asked.query.selectors if s.mentions(asked.release.canary_tokens)]
    telling = any(_tells(s, asked.context.vocabulary) for s in mine)
    if good == half == full and not telling:
        return  # it asks for something else than failures
    among = set(phases(metric, _range(tree)).values())
    said = [threshold.phase_of(metric, x) for x in (good, half)]
    ignored = said[1] is Phase.INCONCLUSIVE and _goes_on(asked)
    if among != PASSED and said[0] is Phase.SUCCESSFUL and (said[1] in PASSED or ignored):
        yield f"at 50 % errors the query returns {half:g}, which is judged {said[1]}"


@rule.over(queries, "some-failures-only")
def _some_failures_only(asked: Asked) -> Iterator[str]:
    for selector in asked.query.selectors:
        dialect = asked.context.vocabulary.of(selector.metric)
        for label, pair in dialect.outcomes.items() if dialect else ():
            told = [m for m in selector.matchers if m.label == label]
            every = FAILURES.get(pair, pair[1:])
            try:
                taken = _of_values(told, every)
            except UnmodelledError:
                continue
            seldom = _of_values(told, RARE.get(pair, ())) if not taken else []
            if seldom or 0 < len(taken) < len(every):
                words = ", ".join(map(str, told))
                left = ", ".join(value for value in every if value not in taken)
                yield f"{words} takes {', '.join(taken or seldom)}, and not {left}"


@rule.over(judged, "conditions-reversed")
def _conditions_reversed(asked: Asked) -> Iterator[str]:
    metric, tree, release = asked.metric, asked.query.tree, asked.release

    def said(best: float, worst: float) -> tuple[Phase, Phase]:
        return threshold.phase_of(metric, best), threshold.phase_of(metric, worst)

    good, bad = (_answer_of_canary(tree, failing, asked.context) for failing in (0.0, 1.0))
    if good is not None and bad is not None and good != bad and said(good, bad) == REVERSED:
        yield f"it fails at {good:g}, where no request failed, and passes at {bad:g}"
    what = _of_which_less_is_better(tree, release.canary_tokens)
    most = max(threshold.numbers(metric), default=0.0)
    # To ask for some of it is to ask for data; of restarts there should be none.
    told = what == RESTARTS or most * _unit_s(asked.query) >= SOME_S
    if what and said(0.0, HUGE) == REVERSED and told:
        yield f"it fails at 0 and passes above {most:g}: of {what} less is better"
    if _of_which_more_is_better(tree, release) and said(HUGE, 0.0) == REVERSED:
        yield "it passes where the canary is slow: stable's durations are compared with its"
    beyond = promql.rest_of_one(tree)
    if (promql.answers_a_bound(tree) and said(1.0, 0.0) == REVERSED) or (
        beyond is not None and promql.answers_a_bound(beyond) and said(0.0, 1.0) == REVERSED
    ):
        yield "it fails where every request is below the bound, and passes where none is"
    if _counts_the_ready(tree) and said(HUGE, 0.0) == REVERSED:
        yield "it passes where no pod is ready, and fails where all are"


@rule.over(queries, "matcher-never-matches")
def _matcher_never_matches(asked: Asked) -> Iterator[str]:
    for selector in asked.query.selectors:
        yield from _no_pod(asked.release, selector)
        yield from _elsewhere(asked.release, selector)
        yield from _of_both(asked.release, selector)
        yield from exporters.never_taken(selector)
        yield from _no_bound(selector)
        yield from _not_shown(asked.context, selector)
        yield from _never_both(selector)
        yield from _no_outcome(asked.context, selector)


def _no_outcome(context: Context, selector: Selector) -> Iterator[str]:
    """What takes no outcome of requests, or leaves none out."""
    dialect = context.vocabulary.of(selector.metric)
    telling = [m for m in selector.matchers if dialect and m.label in dialect.outcomes]
    if not dialect or not telling:
        return
    assumed = f"; assumed: {dialect.assumed}" if dialect.assumed else ""
    with suppress(UnmodelledError):
        if not _taken(dialect, telling):
            words = ", ".join(map(str, telling))
            yield f"{words} matches neither good nor failed requests{assumed}"
        for matcher in telling:
            if _takes_all(dialect, matcher):
                yield f"{matcher} leaves out no request{assumed}"


@rule.over(queries, "offset-in-gate", needs=Strategy.CANARY)
def _offset_in_gate(asked: Asked) -> Iterator[str]:
    selectors, moment = asked.query.selectors, asked.gate.moment
    # What is read without an offset too is compared with itself: a counter's growth.
    now = {(s.metric, s.matchers) for s in selectors if not s.offset_s}
    for selector in selectors:
        grown = (selector.metric, selector.matchers) in now
        if selector.offset_s > 0 and selector.mentions(asked.release.canary_tokens) and not grown:
            reads = f"at {moment} it reads {selector.offset_s:g} s back"
            yield f"{reads}, and the canary is {asked.age_s:g} s old"
    yield from promql.other_times(asked.query.tree)


@rule.over(judged, "no-data-passes")
def _no_data_passes(asked: Asked) -> Iterator[str]:
    tree = asked.query.tree
    default = _default(tree) if promql.divides(tree) else None
    if default is not None and threshold.phase_of(asked.metric, default) is Phase.SUCCESSFUL:
        yield f"no data reads as {default:g}, which is judged Successful"


@rule.over(judged, "leaves-nothing", needs=Strategy.BLUE_GREEN)
def _leaves_nothing(asked: Asked) -> Iterator[str]:
    tree, context = asked.query.tree, asked.context
    there = [_is_there(tree, failing, context) for failing in (0.0, 0.5, 1.0)]
    if there[1:] != [False, False]:
        return
    if there[0] is False:
        joined = (str(n.op) for n in promql.nodes(tree) if _leaves(n, context))
        for sign in itertools.islice(joined, 1):
            yield f"with many requests `{sign}` leaves nothing, however many fail"
    elif (phase := threshold.phase_of(asked.metric)) is not Phase.FAILED:
        yield f"where half of the requests fail, nothing is left, which is {phase}"


def _leaves(node: Any, context: Context) -> bool:
    """Whether what joins two sides leaves nothing: a comparison with a number may be meant to."""
    joins = isinstance(node, promql_parser.BinaryExpr) and str(node.op) not in promql.COMPARISONS
    return joins and _is_there(node, 0.5, context) is False


@rule.over(judged, "empty-pauses")
def _empty_pauses(asked: Asked) -> Iterator[str]:
    vocabulary, tree = asked.context.vocabulary, asked.query.tree
    zeroed = all((d := vocabulary.of(s.metric)) and d.zeroed for s in asked.query.selectors)
    nothing = None if zeroed else dialects.without_failures(tree)
    there = [_is_there(tree, failing, asked.context) for failing in (0.0, 0.5)]
    if there == [False, True]:
        nothing = Nothing.EMPTY  # a comparison keeps what is beyond the limit alone
    healthy = answer(tree, 0.0, vocabulary)
    if not nothing and healthy is not None and math.isnan(healthy):
        nothing = Nothing.NAN  # failures are divided by failures
    what = "failed request, as a healthy release has"
    if not nothing:
        what = "refused request, such as a 404"
        nothing = dialects.without_failures(tree, vocabulary.rarely_refuses)
    phase = threshold.phase_of(asked.metric, *[math.nan] * (nothing is Nothing.NAN))
    stops = phase is Phase.FAILED or not _goes_on(asked)
    if nothing and stops and phase in (Phase.FAILED, Phase.INCONCLUSIVE):
        yield f"with no {what}, it is {phase}"


@rule.over(judged, "limit-not-reached")
def _limit_not_reached(asked: Asked) -> Iterator[str]:
    number, limit = measurements(asked), asked.metric.failure_limit
    if 0 < number <= limit:
        there = f"there are {number} measurement(s) at {asked.gate.moment}"
        yield f"failureLimit is {limit}, and {there}"


@rule.over(judged, "background-measures-once")
def _background_measures_once(asked: Asked) -> Iterator[str]:
    metric = asked.metric
    # Of one that may fail as often, limit-not-reached says it.
    once = metric.interval_s is None or (measurements(asked) == 1 and metric.failure_limit == 0)
    if asked.gate.moment.background and not metric.count and once:
        yield "it is measured once, and the rest of the release is unguarded"


# ------------------------------------------------------------------------------------- details


def phases(metric: Metric, among: Range = ANY) -> dict[float, Phase]:
    """What the conditions say of numbers that tell all that can be told apart, within a range."""
    low, high = among
    limits = threshold.numbers(metric)
    span = max((abs(limit) for limit in limits), default=1.0) or 1.0
    tried = {0.0, 1.0, 1e12, *limits}
    tried |= {limit + side * 1e-6 * span for limit in limits for side in (-1, 1)}
    tried |= {(a + b) / 2 for a, b in itertools.pairwise(limits)}
    tried |= {edge for edge in among if math.isfinite(edge)}
    return {x: threshold.phase_of(metric, x) for x in sorted(tried) if low <= x <= high}


def measurements(asked: Asked) -> int:
    """How often a metric is measured in a release that nobody stops."""
    release, gate, metric = asked.release, asked.gate, asked.metric
    if gate.moment.place == ANYWHERE and not metric.count:
        return 0  # it may stand beside steps, and measure for as long as those last
    if metric.count or not gate.moment.background:
        return metric.count or 1
    if not metric.interval_s:
        return 1
    left = release.resolved.steps[max(gate.moment.step, 0) :]
    if not release.stages or model.Pause(None) in left or release.unfollowed:
        return 0  # as long as a person, an experiment or a plugin takes
    left_s = lasts_s(release) - gate.moment.at_s - metric.initial_delay_s
    if not math.isfinite(left_s):
        return 0  # a step that waits for ever
    return 1 + max(int(left_s // metric.interval_s), 0)


def lasts_s(release: Release) -> float:
    """How long a release takes that passes each measurement, beside what pods need."""
    ends = (stage.start_s + stage.duration_s for stage in release.stages)
    inline = (found.least_s for found in release.analyses if not found.moment.background)
    return max(ends, default=0.0) + sum(inline)


def _goes_on(asked: Asked) -> bool:
    """Whether a release's background analysis lets all its measurements be Inconclusive."""
    endless = asked.gate.moment.background and not asked.metric.count
    return endless and 0 < measurements(asked) <= asked.metric.inconclusive_limit


def _no_pod(release: Release, selector: Selector) -> Iterator[str]:
    """What names a pod by its hash, and not as a ReplicaSet of this Rollout names its pods."""
    pods = [f"{release.rollout.name}-{pod_hash}-x7k2p" for pod_hash in (LATEST, STABLE)]
    for matcher in (m for m in selector.matchers if m.label == "pod" and "!" not in m.sign):
        sided = dialects.may_tell_sides(matcher, release.own_names)
        if sided and not any(dialects.may_take(matcher, pod) for pod in pods):
            yield f"{matcher} matches no pod of this Rollout, such as {pods[0]}"
        for pod_hash, pod in zip((LATEST, STABLE), pods, strict=True):
            if pod_hash in matcher.value and not dialects.may_take(matcher, pod):
                yield f"{matcher} matches no pod of this Rollout, such as {pod}"


def _elsewhere(release: Release, selector: Selector) -> Iterator[str]:
    """Where pods are named by their hash, a namespace or a container that is not theirs."""
    hashed = any(
        token in matcher.value and "!" not in matcher.sign
        for matcher in selector.matchers
        if matcher.label == "pod" or matcher.label.endswith("pod_template_hash")
        for token in (LATEST, STABLE)
    )
    own = {"namespace": {release.rollout.namespace} - {""}}
    if selector.mentions(release.canary_tokens):
        own |= dict.fromkeys(dialects.DESTINATIONS, own["namespace"])
    if _OF_CONTAINERS.match(selector.metric):
        own["container"] = containers_of(release.rollout)
    for matcher in selector.matchers:
        told = hashed or matcher.label in dialects.DESTINATIONS
        values = own.get(matcher.label) if told else None
        if values and not any(dialects.may_take(matcher, value) for value in values):
            yield f"{matcher}: for these pods it is {' or '.join(sorted(values))}"


def _of_both(release: Release, selector: Selector) -> Iterator[str]:
    """What asks the owner of pods, which is the Rollout of canary and stable, for the canary."""
    owner, owners = release.rollout.name, dialects.owners(selector.metric)
    for matcher in (m for m in selector.matchers if m.label in owners and "!" not in m.sign):
        named = any(token in matcher.value for token in release.canary_tokens)
        if named and not dialects.is_of_owner(selector.metric, matcher, owner):
            yield f"{matcher}: canary and stable pods have one owner, {owner}"
    services = (*release.canary_tokens, *release.stable_tokens)
    for matcher in selector.matchers:
        if why := dialects.misnamed(selector.metric, matcher, (LATEST, STABLE), services):
            yield f"{matcher}: {why}"


def _never_both(selector: Selector) -> Iterator[str]:
    """What no label holds: two values at once, or a hash and more than it."""
    if pair := dialects.contradictory(selector.matchers):
        yield " and ".join(map(str, pair)) + " exclude each other"
    for matcher in selector.matchers:
        if dialects.names_no_hash(matcher, (LATEST, STABLE)):
            yield f"{matcher}: the label has only the hash, such as {LATEST}"


def _no_bound(selector: Selector) -> Iterator[str]:
    """A bound of a bucket that no exporter writes so."""
    for matcher in selector.matchers:
        if (matcher.label, matcher.sign) == ("le", "=") and not dialects.is_bound(matcher.value):
            yield f'le="{matcher.value}": exporters write 0.5, 1, 1.0, +Inf and the like'


def _not_shown(context: Context, selector: Selector) -> Iterator[str]:
    """What takes none of the values with which the contract shows a label."""
    dialect = context.vocabulary.of(selector.metric)
    if dialect is None:
        return
    for matcher in selector.matchers:
        values = dialect.values.get(matcher.label)
        if not values or matcher.label in dialect.outcomes or _of_pod(matcher):
            continue
        if not any(dialects.may_take(matcher, value) for value in values):
            yield f"{matcher}: the contract shows {', '.join(sorted(values)[:6])}"


def _of_pod(matcher: promql.Matcher) -> bool:
    return matcher.label in dialects.SCOPE or _OF_PODS.search(matcher.value) is not None


def _taken(dialect: dialects.Dialect, telling: list[promql.Matcher]) -> bool:
    """Whether some request is selected, be it refused, which is neither good nor failed."""
    for label in {m.label for m in telling}:
        pair = dialect.outcomes[label]
        known = (*pair, *FAILURES.get(pair, ()), *NEITHER.get(pair, ()))
        if not _of_values([m for m in telling if m.label == label], known):
            return False
    return True


def _takes_all(dialect: dialects.Dialect, matcher: promql.Matcher) -> bool:
    """Whether what a matcher is to leave out is no value of its label: not even an empty one."""
    pair = dialect.outcomes[matcher.label]
    known = (*pair, *FAILURES.get(pair, ()), *NEITHER.get(pair, ()), "")
    excludes = "!" in matcher.sign and pair in NEITHER
    return excludes and len(_of_values([matcher], known)) == len(known)


def _of_values(matchers: list[promql.Matcher], values: tuple[str, ...]) -> list[str]:
    """The values that all matchers of a label take."""
    return [value for value in values if all(dialects.takes(m, value) for m in matchers)]


def _of_which_less_is_better(tree: Any, canary: tuple[str, ...]) -> str:
    """What a query answers with, if a release is the better the less of it there is."""
    tree = promql.bare(tree)
    if promql.answers_a_mean(tree):
        return DURATIONS if _DURATION.search(next(promql.selectors(tree)).metric) else ""
    if promql.is_quantile(tree):
        durations = all(_DURATION.search(s.metric) for s in promql.selectors(tree.args[1]))
        return DURATIONS if durations else ""
    match type(tree).__name__:
        case "VectorSelector":
            if (tree.name or "").endswith("_max") and _DURATION.search(tree.name):
                return DURATIONS
            restarts = tree.name == "kube_pod_container_status_restarts_total"
            return RESTARTS if restarts else ""
        case "MatrixSelector":
            return _of_which_less_is_better(tree.vector_selector, canary)
        case "AggregateExpr" if str(tree.op) in ("sum", "avg", "max", "min"):
            return _of_which_less_is_better(tree.expr, canary)
        case "Call" if tree.func.name in ("rate", "increase", "round", "max_over_time"):
            return _of_which_less_is_better(tree.args[0], canary)
        case "BinaryExpr" if str(tree.op) in ("and", "unless"):
            return _of_which_less_is_better(tree.lhs, canary)
        case "BinaryExpr" if str(tree.op) in ("/", "-"):
            return _of_which_less_is_better_above(tree, canary)
    return ""


def _of_which_more_is_better(tree: Any, release: Release) -> bool:
    """Whether stable's durations are compared with the canary's, and not those with stable's."""
    tree, canary = promql.bare(tree), release.canary_tokens
    if promql.joins(tree, "and", "unless"):
        return _of_which_more_is_better(tree.lhs, release)
    if not promql.joins(tree, "/", "-"):
        return False
    above, below = (list(promql.selectors(side)) for side in (tree.lhs, tree.rhs))
    turned = all(s.mentions(release.stable_tokens) and not s.mentions(canary) for s in above)
    less = _of_which_less_is_better(tree.lhs, canary) == DURATIONS
    return bool(above) and turned and less and any(s.mentions(canary) for s in below)


def _of_which_less_is_better_above(ratio: Any, canary: tuple[str, ...]) -> str:
    """The same of a ratio: usage of a limit, or the canary's durations by stable's."""
    throttled = {s.metric for s in promql.selectors(ratio.lhs)} == {THROTTLED}
    if throttled or (_used(ratio.lhs, "container_") and _used(ratio.rhs, "kube_")):
        return USAGE
    above, below = map(promql.selectors, (ratio.lhs, ratio.rhs))
    told = any(s.mentions(canary) for s in above), any(s.mentions(canary) for s in below)
    return _of_which_less_is_better(ratio.lhs, canary) if told == (True, False) else ""


def _counts_the_ready(tree: Any) -> bool:
    """Whether a query counts what is up or ready, of which more is better."""
    tree = promql.bare(tree)
    if isinstance(tree, promql_parser.AggregateExpr):
        return _counts_the_ready(tree.expr)
    if not isinstance(tree, promql_parser.VectorSelector):
        return False
    (selector,) = promql.selectors(tree)
    ready = promql.Matcher("condition", "=", "true") in selector.matchers
    return selector.metric == "up" or (selector.metric == "kube_pod_status_ready" and ready)


def _unit_s(query: Query) -> float:
    """Seconds in one unit of what a query reads, where it reads durations."""
    dialect = next((Vocabulary().of(s.metric) for s in query.selectors), None)
    return 1.0 if promql.divides(query.tree) or dialect is None else dialect.unit_s


class _UnknownError(Exception):
    """What a query answers does not follow from its text."""


def answer(tree: Any, failing: Failing, vocabulary: Vocabulary) -> float | None:
    """What a query answers where a share of requests fails; None: nothing, or not known."""
    try:
        return _answer(tree, failing, vocabulary)
    except _UnknownError:
        return None


def _answer(tree: Any, failing: Failing, vocabulary: Vocabulary) -> float | None:
    """The same; None: nothing.

    Raises:
        _UnknownError: if it is not known.
    """
    tree = promql.bare(tree)
    match type(tree).__name__:
        case "NumberLiteral":
            return float(tree.val)
        case "UnaryExpr":
            inner = _answer(tree.expr, failing, vocabulary)
            return None if inner is None else -inner
        case "AggregateExpr" if str(tree.op) in ("sum", "avg", "max", "min"):
            return _answer(tree.expr, failing, vocabulary)
        case "VectorSelector":
            (selector,) = promql.selectors(tree)
            return _requests(tree, failing, vocabulary) * (1 - selector.offset_s / LONG_S)
        case "BinaryExpr":
            sides = [_answer(t, failing, vocabulary) for t in (tree.lhs, tree.rhs)]
            return _joined(tree, *sides)
        case "Call":
            return _called_with(tree, failing, vocabulary)
    raise _UnknownError


def _called_with(call: Any, failing: Failing, vocabulary: Vocabulary) -> float | None:
    name = call.func.name
    if name in ("rate", "increase", "irate"):
        per_s = 1.0 if name == "increase" else promql.window_s(call)
        return _requests(call.args[0], failing, vocabulary) / per_s
    if name in _STEADY and _of_query(call):
        return _answer(call.args[-1].expr, failing, vocabulary)
    if name in _CALLS:
        inside = [_answer(a, failing, vocabulary) for a in call.args]
        known = [number for number in inside if number is not None]
        return _called(name, known) if len(known) == len(inside) else None
    if name.startswith("absent"):
        return None
    raise _UnknownError


def _joined(tree: Any, left: float | None, right: float | None) -> float | None:
    sign = str(tree.op)
    if sign == "unless" and (left is None or right is None):
        return left
    if sign not in ("or", "and", *_OPERATORS):
        raise _UnknownError
    return _combined(tree, left, right)


def _is_there(tree: Any, failing: float, context: Context) -> bool | None:
    """Whether a query has a result where all its series are there; None: not known.

    A share of the canary's requests fails, and few of stable's.
    """
    tree = promql.bare(tree)
    match type(tree).__name__:
        case "NumberLiteral" | "VectorSelector" | "MatrixSelector":
            return True
        case "SubqueryExpr" | "UnaryExpr" | "AggregateExpr":
            return _is_there(tree.expr, failing, context)
        case "Call" if tree.func.name in ("scalar", "time", "vector"):
            return True
        case "Call" if tree.func.name.startswith("absent"):
            there = _is_there(tree.args[0], failing, context)
            return None if there is None else not there
        case "Call" if tree.args:
            return _both(_is_there(each, failing, context) for each in tree.args)
        case "BinaryExpr":
            return _is_joined(tree, failing, context)
    return None


def _is_joined(tree: Any, failing: float, context: Context) -> bool | None:
    sign, sides = str(tree.op), (tree.lhs, tree.rhs)
    left, right = (_is_there(side, failing, context) for side in sides)
    if sign == "or":
        without = _both(None if there is None else not there for there in (left, right))
        return None if without is None else not without
    if sign == "unless":
        if right is False or left is False:
            return left
        return False if right and promql.always_paired(tree) else None
    if sign in promql.COMPARISONS and not promql.returns_bool(tree):
        numbers = [_answer_of_canary(side, failing, context) for side in sides]
        if None not in numbers:
            return _combined(tree, *numbers) is not None
        return False if False in (left, right) else None
    return _both((left, right))


def _answer_of_canary(tree: Any, failing: float, context: Context) -> float | None:
    """What a query answers where a share of the canary's requests fails, and few of stable's."""

    def share(selector: Selector) -> float:
        return USUAL if _is_stables(selector, context.release) else failing

    return answer(tree, share, context.vocabulary)


def _is_stables(selector: Selector, release: Release) -> bool:
    """Whether it takes only stable's series, by their names or as those not of the canary."""
    excluded = (m.value for m in selector.matchers if m.sign in ("!=", "!~"))
    others = any(token in value for value in excluded for token in release.canary_tokens)
    named = selector.mentions(release.stable_tokens)
    return (named or others) and not selector.mentions(release.canary_tokens)


def _both(there: Iterable[bool | None]) -> bool | None:
    """Whether all are there; None if some may not be, and none is known not to be."""
    known = set(there)
    return False if False in known else None if None in known else True


def _called(function: str, arguments: list[float]) -> float | None:
    try:
        return float(_CALLS[function](*arguments))
    except (ValueError, OverflowError):  # NaN, or infinite
        return None


# What these answer of a number that stays the same.
_STEADY = (
    "avg_over_time",
    "max_over_time",
    "min_over_time",
    "last_over_time",
    "quantile_over_time",
)


def _of_query(call: Any) -> bool:
    return isinstance(call.args[-1], promql_parser.SubqueryExpr)


def _logarithm(of: Callable[[float], float]) -> Callable[[float], float]:
    return lambda number: of(number) if number > 0 else math.nan if number else -math.inf


_CALLS: dict[str, Callable[..., float]] = {
    "vector": float, "scalar": float, "sqrt": math.sqrt, "abs": abs, "clamp_min": max,
    "clamp_max": min, "round": round, "floor": math.floor, "ceil": math.ceil,
    "exp": lambda x: math.exp(min(x, 700.0)), "sgn": lambda x: float(x > 0) - float(x < 0),
    "ln": _logarithm(math.log), "log2": _logarithm(math.log2), "log10": _logarithm(math.log10),
}  # fmt: skip
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne, "%": math.fmod, "^": operator.pow,
}  # fmt: skip


def _combined(tree: Any, left: float | None, right: float | None) -> float | None:
    sign = str(tree.op)
    if sign == "or":
        return right if left is None else left
    if left is None or right is None:
        return None
    if sign == "and":
        return left
    if sign == "/" and right == 0:
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left)
    try:
        found = _OPERATORS[sign](left, right)
    except (ArithmeticError, KeyError, ValueError):
        return None
    if sign in ("+", "-", "*", "/", "%", "^") or promql.returns_bool(tree):
        return float(found) if isinstance(found, (int, float)) else None
    return left if found else None


def _tells(selector: Selector, vocabulary: Vocabulary) -> bool:
    """Whether it takes good requests alone, or failed ones alone."""
    failing, good = (_requests_of(selector, share, vocabulary) for share in (1.0, 0.0))
    return None not in (failing, good) and (failing == 0) is not (good == 0)


def _requests(matrix: Any, failing: Failing, vocabulary: Vocabulary) -> float:
    """The requests that the one selector of a tree takes.

    Raises:
        _UnknownError: if there are several, or what they take is not known.
    """
    found = list(promql.selectors(matrix))
    if len(found) != 1:
        raise _UnknownError
    share = failing(found[0]) if callable(failing) else failing
    requests = _requests_of(found[0], share, vocabulary)
    if requests is None:
        raise _UnknownError
    return requests


def _requests_of(selector: Selector, failing: float, vocabulary: Vocabulary) -> float | None:
    dialect = vocabulary.of(selector.metric)
    if dialect is None or selector.metric.endswith(("_bucket", "_sum")):
        return None
    told = (dialect.outcomes.keys() | dialect.spread | dialects.SCOPE) - dialects.TELLING
    narrowing = [m for m in selector.matchers if not dialect.takes_all(m)]
    if any(m.label not in told and not _OF_PODS.search(m.value) for m in narrowing):
        return None
    spread = [m for m in narrowing if m.label in dialect.spread]
    if any(dialects.misnamed(selector.metric, m, ()) for m in spread):
        return 0.0
    if any((m.sign, m.value) == ("=", "") for m in spread):
        return None
    try:
        telling = [m for m in selector.matchers if m.label in dialect.outcomes]
        shares = ((Outcome.GOOD, 1 - failing), (Outcome.FAILED, failing))
        taken = (s for o, s in shares if all(dialect.selects(m, o) for m in telling))
        return MANY * sum(taken)
    except UnmodelledError:
        return None


def _default(tree: Any) -> float | None:
    """What a query answers where no series is there; None: nothing, or not known."""
    tree = promql.bare(tree)
    match type(tree).__name__:
        case "NumberLiteral":
            return float(tree.val)
        case "AggregateExpr" if str(tree.op) in ("sum", "avg", "max", "min"):
            return _default(tree.expr)
        case "Call" if tree.func.name in _CALLS and tree.func.name != "scalar":
            inside = [number for a in tree.args if (number := _default(a)) is not None]
            return _called(tree.func.name, inside) if len(inside) == len(tree.args) else None
        case "BinaryExpr":
            return _combined(tree, _default(tree.lhs), _default(tree.rhs))
    return None


def _range(tree: Any) -> Range:
    """Between what numbers a query's answer lies, as far as that follows from its text."""
    tree = promql.bare(tree)
    match type(tree).__name__:
        case "NumberLiteral":
            return (tree.val, tree.val)
        case "AggregateExpr" if str(tree.op) in ("avg", "max", "min"):
            return _range(tree.expr)
        case "AggregateExpr" if str(tree.op) == "sum" and _range(tree.expr)[0] >= 0:
            return COUNTED
        case "Call" if tree.func.name in ("rate", "increase", "irate", "resets", "changes"):
            return COUNTED
        case "BinaryExpr":
            return _range_of(tree)
        case "Call" if tree.func.name in ("clamp", "clamp_max", "clamp_min"):
            return _clamped(tree)
        case "Call" if tree.func.name in ("scalar", "vector"):
            return _range(tree.args[0])
    return ANY


def _clamped(call: Any) -> Range:
    (low, high), *bounds = map(_range, call.args)
    if call.func.name != "clamp_max":
        low, high = (max(bounds[0][0], each) for each in (low, high))
    if call.func.name != "clamp_min":
        low, high = (min(bounds[-1][1], each) for each in (low, high))
    return (low, high)


def _range_of(tree: Any) -> Range:
    sign = str(tree.op)
    if sign == "/" and _used(tree.lhs, "container_") and _used(tree.rhs, "kube_"):
        return OF_LIMITS
    if sign == "/" and _a_part(promql.bare(tree.lhs), promql.bare(tree.rhs)):
        return SHARE
    (a, b), (c, d) = _range(tree.lhs), _range(tree.rhs)
    if sign == "or":
        return (min(a, c), max(b, d))
    if promql.returns_bool(tree):
        return SHARE
    if sign in ("and", "unless", *promql.COMPARISONS):
        return (a, b)
    if any(map(math.isinf, (a, b, c, d))):
        return ANY
    if sign == "-":
        return (a - d, b - c)
    if sign == "+":
        return (a + c, b + d)
    if sign == "*":
        corners = (a * c, a * d, b * c, b * d)
        return (min(corners), max(corners))
    return ANY


def _used(tree: Any, exporter: str) -> bool:
    """Whether it is CPU or memory, as the kubelet measures it or as it is limited, and no more."""
    metrics = {selector.metric for selector in promql.selectors(tree)}
    known = {LIMITS} if exporter == "kube_" else USED.keys()
    grown = any(promql.calls(n, "increase") for n in promql.nodes(tree))
    return bool(metrics) and metrics <= known and not _scaled(tree) and not grown


def _a_part(numerator: Any, denominator: Any) -> bool:
    """Whether what is divided is some of what it is divided by."""
    some = [s for s in promql.selectors(numerator) if s.range_s]
    every = [s for s in promql.selectors(denominator) if s.range_s]
    plain = not any(isinstance(n, promql_parser.BinaryExpr) for n in promql.nodes(denominator))
    return (
        len(some) == len(every) == 1
        and (plain or promql.has_minimum(denominator))
        and not _scaled(numerator)
        and _within(some[0], every[0])
    )


def _scaled(tree: Any) -> bool:
    return any(promql.joins(n, "*", "+", "-", "/", "^") for n in promql.nodes(tree))


def _within(some: Selector, every: Selector) -> bool:
    same = (some.metric, some.range_s) == (every.metric, every.range_s)
    return same and set(every.matchers) <= set(some.matchers)
