"""A run's record → what its charts show, in people's units: data, and nothing of how it is drawn.

Each series has a role, and a role has one colour everywhere: the canary's is the canary's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from canary.rehearse import report, units
from canary.rehearse.result import Gate, Measurement, Result

# At ratios of such limits one believes; counts of restarts and factors between releases have less.
EVIDENCE = 10.0

Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """One series of a chart; `steps` holds each value until the next.

    `role` is what page.css calls its colour: canary, stable, users, plain, or s0 to s7 of others.
    """

    label: str
    role: str
    values: Values
    steps: bool = False


@dataclass(frozen=True)
class Chart:
    """Series over the same instants, in seconds since the release.

    `span_s` is the whole run's, so that what is below each other is at the same time; `dots` says
    that each value is a measurement by itself, `log` that values multiply.
    """

    id: str
    title: str
    unit: str
    span_s: tuple[float, float]
    at_s: Sequence[float]
    lines: Sequence[Line]
    limit: float | None = None
    limit_words: str = ""
    dots: bool = False
    log: bool = False

    @property
    def words(self) -> str:
        """The latest values in words, for who cannot see it."""
        said = (f"{line.label} {_last(line.values, self.unit)}" for line in self.lines)
        return f"{self.title}: {', '.join(said)}"


def _last(values: Values, unit: str) -> str:
    known = [value for value in values if value is not None]
    return f"{rounded(known[-1])} {unit}".strip() if known else "no data"


def rounded(value: float) -> str:
    """Four digits that count, and never an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{round(value, 3 - math.floor(math.log10(abs(value)))):,.12g}"


@dataclass(frozen=True)
class Panel:
    """A part of a dashboard: a chart, or numbers, or what it lacks to have any."""

    id: str
    title: str
    text: str
    chart: Chart | None = None
    numbers: Sequence[str] = ()
    missing: str = ""


@dataclass(frozen=True)
class Board:
    """A dashboard as it is now: rows of panels below their headings."""

    title: str
    text: str
    status: str
    rows: Sequence[tuple[str, Sequence[Panel]]]

    @property
    def panels(self) -> Sequence[Panel]:
        """Every panel, in order."""
        return [panel for _, panels in self.rows for panel in panels]

    @property
    def charts(self) -> Sequence[Chart]:
        """Of the panels that have one."""
        return [panel.chart for panel in self.panels if panel.chart]


def of(run: Result) -> list[Chart]:
    """The charts of the whole release."""
    series = run.series

    def chart(name: str, title: str, unit: str, *lines: Line) -> Chart:
        return Chart(name, title, unit, report.span(run), series.at_s, lines)

    def both(stable: Values, canary: Values, *, steps: bool = False) -> tuple[Line, Line]:
        return Line("stable", "stable", stable, steps), Line("canary", "canary", canary, steps)

    shares = [
        round(100 * ours / (ours + theirs), 1) if ours + theirs else None
        for ours, theirs in zip(series.canary_requests, series.stable_requests, strict=True)
    ]
    return [
        chart(
            "pods",
            "Available pods",
            "",
            *both(series.stable_available, series.canary_available, steps=True),
        ),
        chart(
            "share",
            "Canary's share of the requests",
            "%",
            Line("weight asked for", "plain", series.weight, steps=True),
            Line("canary", "canary", shares),
        ),
        chart(
            "requests",
            "Requests a second",
            "/s",
            *both(series.stable_requests, series.canary_requests),
        ),
        chart(
            "failed",
            "Failed requests a second",
            "/s",
            *both(series.stable_failed, series.canary_failed),
        ),
        chart(
            "latency",
            "Latency as all users met it",
            "ms",
            Line("95th percentile", "users", series.client_p95_ms),
            Line("median", "users", series.client_p50_ms),
        ),
    ]


def of_gate(run: Result, gate: Gate) -> Chart:
    """A gate's measurements against its limit, with stable beside it."""
    taken = sorted(measurements(run, gate.name), key=lambda one: one.at_s)
    factor, unit = units.scale(gate.name)
    limit = gate.threshold
    return Chart(
        f"gate-{gate.name}",
        gate.name,
        unit,
        report.span(run),
        [one.at_s for one in taken],
        [
            Line("stable", "stable", [_scaled(one.control, factor) for one in taken]),
            Line("canary", "canary", [_scaled(one.number, factor) for one in taken]),
        ],
        limit=_scaled(limit, factor),
        limit_words="" if limit is None else f"{gate.comparison} {units.shown(limit, gate.name)}",
        dots=True,
        log=_multiplies(gate, unit),
    )


def _multiplies(gate: Gate, unit: str) -> bool:
    """Whether it is evidence, such as a likelihood ratio: without a unit, up to a large limit."""
    limit = gate.threshold
    bounded = (gate.comparison or "").startswith("<")
    return not unit and bounded and limit is not None and limit >= EVIDENCE


def measurements(run: Result, gate: str) -> list[Measurement]:
    """All measurements of a gate, over the AnalysisRuns."""
    return [one for _, metric in run.measured if metric.name == gate for one in metric.measurements]


def _scaled(value: float | None, factor: float) -> float | None:
    """A value that JSON and a chart can hold."""
    return None if value is None or not math.isfinite(value) else float(f"{value * factor:.5g}")
