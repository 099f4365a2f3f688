"""Dashboards → Grafana's JSON.

Plain dictionaries and not Grafana's SDK: an unpinned `pip install grafana-foundation-sdk` resolves
to a release for Grafana 10.1, since its versions carry an epoch, and six dashboards need twenty
fields of it.
"""

from collections.abc import Iterator
from typing import Any

from observe.panels import Annotation, Dashboard, Kind, Panel, Source, Unit, Variable

# Grafana 11 and 12, Azure's managed one included, read this without migrating it.
SCHEMA_VERSION = 39
COLUMNS = 24
# As in the pages of rehearsals (page.css of canary.web).
RELEASES = {"canary": "#e08a00", "stable": "#3b6ea5"}
HEIGHT = 8
_TYPES = {Source.PROMETHEUS: "prometheus", Source.LOKI: "loki"}


def render(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON model of a dashboard."""
    sources = sorted({panel.source for panel in dashboard.panels} | {Source.PROMETHEUS})
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["gridos"],
        "editable": False,
        "schemaVersion": SCHEMA_VERSION,
        "time": {"from": f"now-{dashboard.span}", "to": "now"},
        "refresh": "10s",
        "timezone": "utc",
        "graphTooltip": 1,
        "links": [_link()],
        "templating": {
            "list": [
                *(_data_source(source) for source in sources),
                *(_variable(variable) for variable in dashboard.variables),
            ]
        },
        "annotations": {"list": [_annotation(a) for a in dashboard.annotations]},
        "panels": list(_panels(dashboard)),
    }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for title, panels in dashboard.rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        y, x = y + 1, 0
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + HEIGHT
            number += 1
            place = {"x": x, "y": y, "w": panel.width, "h": HEIGHT}
            yield _panel(panel, number) | {"gridPos": place}
            x += panel.width
        y += HEIGHT


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    reference = _reference(panel.source)
    targets = [
        _target(panel, chr(ord("A") + index), target.query, target.legend or "__auto")
        for index, target in enumerate(panel.targets)
    ]
    if panel.limit:
        targets.append(_target(panel, "L", panel.limit, "limit"))
    return {
        "id": number,
        "type": str(panel.kind),
        "title": panel.title,
        "description": panel.description,
        "datasource": reference,
        "targets": targets,
        "fieldConfig": {
            "defaults": _defaults(panel),
            "overrides": list(_overrides(panel)),
        },
        "options": _options(panel),
    }


def _target(panel: Panel, name: str, query: str, legend: str) -> dict[str, Any]:
    # A number and a table are of now.
    instant = panel.kind in (Kind.STAT, Kind.TABLE)
    return {
        "refId": name,
        "datasource": _reference(panel.source),
        "expr": query,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        **({"format": "table"} if panel.kind is Kind.TABLE else {}),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": str(panel.unit)}
    if panel.unit in (Unit.RATIO, Unit.PER_SECOND, Unit.SECONDS, Unit.BYTES):
        defaults["min"] = 0
    if panel.colours:
        # The first step has no value of its own: it is whatever lies below the second.
        (_, first), *more = panel.colours
        steps: list[dict[str, Any]] = [{"color": first, "value": None}]
        steps += [{"color": colour, "value": value} for value, colour in more]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind is Kind.TIMESERIES:
        defaults["custom"] = {"drawStyle": "line", "lineWidth": 1, "spanNulls": False}
    return defaults


def _overrides(panel: Panel) -> Iterator[dict[str, Any]]:
    """A release has its colour everywhere; the threshold is a dashed red line without a fill."""
    if any(target.legend.startswith(("{{track}}", "canary")) for target in panel.targets):
        for release, colour in RELEASES.items():
            yield _override("byRegexp", f"/^{release}/", _colour(colour))
    if panel.limit:
        dashed = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}}
        yield _override("byName", "limit", _colour("red"), dashed)


def _override(matcher: str, series: str, *properties: dict[str, Any]) -> dict[str, Any]:
    return {"matcher": {"id": matcher, "options": series}, "properties": list(properties)}


def _colour(name: str) -> dict[str, Any]:
    return {"id": "color", "value": {"mode": "fixed", "fixedColor": name}}


def _options(panel: Panel) -> dict[str, Any]:
    kind = panel.kind
    if kind is Kind.STAT:
        mode = "background" if panel.colours else "value"
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": mode}
    if kind is Kind.TIMESERIES:
        return {"legend": {"displayMode": "list"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind is Kind.LOGS:
        return {"showTime": True, "wrapLogMessage": True, "sortOrder": "Descending"}
    return {"showHeader": True}


def _reference(source: Source) -> dict[str, str]:
    return {"type": _TYPES[source], "uid": f"${{{source}}}"}


def _data_source(source: Source) -> dict[str, Any]:
    return {
        "type": "datasource",
        "name": str(source),
        "label": f"{str(source).capitalize()} data source",
        "query": _TYPES[source],
    }


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.name.capitalize(),
        "datasource": _reference(Source.PROMETHEUS),
        "query": {"query": f"label_values({variable.series}, {variable.label})", "refId": "V"},
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
    }


def _annotation(annotation: Annotation) -> dict[str, Any]:
    return {
        "name": annotation.name,
        "enable": True,
        "datasource": _reference(Source.PROMETHEUS),
        "expr": annotation.query,
        "titleFormat": annotation.name,
        "textFormat": annotation.text,
        "iconColor": "blue",
    }


def _link() -> dict[str, Any]:
    return {
        "title": "GridOS dashboards",
        "type": "dashboards",
        "tags": ["gridos"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }
