"""Every panel and the design's queries on a rehearsal's own data, and what the rules cost."""

import shutil

import pytest
from observe import dashboards, promtool

from acceptance.observability import panel_coverage, rule_cost
from acceptance.observability.panel_coverage import OUT


@pytest.fixture(scope="module")
def record():
    shutil.rmtree(OUT, ignore_errors=True)
    # Two minutes at least: rules of a minute's interval read what others of a minute's have recorded.
    return panel_coverage.rehearse(OUT, ("--time-scale", "4"))


def test_every_panel_shows_data_of_a_rehearsal_or_says_what_it_needs(record, measured):
    covered = panel_coverage.ask_all(record, dashboards.ALL)
    shown = [one for one in covered if not one.error and all(one.answers)]
    measured("panels that show data", f"{len(shown)} of {len(covered)}")
    for one in covered:
        if one.panel.needs and one not in shown:
            measured(f"{one.dashboard}, {one.panel.title} needs", one.panel.needs)
    assert [(one.dashboard, one.panel.title, one.error) for one in covered if not one.good] == []
    assert [(one.dashboard, one.panel.title) for one in covered if one.stale] == []


def test_each_of_the_designs_queries_answers_one_number(record, measured):
    answers = list(panel_coverage.design_answers(record))
    for name, query, value in answers:
        measured(f"the design's {name}", f"{value:.4g}: {query}")
    assert answers


def test_all_rules_evaluate_within_a_second_beside_fifty_pods_of_forty_routes(tmp_path, measured):
    """What a cluster runs today is a Prometheus 3; the distribution's is several times slower."""
    spent = rule_cost.measure(tmp_path, promtool.third() or promtool.debian())
    worst = sorted(spent.typical.items(), key=lambda pair: -pair[1])[:4]
    named = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in worst)
    measured(
        f"Prometheus {spent.version}, {spent.series} series", f"{spent.total_s:.2f} s ({named})"
    )
    measured("each group at its slowest", f"{sum(spent.slowest.values()):.2f} s")
    assert spent.total_s <= rule_cost.ALLOWED_S
