"""One static page of the dashboards: their own queries, drawn without Grafana.

Every picture is made from what Prometheus answered; a panel that got no answer says what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup, escape

from canary.plot import Frame
from observe.panels import Dashboard, Kind, Panel, Source, Unit
from observe.ranges import Series, Span

Ask = Callable[[str, str], Sequence[Series]]
COLOURS = 8
_SCALE = {
    Unit.RATIO: (100.0, " %"),
    Unit.SECONDS: (1000.0, " ms"),
    Unit.MINUTES: (1.0, " min"),
    Unit.PER_SECOND: (1.0, "/s"),
}

STYLE = """
:root { color-scheme: light dark; --grid: #8884; --text: CanvasText }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1180px;
  padding: 0 1rem }
h1 { font-size: 1.35rem } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem }
h3 { font-size: .85rem; font-weight: 600; opacity: .65; margin: 1.2rem 0 .4rem }
nav a { margin-right: 1rem }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 1rem }
figure { margin: 0; border: 1px solid var(--grid); border-radius: 6px; padding: .6rem .7rem }
figcaption { font-weight: 600 } figure p { margin: .1rem 0 .3rem; font-size: .8rem; opacity: .75 }
.number { font-size: 1.7rem; margin: .4rem 0 } .none { opacity: .6; font-style: italic }
svg { width: 100%; height: auto; overflow: visible }
svg text { font: 10px system-ui; fill: var(--text) }
.axis line { stroke: var(--grid) } .line { fill: none; stroke-width: 1.6 }
.limit line { stroke: #d33; stroke-dasharray: 6 4 } .limit text { fill: #d33 }
ul { list-style: none; margin: .2rem 0 0; padding: 0; font-size: .78rem }
li { display: inline-block; margin-right: .9rem } li i { display: inline-block; width: .8em;
  height: .25em; margin-right: .35em; vertical-align: middle }
"""
# The releases have the colours that they have in a rehearsal's pages; nothing else has these.
_RELEASES = {"canary": "#e08a00", "stable": "#3b6ea5"}
_HUES = ("#2ca05a", "#b052c0", "#1fa3a3", "#8a6d3b", "#c0392b", "#6d6f78", "#5b8def", "#a0a000")


@dataclass(frozen=True)
class Head:
    """What stands above the dashboards: title, a sentence, links, seconds between reloads."""

    title: str
    text: str
    links: Sequence[tuple[str, str]] = ()
    reload_s: int = 0


def render(head: Head, dashboards: Sequence[Dashboard], ask: Ask, span: Span) -> str:
    """The page; `ask` answers (query, legend) with series."""
    named = _RELEASES | {f"s{index}": hue for index, hue in enumerate(_HUES)}
    hues = "".join(
        f".{name} {{ stroke: {hue}; fill: none }} .dot.{name}, .hue.{name} {{ fill: {hue}; "
        f"background: {hue} }}\n"
        for name, hue in named.items()
    )
    reload = Markup('<meta http-equiv="refresh" content="{}">').format(head.reload_s)
    sections = [(dashboard.title, f"#{dashboard.uid}") for dashboard in dashboards]
    links = Markup("").join(
        Markup('<a href="{}">{}</a>').format(url, name) for name, url in [*sections, *head.links]
    )
    drawn = Markup("").join(_section(dashboard, ask, span) for dashboard in dashboards)
    return Markup(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">{}<title>{}</title>'
        "<style>{}</style><h1>{}</h1><p>{}</p><nav>{}</nav>{}</html>\n"
    ).format(
        reload if head.reload_s else "",
        head.title,
        Markup(STYLE + hues),  # noqa: S704 — ours, a few lines up
        head.title,
        head.text,
        links,
        drawn,
    )


def _section(dashboard: Dashboard, ask: Ask, span: Span) -> Markup:
    rows = Markup("").join(
        Markup('<h3>{}</h3><div class="row">{}</div>').format(
            title, Markup("").join(_panel(panel, ask, span) for panel in panels)
        )
        for title, panels in dashboard.rows
    )
    heading = Markup('<h2 id="{}">{}</h2><p>{}</p>')
    return heading.format(dashboard.uid, dashboard.title, dashboard.description) + rows


def _panel(panel: Panel, ask: Ask, span: Span) -> Markup:
    frame = Markup("<figure><figcaption>{}</figcaption><p>{}</p>{}</figure>")
    if panel.source is not Source.PROMETHEUS:
        return frame.format(panel.title, panel.description, _nothing("Loki"))
    series = [one for target in panel.targets for one in ask(target.query, target.legend)]
    drawn = [one for one in series if any(math.isfinite(value) for _, value in one.points)]
    if not drawn:
        return frame.format(panel.title, panel.description, _nothing(panel.needs))
    inside = _number(panel, drawn) if panel.kind is Kind.STAT else _plot(panel, drawn, ask, span)
    return frame.format(panel.title, panel.description, inside)


def _nothing(needs: str) -> Markup:
    words = f"nothing here: it needs {needs}" if needs else "nothing yet"
    return Markup('<p class="none">{}</p>').format(words)


def _number(panel: Panel, series: Sequence[Series]) -> Markup:
    return Markup("").join(
        Markup('<p class="number">{}</p>').format(_said(panel, one.points[-1][1])) for one in series
    )


def _said(panel: Panel, value: float) -> str:
    factor, unit = _SCALE.get(panel.unit, (1.0, ""))
    return f"{_rounded(value * factor):,.12g}{unit}"


def _rounded(value: float) -> float:
    """Four digits that count; zero and what is no number stay."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, 3 - math.floor(math.log10(abs(value))))


def _plot(panel: Panel, series: Sequence[Series], ask: Ask, span: Span) -> Markup:
    factor, unit = _SCALE.get(panel.unit, (1.0, ""))
    highest = sorted(series, key=_peak, reverse=True)[:COLOURS]
    # By name, so that a track has its colour in every panel.
    shown = sorted(highest, key=lambda one: one.name)
    limit = [one for one in (ask(panel.limit, "limit") if panel.limit else ()) if one.points]
    level = limit[0].points[-1][1] * factor if limit else None
    values = [v * factor for one in shown for _, v in one.points if math.isfinite(v)]
    low, high = min([0.0, *values]), (max([*values, level or 0.0]) or 1.0) * 1.1
    frame = Frame((0.0, span.end_s - span.start_s), (low, high), 360.0, 150.0, unit.strip())
    for index, one in enumerate(shown):
        points = [(at - span.start_s, value * factor) for at, value in one.points]
        frame.line(points, _hue(index, one.name), f"{one.name}: {_said(panel, one.points[-1][1])}")
    if level is not None:
        frame.level(level, "limit")
    return frame.svg(panel.title) + _legend(panel, shown, len(series) - len(shown))


def _legend(panel: Panel, series: Sequence[Series], others: int) -> Markup:
    entry = Markup('<li><i class="hue {}"></i>{} {}</li>')
    items = (
        entry.format(_hue(index, one.name), escape(one.name), _said(panel, one.points[-1][1]))
        for index, one in enumerate(series)
    )
    more = Markup("<li>and {} more</li>").format(others) if others else ""
    return Markup("<ul>{}{}</ul>").format(Markup("").join(items), more)


def _hue(index: int, name: str) -> str:
    """A series' colour: its release's if it is named so, else by its place."""
    track = name.partition(" ")[0]
    return track if track in _RELEASES else f"s{index}"


def _peak(series: Series) -> float:
    return max((value for _, value in series.points if math.isfinite(value)), default=-math.inf)


def clock(at_s: float) -> str:
    """An instant as a person reads it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
