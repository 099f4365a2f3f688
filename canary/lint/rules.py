"""The rules of `canary lint`: what each looks for, why it matters and what to do about it.

A rule is a function over one release in its context; it yields places and messages with numbers.
Each has a failing and a passing example in `examples.yaml`, which the tests run and `docs` shows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from canary.argo import dialects, promql, threshold
from canary.argo.analysis import ERROR_RETRY_S
from canary.argo.gates import Analysis, Finding, Gate, Look, Release, Severity
from canary.argo.model import Metric, Phase
from canary.argo.promql import PromqlError, Query
from canary.argo.releases import seconds
from canary.argo.replicas import split
from canary.lint.contract import TARGET_LABELS, Contract
from canary.yamls import Document, listed, mapping, scalar

# Below this, rate() has too few samples to lose one: the usual rule (canary-analysis literature).
SCRAPES_IN_WINDOW = 4

# A share this far from its weight, relative to it, is another step than the one written down.
# 3 of 11 pods for 25 % (9 % off) is the best that pods can do; 1 of 5 for 10 % is twice it.
SHARE_TOLERANCE = 0.15

_CORES = re.compile(r"cpu_usage_seconds|cpu_seconds_total|cpu_usage_seconds_total:sum")


@dataclass(frozen=True)
class Context:
    """What a release is judged against; `scrape_s` is None if no monitor selects its pods."""

    documents: tuple[Document, ...]
    release: Release
    contract: Contract | None = None
    recorded: frozenset[str] = frozenset()
    target_labels: frozenset[str] = TARGET_LABELS
    scrape_s: float | None = None


Hit = tuple[Document, str, str]
Check = Callable[[Context], Iterator[Hit]]


@dataclass(frozen=True)
class Rule:
    """One rule: its id, how much it matters, what it is, why, and the remedy."""

    id: str
    severity: Severity
    title: str
    reason: str
    remedy: str
    check: Check

    def findings(self, context: Context) -> Iterator[Finding]:
        """What the rule finds, each place and message once."""
        for document, path, message in dict.fromkeys(self.check(context)):
            yield Finding(self.id, self.severity, document, path, message, self.remedy)


RULES: dict[str, Rule] = {}


def _rule(
    name: str, severity: Severity, title: str, *, reason: str, remedy: str
) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        RULES[name] = Rule(name, severity, title, reason, remedy, check)
        return check

    return register


# ------------------------------------------------------------------------------- what is written


@_rule(
    "template-missing",
    Severity.ERROR,
    "a template is referenced and not there",
    reason="Argo refuses the Rollout, or the analysis ends in Error and aborts the release.",
    remedy="add the AnalysisTemplate, or correct the reference",
)
def _template_missing(context: Context) -> Iterator[Hit]:
    for analysis in context.release.analyses:
        for name in analysis.missing:
            yield (
                context.release.rollout,
                analysis.look.path,
                f"AnalysisTemplate {name!r} is not among the manifests",
            )


@_rule(
    "promql-invalid",
    Severity.ERROR,
    "Prometheus would refuse the query",
    reason="Five refused queries, 10 s apart, abort any release.",
    remedy="correct the query; `canary lint --queries` prints it as the controller would send it",
)
def _promql_invalid(context: Context) -> Iterator[Hit]:
    for gate, metric in _metrics(context):
        try:
            promql.parse(metric.query)
        except PromqlError as wrong:
            if not gate.unresolved:
                yield _at(gate, f"{wrong}", ".provider.prometheus.query")


@_rule(
    "condition-invalid",
    Severity.ERROR,
    "a condition or a number cannot be read",
    reason="Argo answers each measurement with an Error; the fifth aborts the release.",
    remedy="write it in the language of expr: comparisons of result[0], joined by && and ||",
)
def _condition_invalid(context: Context) -> Iterator[Hit]:
    for gate, metric in _metrics(context):
        if gate.unresolved:
            continue
        if wrong := threshold.syntax_error(metric):
            yield _at(gate, wrong)
        if gate.broken:
            yield _at(gate, gate.broken)


@_rule(
    "args-dropped",
    Severity.ERROR,
    "an argument is given that no template declares",
    reason="Argo drops it in silence, and the gate runs with something else.",
    remedy="declare it in the template's args, or take it out",
)
def _args_dropped(context: Context) -> Iterator[Hit]:
    for analysis in context.release.analyses:
        for name in analysis.dropped:
            if not analysis.missing:
                where = analysis.look.path
                yield context.release.rollout, where, f"argument {name!r} is dropped"


@_rule(
    "args-unresolved",
    Severity.ERROR,
    "an argument has no value",
    reason="The AnalysisRun cannot be created, and the release is aborted or hangs.",
    remedy="give the argument a value in the template's args or where it is referenced",
)
def _args_unresolved(context: Context) -> Iterator[Hit]:
    for gate in context.release.gates:
        for name in gate.unresolved:
            yield _at(gate, f"{{{{args.{name}}}}} has no value at {gate.look}")


@_rule(
    "interval-without-count",
    Severity.ERROR,
    "an inline metric repeats without end",
    reason="Argo refuses an inline metric that has an interval and no count.",
    remedy="give it a count, or drop the interval",
)
def _interval_without_count(context: Context) -> Iterator[Hit]:
    for gate, metric in _metrics(context):
        if not gate.look.background and metric.interval_s is not None and not metric.count:
            yield _at(gate, f"interval {metric.interval_s:g}s and no count at {gate.look}")


@_rule(
    "count-in-background",
    Severity.WARNING,
    "a background metric stops looking",
    reason="With a count it is done after so many looks; the rest of the release is unguarded.",
    remedy="leave count out (or 0) in a background analysis",
)
def _count_in_background(context: Context) -> Iterator[Hit]:
    for gate, metric in _metrics(context):
        if gate.look.background and metric.count:
            last = (metric.count - 1) * (metric.interval_s or 0.0)
            yield _at(gate, f"looks {metric.count} time(s) and not after {last:g}s")


@_rule(
    "dry-run-too-wide",
    Severity.ERROR,
    "a dry-run pattern matches more than it names",
    reason="Dry-run names are unanchored regular expressions: `error-rate` also hits "
    "`error-rate-p95`, and a gate that is measured and not judged guards nothing.",
    remedy="anchor the pattern: ^name$",
)
def _dry_run_too_wide(context: Context) -> Iterator[Hit]:
    for analysis in context.release.analyses:
        names = [gate.name for gate in analysis.gates]
        for pattern in analysis.dry_run:
            yield from _dry_run_hits(context, analysis, pattern, names)


def _dry_run_hits(
    context: Context, analysis: Analysis, pattern: str, names: list[str]
) -> Iterator[Hit]:
    where = analysis.look.path
    try:
        hit = [name for name in names if re.search(pattern, name)]
    except re.error as wrong:
        yield context.release.rollout, where, f"{pattern!r} is no regular expression: {wrong}"
        return
    beyond = [name for name in hit if name != pattern.strip("^$")]
    if beyond:
        words = ", ".join(hit)
        yield context.release.rollout, where, f"{pattern!r} takes the verdict from {words}"


# ----------------------------------------------------------------------------- what it looks at


@_rule(
    "not-scoped",
    Severity.ERROR,
    "the query does not single out the canary",
    reason="Canary and stable are judged as one, so a fault of the canary is diluted by its share "
    "and by what the window saw before it.",
    remedy='select the canary: rollouts_pod_template_hash="{{args.canary-hash}}" (the label by a '
    "PodMonitor's podTargetLabels), or its Service when traffic is routed",
)
def _not_scoped(context: Context) -> Iterator[Hit]:
    tokens = context.release.canary_tokens
    for gate, metric, query in _queries(context):
        if query.selectors and not any(s.mentions(tokens) for s in query.selectors):
            yield _at(gate, _dilution(gate.look, metric, query))


def _dilution(look: Look, metric: Metric, query: Query) -> str:
    window = query.window_s
    exposure = look.exposure(window) if window else look.share
    words = f"at {look} the canary is {_percent(exposure)} of what it looks at"
    limit = _share_limit(metric, query)
    if limit is None or not exposure:
        return words
    needed = limit / exposure
    if needed >= 1:
        return f"{words}: even one with no good answer at all cannot trip it"
    fault = "answer late" if promql.quantiles(query.tree) else "fail"
    return f"{words}: the canary must {fault} {_percent(needed)} of its requests to trip it"


@_rule(
    "window-beyond-exposure",
    Severity.ERROR,
    "the window reaches back before the canary",
    reason="What lies before the canary's first pod is no evidence about it.",
    remedy="make the window no longer than the pauses before the look, or the pauses longer",
)
def _window_beyond_exposure(context: Context) -> Iterator[Hit]:
    for gate, metric, query in _queries(context):
        lived = gate.look.at_s + metric.initial_delay_s
        if query.window_s > lived:
            yield _at(
                gate,
                f"at {gate.look} it looks back {query.window_s:g}s "
                f"and the canary is {lived:g}s old",
            )


@_rule(
    "window-under-four-scrapes",
    Severity.ERROR,
    "the window holds fewer than four scrapes",
    reason="rate() needs two samples of a series; with fewer than four scrapes a late one empties "
    "the result.",
    remedy="look back at least four scrape intervals",
)
def _window_under_four_scrapes(context: Context) -> Iterator[Hit]:
    if context.scrape_s is None:
        return
    for gate, _, query in _queries(context):
        for selector in query.selectors:
            few = selector.range_s < SCRAPES_IN_WINDOW * context.scrape_s
            if selector.range_s and few and _from_service(selector.metric):
                yield _at(
                    gate,
                    f"{selector.range_s:g}s of {context.scrape_s:g}s scrapes are "
                    f"{math.floor(selector.range_s / context.scrape_s)} samples at {gate.look}",
                )


@_rule(
    "no-minimum-sample",
    Severity.ERROR,
    "it judges however little traffic there was",
    reason="Of few requests a single failure is above any limit, and none says nothing.",
    remedy="drop the result below a minimum (… / (sum(increase(…)) >= 300)), or add a metric that "
    "is Inconclusive below it",
)
def _no_minimum_sample(context: Context) -> Iterator[Hit]:
    for analysis in context.release.analyses:
        guarded = any(_counts_requests(gate) for gate in analysis.gates)
        for gate, metric, query in _queries(context, analysis):
            limit = _share_limit(metric, query)
            if guarded or limit is None or promql.has_minimum(query.tree):
                continue
            yield _at(gate, f"with fewer than {math.ceil(1 / limit)} requests one failure trips it")


@_rule(
    "first-series-only",
    Severity.WARNING,
    "only the first of several series is judged",
    reason="The query may return one series per label; result[0] is whichever comes first.",
    remedy="aggregate without `by`, or write all(result, # < limit)",
)
def _first_series_only(context: Context) -> Iterator[Hit]:
    for gate, metric, query in _queries(context):
        if promql.may_be_many(query.tree) and threshold.ignores_later_series(metric):
            yield _at(gate, "a second series above the limit passes beside a good first one")


@_rule(
    "cores-as-ratio",
    Severity.ERROR,
    "cores are compared as if they were a ratio",
    reason="CPU seconds per second are cores: with a limit of 500m the value can never pass 0.5, "
    "with two cores it trips at 35 %.",
    remedy='divide by kube_pod_container_resource_limits{resource="cpu"}',
)
def _cores_as_ratio(context: Context) -> Iterator[Hit]:
    limit = cpu_limit_cores(context.release.rollout)
    for gate, metric, query in _queries(context):
        cores = any(_CORES.search(selector.metric) for selector in query.selectors)
        highest = max(threshold.numbers(metric), default=math.inf)
        if cores and highest <= 1 and not promql.divides(query.tree):
            yield _at(gate, _cores(highest, limit))


def _cores(threshold: float, limit: float | None) -> str:
    words = f"{threshold:g} means {threshold:g} of a core"
    if limit is None:
        return words
    if threshold >= limit:
        return f"{words}; the container's limit is {limit:g}, so it can never trip"
    return f"{words}: with the container's limit of {limit:g} it trips at {threshold / limit:.0%}"


@_rule(
    "series-not-recorded",
    Severity.ERROR,
    "a recorded series is queried that no rule set defines",
    reason="Without its rule the series does not exist, the result is empty, and the fifth empty "
    "result aborts.",
    remedy="ship the recording rule beside the gate, or query the raw series",
)
def _series_not_recorded(context: Context) -> Iterator[Hit]:
    for gate, _, query in _queries(context):
        for selector in query.selectors:
            if ":" in selector.metric and selector.metric not in context.recorded:
                hint = ""
                if selector.metric.endswith("cpu_usage_seconds_total:sum_rate"):
                    hint = " (kubernetes-mixin renamed it in 2021)"
                yield _at(gate, f"no rule here records {selector.metric}{hint}")


@_rule(
    "not-exported",
    Severity.ERROR,
    "the service does not export what is queried",
    reason="A renamed metric or label empties the result in silence.",
    remedy="query what the service exports, or export it; labels of pods reach a series by "
    "podTargetLabels",
)
def _not_exported(context: Context) -> Iterator[Hit]:
    contract = context.contract
    if contract is None:
        return
    for gate, _, query in _queries(context):
        for selector in query.selectors:
            if not contract.covers(selector.metric):
                continue
            known = contract.labels.get(selector.metric)
            if known is None:
                yield _at(gate, f"the service exports no {selector.metric}")
                continue
            for label in sorted(selector.labels - known - context.target_labels - {"__name__"}):
                yield _at(gate, f"{selector.metric} has no label {label}")


@_rule(
    "threshold-off-bucket",
    Severity.WARNING,
    "a quantile is compared with no bucket's bound",
    reason="histogram_quantile interpolates inside a bucket: the value can be far from the truth "
    "on either side of the limit, and is exact only on a bound.",
    remedy="give the histogram a bound at the limit",
)
def _threshold_off_bucket(context: Context) -> Iterator[Hit]:
    if context.contract is None:
        return
    for gate, metric, query in _queries(context):
        if not promql.quantiles(query.tree):
            continue
        for selector in query.selectors:
            bounds = context.contract.bounds.get(selector.metric, frozenset())
            for limit in threshold.numbers(metric):
                if bounds and limit not in bounds:
                    below = max((b for b in bounds if b < limit), default=0.0)
                    above = min((b for b in bounds if b > limit), default=math.inf)
                    yield _at(gate, f"{limit:g} lies between the bounds {below:g} and {above:g}")


# -------------------------------------------------------------------------------- how it judges


@_rule(
    "empty-aborts",
    Severity.ERROR,
    "an empty result aborts the release",
    reason="result[0] of an empty result is an Error, retried every 10 s; the fifth aborts, "
    "however healthy the release.",
    remedy="guard with len(result) > 0 in both conditions, and fill failures with `or vector(0)`",
)
def _empty_aborts(context: Context) -> Iterator[Hit]:
    for gate, metric, query in _judged(context):
        if promql.may_be_empty(query.tree) and threshold.phase_of(metric) is Phase.ERROR:
            wait = metric.consecutive_error_limit * ERROR_RETRY_S
            cause = "where a series is missing"
            if dialects.numerator_may_be_empty(query.tree):
                cause = "with no failed request, as a healthy release has,"
            yield _at(gate, f"{cause} the result is empty: aborted after {wait:g}s")


@_rule(
    "empty-passes",
    Severity.ERROR,
    "an empty result passes",
    reason="A missing series or an outage of Prometheus's targets then promotes any release.",
    remedy="require len(result) > 0 in the successCondition",
)
def _empty_passes(context: Context) -> Iterator[Hit]:
    for gate, metric, query in _judged(context):
        passes = threshold.phase_of(metric) is Phase.SUCCESSFUL
        if promql.may_be_empty(query.tree) and passes:
            yield _at(gate, "no data is judged Successful")


@_rule(
    "nan-passes",
    Severity.ERROR,
    "NaN passes",
    reason="A ratio without traffic is 0/0; every comparison with NaN is false, so a lone "
    "failureCondition lets it through.",
    remedy="add a successCondition with !isNaN(result[0])",
)
def _nan_passes(context: Context) -> Iterator[Hit]:
    for gate, metric, _ in _judged(context):
        if threshold.phase_of(metric, math.nan) is Phase.SUCCESSFUL:
            yield _at(gate, "NaN is judged Successful")


@_rule(
    "one-condition",
    Severity.WARNING,
    "only one condition is given",
    reason="With one condition everything is a pass or a failure; with both, a result that says "
    "nothing is Inconclusive and a person decides.",
    remedy="give successCondition and failureCondition, each guarded against empty and NaN",
)
def _one_condition(context: Context) -> Iterator[Hit]:
    for gate, metric, _ in _judged(context):
        if bool(metric.success_condition) != bool(metric.failure_condition):
            given = "successCondition" if metric.success_condition else "failureCondition"
            empty, nan = threshold.verdicts(metric)
            yield _at(gate, f"only {given}: an empty result is {empty}, NaN is {nan}")


@_rule(
    "no-condition",
    Severity.ERROR,
    "no condition is given",
    reason="Without a condition every measurement that returns at all is Successful.",
    remedy="give successCondition and failureCondition",
)
def _no_condition(context: Context) -> Iterator[Hit]:
    for gate, metric in _metrics(context):
        if not metric.success_condition and not metric.failure_condition:
            yield _at(gate, "any value is judged Successful")


# --------------------------------------------------------------------------------- how it walks


@_rule(
    "no-analysis",
    Severity.ERROR,
    "nothing judges the canary",
    reason="The steps only wait; a bad release is promoted like a good one.",
    remedy="add an analysis step after each pause, or a background analysis",
)
def _no_analysis(context: Context) -> Iterator[Hit]:
    if not context.release.analyses:
        yield context.release.rollout, "spec.strategy.canary", "there is no analysis at any step"


@_rule(
    "share-not-weight",
    Severity.WARNING,
    "the replicas cannot give the weight",
    reason="Without a traffic router a share is a count of pods.",
    remedy="use ten replicas or more, a weight that the pods can give, or a traffic router",
)
def _share_not_weight(context: Context) -> Iterator[Hit]:
    release = context.release
    for stage in () if release.routed else release.stages:
        if abs(stage.share * 100 - stage.weight) > SHARE_TOLERANCE * stage.weight:
            yield (
                release.rollout,
                "spec.replicas",
                f"setWeight {stage.weight} with {release.replicas} replicas is {stage.canary} of "
                f"{stage.canary + stage.stable} pods, {_percent(stage.share)}",
            )


@_rule(
    "step-adds-no-pod",
    Severity.WARNING,
    "a step adds no canary pod",
    reason="The next weight rounds to the same number of pods: the step waits and shows nothing "
    "new.",
    remedy="use more replicas, or drop the step",
)
def _step_adds_no_pod(context: Context) -> Iterator[Hit]:
    release = context.release
    if release.routed:
        return
    for before, after in zip(release.stages, release.stages[1:], strict=False):
        if after.weight > before.weight and after.canary == before.canary:
            yield (
                release.rollout,
                "spec.strategy.canary.steps",
                f"from {before.weight} to {after.weight} the canary stays at {after.canary} pod(s)",
            )


@_rule(
    "unguarded-end",
    Severity.WARNING,
    "nothing guards after the last step",
    reason="Weight 100 is implicit after the last step, and no inline analysis runs there.",
    remedy="add a background analysis (strategy.canary.analysis) with a startingStep",
)
def _unguarded_end(context: Context) -> Iterator[Hit]:
    release = context.release
    if release.analyses and not any(a.look.background for a in release.analyses):
        last = release.stages[-1].share if release.stages else 0.0
        yield (
            release.rollout,
            "spec.strategy.canary",
            f"from {_percent(last)} to 100 % no gate looks",
        )


@_rule(
    "autoscaler-rounds-again",
    Severity.WARNING,
    "an autoscaler changes the shares",
    reason="An HPA on the Rollout changes spec.replicas in the middle of a step, and every share "
    "is rounded anew.",
    remedy="keep minReplicas at a number that gives the weights, or route traffic by weight",
)
def _autoscaler_rounds_again(context: Context) -> Iterator[Hit]:
    release = context.release
    for document in context.documents:
        target = mapping(document.spec.get("scaleTargetRef"))
        if document.kind != "HorizontalPodAutoscaler" or target.get("name") != release.rollout.name:
            continue
        fewest = document.spec.get("minReplicas", 1)
        if release.routed or not isinstance(fewest, int):
            continue
        for stage in release.stages:
            canary, stable = split(fewest, stage.weight, release.max_surge, release.max_unavailable)
            share = canary / max(canary + stable, 1)
            if abs(share * 100 - stage.weight) > SHARE_TOLERANCE * stage.weight:
                yield (
                    document,
                    "spec.minReplicas",
                    f"at {fewest} replicas setWeight {stage.weight} is {_percent(share)}",
                )


@_rule(
    "surge-is-per-cent",
    Severity.WARNING,
    "a quoted number means per cent",
    reason='maxSurge: "1" is 1 %, which rounds up to one pod only by luck.',
    remedy="write the number without quotes, or with %",
)
def _surge_is_per_cent(context: Context) -> Iterator[Hit]:
    canary = mapping(mapping(context.release.rollout.spec.get("strategy")).get("canary"))
    for key in ("maxSurge", "maxUnavailable"):
        value = canary.get(key)
        if isinstance(value, str) and value.isdigit():
            path = f"spec.strategy.canary.{key}"
            yield context.release.rollout, path, f'"{value}" is read as {value} %'


@_rule(
    "other-provider",
    Severity.NOTE,
    "a provider that is not read",
    reason="Only Prometheus queries can be resolved and judged here.",
    remedy="nothing to do; this metric was skipped",
)
def _other_provider(context: Context) -> Iterator[Hit]:
    for gate in context.release.gates:
        if gate.metric is None:
            yield _at(gate, f"provider {gate.provider or 'none'!r} is skipped")


# ------------------------------------------------------------------------------------- details


def _metrics(context: Context, analysis: Analysis | None = None) -> Iterator[tuple[Gate, Metric]]:
    for gate in analysis.gates if analysis else context.release.gates:
        if gate.metric is not None:
            yield gate, gate.metric


def _queries(
    context: Context, analysis: Analysis | None = None
) -> Iterator[tuple[Gate, Metric, Query]]:
    """The gates whose query can be parsed."""
    for gate, metric in _metrics(context, analysis):
        try:
            yield gate, metric, promql.parse(metric.query)
        except PromqlError:
            continue


def _judged(context: Context) -> Iterator[tuple[Gate, Metric, Query]]:
    """The gates whose query and conditions can be read, and that have a condition."""
    for gate, metric, query in _queries(context):
        has_condition = metric.success_condition or metric.failure_condition
        if has_condition and not gate.unresolved and not threshold.syntax_error(metric):
            yield gate, metric, query


def _at(gate: Gate, message: str, field: str = "") -> Hit:
    return gate.template, f"{gate.path}{field}", f"{gate.name}: {message}"


def _share_limit(metric: Metric, query: Query) -> float | None:
    """The share of bad requests at which a gate trips; None for gates of another kind."""
    quantiles = promql.quantiles(query.tree)
    if quantiles:
        return 1 - quantiles[0] if 0 < quantiles[0] < 1 else None
    limits = [limit for limit in threshold.numbers(metric) if 0 < limit < 1]
    failures = any(dialects.picks_failures(selector) for selector in query.selectors)
    if not limits or not failures or not promql.divides(query.tree):
        return None
    # A success ratio trips when it falls below its limit.
    return 1 - max(limits) if threshold.passes_above(metric) else min(limits)


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


def container_of(rollout: Document) -> str:
    """The first container's name."""
    return scalar(_container(rollout).get("name"))


def cpu_limit_cores(rollout: Document) -> float | None:
    """The first container's CPU limit, in cores."""
    limits = mapping(mapping(_container(rollout).get("resources")).get("limits"))
    words = scalar(limits.get("cpu"))
    try:
        return float(words[:-1]) / 1000 if words.endswith("m") else float(words)
    except ValueError:
        return None


def _container(rollout: Document) -> Mapping[str, Any]:
    template = mapping(mapping(rollout.spec.get("template")).get("spec"))
    return mapping(next(iter(listed(template.get("containers"))), None))


def scrape_interval_s(documents: tuple[Document, ...], release: Release) -> float | None:
    """How often a PodMonitor or ServiceMonitor among the objects scrapes; None without one."""
    for document in documents:
        endpoints = listed(document.spec.get("podMetricsEndpoints")) or listed(
            document.spec.get("endpoints")
        )
        if document.kind in ("PodMonitor", "ServiceMonitor") and endpoints:
            found = seconds(mapping(endpoints[0]).get("interval"))
            same = document.name == release.rollout.name or _namesakes(documents) == 1
            if found and same:
                return found
    return None


def _namesakes(documents: tuple[Document, ...]) -> int:
    return sum(document.kind in ("PodMonitor", "ServiceMonitor") for document in documents)


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
