"""Every alert brought about on a live stack: it fires, somebody is told, and its page is right."""

from pathlib import Path

import pytest
from observe import rules, runbooks

from acceptance.observability import drills

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages():
    return {page.alert: page for page in runbooks.read(ROOT / "docs/runbooks")}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with drills.staged(tmp_path_factory.mktemp("drills")) as stage:
        yield stage


def test_every_alert_has_a_drill():
    drilled = [alert for scenario in drills.SCENARIOS for alert in scenario.alerts]
    alerts = {alert.name for alert in rules.alerts(rules.read(ROOT / "observability/rules"))}
    assert sorted(drilled) == sorted(alerts)


@pytest.mark.parametrize(
    "scenario", drills.SCENARIOS, ids=lambda s: f"{s.name}: {' '.join(s.alerts)}"
)
def test_a_fault_fires_its_alerts_whose_pages_show_what_they_say_until_it_is_over(
    stage, pages, measured, scenario
):
    drilled = drills.drill(stage, scenario, pages)
    for one in drilled:
        measured(f"{one.alert}, {scenario.name}", one)
    assert [problem for one in drilled for problem in one.problems_found] == []
