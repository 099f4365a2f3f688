"""Alerts and runbooks, one to one; and what a page refers to exists."""

import re

import pytest
from observe import dashboards, rules, runbooks

from canary.argo import promql
from canary.errors import UsageError


@pytest.fixture(scope="module")
def pages(root):
    return runbooks.read(root / "docs/runbooks")


def test_every_alert_has_its_runbook_and_every_runbook_its_alert(pages, alerts):
    names = [page.alert for page in pages if not page.alert.startswith("rollback")]
    assert names == sorted(alert.name for alert in alerts)


def test_a_page_is_named_as_its_title_says(pages, root):
    for page in pages:
        assert (root / f"docs/runbooks/{page.alert}.md").is_file()


def test_the_panel_a_page_leads_to_exists(pages):
    panels = {(d.title, panel.title) for d in dashboards.ALL for panel in d.panels}
    for page in pages:
        assert (page.dashboard, page.panel) in panels, page.alert


def test_every_query_of_a_page_is_valid_and_asks_for_series_that_are_recorded(pages, groups):
    recorded = {rule.name for rule in rules.records(groups)}
    for page in pages:
        for query in (*page.seen, page.over):
            used = {s.metric for s in promql.parse(query).selectors if ":" in s.metric}
            assert used <= recorded, page.alert


def test_every_page_begins_with_what_a_user_notices_and_stays_short(pages):
    for page in pages:
        assert 20 < len(page.meaning) < 300, page.alert
        assert len(page.text.splitlines()) < 75, page.alert


def test_links_between_pages_lead_somewhere(pages, root):
    for page in pages:
        for name in re.findall(r"\]\(([\w-]+\.md)\)", page.text):
            assert (root / "docs/runbooks" / name).is_file(), (page.alert, name)


def test_a_step_that_nobody_could_run_says_what_it_needs(root):
    for file in sorted((root / "docs/runbooks").glob("[A-Zr]*.md")):
        for part in re.split(r"^(?:## |\d+\. )", file.read_text(), flags=re.MULTILINE):
            if "`az " in part:
                assert "needs Azure" in part or "needs Azure" in file.read_text().partition(part)[0]


def test_a_secret_that_a_page_names_is_in_the_vault(root):
    vault = (root / "deploy/base/secretproviderclass.yaml").read_text()
    vault += (root / "observability/alertmanager/azure/secretproviderclass.yaml").read_text()
    there = set(re.findall(r"objectName: (\S+)", vault))
    for file in sorted((root / "docs/runbooks").glob("*.md")):
        named = re.findall(
            r"az keyvault secret \S+ --vault-name VAULT --name ([\w-]+)", file.read_text()
        )
        assert set(named) <= there, file.name


def test_a_page_without_its_parts_is_refused(tmp_path):
    (tmp_path / "Some.md").write_text("# Some\n\nIt is bad.\n\n## See it\n\nSomewhere.\n")
    with pytest.raises(UsageError, match="has the sections"):
        runbooks.read(tmp_path)
