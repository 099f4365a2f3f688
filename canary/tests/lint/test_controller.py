"""What the controller refuses is said before it does."""

import pytest

from canary.lint import check
from canary.power import catalogue
from canary.tests.lint import edited
from canary.tests.lint.edited import put

CANARY = "spec.strategy.canary"


def messages(kind, path, value, rule, *more):
    """What a rule says of the good release with edits."""
    found = check.lint(edited.release(put(kind, path, value), *more)).findings
    return [finding.message for finding in found if finding.rule == rule]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.replicas", -1, "replicas is below 0"),
        ("spec.revisionHistoryLimit", -1, "revisionHistoryLimit is below 0"),
        ("spec.minReadySeconds", 600, "minReadySeconds is not below progressDeadlineSeconds"),
        ("spec.selector", {"matchLabels": {"app": "x"}}, "does not match the template's labels"),
        ("spec.strategy.blueGreen", {"activeService": "x"}, "both canary and blueGreen"),
        (f"{CANARY}.canaryService", "shop", None),
        (f"{CANARY}.maxSurge", 0, None),
        (f"{CANARY}.trafficRouting", {"nginx": {"stableIngress": "x"}}, "needs canaryService"),
        (f"{CANARY}.steps[0]", {}, "this one does nothing"),
        (f"{CANARY}.steps[0]", {"setWeight": 10, "pause": {}}, "does setWeight and pause"),
        (f"{CANARY}.steps[0]", {"setWeight": 101}, "setWeight 101 is not between 0 and 100"),
        (f"{CANARY}.steps[0]", {"setWeight": -5}, "setWeight -5 is not between 0 and 100"),
        (f"{CANARY}.steps[1]", {"pause": {"duration": "1d"}}, "'1d' is not a duration"),
        (f"{CANARY}.steps[1]", {"pause": {"duration": -5}}, "-5 is not a duration"),
        (f"{CANARY}.steps[1]", {"pause": {"duration": 60}}, None),
        (f"{CANARY}.steps[1]", {"pause": {"duration": "1h30m"}}, None),
        (f"{CANARY}.steps[1]", {"setCanaryScale": {"replicas": 1}}, "needs a traffic router"),
        (f"{CANARY}.steps[1]", {"setMirrorRoute": {"name": "a"}}, "needs the router istio"),
        (f"{CANARY}.dynamicStableScale", True, "dynamicStableScale needs a traffic router"),
        (f"{CANARY}.scaleDownDelaySeconds", 0, "scaleDownDelaySeconds needs a traffic router"),
        (f"{CANARY}.trafficRouting", {"plugins": {"example/router": {}}}, None),
        (f"{CANARY}.pingPong", {"pingService": "a", "pongService": "a"}, "are the same"),
    ],
)
def test_a_rollout_that_is_invalid_is_accused_by_its_field(path, value, said):
    found = messages("Rollout", path, value, "rollout-refused")
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


ROUTED = [
    ({}, {}, []),
    # Of some actions a step has one, and the others may be beside them (`hasMultipleStepsType`).
    ({}, {"setCanaryScale": {"weight": 1}, "setHeaderRoute": {"name": "a"}}, []),
    ({}, {"setHeaderRoute": {"name": "b"}}, ["setHeaderRoute 'b' is not among trafficRouting.managed"]),
    ({}, {"setHeaderRoute": {"name": "a", "match": [{"headerValue": {}}]}}, ["headerValue is not one of exact"]),
    ({"alb": {}, "istio": None}, {"setHeaderRoute": {"name": "a", "match": [{"headerValue": {"prefix": "x"}}]}},
     ["headerValue is not exact"]),
    ({"maxTrafficWeight": 1000}, {}, ["maxTrafficWeight needs nginx or a plugin"]),
    ({"istio": {"virtualService": {}, "virtualServices": []}}, {}, ["both virtualService and virtualServices"]),
    ({"istio": None, "smi": {}}, {"setHeaderRoute": {"name": "a"}}, ["needs the router alb or apisix or"]),
]  # fmt: skip


@pytest.mark.parametrize(("router", "step", "said"), ROUTED)
def test_what_a_router_cannot_do_is_accused(router, step, said):
    routing = {"istio": {"virtualService": {}}, "managedRoutes": [{"name": "a"}], **router}
    canary = {
        "canaryService": "new",
        "stableService": "old",
        "trafficRouting": {key: value for key, value in routing.items() if value is not None},
        "steps": [step or {"setWeight": 1}],
    }
    found = messages("Rollout", CANARY, canary, "rollout-refused")
    assert len(found) == len(said), found
    assert all(words in message for words, message in zip(said, found, strict=True))


def test_a_selector_is_not_compared_with_a_template_that_lies_in_a_workload():
    gone = {"kind": "Rollout", "path": "spec.template", "delete": True}
    selector = {"matchLabels": {"app": "x"}}
    assert messages("Rollout", "spec.selector", selector, "rollout-refused", gone) == []


def test_a_count_without_a_value_of_the_templates_own_is_refused_whoever_gives_one():
    args = [{"name": "hash"}, {"name": "count", "value": "1"}, {"name": "times"}]
    given = [
        {"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}},
        {"name": "times", "value": "3"},
    ]
    path = "spec.metrics[0]"
    more = [
        put("AnalysisTemplate", f"{path}.count", "{{args.times}}"),
        put("AnalysisTemplate", f"{path}.interval", "20s"),
        put("Rollout", f"{CANARY}.steps[2].analysis.args", given),
    ]
    refused = messages("AnalysisTemplate", "spec.args", args, "rollout-refused", *more)
    assert [said.partition(": ")[2] for said in refused] == [
        "count {{args.times}} has no value in the template"
    ]
    args[2]["value"] = "3"
    assert messages("AnalysisTemplate", "spec.args", args, "rollout-refused", *more) == []


def test_requests_above_limits_are_refused_by_the_api():
    path = "spec.template.spec.containers[0].resources"
    value = {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": 1, "memory": "1Gi"}}
    (said,) = messages("Rollout", path, value, "rollout-refused")
    assert said == "requests cpu 1 are above limits 500m"


def test_no_pod_more_and_no_pod_less_is_no_way_to_go_on():
    more = put("Rollout", f"{CANARY}.maxUnavailable", 0)
    (said,) = messages("Rollout", f"{CANARY}.maxSurge", "0%", "rollout-refused", more)
    assert said == "maxSurge and maxUnavailable are both 0"


def test_one_service_cannot_be_stable_and_canary():
    more = put("Rollout", f"{CANARY}.stableService", "shop")
    (said,) = messages("Rollout", f"{CANARY}.canaryService", "shop", "rollout-refused", more)
    assert said == "canaryService and stableService are the same"


@pytest.mark.parametrize(
    ("given", "kept", "said"),
    [
        ({"previewService": "x"}, 10, ["activeService and previewService are the same"]),
        ({"scaleDownDelayRevisionLimit": 3}, 2, [
            "scaleDownDelayRevisionLimit 3 is above revisionHistoryLimit 2"
        ]),
        ({"scaleDownDelayRevisionLimit": 2}, 2, []),
    ],
)  # fmt: skip
def test_a_blue_green_has_two_services_and_delays_no_more_revisions_than_are_kept(
    given, kept, said
):
    more = put("Rollout", "spec.revisionHistoryLimit", kept)
    strategy = {"blueGreen": {"activeService": "x", **given}}
    assert messages("Rollout", "spec.strategy", strategy, "rollout-refused", more) == said


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.metrics[0].failureLimit", -1, "failureLimit and consecutiveSuccessLimit"),
        ("spec.metrics[0].failureLimit", 9, "count (1) must be >= failureLimit"),
        ("spec.metrics[0].inconclusiveLimit", -1, "inconclusiveLimit must be >= 0"),
        ("spec.metrics[0].inconclusiveLimit", 999999, "count must be >= inconclusiveLimit"),
        ("spec.metrics[0].consecutiveErrorLimit", -1, "consecutiveErrorLimit must be >= 0"),
        ("spec.metrics[0].interval", "1d", "interval '1d' is not a duration"),
        ("spec.metrics[0].initialDelay", "1w", "initialDelay '1w' is not a duration"),
        ("spec.metrics[1].name", "error-ratio", "two metrics are called 'error-ratio'"),
        ("spec.metrics[0].provider", {"prometheus": {"query": "x"}, "web": {}}, "one provider"),
        ("spec.dryRun", [{"metricName": "^nothing$"}], "dryRun '^nothing$' matches no metric"),
        ("spec.metrics", [], "it names no template with a metric"),
    ],
)
def test_an_analysis_that_is_invalid_is_accused_by_its_metric(path, value, said):
    assert said in " ".join(messages("AnalysisTemplate", path, value, "analysis-refused"))


def test_a_pause_for_a_person_lasts_as_long_as_a_person_takes():
    found = edited.release(put("Rollout", f"{CANARY}.steps[1]", {"pause": {}}))
    assert "window-beyond-exposure" not in {f.rule for f in check.lint(found).findings}


def test_a_limit_that_the_rollout_states_as_the_template_does_is_none_replaced():
    (example,) = (e for e in catalogue.examples() if e.rule == "limit-overridden")
    limit = put("Rollout", f"{CANARY}.steps[2].analysis.args[1].value", "0.01")
    same = edited.release(limit, of=example.failing)
    rules = {finding.rule for finding in check.lint(same).findings}
    assert "limit-overridden" not in rules


@pytest.mark.parametrize("pattern", ["{{args.hash}}-.*", "shop-{{args.hash}}", ".*{{args.hash}}"])
def test_a_pattern_that_takes_no_pod_of_the_release_is_accused(pattern):
    query = f'sum(rate(container_cpu_usage_seconds_total{{pod=~"{pattern}"}}[2m]))'
    path = "spec.metrics[0].provider.prometheus.query"
    said = " ".join(messages("AnalysisTemplate", path, query, "matcher-never-matches"))
    assert "matches no pod of this Rollout, such as shop-latest0hash-x7k2p" in said


@pytest.mark.parametrize("pattern", ["shop-{{args.hash}}-.*", ".*-{{args.hash}}-.*"])
def test_a_pattern_that_takes_the_pods_of_the_release_is_not(pattern):
    query = f'sum(rate(container_cpu_usage_seconds_total{{pod=~"{pattern}"}}[2m]))'
    path = "spec.metrics[0].provider.prometheus.query"
    assert messages("AnalysisTemplate", path, query, "matcher-never-matches") == []


NAMESPACED = [put(kind, "metadata.namespace", "shops") for kind in ("Rollout", "AnalysisTemplate")]


@pytest.mark.parametrize(
    ("matchers", "said"),
    [
        ('hash="{{args.hash}}", namespace="shops"', None),
        ('rollouts_pod_template_hash="{{args.hash}}", namespace="shops"', None),
        ('rollouts_pod_template_hash="{{args.hash}}", namespace=~"sh.*"', None),
        (
            'rollouts_pod_template_hash="{{args.hash}}", namespace="shop"',
            "for these pods it is shops",
        ),
        (
            'rollouts_pod_template_hash="{{args.hash}}", namespace=~"sh"',
            "for these pods it is shops",
        ),
        ('pod=~"shop-{{args.hash}}-.*", container="sidecar"', "for these pods it is shop"),
        ('pod=~"shop-{{args.hash}}-.*", container!="POD"', None),
        # Of a mesh's series the namespace may be another's: who reports them is not known.
        ('destination_version="{{args.hash}}", namespace="istio-system"', None),
    ],
)
def test_a_namespace_or_a_container_that_the_pods_of_a_hash_are_not_of_is_accused(matchers, said):
    query = f"sum(rate(container_cpu_usage_seconds_total{{{matchers}}}[2m]))"
    path = "spec.metrics[0].provider.prometheus.query"
    found = messages("AnalysisTemplate", path, query, "matcher-never-matches", *NAMESPACED)
    assert len(found) == (said is not None), found
    assert said is None or said in found[0]
