"""Rules about how a gate judges: what becomes of an empty result, of NaN, of one condition."""

import math
from collections.abc import Iterator

from canary.argo import dialects, promql, threshold
from canary.argo.analysis import ERROR_RETRY_S
from canary.argo.dialects import Nothing
from canary.argo.model import Phase
from canary.lint.rule import Asked, Family, judged, metrics

rule = Family()


@rule.over(judged, "empty-aborts")
def _empty_aborts(asked: Asked) -> Iterator[str]:
    metric, tree = asked.metric, asked.query.tree
    # Where a number is an error too, the guard that this rule advises changes nothing.
    numbers = threshold.phase_of(metric, 0.0), threshold.phase_of(metric, 1.0)
    if set(numbers) == {Phase.ERROR} or not promql.may_be_empty(tree):
        return
    if threshold.phase_of(metric) is Phase.ERROR:
        wait = metric.consecutive_error_limit * ERROR_RETRY_S
        cause = "where a series is missing"
        if promql.tells_absence(tree):
            cause = "where the series exists, as in a healthy release,"
        if dialects.without_failures(tree) is Nothing.EMPTY:
            cause = "with no failed request, as a healthy release has,"
        yield f"{cause} the result is empty: aborted after {wait:g}s"


@rule.over(judged, "empty-passes")
def _empty_passes(asked: Asked) -> Iterator[str]:
    passes = threshold.phase_of(asked.metric) is Phase.SUCCESSFUL
    tree = asked.query.tree
    if passes and promql.may_be_empty(tree) and not promql.tells_absence(tree):
        yield "no data is judged Successful"


@rule.over(judged, "nan-passes")
def _nan_passes(asked: Asked) -> Iterator[str]:
    if threshold.phase_of(asked.metric, math.nan) is Phase.SUCCESSFUL:
        yield "NaN is judged Successful"


@rule.over(judged, "one-condition")
def _one_condition(asked: Asked) -> Iterator[str]:
    metric = asked.metric
    if bool(metric.success_condition) != bool(metric.failure_condition):
        given = "successCondition" if metric.success_condition else "failureCondition"
        empty, nan = threshold.phase_of(metric), threshold.phase_of(metric, math.nan)
        yield f"only {given}: an empty result is {empty}, NaN is {nan}"


@rule.over(metrics, "no-condition")
def _no_condition(asked: Asked) -> Iterator[str]:
    if not asked.metric.success_condition and not asked.metric.failure_condition:
        yield "any value is judged Successful"
