"""The condition language: the truth table of the real evaluators, row by row.

Source: EvalCondition of argo-rollouts @9f8d111 compiled with expr v1.15.5 and v1.17.8, whose
answers agree on every row of the first table; the others are v1.15.5's, which v1.9.1 has.
"""

import math

import pytest

from canary.argo import analysis
from canary.argo.expression import ExpressionError, UnreadError, evaluate
from canary.argo.model import Metric, Phase

NAN, EMPTY, TWO = (math.nan,), (), (0.005, 0.02)
T = "0.01"
GUARDED = f"len(result) > 0 && !isNaN(result[0]) && result[0] < {T}"

TABLE = [
    # success, failure, NaN, empty, two series
    (f"result[0] < {T}", "", "Failed", "Error", "Successful"),
    ("", f"result[0] >= {T}", "Successful", "Error", "Successful"),
    (f"result[0] < {T}", f"result[0] >= {T}", "Inconclusive", "Error", "Successful"),
    (f"all(result, # < {T})", "", "Failed", "Successful", "Failed"),
    (f"len(result)==0 || result[0]<{T}", "", "Failed", "Successful", "Successful"),
    (f"isNaN(result[0]) || result[0] < {T}", "", "Successful", "Error", "Successful"),
    (GUARDED, f"len(result)>0 && result[0]>={T}", "Inconclusive", "Inconclusive", "Successful"),
    (f"result < {T}", "", "Error", "Error", "Error"),
    ("isNaN(result)", "", "Error", "Error", "Error"),
    (f"default(result,0)<{T}", "", "Error", "Error", "Error"),
    (f"result && result[0] < {T}", "", "Error", "Error", "Error"),
    ("", "", "Successful", "Successful", "Successful"),
]


@pytest.mark.parametrize(("success", "failure", "nan", "empty", "two"), TABLE)
def test_the_phase_of_each_result_is_the_real_controllers(success, failure, nan, empty, two):
    metric = Metric("m", "q", success_condition=success, failure_condition=failure)
    phases = [analysis.judge(metric, result)[0] for result in (NAN, EMPTY, TWO)]
    assert phases == [Phase(nan), Phase(empty), Phase(two)]


@pytest.mark.parametrize(
    ("condition", "result", "expected"),
    [
        ("result < 1", 0.5, True),
        ("result[0] + 1 > 1.4 and not (result[0] > 1)", (0.5,), True),
        ("2 ** 3 ** 2 == 512", 0.0, True),
        ("-2 ** 2 == -4 || true", 0.0, True),
        ("1 + 2 * 3 == 7", 0.0, True),
        ("7 % 4 == 3 && -7 % 4 == -3", 0.0, True),
        ("result[0] in [1, 2]", (2.0,), True),
        ("result[0] not in [1, 2]", (2.0,), False),
        ("result[-1] == 3", (1.0, 2.0, 3.0), True),
        ("any(result, # > 2) && none(result, # > 9) && one(result, # == 3)", (1.0, 3.0), True),
        ("count(result, {# > 1}) == 2", (1.0, 2.0, 3.0), True),
        ("filter(result, # > 5) == []", (1.0, 2.0), True),
        ("filter(result, # > 1) == []", (1.0, 2.0), False),
        # Lists are equal by what they hold, and by its type: a result holds floats.
        ("filter(result, # > 1) == [2.0]", (1.0, 2.0), True),
        ("filter(result, # > 1) == [2]", (1.0, 2.0), False),
        ("[1] == [1.0] || [result[0]] == [1]", (1.0,), False),
        ("sort(result) == [] && sort(result) != result", (), True),
        ("map(result, #) == map(result, #)", (math.nan,), False),
        ("filter(result, isNaN(#)) == []", (), True),
        ("len(filter(result, # > 1)) == 1 && sum(map(result, # * 2)) == 6", (1.0, 2.0), True),
        ("asInt(result[0]) == 3 && asFloat('0.5') < 1", (3.9,), True),
        ("max(result[0], result[1]) - min(5, 1) == 4 && abs(0 - 2) == 2", (1.0, 5.0), True),
        ("mean(result) == 3 && median(result) == 3 && sum(result) == 6", (1.0, 5.0), True),
        ("mean(result) == 3 && median(result) == 2 && sum(result) == 9", (1.0, 2.0, 6.0), True),
        ("float(result[0]) < 0.05 && int(result[0]) < 1", (0.04,), True),
        ("(first(result) ?? 0) < 0.05", (), True),
        ("first(result) != nil && last(result) < 0.05", (0.9, 0.01), True),
        ("get(result, 5) == nil && get(result, -1) == 2", (1.0, 2.0), True),
        ("let x = result[0]; let y = x * 100; y < 5", (0.04,), True),
        ("result | all(# < 0.05)", (0.04, 0.06), False),
        ("sort(result)[0] < 0.05 // the best", (0.9, 0.01), True),
        ("result[0] ^ 2 < /* squared */ 0.0025", (0.04,), True),
        ("round(2.5) == 3 && round(-2.5) == -3 && ceil(0.1) == 1 && floor(0.9) == 0", (), True),
        ("result == []", (), False),
        # expr forgets a `not` before an operator that does not belong to the operand.
        ("-1 not in result", (1.0,), False),
        ("isInf(0 ** -1) && isNaN((-8) ** 0.5) && !isInf(median([1, 3]))", (1.0,), True),
        ("result[0] + 1 not in [2]", (1.0,), True),
        ("result[0] not in [1] || result[0] not < 2", (1.0,), False),
        ("isNaN(1 + 1) || isInf(-5) || isNaN(float(len(result)))", (1.0,), False),
        # Of NaN and Inf Go makes the least integer.
        ("asInt(result[0]) < 1", (math.nan,), True),
        ("ceil(result[0]) < 1", (math.nan,), False),
        ("isInf(result[0] / 0)", (1.0,), True),
        ("isNaN(0.0 / 0)", 0.0, True),
        ("result[0] > 0.9 ? result[0] < 1 : true", (0.5,), True),
        ('"a||b" == "a||b"', 0.0, True),
        ("1_000 == 1e3", 0.0, True),
        ("true == 1", 0.0, False),
        ("isNil(nil) && default(nil, 3) == 3", 0.0, True),
    ],
)
def test_the_language_means_what_it_says(condition, result, expected):
    assert evaluate(condition, result) is expected


@pytest.mark.parametrize(
    ("condition", "because"),
    [
        ("result[0] <", "unexpected end"),
        ("result[0] < 1 1", "unexpected '1'"),
        ("result[0", "expected ']'"),
        ("nothing > 1", "unknown name nothing"),
        ("system('x')", "unknown function system"),
        ("result[0] = 1", "unexpected '='"),
        ("result[0]", "expected bool, but got float64"),
        # Go calls these two with a float, and with nothing else.
        ("isNaN(len(result))", "cannot use int as argument of isNaN"),
        ("isInf(abs(1))", "cannot use int as argument of isInf"),
        ("get(result, nil) == nil", "cannot index with nil"),
        ("result[1.0] > 1", "cannot index with float64"),
        ("len(result) > 9 || result[0] % 2 == 1", "% is of integers"),
        ("true || # > 1", "# stands for an element"),
        ("result[5] > 1", "index out of range: 5"),
        ("result[0] && true", "invalid operation: && float64"),
        ("'a' < 1", "invalid operation: string < int"),
        ("5 % 0 == 1", "integer divide by zero"),
        ("len(1) > 0", "invalid argument for len"),
        ("", "unexpected end"),
        # expr takes a slice for it from 1.16 on.
        ("max(result) < 0.05", "invalid argument for max"),
        ("result[0] ?? 0 < 0.05", "wants brackets"),
        ("let x = result[5]; len(result) > 0 || x < 1", "index out of range"),
        ("result?.[0] < 0.05", "unexpected '.'"),
    ],
)
def test_what_cannot_be_read_or_does_not_apply_is_an_error_that_quotes_it(condition, because):
    with pytest.raises(ExpressionError) as caught:
        evaluate(condition, (0.5,))
    assert because in str(caught.value)
    assert condition in str(caught.value)


@pytest.mark.parametrize(
    "condition",
    ["reduce(result, #acc + #) < 1", "result[0] in 0..1", "result[1:] == []", 'string(1) == "1"'],
)
def test_what_argo_reads_and_this_does_not_is_told_from_what_argo_refuses(condition):
    with pytest.raises(UnreadError, match="not read here"):
        evaluate(condition, (0.5,))
