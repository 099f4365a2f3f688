"""Every metric that a rule, a panel or a runbook asks for is one that somebody exports.

The saved scrape stands for the service: another test holds it equal to a live one.
"""

import re

import pytest
from loadtesting.metrics import Metrics
from loadtesting.model import Outcome
from openarrivals.samples import Sample

from acceptance.composition import asked
from canary.argo import promql
from canary.lint import contract

# Names that our own programs and the platform's export, by their prefixes.
OTHERS = re.compile(
    r"^(container_|kube_|rollout_|analysis_run_|argocd_|probe_|prometheus_|alertmanager_)"
)
LOAD_TEST = "loadtest_"
ALWAYS = {"up", "ALERTS", "ALERTS_FOR_STATE"}
SCRAPED = {"namespace", "pod", "container", "job", "instance", "rollouts_pod_template_hash"}


@pytest.fixture(scope="module")
def saved(root):
    return contract.load(str(root / "observability/contract.prom"))


@pytest.fixture(scope="module")
def selectors(root):
    """(who asks, selector) of everything that is asked."""
    return [
        (who, selector)
        for who, query in asked.observed(root)
        for selector in promql.parse(query).selectors
    ]


def test_every_metric_of_ours_is_exported_with_its_labels(selectors, saved):
    ours = 0
    for who, selector in selectors:
        name = selector.metric
        if ":" in name or name in ALWAYS or OTHERS.match(name) or name.startswith(LOAD_TEST):
            continue
        ours += 1
        assert name in saved.labels, f"{who} asks for {name}, which the service does not export"
        assert selector.labels <= saved.labels[name] | SCRAPED, (who, name)
    assert ours > 40


def test_what_is_asked_of_a_load_test_is_what_it_exports(selectors):
    metrics = Metrics()
    metrics.take([(Sample("GET /", 200, "", 0.0, 0.01, 0.0), Outcome.OK)], dropped=0)
    exported = {s.name: set(s.labels) for f in metrics.registry.collect() for s in f.samples}
    asked = [s for _, s in selectors if (s.metric or "").startswith(LOAD_TEST)]
    assert asked
    for selector in asked:
        assert selector.labels <= exported[selector.metric], selector
