"""What kube-state-metrics and the kubelet do not export is noticed by its likeness to what they do."""

import pytest

from canary.lint import check
from canary.tests.lint import edited
from canary.yamls import Document

RULES = ("not-exported", "matcher-never-matches")
PODS = 'namespace="shop", pod=~"shop-{{args.hash}}-.*"'


def messages(query, *beside):
    """What these rules say of the good release with a query."""
    documents = (*edited.release(edited.metric("error-ratio", query)), *beside)
    return [f.message for f in check.lint(documents).findings if f.rule in RULES]


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        (
            f"kube_pod_container_status_restart_total{{{PODS}}}",
            "exports kube_pod_container_status_restarts_total, and no kube_pod_container_status_restart_",
        ),
        (
            f"kube_pod_container_resource_limits_cpu_cores{{{PODS}}}",
            "exports kube_pod_container_resource_limits, and no",
        ),
        (f"container_memory_workingset_bytes{{{PODS}}}", "exports container_memory_working_set_bytes"),
        (
            'container_memory_working_set_bytes{pod_name=~"shop-{{args.hash}}-.*"}',
            "has no label pod_name, but pod (cAdvisor",
        ),
        (f'kube_pod_status_ready{{{PODS}, conditions="true"}}', "has no label conditions, but condition"),
        (
            f'kube_pod_status_phase{{{PODS}, phase="running"}}',
            'phase="running": it is one of Pending, Running, Succeeded, Failed, Unknown',
        ),
    ],
)  # fmt: skip
def test_what_is_spelt_almost_like_what_is_exported_is_accused(selector, said):
    (found,) = messages(f"sum({selector})")
    assert said in found


@pytest.mark.parametrize(
    "selector",
    [
        f'kube_pod_container_status_restarts_total{{{PODS}, container="shop", cluster="west"}}',
        f'kube_pod_status_phase{{{PODS}, phase=~"Pending|Failed"}}',
        f'container_memory_working_set_bytes{{{PODS}, image!="", container!=""}}',
        f'kube_pod_labels{{{PODS}, label_app="shop"}}',
        # of another version, or of what a team configures itself
        f"kube_pod_container_status_last_seen_seconds{{{PODS}}}",
        f"kube_customresource_shop_ready{{{PODS}}}",
    ],
)
def test_what_is_exported_or_may_be_by_another_version_is_not(selector):
    assert messages(f"sum({selector})") == []


def test_a_series_that_is_recorded_of_a_misspelt_one_is_accused_where_a_gate_reads_it():
    rules = [
        {
            "record": "shop:restarts",
            "expr": "sum by (pod) (kube_pod_container_status_restart_total)",
        }
    ]
    rule = {"kind": "PrometheusRule", "metadata": {"name": "shop"}, "spec": {"groups": [{"name": "g", "rules": rules}]}}  # fmt: skip
    (found,) = messages(f"sum(shop:restarts{{{PODS}}})", Document("rules", rule))
    assert "shop:restarts is recorded of it: kube-state-metrics" in found
