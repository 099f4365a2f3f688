"""The limits that a metric's conditions state, and what they do with each kind of answer.

Limits are read off the parsed condition, and answers are tried with the rehearsal's evaluator.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from canary.argo import analysis, expression, promql
from canary.argo.model import Metric, Phase
from canary.argo.resolve import PLACEHOLDER

# Each comparison, and the one that says the same with its sides exchanged.
_COMPARISONS = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
# Where a comparison is tried, to find whether it is a straight line of the result.
_TRIED = (0.0, 1.0, -3.0, 0.25, 1000.0)
_ARGUMENT = re.compile(rf"[<>]=?\s*(?:asFloat\()?{PLACEHOLDER.pattern}")
_FIRST = expression.Index(expression.Name("result"), expression.Literal(0))


class CurvedError(ValueError):
    """A condition whose turning points are not known."""


@dataclass(frozen=True)
class Threshold:
    """The comparison a condition makes with `result[0]`."""

    comparison: str
    value: float


def of(metric: Metric) -> Threshold | None:
    """What the success condition compares the first sample with, if it says so plainly."""
    found = _compared(_tree(metric.success_condition))
    return next((Threshold(sign, value) for side, sign, value in found if side == _FIRST), None)


def numbers(metric: Metric) -> tuple[float, ...]:
    """The results at which a condition changes its mind, in ascending order; as far as known."""
    try:
        return breakpoints(metric)
    except CurvedError:
        return ()


def breakpoints(metric: Metric) -> tuple[float, ...]:
    """The same, complete.

    Raises:
        CurvedError: if a condition may change its mind elsewhere.
    """
    trees = (_tree(metric.success_condition), _tree(metric.failure_condition))
    return tuple(sorted({value for tree in trees for _, _, value in _compared(tree)}))


def arguments(condition: str) -> list[str]:
    """The arguments that a condition, as it is written, compares with."""
    return _ARGUMENT.findall(condition)


def syntax_error(metric: Metric) -> str:
    """Why a condition cannot be read, or nothing."""
    return next(map(str, _wrong(metric)), "")


def unread(metric: Metric) -> str:
    """What of a condition Argo reads and this does not, or nothing."""
    found = (wrong for wrong in _wrong(metric) if isinstance(wrong, expression.UnreadError))
    return next(map(str, found), "")


def _wrong(metric: Metric) -> Iterator[expression.ExpressionError]:
    for condition in filter(None, (metric.success_condition, metric.failure_condition)):
        try:
            expression.parse(condition)
        except expression.ExpressionError as wrong:
            yield wrong


def phase_of(metric: Metric, *values: float) -> Phase:
    """The phase of a vector with these values; of the empty vector without any.

    A query whose answer is one number is never empty: where nothing is found, that is NaN.
    """
    if _answers_a_number(metric.query):
        return analysis.judge(metric, values[0] if values else math.nan)[0]
    return analysis.judge(metric, tuple(values))[0]


@lru_cache(maxsize=1024)
def _answers_a_number(query: str) -> bool:
    try:
        return promql.is_scalar(promql.parse(query).tree)
    except promql.PromqlError:
        return False


def passes_above(metric: Metric) -> bool:
    """Whether large values are the good ones, as for a minimum of requests."""
    highest = max(numbers(metric), default=0.0)
    return phase_of(metric, highest * 2 + 1) is Phase.SUCCESSFUL


def ignores_later_series(metric: Metric) -> bool:
    """Whether a second series that would fail alone passes beside a good first one."""
    limits = numbers(metric)
    if not limits:
        return False
    low, high = min(limits) - abs(min(limits)) - 1, max(limits) * 2 + 1
    pairs = ((low, high), (high, low), (0.0, high))
    return any(
        phase_of(metric, good) is Phase.SUCCESSFUL
        and phase_of(metric, bad) is Phase.FAILED
        and phase_of(metric, good, bad) is Phase.SUCCESSFUL
        for good, bad in pairs
    )


def _tree(condition: str) -> expression.Node:
    try:
        return expression.parse(condition) if condition else expression.Literal(value=True)
    except expression.ExpressionError:
        return expression.Literal(value=True)


def _compared(node: expression.Node) -> Iterator[tuple[expression.Node, str, float]]:
    """What of the result is compared, how, and with which number."""
    match node:
        case expression.Binary(sign, left, right) if sign in _COMPARISONS:
            if _reads_result(left) or _reads_result(right):
                yield from _crossing(sign, left, right)
            # `any(result, # > 0.05) == false` changes its mind where the inner one does.
            yield from _compared(left)
            yield from _compared(right)
        case expression.Binary(_, left, right):
            yield from _compared(left)
            yield from _compared(right)
        case expression.Unary(_, operand):
            yield from _compared(operand)
        case expression.Conditional(test, yes, no):
            for part in (test, yes, no):
                yield from _compared(part)
        case expression.Let(_, body):
            yield from _compared(body)
        case expression.Call(_, arguments):
            for argument in arguments:
                yield from _compared(argument)


def _crossing(
    sign: str, left: expression.Node, right: expression.Node
) -> Iterator[tuple[expression.Node, str, float]]:
    """The result at which two sides of a comparison are equal.

    Raises:
        CurvedError: if their difference is no straight line of the result.
    """
    for side, comparison, other in ((left, sign, right), (right, _COMPARISONS[sign], left)):
        number = _number(other)
        if number is not None and _plain(side):
            yield side, comparison, number
            return
    try:
        apart = [expression.number(left, x) - expression.number(right, x) for x in _TRIED]
    except expression.ExpressionError:
        return  # not to be compared, whatever the result
    slope = apart[1] - apart[0]
    straight = [apart[0] + slope * x for x in _TRIED]
    if not all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(apart, straight, strict=True)):
        raise CurvedError("a condition that is not a straight line of the result is not modelled")
    if slope:
        turned = sign if slope > 0 else _COMPARISONS[sign]
        yield expression.Binary(sign, left, right), turned, -apart[0] / slope


def _plain(node: expression.Node) -> bool:
    """Whether it is the result, or an element of it, and nothing is done to it."""
    match node:
        case expression.Name(name):
            return name in ("result", "#")
        case expression.Index(of, _):
            return _plain(of)
    return False


def _number(node: expression.Node) -> float | None:
    match node:
        case expression.Literal(value) if isinstance(value, int | float) and value is not True:
            return float(value)
        case expression.Unary("-", expression.Literal(value)) if isinstance(value, int | float):
            return -float(value)
    return None


def _reads_result(node: expression.Node) -> bool:
    match node:
        case expression.Name(name):
            return name in ("result", "#")
        case expression.Index(of, _):
            return _reads_result(of)
        case expression.Call(name, arguments):
            return name != "len" and any(_reads_result(argument) for argument in arguments)
        case expression.Binary(_, left, right):
            return _reads_result(left) or _reads_result(right)
        case expression.Unary(_, operand):
            return _reads_result(operand)
    return False
