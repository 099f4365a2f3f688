"""Each rule speaks where it must and nowhere else."""

import copy
import random

import pytest
import yaml

from canary.argo.gates import Severity
from canary.errors import RehearsalError
from canary.lint import check
from canary.lint.check import ANNOTATION
from canary.lint.rule import TEXTS
from canary.lint.rules import RULES
from canary.power import catalogue
from canary.runtime import documents
from canary.tests.argo import queries, shapes
from canary.tests.lint import corpus, edited
from canary.tests.lint.edited import metric, put
from canary.yamls import Document

EXAMPLES = {example.rule: example for example in catalogue.examples()}

SKELETON = """
- apiVersion: argoproj.io/v1alpha1
  kind: Rollout
  metadata: {name: shop}
  spec:
    replicas: 10
    template: {spec: {containers: [{resources: {limits: {cpu: 1}}}]}}
    strategy:
      canary:
        canaryService: shop-canary
        stableService: shop-stable
        analysis:
          startingStep: 2
          templates: [{templateName: later}]
        steps:
        - setWeight: 20
        - pause: {duration: 3m}
        - analysis:
            templates: [{templateName: gate, clusterScope: true}]
            args:
            - {name: hash, valueFrom: {podTemplateHashValue: Latest}}
            - {name: stable, valueFrom: {podTemplateHashValue: Stable}}
        - setWeight: 50
        - pause: {}
- apiVersion: argoproj.io/v1alpha1
  kind: ClusterAnalysisTemplate
  metadata: {name: gate}
  spec: {args: [{name: hash}, {name: stable}], metrics: []}
- apiVersion: argoproj.io/v1alpha1
  kind: AnalysisTemplate
  metadata: {name: later}
  spec: {metrics: [{name: up, interval: 1m, successCondition: "result > 1", failureCondition: "result <= 1", provider: {prometheus: {query: time()}}}]}
"""


def rules_of(report):
    return {finding.rule for finding in report.findings}


def said_of(scrape, *changes):
    """The rules that speak of the good release with these changes."""
    return rules_of(check.lint(edited.release(*changes), scrape))


def test_every_rule_has_an_example():
    assert set(EXAMPLES) == set(RULES) == set(TEXTS)


def test_the_good_release_passes_every_rule(shop):
    assert check.lint(catalogue.good_release(), shop).findings == ()


@pytest.mark.parametrize("rule", EXAMPLES)
def test_a_rule_speaks_on_its_failing_example(rule, shop):
    assert rule in rules_of(check.lint(EXAMPLES[rule].failing, shop))


@pytest.mark.parametrize("rule", EXAMPLES)
def test_no_rule_speaks_on_a_passing_example(rule, shop):
    assert rules_of(check.lint(EXAMPLES[rule].passing, shop)) == set()


def test_our_own_gates_have_no_finding(shipped, saved):
    assert check.lint(shipped, saved).findings == ()


def test_a_guard_may_be_inconclusive_only_as_often_as_its_limit_lets_it(shipped):
    assert rules_of(check.lint(shipped)) == set()
    lower = put("AnalysisTemplate", "spec.metrics[name=errors-against-stable].inconclusiveLimit", 5)
    assert "empty-pauses" in rules_of(check.lint(edited.release(lower, of=shipped)))


def test_the_designs_gates_are_explained_with_the_numbers_of_their_faults(root):
    report = check.lint(documents.read_all([str(root / "canary/tests/power/design.yaml")]))
    said = " | ".join(f"{finding.rule}: {finding.message}" for finding in report.findings)
    for words in (
        "error-rate: at step 2 the canary is 4 % of what the query reads: the canary must fail 25 %",
        "must fail 7.14 %",
        "must fail 2.5 %",
        "p95-latency: at step 2 the canary is 4 % of what the query reads: the gate cannot fail even at 100 %",
        "the window is 300 s, and the canary is 60 s old",
        "with no failed request, as a healthy release has, the result is empty: aborted after 40s",
        "kubernetes-mixin renamed it in 2021",
        "0.7 means 0.7 of a core; the container's limit is 0.5, so the gate can never fail",
        "setWeight 10 with 4 replicas is 1 of 5 pods, 20 %",
        "from 10 to 25 the canary stays at 1 pod(s)",
        "from 50 % to 100 % no gate measures",
    ):
        assert words in said


def test_after_a_weight_of_100_no_gate_measures_at_100():
    bodies = shapes.manifests(("basic", "hash", "timed", "plain", "pod-monitor"))
    bodies[0]["spec"]["strategy"]["canary"]["steps"].append({"setWeight": 100})
    report = check.lint([Document("shape.yaml", body) for body in bodies])
    (finding,) = [finding for finding in report.findings if finding.rule == "unguarded-end"]
    assert finding.message == "at 100 % no gate measures"


def test_with_ten_replicas_the_designs_first_gate_needs_half_of_the_requests_to_fail(root):
    found = documents.read_all([str(root / "canary/tests/power/design.yaml")])
    rollout = next(d for d in found if d.kind == "Rollout")
    rollout.body["spec"]["replicas"] = 10
    said = " ".join(finding.message for finding in check.lint(found).findings)
    assert "the canary is 2 % of what the query reads: the canary must fail 50 %" in said


@pytest.mark.parametrize(("fewest", "share"), [(5, "16.7 %"), (None, "50 %")])
def test_a_rollout_that_leaves_its_replicas_to_an_autoscaler_has_the_fewest(root, fewest, share):
    found = documents.read_all([str(root / "canary/tests/power/design.yaml")])
    rollout = next(d for d in found if d.kind == "Rollout")
    del rollout.body["spec"]["replicas"]
    target = {"kind": "Rollout", "name": rollout.name}
    spec = {"scaleTargetRef": target, "maxReplicas": 9}
    spec |= {"minReplicas": fewest} if fewest else {}
    metadata = {"name": "all", "namespace": rollout.namespace}
    body = {"kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}
    said = [f.message for f in check.lint([*found, Document("scaler", body)]).findings]
    (first,) = [line for line in said if "setWeight 10" in line]
    named = f"with {fewest or 1} replicas, the fewest of HorizontalPodAutoscaler/all, is 1 of"
    assert named in first
    assert first.endswith(share)


def foreign(root):
    return yaml.safe_load((root / "canary/tests/power/foreign.yaml").read_text())


def as_documents(example):
    rollout, template, later = yaml.safe_load(SKELETON)
    if example.get("routed"):
        rollout["spec"]["strategy"]["canary"]["trafficRouting"] = {"nginx": {}}
    template["spec"]["metrics"] = [corpus.metric(example)]
    return [Document("foreign", body) for body in (rollout, template, later)]


def test_foreign_examples_are_accused_of_what_is_wrong_with_them_and_nothing_else(root):
    examples = foreign(root)
    assert len(examples) >= 30
    wrong = {
        example["title"]: (found, set(example["expect"]))
        for example in examples
        if (found := rules_of(check.lint(as_documents(example)))) != set(example["expect"])
    }
    assert wrong == {}


@pytest.mark.parametrize(("interval", "once"), [("1h", True), ("20s", False)])
def test_a_background_metric_whose_interval_is_longer_than_the_release_measures_once(
    shop, interval, once
):
    documents = EXAMPLES["background-measures-once"].failing
    template = next(d for d in documents if d.kind == "AnalysisTemplate")
    template.body["spec"]["metrics"][0]["interval"] = interval
    assert ("background-measures-once" in rules_of(check.lint(documents, shop))) is once


def test_an_annotation_suppresses_a_rule_with_its_reason(shop):
    failing = EXAMPLES["unguarded-end"].failing
    rollout = next(d for d in failing if d.kind == "Rollout")
    rollout.body["metadata"]["annotations"] = {ANNOTATION: "unguarded-end: promoted by hand"}
    report = check.lint(failing, shop)
    assert report.findings == ()
    assert [reason for _, reason in report.suppressed] == ["promoted by hand"]


@pytest.mark.parametrize("annotation", ["unguarded-end", "no-such-rule: because"])
def test_a_suppression_without_reason_or_rule_is_a_finding(shop, annotation):
    failing = EXAMPLES["unguarded-end"].failing
    rollout = next(d for d in failing if d.kind == "Rollout")
    rollout.body["metadata"]["annotations"] = {ANNOTATION: annotation}
    assert "suppression" in rules_of(check.lint(failing, shop))


def test_a_note_is_no_fault(shop):
    report = check.lint(EXAMPLES["other-provider"].failing, shop)
    assert [f.severity for f in report.findings] == [Severity.NOTE]
    assert report.faults == ()


def scramble(node, chance, rng):
    """The same YAML with some of its values replaced by something else altogether."""
    junk = [None, 0, -1, 1e309, True, "", "{{args.x}}", [], {}, [[]], {"a": None}, "∞", "1h-"]
    if rng.random() < chance:
        return copy.deepcopy(rng.choice(junk))
    if isinstance(node, dict):
        return {key: scramble(value, chance, rng) for key, value in node.items()}
    if isinstance(node, list):
        return [scramble(value, chance, rng) for value in node]
    return node


@pytest.mark.parametrize("count", [80, pytest.param(400, marks=pytest.mark.acceptance)])
def test_scrambled_manifests_never_raise(shipped, shop, count):
    rng = random.Random(5)
    bodies = [d.body for d in (*shipped, *catalogue.good_release())]
    for _ in range(count):
        documents = [Document("fuzz", scramble(body, 0.04, rng)) for body in bodies]
        check.lint([d for d in documents if isinstance(d.body, dict)], shop)


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.acceptance)])
def test_random_queries_never_raise(shop, count):
    rng, found = random.Random(11), copy.deepcopy(catalogue.good_release())
    for _ in range(count):
        (metrics,) = (d.spec["metrics"] for d in found if d.kind == "AnalysisTemplate")
        query = queries.query(rng, rng.randint(1, 4))
        metrics[0]["provider"]["prometheus"]["query"] = query
        metrics[0]["successCondition"] = rng.choice(("result[0] < 0.05", "len(result) == 0"))
        check.lint(found, shop)


def refusal(file):
    try:
        check.lint(documents.read_all([str(file)]))
    except RehearsalError as refused:
        return str(refused)
    return ""


def test_scrambled_text_is_refused_in_one_line_or_read(tmp_path, root):
    rng = random.Random(7)
    text = (root / "deploy/base/analysis-release-gates.yaml").read_text()
    file = tmp_path / "fuzz.yaml"
    for _ in range(60):
        at = rng.randrange(len(text))
        file.write_text(
            text[:at] + rng.choice(["{", "\t", "- ", ": ", "'", "\x85", "&a *a"]) + text[at:]
        )
        assert "\n" not in refusal(file)


def test_the_rules_page_is_the_one_that_gates_rules_prints(root):
    page = (root / "docs/gates/rules.md").read_text()
    assert page == catalogue.render() + "\n"


@pytest.mark.parametrize(
    ("copying", "known"),
    [
        ({"targetLabel": "hash"}, True),
        ({"targetLabel": "rollout"}, False),
        ({"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"}, True),
    ],
)
def test_a_label_that_a_relabeling_gives_to_series_is_known(copying, known):
    """Without a contract too, for the hash is a label of the pods."""
    found = copy.deepcopy(catalogue.good_release())
    monitor = next(d for d in found if d.kind == "PodMonitor")
    del monitor.body["spec"]["podTargetLabels"]
    monitor.body["spec"]["podMetricsEndpoints"][0]["relabelings"] = [copying]
    assert ("not-exported" not in rules_of(check.lint(found))) is known


@pytest.mark.parametrize(("port", "accused"), [("http-envoy-prom", False), ("admin", True)])
def test_a_port_of_a_meshs_proxy_is_not_looked_for_among_the_containers(port, accused):
    found = copy.deepcopy(catalogue.good_release())
    rollout, monitor = (next(d for d in found if d.kind == k) for k in ("Rollout", "PodMonitor"))
    container = rollout.body["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"name": "http", "containerPort": 8080}]
    monitor.body["spec"]["podMetricsEndpoints"][0]["port"] = port
    assert ("monitor-without-port" in rules_of(check.lint(found))) is accused


def test_without_a_monitor_nothing_is_known_of_the_label_for_the_hash(shop):
    found = [d for d in catalogue.good_release() if d.kind != "PodMonitor"]
    assert "not-exported" not in rules_of(check.lint(found, shop))


@pytest.mark.parametrize(
    ("replaced", "instead", "rule"),
    [
        ("[2m])) or", "[2m] offset -1m)) or", "offset-in-gate"),
        ("[2m])) or", "[2m] @ 1700000000)) or", "offset-in-gate"),
        ("[2m])) or", "[2m] @ end())) or", None),
        ('status=~"5.."', 'status!="2xx"', "matcher-never-matches"),
        ('status=~"5.."', 'status!~"2"', "matcher-never-matches"),
        ('status=~"5.."', 'status!=""', None),
    ],
)
def test_a_gate_that_asks_for_another_time_or_leaves_nothing_out_is_accused(
    replaced, instead, rule, shop
):
    found = said_of(shop, metric("error-ratio", [replaced, instead]))
    assert (rule in found) if rule else (not found & {"offset-in-gate", "matcher-never-matches"})


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("floor({})", "half-may-fail"),
        ("ln({})", "half-may-fail"),
        ("exp({}) / 1000", "half-may-fail"),
        ("sqrt(0 - {})", None),
        ("{} % 0.01", "half-may-fail"),
        ("{} == bool 0.01", "half-may-fail"),
        ("{} ^ 2", None),
        ("vector(0)", "cannot-fail"),
        ("max({} or on () vector(0))", "no-data-passes"),
        ("(({}) or vector(0)) * 1", "no-data-passes"),
        ("max({})", None),
    ],
)
def test_a_gate_is_judged_by_what_its_query_can_answer(written, rule, shop):
    said = said_of(shop, metric("error-ratio", written.format(f"({error_ratio()})")))
    assert said == ({rule} if rule else set())


HASH = "{{args.hash}}"
FAILED = f'sum(increase(http_requests_total{{hash="{HASH}", status=~"5.."}}[2m]))'
ALL = f'sum(increase(http_requests_total{{hash="{HASH}"}}[2m]))'
SHARE = f"({FAILED} or vector(0)) / ({ALL} >= 300)"


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        (SHARE.replace(f'"{HASH}"', f'~"{HASH}"'), None),
        (SHARE.replace(f'"{HASH}"', f'~"{HASH}|.*"'), "not-scoped"),
        (SHARE.replace(f'"{HASH}"', f'~"{HASH}|"'), "not-scoped"),
        (SHARE.replace("2m", "1m", 1), "divided-by-more"),
        # `or` binds less than division
        (f"{FAILED} or vector(0) / ({ALL} >= 300)", "rate-as-ratio"),
    ],
)
def test_a_gate_that_reads_other_requests_than_it_seems_to_is_accused(query, rule, shop):
    assert said_of(shop, metric("error-ratio", query)) == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        (SHARE.replace(f'hash="{HASH}"', f'hash="{HASH} "'), "matcher-never-matches"),
        (SHARE.replace(f'hash="{HASH}"', f'hash="${HASH}"'), "matcher-never-matches"),
        (
            SHARE.replace(f'"{HASH}"', f'"{HASH}", instance="a", instance="b"'),
            "matcher-never-matches",
        ),
        (SHARE.replace('"5.."', '"5..", status!~"50."'), "some-failures-only"),
        (SHARE.replace('"5.."', '".*5"'), "some-failures-only"),
        (SHARE.replace('"5.."', '"4.."'), None),
        # failures divided by failures, and all requests by failures
        (f"({FAILED} or vector(0)) / ({FAILED} or vector(0))", "empty-pauses"),
        (f"{ALL} / ({FAILED} or vector(0))", "always-fails"),
        (
            SHARE.replace(f"({ALL}", f'(sum(http_requests_total{{hash="{HASH}"}})'),
            "divided-by-more",
        ),
        (f"{ALL} >= 0", "cannot-fail"),
        # a result only beyond the limit
        (f"({SHARE}) > 0.01", "empty-pauses"),
        (f"rate(({SHARE})[5m:30s])", None),
        # what is not known is not nothing
        (f"rate(({SHARE})[5m:30s]) or vector(0)", "no-data-passes"),
        (f"({SHARE} unless on () absent({ALL})) or vector(0)", "no-data-passes"),
    ],
)
def test_a_gate_that_counts_something_else_than_it_seems_to_is_accused(query, rule, shop):
    limits = {
        "successCondition": "len(result) > 0 && !isNaN(result[0]) && result[0] >= 0",
        "failureCondition": "len(result) > 0 && !isNaN(result[0]) && result[0] < 0",
    }
    changes = [metric("error-ratio", query)]
    changes += [metric("error-ratio", c, k) for k, c in limits.items() if rule == "cannot-fail"]
    said = said_of(shop, *changes) - {"no-minimum-sample"}
    assert said == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("matcher", "known"),
    [
        ('container="shop"', True),
        ('container="app"', False),
        ('endpoint="http"', True),
        ('endpoint="metrics"', False),
        ('job=~".+/shop"', True),
        ('job="shop"', False),
    ],
)
def test_a_target_that_the_monitor_does_not_scrape_is_not_exported(matcher, known, shop):
    query = SHARE.replace(f'"{HASH}"', f'"{HASH}", {matcher}')
    assert said_of(shop, metric("error-ratio", query)) == (set() if known else {"not-exported"})


@pytest.mark.parametrize(("interval", "limit", "early"), [("5s", 3, True), ("30s", 3, False)])
def test_a_gate_may_be_measured_without_data_only_as_often_as_its_limit_lets_it(
    interval, limit, early, shop
):
    found = copy.deepcopy(list(EXAMPLES["measured-before-data"].failing))
    _, template, *_ = found
    for each in template.spec["metrics"]:
        each |= {"interval": interval, "inconclusiveLimit": limit}
    assert ("measured-before-data" in rules_of(check.lint(found, shop))) is early


BOUND = f'sum(increase(request_seconds_bucket{{hash="{HASH}", le="0.25"}}[2m]))'
COUNT = f'(sum(increase(request_seconds_count{{hash="{HASH}"}}[2m])) >= 300)'


@pytest.mark.parametrize(
    ("changed", "turned", "rule"),
    [
        (["(0.95", "(0.05"], False, "half-may-fail"),
        (["(0.95", "(0.5"], False, None),
        (["}[2m])))", ', le="0.25"}[2m])))'], False, "quantile-without-answer"),
        (["}[2m])))", ', le!="+Inf"}[2m])))'], False, "quantile-without-answer"),
        (f"1 - {BOUND} / {COUNT}", True, "conditions-reversed"),
        (f"1 - {BOUND} / {COUNT}", False, None),
    ],
)
def test_a_gate_on_durations_that_sees_no_slow_request_is_accused(changed, turned, rule, shop):
    changes = [metric("latency-p95", changed)]
    if turned:
        changes += [
            metric("latency-p95", ["] < 0.25", "] >= 0.25"], "successCondition"),
            metric("latency-p95", ["] >= 0.25", "] < 0.25"], "failureCondition"),
        ]
    assert said_of(shop, *changes) == ({rule} if rule else set())


PLAIN_SHARE = SHARE.replace(" >= 300", "")
STABLE_SHARE = PLAIN_SHARE.replace(HASH, "{{args.stable}}")


@pytest.mark.parametrize(
    ("query", "silent"),
    [
        (f"{PLAIN_SHARE} unless on () ({ALL} >= 300)", False),
        (f"{PLAIN_SHARE} unless on () ({ALL} < 300)", True),
        (f"{PLAIN_SHARE} and on () ({ALL} < 300)", False),
        (f"{PLAIN_SHARE} and on () ({ALL} >= 300)", True),
        (SHARE.replace(">= 300", "< 300"), False),
        (f"{PLAIN_SHARE} unless {PLAIN_SHARE}", False),
        (f"{PLAIN_SHARE} unless vector(1)", False),
        (f"{PLAIN_SHARE} and on () absent({ALL})", False),
        (f"{PLAIN_SHARE} unless on () absent({ALL})", True),
        (f"{PLAIN_SHARE} and {PLAIN_SHARE} > 1", False),
        # a result only where no request fails, and only where none of stable's does
        (f"{SHARE} unless on () ({FAILED} > 0)", False),
        (f"{SHARE} unless on () ({STABLE_SHARE} > 0.05)", True),
        (f"({SHARE} unless on () ({FAILED} > 0)) or {SHARE}", True),
        # a number of requests is a matter of the traffic
        (f"{ALL} < 300", True),
    ],
)
def test_a_query_of_which_nothing_is_left_is_accused(query, silent, shop):
    assert ("leaves-nothing" not in said_of(shop, metric("error-ratio", query))) is silent


def error_ratio():
    """The query of the good release's first metric."""
    (template,) = [d for d in catalogue.good_release() if d.kind == "AnalysisTemplate"]
    return template.spec["metrics"][0]["provider"]["prometheus"]["query"]


def test_a_gate_whose_query_is_kept_below_its_limit_cannot_fail(shop):
    query = error_ratio()
    for clamped, cannot in (
        (f"clamp({query}, 0, 0.005)", True),
        (f"clamp_max({query}, 0.005)", True),
        (f"clamp_max({query}, 0.5)", False),
        (f"clamp_min({query}, 0.005)", False),
    ):
        assert ("cannot-fail" in said_of(shop, metric("error-ratio", clamped))) is cannot


P95, CPU, RATIO = "p95-latency-seconds", "cpu-saturation-ratio", "error-ratio"
CONTAINERS = "spec.template.spec.containers[name=gridos]"


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (metric(P95, ["seconds_count", "seconds_bucket"]), "buckets-added-up"),
        (metric(P95, ["seconds_bucket", "seconds_count"]), "quantile-without-answer"),
        (metric(RATIO, ["time(0.2", "time(2"]), "quantile-without-answer"),
        (metric(RATIO, ["[1m:10s]", "[1m:5m]"]), "window-under-four-scrapes"),
        (metric(RATIO, ['"5.."', '"5**"']), "promql-invalid"),
        (metric(RATIO, "false", "failureCondition"), "cannot-fail"),
        (metric(RATIO, ["{{args.max-error-ratio}}", "1.5"], "failureCondition"), "half-may-fail"),
        (metric(RATIO, "30m", "initialDelay"), "background-never-starts"),
        (metric(CPU, ['"cpu"', '"memory"']), "cores-as-ratio"),
        (metric(CPU, ["usage_seconds_total", "usage_seconds"]), "not-exported"),
        (put("Rollout", f"{CONTAINERS}.lifecycle.preStop.sleep.seconds", 60), "rollout-refused"),
        (
            put("PodMonitor", "spec.selector.matchLabels", {"app": "other"}),
            "monitor-without-port",
        ),
    ],
)
def test_a_blind_copy_of_our_own_gates_is_accused(edit, rule, shipped, saved):
    assert rule in rules_of(check.lint(edited.release(edit, of=shipped), saved))
