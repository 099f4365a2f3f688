"""Every metric that a rule, a panel or a runbook asks for is one that somebody exports.

The saved scrape stands for the service: another test holds it equal to a live one.
"""

import re

import pytest
from gates import contract, promql
from observe import dashboards, queries, runbooks
from observe.panels import Source

# Names that our own programs and the platform's export, by their prefixes.
OTHERS = re.compile(
    r"^(container_|kube_|rollout_|analysis_run_|argocd_|probe_|prometheus_|alertmanager_)"
)
ALWAYS = {"up", "ALERTS", "ALERTS_FOR_STATE"}
SCRAPED = {"namespace", "pod", "container", "job", "instance", "rollouts_pod_template_hash"}


@pytest.fixture(scope="module")
def saved(root):
    return contract.load(str(root / "observability/contract.prom"))


@pytest.fixture(scope="module")
def selectors(root, groups):
    """(who asks, selector) of everything that is asked."""
    asked = [(rule.name, rule.expression) for group in groups for rule in group.rules]
    asked += [
        (panel.title, target.query)
        for dashboard in dashboards.ALL
        for panel in dashboard.panels
        if panel.source is Source.PROMETHEUS
        for target in panel.targets
    ]
    asked += [
        (page.alert, query)
        for page in runbooks.read(root / "docs/runbooks")
        for query in (*page.seen, page.over)
    ]
    return [
        (who, selector)
        for who, query in asked
        for selector in promql.parse(queries.filled(query)).selectors
    ]


def test_every_metric_of_ours_is_exported_with_its_labels(selectors, saved):
    ours = 0
    for who, selector in selectors:
        name = selector.metric
        if ":" in name or name in ALWAYS or OTHERS.match(name):
            continue
        ours += 1
        assert name in saved.labels, f"{who} asks for {name}, which the service does not export"
        assert selector.labels <= saved.labels[name] | SCRAPED, (who, name)
    assert ours > 40
