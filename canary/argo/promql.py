"""PromQL, parsed by the real parser, reduced to what a rule needs to know of a query."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import promql_parser

# One value without labels comes of these when nothing is grouped by.
_TO_ONE = {"sum", "avg", "min", "max", "count", "stddev", "stdvar", "group", "quantile"}
# Each may nest the query one deeper, and the parser's stack ends at some thousands.
MAX_OPERATORS = 300
_OPERATOR = re.compile(
    r"""
    "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*` | \#[^\n]*  # no operators: texts and comments
    | ( [-+*/%^(<>] | [=!]= | \b(?:and|or|unless|atan2)\b )
    """,
    re.VERBOSE,
)
_RESTARTS = "kube_pod_container_status_restarts_total"
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}


@dataclass(frozen=True)
class Matcher:
    """One label matcher; `sign` is =, !=, =~ or !~."""

    label: str
    sign: str
    value: str

    def __str__(self) -> str:
        return f'{self.label}{self.sign}"{self.value}"'


@dataclass(frozen=True)
class Selector:
    """One series selector; `range_s` is 0 for an instant vector."""

    metric: str
    matchers: tuple[Matcher, ...]
    range_s: float
    offset_s: float

    @property
    def labels(self) -> frozenset[str]:
        """The labels it names."""
        return frozenset(matcher.label for matcher in self.matchers)

    def mentions(self, tokens: tuple[str, ...]) -> bool:
        """Whether a positive matcher holds one of the texts."""
        positive = [m.value for m in self.matchers if m.sign in ("=", "=~")]
        return any(token in value for token in tokens for value in positive)


@dataclass(frozen=True)
class Query:
    """A parsed query."""

    tree: Any
    selectors: tuple[Selector, ...]

    @property
    def window_s(self) -> float:
        """The longest range it looks back over; 0 for an instant query."""
        return max((selector.range_s for selector in self.selectors), default=0.0)


class PromqlError(ValueError):
    """A query that Prometheus would refuse, or that is too long to be read."""


@lru_cache(maxsize=1024)
def parse(query: str) -> Query:
    """Parses and type-checks a query.

    Raises:
        PromqlError: if Prometheus would refuse it, with the parser's words, or if it is too long.
    """
    if sum(bool(sign) for sign in _OPERATOR.findall(query)) > MAX_OPERATORS:
        raise PromqlError(f"it has more than {MAX_OPERATORS} operators and calls, and is not read")
    try:
        tree = promql_parser.parse(query)
    except ValueError as wrong:
        raise PromqlError(str(wrong)) from None
    found = tuple(selectors(tree, 0.0))
    for matcher in (m for s in found for m in s.matchers if "~" in m.sign):
        plain = _LITERAL.sub("x", matcher.value)
        if refused := _NESTED.search(plain) or _FLAGS.search(plain):
            raise PromqlError(f"{matcher.value!r} is not an expression of RE2: {refused[0]}")
    return Query(tree, found)


def read(query: str) -> Query:
    """As `parse`, but what is refused reads nothing: an argument may not be filled in yet."""
    try:
        return parse(query)
    except PromqlError:
        return parse("vector(0)")


# What Go refuses in an expression and the parser takes: repeated repetitions, and other flags.
_LITERAL = re.compile(r"\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]")
_TIMES = r"(?:[*+?]|\{\d+(?:,\d*)?\})"
_NESTED = re.compile(rf"{_TIMES}\??+{_TIMES}")
_FLAGS = re.compile(r"\(\?[imsU-]*[^imsU:<P)-][^)]*\)?")


def nodes(tree: Any) -> Iterator[Any]:
    """Every node of a tree, outermost first."""
    yield tree
    for child in children(tree):
        yield from nodes(child)


def children(node: Any) -> list[Any]:
    """The parts of a node."""
    if isinstance(node, promql_parser.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql_parser.Call):
        return list(node.args)
    if isinstance(node, promql_parser.MatrixSelector):
        return [node.vector_selector]
    inner = getattr(node, "expr", None)
    return [] if inner is None else [inner]


def window_s(tree: Any) -> float:
    """The range that a part of a query looks back over."""
    return max((selector.range_s for selector in selectors(tree)), default=0.0) or 1.0


def may_be_empty(tree: Any) -> bool:
    """Whether the query can return no series although it is healthy PromQL.

    Only literals, `vector()`, `scalar()`, `absent()` beside a zero fill, and sums of such, cannot.
    """
    tree = bare(tree)
    if isinstance(tree, promql_parser.NumberLiteral):
        return False
    if isinstance(tree, promql_parser.Call):
        if tree.func.name in ("vector", "scalar", "time"):
            return False
        return any(may_be_empty(argument) for argument in tree.args) or not tree.args
    if isinstance(tree, promql_parser.BinaryExpr):
        sign = str(tree.op)
        if sign == "or":
            return may_be_empty(tree.lhs) and may_be_empty(tree.rhs)
        if sign in COMPARISONS and not returns_bool(tree):
            return True
        return may_be_empty(tree.lhs) or may_be_empty(tree.rhs)
    if isinstance(tree, promql_parser.AggregateExpr | promql_parser.UnaryExpr):
        return may_be_empty(tree.expr)
    return True


def tells_absence(tree: Any) -> bool:
    """Whether the query has no answer exactly where its series exist."""
    tree = bare(tree)
    return isinstance(tree, promql_parser.Call) and tree.func.name.startswith("absent")


def is_scalar(tree: Any) -> bool:
    """Whether the answer is a number, and not a list of samples."""
    tree = bare(tree)
    if isinstance(tree, promql_parser.BinaryExpr):
        return is_scalar(tree.lhs) and is_scalar(tree.rhs)
    if isinstance(tree, promql_parser.UnaryExpr):
        return is_scalar(tree.expr)
    if isinstance(tree, promql_parser.Call):
        return tree.func.name in ("scalar", "time", "pi")
    return isinstance(tree, promql_parser.NumberLiteral)


def may_be_many(tree: Any) -> bool:
    """Whether the query can return more than one series."""
    tree = bare(tree)
    if isinstance(tree, promql_parser.NumberLiteral):
        return False
    if isinstance(tree, promql_parser.AggregateExpr):
        grouped = tree.modifier is not None and bool(tree.modifier.labels)
        by_nothing = tree.modifier is None or (
            not grouped and tree.modifier.type == promql_parser.AggModifierType.By
        )
        return str(tree.op) not in _TO_ONE or not by_nothing
    if isinstance(tree, promql_parser.BinaryExpr):
        return may_be_many(tree.lhs) and not _matched_to_one(tree)
    if isinstance(tree, promql_parser.SubqueryExpr):
        return may_be_many(tree.expr)
    if isinstance(tree, promql_parser.Call):
        return _many_of_call(tree)
    return True


def has_minimum(tree: Any) -> bool:
    """Whether a comparison inside drops the result where there is too little to judge by."""
    unless = (n.rhs for n in nodes(tree) if str(getattr(n, "op", "")) == "unless")
    kept = any(_compares(node, (">", ">=")) for node in nodes(tree))
    return kept or any(_compares(node, ("<", "<=")) for part in unless for node in nodes(part))


def _compares(node: Any, signs: tuple[str, ...]) -> bool:
    """Whether a node keeps only what compares so with a number above 0."""
    if not joins(node, *signs) or returns_bool(node):
        return False
    limit = bare(node.rhs)
    return isinstance(limit, promql_parser.NumberLiteral) and limit.val > 0


def divides(tree: Any) -> bool:
    """Whether anything is divided."""
    return any(joins(n, "/") for n in nodes(tree))


def counts(node: Any) -> tuple[str, str] | None:
    """The functions of counters on both sides of a division, where each side has one."""
    if not joins(node, "/"):
        return None
    sides = [
        {n.func.name for n in nodes(side) if isinstance(n, promql_parser.Call)}
        & {"increase", "rate"}
        for side in (node.lhs, node.rhs)
    ]
    return (min(sides[0]), min(sides[1])) if [len(s) for s in sides] == [1, 1] else None


def divided_aggregates(node: Any) -> str:
    """By which operator both sides of a division are aggregated; empty if it is none of both."""
    if not joins(node, "/"):
        return ""
    sides = [bare(side) for side in (node.lhs, node.rhs)]
    operators = {str(s.op) for s in sides if isinstance(s, promql_parser.AggregateExpr)}
    aggregated = all(isinstance(side, promql_parser.AggregateExpr) for side in sides)
    return operators.pop() if aggregated and len(operators) == 1 else ""


def quantiles(tree: Any) -> list[float]:
    """The quantiles that `histogram_quantile` is asked for, without a margin taken off."""
    asked = (_level(node.args[0]) for node in nodes(tree) if is_quantile(node))
    return [level for level in asked if level is not None]


def other_quantiles(tree: Any) -> Iterator[float]:
    """The levels that `quantile` and `quantile_over_time` are asked for, where they are numbers."""
    for node in nodes(tree):
        if calls(node, "quantile_over_time"):
            asked = _level(node.args[0])
        else:
            asked = _level(node.param) if aggregates(node, "quantile") else None
        if asked is not None:
            yield asked


def other_times(tree: Any) -> Iterator[str]:
    """What of a query is read at a time that says nothing of the release at the measurement."""
    for node in nodes(tree):
        if not isinstance(node, (promql_parser.VectorSelector, promql_parser.SubqueryExpr)):
            continue
        if (ahead_s := -_length_s(node.offset)) > 0:
            yield f"it reads {ahead_s:g} s ahead, where nothing is yet"
        if node.at is not None and node.at.at is not None:
            yield f"it reads the instant {node.at}, in every release the same"


def sparse_subqueries(tree: Any) -> Iterator[tuple[float, float]]:
    """Ranges and steps of subqueries whose step is the longer one."""
    for node in nodes(tree):
        if isinstance(node, promql_parser.SubqueryExpr) and node.step is not None:
            range_s, step_s = _length_s(node.range), _length_s(node.step)
            if step_s > range_s:
                yield range_s, step_s


def kept_labels(tree: Any) -> frozenset[str] | None:
    """The labels that an aggregation leaves; None if it is none, or leaves all but some."""
    tree = bare(tree)
    if not aggregates(tree, *_TO_ONE):
        return None
    if tree.modifier is None:
        return frozenset()
    by = tree.modifier.type == promql_parser.AggModifierType.By
    return frozenset(tree.modifier.labels) if by else None


def drops(node: Any, label: str) -> bool:
    """Whether a node adds up, or averages, series that differ by a label."""
    if not aggregates(node, "sum", "avg"):
        return False
    if node.modifier is None:
        return True
    by = node.modifier.type == promql_parser.AggModifierType.By
    return (label in node.modifier.labels) is not by


def adds_up(tree: Any, selector: Selector, label: str) -> bool:
    """Whether series of a selector that differ by a label are made one within a tree."""
    for node in nodes(tree):
        kept = kept_labels(node)
        if kept is not None and label not in kept and isinstance(node, promql_parser.AggregateExpr):
            within = ((s.metric, s.matchers) for s in selectors(node))
            if (selector.metric, selector.matchers) in within:
                return True
    return False


def outside_quantiles(tree: Any) -> Iterator[Any]:
    """Every node that is no part of the buckets of which `histogram_quantile` is asked."""
    yield tree
    for child in [tree.args[0]] if is_quantile(tree) else children(tree):
        yield from outside_quantiles(child)


def unpaired(node: Any) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Labels of a binary operator's sides by which no two series are a pair."""
    if not isinstance(node, promql_parser.BinaryExpr) or str(node.op) in ("or", "unless"):
        return
    lefts, rights = _sides(node.lhs), _sides(node.rhs)
    if not lefts or not rights:
        return
    matching = node.modifier.matching if node.modifier else None
    paired = [_paired(labels, matching) for labels in (*lefts, *rights)]
    keys, others = paired[: len(lefts)], paired[len(lefts) :]
    yield from (
        (left, rights[0]) for left, key in zip(lefts, keys, strict=True) if key not in others
    )


def always_paired(node: Any) -> bool:
    """Whether any series on a binary operator's right is a partner of each on its left."""
    matching = node.modifier.matching if node.modifier else None
    include = promql_parser.LabelModifierType.Include
    if matching is not None and matching.type == include and not matching.labels:
        return True
    left, right = ({_paired(kept, matching) for kept in _sides(s)} for s in (node.lhs, node.rhs))
    return left == right == {frozenset()} or str(bare(node.lhs)) == str(bare(node.rhs))


def ambiguous(node: Any) -> Iterator[frozenset[str]]:
    """Labels of a binary operator's sides that tell more series apart than it pairs one to one."""
    modifier = getattr(node, "modifier", None)
    if not isinstance(node, promql_parser.BinaryExpr) or modifier is None:
        return
    sides = {"OneToOne": (node.lhs, node.rhs), "ManyToOne": (node.rhs,), "OneToMany": (node.lhs,)}
    for side in sides.get(str(modifier.card).rpartition(".")[2], ()):
        kept = kept_labels(side)
        if kept and _paired(kept, modifier.matching) != kept:
            yield kept


def _paired(labels: frozenset[str], matching: Any) -> frozenset[str]:
    """The labels by which series are paired."""
    if matching is None:
        return labels
    on = matching.type == promql_parser.LabelModifierType.Include
    return labels & set(matching.labels) if on else labels - set(matching.labels)


def _sides(tree: Any) -> list[frozenset[str]]:
    """The labels of what a tree answers with, in each way that it may; empty if not known."""
    tree = bare(tree)
    if (kept := kept_labels(tree)) is not None:
        return [kept]
    if isinstance(tree, promql_parser.Call):
        return _sides_of_call(tree)
    if isinstance(tree, promql_parser.BinaryExpr):
        left, right = _sides(tree.lhs), _sides(tree.rhs)
        if str(tree.op) == "or":
            return [*left, *right] if left and right else []
        grouped = tree.modifier is not None and tree.modifier.matching is not None
        number = isinstance(bare(tree.lhs), promql_parser.NumberLiteral)
        return right if number else left if not grouped or str(tree.op) in ("and", "unless") else []
    return []


def _sides_of_call(call: Any) -> list[frozenset[str]]:
    if call.func.name == "vector":
        return [frozenset()]
    if call.func.name in ("clamp_min", "clamp_max", "clamp", "sqrt", "abs", "ln", "exp", "round"):
        return _sides(call.args[0])
    return []


def answers_a_quantile(tree: Any) -> bool:
    """Whether the answer is what `histogram_quantile` found, and nothing computed from it."""
    tree = bare(tree)
    if joins(tree, "and", "unless"):
        return answers_a_quantile(tree.lhs)
    return is_quantile(tree)


def answers_a_mean(tree: Any) -> bool:
    """Whether the answer is a histogram's sum divided by its count."""
    tree = bare(tree)
    if not joins(tree, "/") or divides(tree.lhs):
        return False
    above, below = ([s.metric for s in selectors(side)] for side in (tree.lhs, tree.rhs))
    parts = {(one.removesuffix("_sum"), "_sum") for one in above if one.endswith("_sum")}
    return len(above) == len(below) == 1 and {(below[0].removesuffix("_count"), "_sum")} == parts


def answers_a_bound(tree: Any) -> bool:
    """Whether the answer is the share of requests below one bound of a histogram."""
    tree = bare(tree)
    if not joins(tree, "/") or divides(tree.lhs):
        return False
    above, below = list(selectors(tree.lhs)), list(selectors(tree.rhs))
    bounded = above and all(Matcher("le", "=", "+Inf") not in s.matchers for s in above)
    bucket = all(s.metric.endswith("_bucket") and "le" in s.labels for s in above)
    operators = {str(n.op) for n in nodes(tree.lhs) if isinstance(n, promql_parser.BinaryExpr)}
    return bool(bounded and bucket and operators <= {"or"} and below) and all(
        s.metric == above[0].metric.removesuffix("_bucket") + "_count" for s in below
    )


def rest_of_one(tree: Any) -> Any:
    """What a tree subtracts from 1; None if it does something else."""
    tree = bare(tree)
    if not joins(tree, "-"):
        return None
    one = bare(tree.lhs)
    return tree.rhs if isinstance(one, promql_parser.NumberLiteral) and one.val == 1 else None


def restarts_a_second(tree: Any) -> float:
    """The window of a query that answers with restarts per second; 0 of any other query."""
    tree = bare(tree)
    if isinstance(tree, promql_parser.AggregateExpr):
        return restarts_a_second(tree.expr)
    found = [s.range_s for s in selectors(tree) if s.metric == _RESTARTS]
    return found[0] if found and calls(tree, "rate", "irate") else 0.0


def joins(node: Any, *signs: str) -> bool:
    """Whether it is one of these binary operators."""
    return isinstance(node, promql_parser.BinaryExpr) and str(node.op) in signs


def calls(node: Any, *functions: str) -> bool:
    """Whether it is a call of one of these functions."""
    return isinstance(node, promql_parser.Call) and node.func.name in functions


def aggregates(node: Any, *operators: str) -> bool:
    """Whether it is one of these aggregations."""
    return isinstance(node, promql_parser.AggregateExpr) and str(node.op) in operators


def is_quantile(node: Any) -> bool:
    """Whether it is a call of `histogram_quantile`."""
    return calls(node, "histogram_quantile")


def _level(node: Any) -> float | None:
    """A number, or the one that `scalar(number - margin)` begins with."""
    node = bare(node)
    if isinstance(node, promql_parser.NumberLiteral):
        return float(node.val)
    if calls(node, "scalar"):
        return _level(node.args[0])
    return _level(node.lhs) if joins(node, "-") else None


def render(selector: Selector) -> str:
    """A selector as PromQL."""
    inside = ", ".join(f"{m.label}{m.sign}{json.dumps(m.value)}" for m in selector.matchers)
    span = f"[{selector.range_s:.0f}s]" if selector.range_s else ""
    offset = f" offset {selector.offset_s:.0f}s" if selector.offset_s else ""
    return f"{selector.metric}{{{inside}}}{span}{offset}"


def bare(tree: Any) -> Any:
    """The tree without its outer brackets."""
    while isinstance(tree, promql_parser.ParenExpr):
        tree = tree.expr
    return tree


def matchers_of(selector: Any) -> tuple[Matcher, ...]:
    """A vector selector's matchers."""
    signs = (
        (promql_parser.MatchOp.Equal, "="),
        (promql_parser.MatchOp.NotEqual, "!="),
        (promql_parser.MatchOp.Re, "=~"),
        (promql_parser.MatchOp.NotRe, "!~"),
    )
    found = list(selector.matchers.matchers)
    return tuple(Matcher(m.name, next(s for op, s in signs if m.op == op), m.value) for m in found)


def selectors(tree: Any, range_s: float = 0.0) -> Iterator[Selector]:
    """Every selector of a tree, each with the range that it stands in.

    What is asked for its time alone, by `timestamp`, has none: a moment is diluted by no other.
    """
    if calls(tree, "timestamp"):
        range_s = 0.0
    if isinstance(tree, promql_parser.MatrixSelector):
        yield from selectors(tree.vector_selector, _length_s(tree.range))
        return
    if isinstance(tree, promql_parser.SubqueryExpr):
        yield from selectors(tree.expr, max(range_s, _length_s(tree.range)))
        return
    if isinstance(tree, promql_parser.VectorSelector):
        offset = _length_s(tree.offset)
        matchers = matchers_of(tree)
        named = next((m.value for m in matchers if m.label == "__name__"), "")
        yield Selector(tree.name or named, matchers, range_s, offset)
        return
    for child in children(tree):
        yield from selectors(child, range_s)


def _length_s(length: timedelta | None) -> float:
    return length.total_seconds() if length else 0.0


def returns_bool(node: Any) -> bool:
    """Whether a comparison answers 0 or 1, and keeps nothing."""
    return node.modifier is not None and bool(node.modifier.return_bool)


def _matched_to_one(node: Any) -> bool:
    """Whether arithmetic with a series without labels leaves nothing of the many on the left."""
    if str(node.op) in ("and", "or", "unless") or (node.modifier and node.modifier.matching):
        return False
    return not isinstance(bare(node.rhs), promql_parser.NumberLiteral) and not may_be_many(node.rhs)


def _many_of_call(call: Any) -> bool:
    if call.func.name in ("vector", "scalar", "time", "absent", "absent_over_time"):
        return False
    if call.func.name == "histogram_quantile":
        inner = bare(call.args[1])
        if not isinstance(inner, promql_parser.AggregateExpr):
            return True
        # Without labels, of native histograms.
        return inner.modifier is not None and set(inner.modifier.labels) != {"le"}
    literals = promql_parser.NumberLiteral | promql_parser.StringLiteral
    return any(may_be_many(each) for each in call.args if not isinstance(bare(each), literals))
