"""Rules about how a gate judges: what becomes of an empty result, of NaN, of one condition."""

from __future__ import annotations

import math
from collections.abc import Iterator

from canary.argo import dialects, promql, threshold
from canary.argo.analysis import ERROR_RETRY_S
from canary.argo.dialects import Nothing
from canary.argo.model import Phase
from canary.lint.rule import Context, Family, Hit, at, judged, metrics

rule = Family()


@rule("empty-aborts")
def _empty_aborts(context: Context) -> Iterator[Hit]:
    for gate, metric, query in judged(context):
        # Where a number is an error too, the guard that this rule advises changes nothing.
        numbers = threshold.phase_of(metric, 0.0), threshold.phase_of(metric, 1.0)
        if set(numbers) == {Phase.ERROR} or not promql.may_be_empty(query.tree):
            continue
        if threshold.phase_of(metric) is Phase.ERROR:
            wait = metric.consecutive_error_limit * ERROR_RETRY_S
            cause = "where a series is missing"
            if promql.tells_absence(query.tree):
                cause = "where the series exists, as in a healthy release,"
            if dialects.without_failures(query.tree) is Nothing.EMPTY:
                cause = "with no failed request, as a healthy release has,"
            yield at(gate, f"{cause} the result is empty: aborted after {wait:g}s")


@rule("empty-passes")
def _empty_passes(context: Context) -> Iterator[Hit]:
    for gate, metric, query in judged(context):
        passes = threshold.phase_of(metric) is Phase.SUCCESSFUL
        empty = promql.may_be_empty(query.tree) and not promql.tells_absence(query.tree)
        if empty and passes:
            yield at(gate, "no data is judged Successful")


@rule("nan-passes")
def _nan_passes(context: Context) -> Iterator[Hit]:
    for gate, metric, _ in judged(context):
        if threshold.phase_of(metric, math.nan) is Phase.SUCCESSFUL:
            yield at(gate, "NaN is judged Successful")


@rule("one-condition")
def _one_condition(context: Context) -> Iterator[Hit]:
    for gate, metric, _ in judged(context):
        if bool(metric.success_condition) != bool(metric.failure_condition):
            given = "successCondition" if metric.success_condition else "failureCondition"
            empty, nan = threshold.verdicts(metric)
            yield at(gate, f"only {given}: an empty result is {empty}, NaN is {nan}")


@rule("no-condition")
def _no_condition(context: Context) -> Iterator[Hit]:
    for gate, metric in metrics(context):
        if not metric.success_condition and not metric.failure_condition:
            yield at(gate, "any value is judged Successful")
