"""A rule: what it looks for, why it matters and what to do about it; and what every rule reads.

A rule is a function over one release in its context; it yields places and messages with numbers.
What it is about is said in `rules.toml`. Each has a failing and a passing example in
`examples.yaml`, which the tests run and `docs` shows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from canary.argo import promql, threshold
from canary.argo.dialects import Vocabulary
from canary.argo.gates import Analysis, Finding, Gate, Release, Severity, Strategy
from canary.argo.model import Metric
from canary.argo.promql import PromqlError, Query
from canary.argo.resolve import PLACEHOLDER
from canary.lint.contract import TARGET_LABELS, Contract
from canary.yamls import Document

TEXTS: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_name("rules.toml").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Context:
    """What a release is judged against; `scrape_s` is None if no monitor selects its pods."""

    documents: tuple[Document, ...]
    release: Release
    contract: Contract | None = None
    recorded: Mapping[str, str] = field(default_factory=dict)
    target_labels: frozenset[str] = TARGET_LABELS
    scrape_s: float | None = None
    autoscalers: tuple[Document, ...] = ()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What is known of the metrics."""
        return Vocabulary(self.contract.values if self.contract else {})


Hit = tuple[Document, str, str]
Check = Callable[[Context], Iterator[Hit]]


@dataclass(frozen=True)
class Rule:
    """One rule: its id, how much it matters, what it is, why, and the remedy.

    `needs` is the least of a release that it asks about.
    """

    id: str
    severity: Severity
    title: str
    reason: str
    remedy: str
    check: Check
    needs: Strategy = Strategy.NONE

    def findings(self, context: Context) -> Iterator[Finding]:
        """What the rule finds, each place and message once."""
        if context.release.strategy < self.needs:
            return
        for document, path, message in dict.fromkeys(self.check(context)):
            yield Finding(self.id, self.severity, document, path, message, self.remedy)


@dataclass(frozen=True)
class Asked:
    """A gate that is read, the metric that it asks for, and what it is judged against."""

    context: Context
    gate: Gate
    metric: Metric

    @property
    def release(self) -> Release:
        """The release that the gate is of."""
        return self.context.release

    @property
    def query(self) -> Query:
        """The metric's query.

        Raises:
            PromqlError: if it cannot be parsed.
        """
        return promql.parse(self.metric.query)

    @property
    def age_s(self) -> float:
        """How old the canary is at the first measurement, at least."""
        return self.release.age_s(self.gate.moment) + self.metric.initial_delay_s


Say = Callable[[Asked], Iterator[str]]


class Family(list[Rule]):
    """The rules of a module, as they are registered."""

    def __call__(self, name: str, needs: Strategy = Strategy.NONE) -> Callable[[Check], Check]:
        """The decorator that makes a check the rule of this name."""
        text = TEXTS[name]

        def register(check: Check) -> Check:
            severity = Severity(text["severity"])
            self.append(
                Rule(name, severity, text["title"], text["reason"], text["remedy"], check, needs)
            )
            return check

        return register

    def over(
        self,
        gates: Callable[[Context], Iterator[Asked]],
        name: str,
        needs: Strategy = Strategy.NONE,
    ) -> Callable[[Say], Say]:
        """The decorator that makes a rule of what is said of one gate, over all such gates."""

        def register(say: Say) -> Say:
            @self(name, needs)
            def _check(context: Context) -> Iterator[Hit]:
                for asked in gates(context):
                    yield from (at(asked.gate, words) for words in say(asked))

            return say

        return register


def metrics(context: Context, analysis: Analysis | None = None) -> Iterator[Asked]:
    """The gates that are read."""
    for gate in analysis.gates if analysis else context.release.gates:
        if gate.metric is not None:
            yield Asked(context, gate, gate.metric)


def queries(context: Context, analysis: Analysis | None = None) -> Iterator[Asked]:
    """The gates whose query can be parsed."""
    for asked in metrics(context, analysis):
        with suppress(PromqlError):
            promql.parse(asked.metric.query)
            yield asked


def judged(context: Context) -> Iterator[Asked]:
    """The gates whose query and conditions can be read, and that have a condition.

    Who refers to a template of a library gives its arguments a value; only conditions ask for one.
    """
    library = context.release.strategy is Strategy.NONE
    for asked in queries(context):
        metric = asked.metric
        conditions = metric.success_condition + metric.failure_condition
        open_ended = PLACEHOLDER.search(conditions) if library else asked.gate.unresolved
        if conditions and not open_ended and not threshold.syntax_error(metric):
            yield asked


def at(gate: Gate, message: str, field: str = "") -> Hit:
    """A place in a gate, and what is said of it."""
    return gate.template, f"{gate.path}{field}", f"{gate.name}: {message}"


def percent(share: float) -> str:
    """A share as a message says it."""
    return f"{share * 100:.3g} %"
