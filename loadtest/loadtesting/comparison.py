"""Two runs side by side: how much did it change, and is that more than chance?

Requests of one second share their luck (a stall slows all of them), so what is drawn anew is not
requests but slices of time: a block bootstrap. Ratios get Newcombe's interval. The measures of one
comparison share one confidence, by Bonferroni: with five measures each gets 99 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canary import tables
from canary.errors import UsageError
from canary.power import stats
from loadtesting import histograms
from loadtesting.model import Result
from loadtesting.result import Document

CONFIDENCE, DRAWS, SEED = 0.95, 2000, 1
QUANTILES = (0.5, 0.95, 0.99)
RATIOS = ("error-ratio", "lost-ratio")
# Checks without which a run's figures are not its target's.
SPOILING = ("generator-lag", "dropped", "unfinished")
# With fewer slices of time there is nothing to draw from.
MIN_SLICES = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """One measure in both runs; `low` and `high` hold the true difference (second − first)."""

    name: str
    first: float
    second: float
    low: float
    high: float
    unit: str

    @property
    def verdict(self) -> str:
        """Worse, better, or no difference shown."""
        if self.low > 0:
            return "worse"
        return "better" if self.high < 0 else "no difference shown"


@dataclass(frozen=True)
class Comparison:
    """All measures of two runs; `doubts` say why one of them measured something else."""

    effects: tuple[Effect, ...]
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def result(self) -> Result:
        """FAIL where something is shown to be worse; nothing is, by a run that is in doubt."""
        if self.doubts:
            return Result.INCONCLUSIVE
        worse = any(effect.verdict == "worse" for effect in self.effects)
        return Result.FAIL if worse else Result.PASS

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        if self.doubts:
            return f"not comparable: {self.doubts[0]}"
        for word in ("worse", "better"):
            names = [effect.name for effect in self.effects if effect.verdict == word]
            if names:
                return f"{word}: {', '.join(names)}"
        return "no difference shown"


def compare(first: Document, second: Document) -> Comparison:
    """Compares two documents of `loadtest run`.

    Raises:
        UsageError: if one of them is too short to say how far it varies.
    """
    measures = len(QUANTILES) + len(RATIOS)
    confidence = 1 - (1 - CONFIDENCE) / measures
    effects = [_ratio(name, first, second, confidence) for name in RATIOS]
    effects += _quantiles(first, second, confidence)
    doubts = [*_validity_checks("first", first), *_validity_checks("second", second)]
    return Comparison(tuple(effects), tuple(_warnings(first, second)), tuple(doubts))


def _ratio(name: str, first: Document, second: Document, confidence: float) -> Effect:
    a, b = (_count(name, document["overall"]) for document in (first, second))
    low, high = stats.difference(a, b, confidence)
    return Effect(name, a[0] / max(a[1], 1), b[0] / max(b[1], 1), low, high, "%")


def _count(name: str, group: Document) -> tuple[int, int]:
    if name == "error-ratio":
        return group["outcomes"].get("failed", 0), group["answered"]
    return group["unseen"], group["requests"]


def _quantiles(first: Document, second: Document, confidence: float) -> list[Effect]:
    random = np.random.default_rng(SEED)
    a, b = (_Slices.of(document) for document in (first, second))
    drawn_a, drawn_b = (slices.draw(random).cumsum(axis=1) for slices in (a, b))
    tail = (1 - confidence) / 2
    found = []
    for quantile in QUANTILES:
        differences = b.quantiles(drawn_b, quantile) - a.quantiles(drawn_a, quantile)
        low, high = np.quantile(differences, [tail, 1 - tail])
        first_s, second_s = (float(s.quantiles(s.whole, quantile)[0]) for s in (a, b))
        name = f"p{quantile * 100:g}-latency"
        found.append(Effect(name, first_s, second_s, float(low), float(high), "s"))
    return found


@dataclass(frozen=True)
class _Slices:
    """Counts of requests: a row for each slice of time, a column for each latency bin."""

    counts: Floats
    seconds: Floats

    @classmethod
    def of(cls, document: Document) -> _Slices:
        rows = [
            histograms.bins(histograms.from_text(piece["histogram"]))
            for piece in document["slices"]
            if piece["requests"]
        ]
        if len(rows) < MIN_SLICES:
            raise UsageError(
                f"a run of {len(rows)} slices of time is too short to say how far it varies",
                f"compare runs of at least {MIN_SLICES} s",
            )
        values = sorted({value for row in rows for value in row})
        counts = np.array([[row.get(value, 0) for value in values] for row in rows], dtype=float)
        return cls(counts, np.array(values) / 1e6)

    @property
    def whole(self) -> Floats:
        """The run itself, as one draw with its bin counts cumulated."""
        return np.asarray(self.counts.sum(axis=0, keepdims=True).cumsum(axis=1))

    def draw(self, random: np.random.Generator) -> Floats:
        """Runs made of slices drawn with replacement: a row of bin counts for each."""
        size = len(self.counts)
        chosen = random.multinomial(size, np.full(size, 1 / size), size=DRAWS)
        return np.asarray(chosen.astype(float) @ self.counts)

    def quantiles(self, drawn: Floats, quantile: float) -> Floats:
        """The quantile of each draw (a row of cumulated bin counts), in seconds."""
        reached = drawn >= quantile * drawn[:, -1:]
        return np.asarray(self.seconds[reached.argmax(axis=1)])


def _validity_checks(word: str, document: Document) -> list[str]:
    """What says that a run's figures are its generator's, or of another load than was asked for."""
    return [
        f"the {word} run measured its own generator, {check['message']}"
        for check in document["checks"]
        if check["name"] in SPOILING and check["result"] == Result.INCONCLUSIVE
    ]


def _warnings(first: Document, second: Document) -> list[str]:
    """What makes the two less than comparable."""
    same: list[tuple[str, Callable[[Document], Any]]] = [
        ("profile", lambda d: d["profile"]["name"]),
        ("shape", lambda d: d["shape"]),
        ("spacing", lambda d: d["spacing"]),
        ("arrival model", lambda d: "closed" if d["closed"] else "open"),
    ]
    found = [
        f"another {name}: {ask(first)} and {ask(second)}"
        for name, ask in same
        if ask(first) != ask(second)
    ]
    for word, document in (("first", first), ("second", second)):
        if not document["complete"]:
            found.append(f"the {word} run was broken off after {document['seconds']:.0f} s")
    return found


def table(comparison: Comparison) -> str:
    """For a terminal."""
    rows = [(f"  {name}", *cells) for name, *cells in _rows(comparison)]
    head = ("", "first", "second", "difference", "95 % together", "")
    notes = [f"  note: {text}" for text in (*comparison.doubts, *comparison.warnings)]
    return "\n".join([*tables.text(head, rows, left=(0, 4, 5)), *notes])


def markdown(comparison: Comparison) -> str:
    """For a pull request."""
    rows = [f"| {' | '.join([*row[:3], *row[4:]])} |" for row in _rows(comparison)]
    head = ["| | first | second | difference, 95 % together | |", "|---|---:|---:|---|---|"]
    notes = [f"- {text}" for text in (*comparison.doubts, *comparison.warnings)]
    return "\n".join([f"### loadtest compare: {comparison.headline}", "", *head, *rows, *notes, ""])


def _rows(comparison: Comparison) -> list[list[str]]:
    """Of each measure: name, first, second, difference, its interval, verdict."""
    rows = []
    for e in comparison.effects:
        values = [_number(value, e.unit) for value in (e.first, e.second)]
        apart = [_number(value, e.unit, "+") for value in (e.second - e.first, e.low, e.high)]
        rows.append([e.name, *values, apart[0], f"{apart[1]} … {apart[2]}", e.verdict])
    return rows


def _number(value: float, unit: str, sign: str = "") -> str:
    if unit == "%":
        return f"{value * 100:{sign}.3g} %"
    return f"{value * 1000:{sign}.4g} ms"
