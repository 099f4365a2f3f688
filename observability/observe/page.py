"""A dashboard as the rehearsal's pages show it: its panels' own queries, drawn without Grafana.

Everything is made from what Prometheus answered; a panel that got no answer says what it needs.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from canary.web import charts
from canary.web.charts import Board, Chart, Line
from observe.panels import Dashboard, Kind, Panel, Source, Unit
from observe.ranges import Series, Span

Ask = Callable[[str, str], Sequence[Series]]
COLOURS = 8
# The releases have the colours that they have in a rehearsal's pages; nothing else has these.
RELEASES = ("canary", "stable")
_SCALE = {
    Unit.RATIO: (100.0, "%"),
    Unit.SECONDS: (1000.0, "ms"),
    Unit.MINUTES: (1.0, "min"),
    Unit.PER_SECOND: (1.0, "/s"),
}


def board(dashboard: Dashboard, ask: Ask, span: Span, status: str) -> Board:
    """A dashboard; `ask` answers (query, legend) with series, `status` is told above it."""
    number = itertools.count()
    rows = [
        (title, [_panel(f"{dashboard.uid}-{next(number)}", one, ask, span) for one in panels])
        for title, panels in dashboard.rows
    ]
    return Board(dashboard.title, dashboard.description, status, rows)


def _panel(id_: str, panel: Panel, ask: Ask, span: Span) -> charts.Panel:
    made = charts.Panel(id_, panel.title, panel.description)
    if panel.source is not Source.PROMETHEUS:
        return replace(made, missing=_missing("Loki"))
    series = [one for target in panel.targets for one in ask(target.query, target.legend)]
    drawn = [one for one in series if any(math.isfinite(value) for _, value in one.points)]
    if not drawn:
        return replace(made, missing=_missing(panel.needs))
    if panel.kind is Kind.STAT:
        return replace(made, numbers=[_said(panel, one.points[-1][1]) for one in drawn])
    left = len(drawn) - COLOURS
    more = f" {left} more series are not drawn." if left > 0 else ""
    return replace(made, text=made.text + more, chart=_chart(id_, panel, drawn, ask, span))


def _missing(needs: str) -> str:
    return f"Nothing here: it needs {needs}." if needs else "Nothing yet."


def _said(panel: Panel, value: float) -> str:
    factor, unit = _SCALE.get(panel.unit, (1.0, ""))
    return f"{charts.rounded(value * factor)} {unit}".strip()


def _chart(id_: str, panel: Panel, series: Sequence[Series], ask: Ask, span: Span) -> Chart:
    factor, unit = _SCALE.get(panel.unit, (1.0, ""))
    highest = sorted(series, key=_peak, reverse=True)[:COLOURS]
    # By name, so that a track has its colour in every panel.
    shown = sorted(highest, key=lambda one: one.name)
    instants = sorted({at for one in shown for at, _ in one.points})
    limit = [one for one in (ask(panel.limit, "limit") if panel.limit else ()) if one.points]
    level = limit[0].points[-1][1] if limit else None
    return Chart(
        id_,
        panel.title,
        unit,
        (span.start_s - span.end_s, 0.0),
        [round(at - span.end_s, 1) for at in instants],
        [_line(index, one, instants, factor) for index, one in enumerate(shown)],
        limit=None if level is None else level * factor,
        limit_words="" if level is None else _said(panel, level),
    )


def _line(index: int, series: Series, instants: Sequence[float], factor: float) -> Line:
    known = {at: value * factor for at, value in series.points if math.isfinite(value)}
    return Line(series.name, _role(index, series.name), [known.get(at) for at in instants])


def _role(index: int, name: str) -> str:
    """What a series' colour is called: its release if it is named so, else its place."""
    track = name.partition(" ")[0]
    return track if track in RELEASES else f"s{index}"


def _peak(series: Series) -> float:
    return max((value for _, value in series.points if math.isfinite(value)), default=-math.inf)
