"""Argo's condition language, as its library reads it up to v1.9.1; what is not read is named.

Argo evaluates conditions with antonmedv/expr 1.15.5 up to v1.9.1 and expr-lang/expr 1.17 after it
(`EvalCondition`, utils/evaluate/evaluate.go @9f8d111); where they differ the first counts. Text →
tokens → a tree of frozen nodes → a value. Go's rules hold: nothing is converted silently, a
condition must be a boolean, and an index outside a slice is an error, not nothing.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any

Result = float | tuple[float, ...]

# Each may nest the condition one deeper, and Python's stack ends at a thousand calls.
MAX_TOKENS = 300


class ExpressionError(ValueError):
    """A condition that cannot be read or evaluated; the message quotes it."""


class UnreadError(ExpressionError):
    """A condition that Argo's library reads, and this does not."""


@dataclass(frozen=True)
class Literal:
    """A number, a text, a boolean or nil."""

    value: float | str | bool | None


@dataclass(frozen=True)
class Name:
    """A variable: `result`, or `#` inside a predicate."""

    name: str


@dataclass(frozen=True)
class Array:
    """`[1, 2]`."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Index:
    """`of[at]`."""

    of: Node
    at: Node


@dataclass(frozen=True)
class Call:
    """A function of Argo's environment or a built-in."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Unary:
    """`!x`, `-x`, `+x`."""

    operator: str
    operand: Node


@dataclass(frozen=True)
class Binary:
    """`left operator right`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Conditional:
    """`test ? yes : no`."""

    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True)
class Let:
    """`let name = value; body`; in the body the value stands for its name."""

    value: Node
    body: Node


Node = Literal | Name | Array | Index | Call | Unary | Binary | Conditional | Let

_TOKEN = re.compile(
    r"""(?:
        (?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)
      | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<name>[A-Za-z_]\w*|\#)
      | (?P<sign>\|\||&&|==|!=|<=|>=|\*\*|\.\.|\?\?|[-+*/%^<>=!?:;|()\[\]{},.])
    )""",
    re.VERBOSE,
)
_BETWEEN = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)

# Loosest first, as in expr's own table.
_PRECEDENCE = {
    "|": 5,
    "||": 10, "or": 10,
    "&&": 15, "and": 15,
    "==": 20, "!=": 20, "<": 20, ">": 20, "<=": 20, ">=": 20, "in": 20,
    "+": 30, "-": 30,
    "*": 60, "/": 60, "%": 60,
    "**": 100, "^": 100,
    "??": 500,
}  # fmt: skip
_UNARY = {"!": 50, "not": 50, "-": 90, "+": 90}
_CONSTANTS = {"true": True, "false": False, "nil": None}
_PREDICATES = ("all", "any", "none", "one", "filter", "map", "count")
# Built-ins of the library that no condition of numbers wants.
_UNREAD = frozenset(
    {
        "find", "findIndex", "findLast", "findLastIndex", "groupBy", "reduce", "sortBy", "type",
        "trim", "trimPrefix", "trimSuffix", "upper", "lower", "split", "splitAfter", "replace",
        "repeat", "join", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix", "toJSON", "fromJSON",
        "toBase64", "fromBase64", "now", "duration", "date", "take", "keys", "values", "toPairs",
        "fromPairs", "string",
    }
)  # fmt: skip


def evaluate(condition: str, result: Result) -> bool:
    """Whether a condition holds for a measurement's result.

    Args:
        condition: The text of a successCondition or failureCondition.
        result: A float for a scalar, a tuple of floats for a vector.

    Raises:
        ExpressionError: if it cannot be read, does not apply to this result, or is no boolean.
    """
    try:
        value = _value(parse(condition), {"result": result})
    except _Mismatch as wrong:
        raise ExpressionError(f"{wrong} in: {condition}") from None
    if not isinstance(value, bool):
        raise ExpressionError(f"expected bool, but got {_kind(value)} in: {condition}")
    return value


def number(node: Node, value: float) -> float:
    """What a part of a condition is worth where the result, or the element asked, is one number.

    Raises:
        ExpressionError: if it is no number there.
    """
    try:
        found = _value(node, {"result": (value,), "#": value})
    except _Mismatch as wrong:
        raise ExpressionError(str(wrong)) from None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ExpressionError(f"expected a number, but got {_kind(found)}")
    return float(found)


@lru_cache(maxsize=512)
def parse(condition: str) -> Node:
    """Reads a condition.

    Raises:
        ExpressionError: if it is not an expression of the language.
    """
    parser = _Parser(condition)
    tree = parser.expression(0)
    parser.expect_end()
    return tree


def _is_float(node: Node) -> bool:
    """Whether expr knows before any result that a part is a float."""
    match node:
        case Literal(float()) | Index(Name("result"), _) | Binary("/" | "**" | "^", _, _):
            return True
        case Unary(_, operand):
            return _is_float(operand)
    return False


class _Mismatch(Exception):
    """A value of the wrong kind, found while evaluating."""


# ------------------------------------------------------------------------------------- reading


class _Parser:
    """A Pratt parser: each operator binds as tightly as `_PRECEDENCE` says."""

    def __init__(self, condition: str) -> None:
        self._condition = condition
        self._tokens = _tokens(condition)
        self._let_be: dict[str, Node] = {}
        self._within = 0
        if len(self._tokens) > MAX_TOKENS:
            raise ExpressionError(f"a condition of more than {MAX_TOKENS} words is not read")
        self._at = 0

    def expression(self, tightness: int) -> Node:
        left, before = self._operand(), ""
        while True:
            # expr takes `not` wherever an operator may stand, and forgets it where that operator
            # belongs further out: `-1 not in result` is `-1 in result`.
            if negated := self._peek() == "not":
                self._next()
            sign = self._peek()
            if _PRECEDENCE.get(sign, tightness) <= tightness:
                break
            if before == "??" != sign:
                raise self._error("?? beside another operator wants brackets")
            left, before = self._binary(left), sign
            left = Unary("!", left) if negated else left
        return self._conditional(left) if tightness == 0 and self._peek() == "?" else left

    def expect_end(self) -> None:
        if self._peek():
            raise self._error(f"unexpected {self._peek()!r}")

    def _binary(self, left: Node) -> Node:
        sign = self._next()[1]
        if sign == "|":
            return self._named(self._next()[1], left)
        # `**` binds to the right: 2 ** 3 ** 2 is 2 ** 9.
        tightness = _PRECEDENCE[sign] - (1 if sign in ("**", "^") else 0)
        right = self.expression(tightness)
        if sign == "%" and (_is_float(left) or _is_float(right)):
            raise self._error("% is of integers, and a result holds floats")
        return Binary(sign, left, right)

    def _conditional(self, test: Node) -> Node:
        self._expect("?")
        yes = self.expression(0)
        self._expect(":")
        return Conditional(test, yes, self.expression(0))

    def _operand(self) -> Node:
        kind, text = self._next()
        if text in _UNARY:
            return Unary("!" if text == "not" else text, self.expression(_UNARY[text]))
        if text == "(":
            inner = self.expression(0)
            self._expect(")")
            return self._postfix(inner)
        if text == "[":
            return self._postfix(Array(self._list("]")))
        if kind == "number":
            return Literal(_number(text))
        if kind == "text":
            return Literal(re.sub(r"\\(.)", r"\1", text[1:-1]))
        if text == "let":
            return self._let()
        if kind == "name":
            return self._postfix(self._named(text))
        raise self._error(f"unexpected {text!r}" if text else "unexpected end")

    def _let(self) -> Node:
        name = self._next()[1]
        self._expect("=")
        value = self.expression(0)
        self._expect(";")
        self._let_be[name] = value
        return Let(value, self.expression(0))

    def _named(self, name: str, piped: Node | None = None) -> Node:
        """A name, or a call; of what is piped into it, if anything is."""
        if name in _CONSTANTS:
            return Literal(_CONSTANTS[name])
        if name == "#" and not self._within:
            raise self._error("# stands for an element, inside of all() and the like")
        if self._peek() != "(" and piped is None:
            return self._let_be.get(name, Name(name))
        self._expect("(")
        if name in _PREDICATES:
            return self._predicate(name, piped)
        if name in _UNREAD:
            raise UnreadError(f"{name}() is not read here: {self._condition}")
        if name not in _FUNCTIONS:
            raise self._error(f"unknown function {name}")
        given = () if piped is None else (piped,)
        return Call(name, (*given, *self._list(")")))

    def _predicate(self, name: str, piped: Node | None) -> Node:
        if piped is None:
            sequence = self.expression(0)
            self._expect(",")
        else:
            sequence = piped
        braces = self._peek() == "{"
        if braces:
            self._next()
        self._within += 1
        body = self.expression(0)
        self._within -= 1
        if braces:
            self._expect("}")
        self._expect(")")
        return Call(name, (sequence, body))

    def _postfix(self, node: Node) -> Node:
        while self._peek() == "[":
            self._next()
            if self._peek() == ":":
                raise UnreadError(f"a slice is not read here: {self._condition}")
            node = Index(node, self.expression(0))
            if self._peek() == ":":
                raise UnreadError(f"a slice is not read here: {self._condition}")
            self._expect("]")
        return node

    def _list(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while self._peek() != end:
            items.append(self.expression(0))
            if self._peek() != end:
                self._expect(",")
        self._expect(end)
        return tuple(items)

    def _peek(self) -> str:
        kind, text = self._tokens[self._at]
        # A text such as "||" between quotes is not an operator.
        return "" if kind == "text" else text

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += 1 if token[0] else 0
        return token

    def _expect(self, text: str) -> None:
        found = self._next()[1]
        if found != text:
            raise self._error(f"expected {text!r}, found {found or 'the end'!r}")

    def _error(self, cause: str) -> ExpressionError:
        return ExpressionError(f"{cause} in: {self._condition}")


def _tokens(condition: str) -> list[tuple[str, str]]:
    """(kind, text) of every token, and an empty pair at the end."""
    tokens, at = [], 0
    while (at := _past_blanks(condition, at)) < len(condition):
        found = _TOKEN.match(condition, at)
        if found is None or found.lastgroup is None:
            raise ExpressionError(f"unexpected {condition[at:].strip()[:1]!r} in: {condition}")
        if found["sign"] == "..":
            raise UnreadError(f"a range is not read here: {condition}")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return [*tokens, ("", "")]


def _past_blanks(condition: str, at: int) -> int:
    found = _BETWEEN.match(condition, at)
    return found.end() if found else at


def _number(text: str) -> float:
    digits = text.replace("_", "")
    return int(digits) if digits.isdigit() else float(digits)


# ---------------------------------------------------------------------------------- evaluating

Scope = Mapping[str, Any]


def _value(node: Node, scope: Scope) -> Any:
    match node:
        case Literal(value):
            return value
        case Name(name):
            if name not in scope:
                raise _Mismatch(f"unknown name {name}")
            return scope[name]
        case Array(items):
            # No list: `result == []` is never true, their types differ.
            return [_value(item, scope) for item in items]
        case Index(of, at):
            return _element(_value(of, scope), _value(at, scope))
        case Unary(sign, operand):
            return _unary(sign, _value(operand, scope))
        case Binary(sign, left, right):
            return _binary(sign, left, right, scope)
        case Conditional(test, yes, no):
            return _value(yes if _boolean("?", _value(test, scope)) else no, scope)
        case Call(name, arguments):
            return _call(name, arguments, scope)
    _value(node.value, scope)  # an error there is one of the whole
    return _value(node.body, scope)


def _element(sequence: Any, at: Any) -> Any:
    if not isinstance(sequence, tuple | list):
        raise _Mismatch(f"cannot index {_kind(sequence)}")
    if not isinstance(at, int) or isinstance(at, bool):
        raise _Mismatch(f"cannot index with {_kind(at)}")
    # Both versions count a negative index from the end.
    if not -len(sequence) <= at < len(sequence):
        raise _Mismatch(f"index out of range: {int(at)} (array length is {len(sequence)})")
    return sequence[int(at)]


def _unary(sign: str, value: Any) -> Any:
    if sign == "!":
        return not _boolean("!", value)
    if not _is_number(value):
        raise _Mismatch(f"invalid operation: {sign} {_kind(value)}")
    return -value if sign == "-" else value


def _binary(sign: str, left: Node, right: Node, scope: Scope) -> Any:
    first = _value(left, scope)
    if sign == "??":
        return _value(right, scope) if first is None else first
    if sign in ("||", "or"):
        return _boolean(sign, first) or _boolean(sign, _value(right, scope))
    if sign in ("&&", "and"):
        return _boolean(sign, first) and _boolean(sign, _value(right, scope))
    second = _value(right, scope)
    if sign in ("==", "!="):
        return _equal(first, second) == (sign == "==")
    if sign == "in":
        return _contains(first, second)
    if sign in _COMPARISONS:
        return _compare(sign, first, second)
    return _calculate(sign, first, second)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compare(sign: str, first: Any, second: Any) -> bool:
    texts = isinstance(first, str) and isinstance(second, str)
    if not texts and not (_is_number(first) and _is_number(second)):
        raise _Mismatch(f"invalid operation: {_kind(first)} {sign} {_kind(second)}")
    return _COMPARISONS[sign](first, second)


def _calculate(sign: str, first: Any, second: Any) -> Any:
    if sign == "+" and isinstance(first, str) and isinstance(second, str):
        return first + second
    if not (_is_number(first) and _is_number(second)):
        raise _Mismatch(f"invalid operation: {_kind(first)} {sign} {_kind(second)}")
    if sign == "%":
        return _remainder(first, second)
    if sign == "/":
        return _quotient(first, second)
    try:
        calculate = {"+": operator.add, "-": operator.sub, "*": operator.mul}.get(sign, math.pow)
        return calculate(first, second)
    except OverflowError:
        return math.inf
    except ValueError:  # of a power, where Go has an answer
        return math.nan if first else math.inf


def _quotient(first: float, second: float) -> float:
    """Go's float division: x/0 is ±Inf, 0/0 is NaN."""
    if second:
        return first / second
    return math.nan if not first or math.isnan(first) else math.copysign(math.inf, first)


def _remainder(first: float, second: float) -> int:
    """Go's integer remainder, with the sign of the dividend; integers only."""
    if not (isinstance(first, int) and isinstance(second, int)):
        raise _Mismatch(f"invalid operation: {_kind(first)} % {_kind(second)}")
    if not second:
        raise _Mismatch("integer divide by zero")
    return int(math.fmod(first, second))


def _contains(item: Any, sequence: Any) -> bool:
    if not isinstance(sequence, tuple | list):
        raise _Mismatch(f"invalid operation: {_kind(item)} in {_kind(sequence)}")
    return any(_equal(item, candidate) for candidate in sequence)


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, list) and isinstance(second, list):
        # What lists hold is of one type too, and NaN is never the same: [1] is not [1.0].
        pairs = zip(first, second, strict=False)
        alike = (type(one) is type(other) and _equal(one, other) for one, other in pairs)
        return len(first) == len(second) and all(alike)
    if isinstance(first, bool) != isinstance(second, bool):
        return False
    return bool(first == second)


def _call(name: str, arguments: Sequence[Node], scope: Scope) -> Any:
    if name in _PREDICATES:
        return _quantify(name, arguments, scope)
    if name in _OF_A_FLOAT:
        arguments = [_of_floats(argument) for argument in arguments]
    values = [_value(argument, scope) for argument in arguments]
    arity, function = _FUNCTIONS[name]
    if arity is not None and len(values) != arity:
        raise _Mismatch(f"{name} takes {arity} argument(s), not {len(values)}")
    return function(*values)


def _quantify(name: str, arguments: Sequence[Node], scope: Scope) -> Any:
    sequence = _value(arguments[0], scope)
    if not isinstance(sequence, tuple | list):
        raise _Mismatch(f"builtin {name} takes only array (got {_kind(sequence)})")
    values = [_value(arguments[1], {**scope, "#": item}) for item in sequence]
    # Of these a list comes, which equals one that is written out, as the result itself never does.
    if name == "map":
        return values
    held = [_boolean(name, value) for value in values]
    if name == "filter":
        return [item for item, kept in zip(sequence, held, strict=True) if kept]
    counted = sum(held)
    answers = {
        "all": counted == len(held),
        "any": counted > 0,
        "none": counted == 0,
        "one": counted == 1,
        "count": counted,
    }
    return answers[name]


def _length(value: Any) -> int:
    if not isinstance(value, tuple | list | str):
        raise _Mismatch(f"invalid argument for len (type {_kind(value)})")
    return len(value)


def _float_of(name: str) -> Callable[[Any], float]:
    """A function of one number: a slice is an error, not its first element."""

    def convert(value: Any) -> float:
        if not _is_number(value):
            raise _Mismatch(f"cannot use {_kind(value)} as argument of {name}")
        return float(value)

    return convert


# Argo's own functions, which Go calls with a float alone; expr's take any number.
_OF_A_FLOAT = ("isNaN", "isInf")


def _of_floats(node: Node) -> Node:
    """Integers that are written out, and computed with, are floats where a float is wanted."""
    match node:
        case Literal(value) if isinstance(value, int) and not isinstance(value, bool):
            return Literal(float(value))
        case Unary(sign, operand):
            return Unary(sign, _of_floats(operand))
        case Binary("+" | "-" | "*" as sign, left, right):
            return Binary(sign, _of_floats(left), _of_floats(right))
    return node


def _a_float(name: str, value: Any) -> float:
    if not isinstance(value, float):
        raise _Mismatch(f"cannot use {_kind(value)} as argument of {name}")
    return value


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _Mismatch(f"asFloat() not supported for {_kind(value)}") from None


def _extreme(name: str, pick: Callable[..., float]) -> Callable[..., float]:
    def choose(*values: Any) -> float:
        # Of a slice only from expr 1.16 on.
        if not values or not all(_is_number(v) for v in values):
            raise _Mismatch(f"invalid argument for {name}")
        return pick(values)

    return choose


def _of_all(name: str, function: Callable[..., Any]) -> Callable[[Any], Any]:
    """What is asked of a whole slice."""

    def calculate(value: Any) -> Any:
        if not isinstance(value, tuple | list):
            raise _Mismatch(f"invalid argument for {name} (type {_kind(value)})")
        return function(value)

    return calculate


def _absolute(value: Any) -> float:
    _float_of("abs")(value)
    number: float = abs(value)  # of an integer an integer
    return number


def _as_int(value: Any) -> int:
    number = _as_float(value)
    # What Go makes of NaN and Inf on amd64.
    return int(number) if math.isfinite(number) else -(2**63)


def _rounded(name: str, function: Callable[[float], float]) -> Callable[[Any], float]:
    def rounded(value: Any) -> float:
        number = _float_of(name)(value)
        return float(function(number)) if math.isfinite(number) else number

    return rounded


def _get(sequence: Any, at: Any) -> Any:
    """An element, or nil where there is none."""
    whole = isinstance(sequence, tuple | list) and isinstance(at, int)
    return None if whole and not -len(sequence) <= at < len(sequence) else _element(sequence, at)


def _go_round(number: float) -> float:
    return math.copysign(math.floor(abs(number) + 0.5), number)


# Number of arguments (None: any), and what is done with them.
_FUNCTIONS: Mapping[str, tuple[int | None, Callable[..., Any]]] = {
    "len": (1, _length),
    "isNaN": (1, lambda value: math.isnan(_a_float("isNaN", value))),
    "isInf": (1, lambda value: math.isinf(_a_float("isInf", value))),
    "isNil": (1, lambda value: value is None),
    "asInt": (1, _as_int),
    "asFloat": (1, _as_float),
    "int": (1, _as_int),
    "float": (1, _as_float),
    # An empty slice is not nil: `default(result, 0) < T` stays an error (evaluate.go:247).
    "default": (2, lambda value, fallback: fallback if value is None else value),
    "abs": (1, _absolute),
    "ceil": (1, _rounded("ceil", math.ceil)),
    "floor": (1, _rounded("floor", math.floor)),
    "round": (1, _rounded("round", _go_round)),
    "max": (None, _extreme("max", max)),
    "min": (None, _extreme("min", min)),
    "sum": (1, _of_all("sum", sum)),
    "mean": (1, _of_all("mean", lambda values: sum(values) / len(values) if values else 0.0)),
    "median": (1, _of_all("median", lambda values: float(median(values)) if values else 0.0)),
    "first": (1, lambda value: _get(value, 0)),
    "last": (1, lambda value: _get(value, -1)),
    "get": (2, _get),
    "sort": (1, _of_all("sort", sorted)),
}


def _boolean(sign: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Mismatch(f"invalid operation: {sign} {_kind(value)}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    """Go's name for the type of a value."""
    if isinstance(value, tuple | list):
        return "[]float64" if isinstance(value, tuple) else "[]interface {}"
    names = {bool: "bool", int: "int", float: "float64", str: "string", type(None): "nil"}
    return names[type(value)]
