"""Everything of ours that asks Prometheus: rules, panels, runbooks and gates."""

import re
from collections.abc import Iterator
from pathlib import Path

from observe import dashboards, queries, rules, runbooks
from observe.panels import Source

from canary.argo import promql
from policies import objects

OVERLAYS = ("dev", "staging", "production")


def selectors(root: Path) -> list[tuple[str, promql.Selector]]:
    """Who asks, and each selector of its query."""
    return [
        (who, selector)
        for who, query in (*observed(root), *_gates(root))
        for selector in promql.parse(query).selectors
    ]


def observed(root: Path) -> Iterator[tuple[str, str]]:
    """Who asks, and its query: every rule, panel and runbook."""
    for group in rules.read(root / "observability/rules"):
        yield from ((rule.name, rule.expression) for rule in group.rules)
    for dashboard in dashboards.ALL:
        for panel in dashboard.panels:
            if panel.source is Source.PROMETHEUS:
                for query in queries.of_panel(panel):
                    yield f"panel {panel.title}", queries.filled(query)
    for page in runbooks.read(root / "docs/runbooks"):
        yield from ((f"runbook {page.alert}", query) for query in (*page.seen, page.over))


def _gates(root: Path) -> Iterator[tuple[str, str]]:
    for overlay in OVERLAYS:
        rendered = objects.read(root / f"deploy/overlays/{overlay}")
        for thing in objects.of(rendered, "AnalysisTemplate"):
            for metric in thing["spec"]["metrics"]:
                if query := metric["provider"].get("prometheus", {}).get("query"):
                    yield f"gate {metric['name']}", _filled(query)


def _filled(query: str) -> str:
    """A gate's query with a value for each of its arguments."""
    for name, value in {"window": "1m", "canary-hash": "abc"}.items():
        query = query.replace("{{args." + name + "}}", value)
    return re.sub(r"\{\{args\.[\w-]+\}\}", "1", query)
