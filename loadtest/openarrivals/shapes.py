"""How many requests a second are wanted, over time: straight stretches, one after the other.

A shape is pure arithmetic. `Shape.due` turns points on the scale "requests expected so far" into
the seconds at which the shape has expected that many; evenly spaced points give constant arrivals,
the points of a unit Poisson process give Poisson arrivals of the same rate.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_NUMBER = r"\d+(?:\.\d+)?"
_STRETCH = re.compile(
    rf"(?P<first>{_NUMBER})(?:\s*\.\.\s*(?P<last>{_NUMBER}))?\s*(?:/s)?\s+for\s+"
    rf"(?P<length>{_NUMBER})\s*(?P<unit>ms|s|m|h)"
)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Stretch:
    """A stretch of time whose rate runs straight from `first` to `last` requests a second."""

    seconds: float
    first: float
    last: float

    @property
    def expected(self) -> float:
        """How many requests it holds."""
        return self.seconds * (self.first + self.last) / 2

    def until(self, requests: float) -> float:
        """Seconds from its beginning until so many requests are expected."""
        if self.first == self.last > 0:
            return requests / self.first
        slope = (self.last - self.first) / self.seconds
        # The root of first·t + slope·t²/2 = requests, in the form that holds near slope 0.
        root = math.sqrt(max(self.first**2 + 2 * slope * requests, 0.0))
        return 2 * requests / (self.first + root) if requests else 0.0


@dataclass(frozen=True)
class Shape:
    """Stretches in order; the run ends with the last."""

    stretches: tuple[Stretch, ...]

    def __post_init__(self) -> None:
        """Refuses what could never be run.

        Raises:
            ValueError: if there is no stretch, one has no length, or a rate is below zero.
        """
        if not self.stretches:
            raise ValueError("a shape needs at least one stretch")
        for stretch in self.stretches:
            if not stretch.seconds > 0 or min(stretch.first, stretch.last) < 0:
                raise ValueError(f"{stretch} needs a length above 0 and rates of at least 0")

    @property
    def seconds(self) -> float:
        """How long the whole shape takes."""
        return sum(stretch.seconds for stretch in self.stretches)

    @property
    def expected(self) -> float:
        """How many requests it holds on average."""
        return sum(stretch.expected for stretch in self.stretches)

    @property
    def peak(self) -> float:
        """The highest rate, in requests a second."""
        return max(max(stretch.first, stretch.last) for stretch in self.stretches)

    def rate_at(self, second: float) -> float:
        """The rate wanted at an instant; 0 outside the shape."""
        begin = 0.0
        for stretch in self.stretches:
            if begin <= second < begin + stretch.seconds:
                share = (second - begin) / stretch.seconds
                return stretch.first + share * (stretch.last - stretch.first)
            begin += stretch.seconds
        return 0.0

    def due(self, points: Iterable[float]) -> Iterator[float]:
        """The seconds at which ascending numbers of requests are expected, until the shape ends."""
        begin = passed = 0.0
        ahead = iter(self.stretches)
        stretch = next(ahead)
        holds = stretch.expected
        for point in points:
            while point - passed >= holds:
                begin, passed = begin + stretch.seconds, passed + holds
                following = next(ahead, None)
                if following is None:
                    return
                stretch, holds = following, following.expected
            yield begin + stretch.until(point - passed)

    def __str__(self) -> str:
        return ", ".join(
            f"{s.first:g} for {s.seconds:g}s"
            if s.first == s.last
            else f"{s.first:g}..{s.last:g} for {s.seconds:g}s"
            for s in self.stretches
        )


def parse(text: str) -> Shape:
    """Reads "100 for 30s, 100..400 for 1m": rates a second, and lengths in ms, s, m or h.

    Raises:
        ValueError: with the part that is not understood.
    """
    return Shape(tuple(_stretch(part.strip()) for part in text.split(",")))


def _stretch(text: str) -> Stretch:
    found = _STRETCH.fullmatch(text)
    if found is None:
        raise ValueError(
            f'{text!r} is not a stretch of a shape: write "100 for 30s" or "10..100 for 1m"'
        )
    first = float(found["first"])
    last = float(found["last"]) if found["last"] else first
    return Stretch(float(found["length"]) * _UNIT_S[found["unit"]], first, last)


def constant(rate: float, seconds: float) -> Shape:
    """One rate all along; a soak is a long one."""
    return Shape((Stretch(seconds, rate, rate),))


def ramp(first: float, last: float, seconds: float) -> Shape:
    """From one rate to another."""
    return Shape((Stretch(seconds, first, last),))


def steps(rates: Iterable[float], seconds: float) -> Shape:
    """Each rate for so many seconds."""
    return Shape(tuple(Stretch(seconds, rate, rate) for rate in rates))


def spike(base: float, peak: float, seconds: float, share: float = 1 / 3) -> Shape:
    """A base rate, a peak in the middle third (or another `share`), and the base rate again."""
    high, side = seconds * share, seconds * (1 - share) / 2
    return Shape(tuple(Stretch(s, r, r) for s, r in ((side, base), (high, peak), (side, base))))


def diurnal(mean: float, swing: float, period: float, periods: int = 1, pieces: int = 24) -> Shape:
    """A sine between `mean − swing` and `mean + swing`, as `pieces` straight stretches a period."""
    rates = [
        mean - swing * math.cos(2 * math.pi * piece / pieces)
        for piece in range(pieces * periods + 1)
    ]
    seconds = period / pieces
    return Shape(tuple(Stretch(seconds, a, b) for a, b in itertools.pairwise(rates)))
