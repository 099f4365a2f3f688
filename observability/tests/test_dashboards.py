"""The dashboards: what dashboard-linter checks that matters, and names that exist."""

import json
import re

import pytest
from observe import dashboards, generate, grafana, queries, rules
from observe.panels import Kind, Source

from canary.argo import promql

PANELS = [(d, panel) for d in dashboards.ALL for panel in d.panels]
PROMETHEUS = [(d, p) for d, p in PANELS if p.source is Source.PROMETHEUS]


def named(value):
    return value.title if hasattr(value, "title") else ""


@pytest.fixture(scope="module")
def models(root):
    return {
        d.uid: json.loads((root / generate.DASHBOARDS / f"{d.uid}.json").read_text())
        for d in dashboards.ALL
    }


def drawn(model):
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def prometheus_queries():
    of_panels = [(d.uid, query) for d, panel in PROMETHEUS for query in queries.of_panel(panel)]
    return of_panels + [(d.uid, each.query) for d in dashboards.ALL for each in d.annotations]


def test_every_query_is_valid_promql_once_its_variables_are_filled_in():
    for uid, query in prometheus_queries():
        filled = queries.filled(query)
        assert "$" not in filled
        promql.parse(filled)  # raises, with the parser's words
        assert uid


def test_every_recorded_series_of_a_panel_is_recorded(groups):
    recorded = {rule.name for rule in rules.records(groups)}
    for uid, query in prometheus_queries():
        used = {s.metric for s in promql.parse(queries.filled(query)).selectors if ":" in s.metric}
        assert used <= recorded, (uid, used - recorded)


def test_thresholds_are_lines_of_series_and_never_numbers():
    for _, panel in PANELS:
        assert panel.limit == "" or panel.limit.startswith(("gridos:gate_", "max(kube_"))


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=named)
def test_a_panel_says_what_it_shows_in_which_unit(dashboard, panel):
    assert panel.title
    assert panel.description.endswith(".")
    assert panel.unit
    assert panel.targets
    assert all(target.legend for target in panel.targets) or panel.kind is Kind.LOGS


def test_raw_counters_are_aggregated_over_the_interval_that_grafana_chooses():
    for _, panel in PROMETHEUS:
        for target in panel.targets:
            for metric, window in re.findall(
                r"(?:rate|increase)\((\w+)[^\[\]]*\[([^\]]+)\]", target.query
            ):
                assert metric.endswith(("_total", "_bucket", "_count")), metric
                assert window in ("$__rate_interval", "30d"), (panel.title, window)
            if "$__rate_interval" in target.query:
                assert re.match(r"(sum|histogram_quantile|max|avg)\b", target.query), panel.title


def test_a_dashboard_can_be_found_and_not_edited_and_asks_the_chosen_data_source(models):
    for uid, model in models.items():
        assert (model["uid"], model["editable"]) == (uid, False)
        chosen = {v["name"] for v in model["templating"]["list"] if v["type"] == "datasource"}
        for panel in drawn(model):
            used = {panel["datasource"]["uid"]} | {t["datasource"]["uid"] for t in panel["targets"]}
            assert used <= {f"${{{name}}}" for name in chosen}


def test_panels_have_their_own_numbers_and_do_not_overlap(models):
    for model in models.values():
        numbers = [panel["id"] for panel in model["panels"]]
        assert len(numbers) == len(set(numbers))
        taken = set()
        for panel in model["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert place["x"] + place["w"] <= 24
            taken |= cells


def test_there_are_the_six_dashboards_and_their_panels():
    assert [d.title for d in dashboards.ALL] == [
        "GridOS / Service",
        "GridOS / Canary",
        "GridOS / Objective and budget",
        "GridOS / Capacity and saturation",
        "GridOS / Pipeline",
        "GridOS / Logs",
    ]
    assert len(PANELS) > 45


def test_canary_and_stable_have_the_colours_of_the_rehearsals_pages_in_every_panel(root, models):
    page = (root / "canary/web/static/page.css").read_text()
    for name, colour in grafana.RELEASES.items():
        assert f"--{name}: {colour};" in page
    tracked = [p for d in dashboards.ALL for p in d.panels if "{{track}}" in str(p.targets)]
    shown = [panel for model in models.values() for panel in drawn(model)]
    coloured = [p["title"] for p in shown if "/^canary/" in json.dumps(p["fieldConfig"])]
    assert {panel.title for panel in tracked} <= set(coloured)
