"""What a router's exporter would say: counted from the gateway's log, under the router's own words."""

import re

import pytest

from canary.argo import manifests
from canary.argo.releases import HASHES
from canary.rehearse import edge, meter
from canary.tests.argo import shapes


def release(*shape, more=(), query=None):
    """A shape with other objects of some kinds, or with another query, and its Rollout."""
    others = {m["kind"] for m in more}
    bodies = [body for body in shapes.manifests(shape) if body["kind"] not in others]
    for body in bodies:
        if query and body["metadata"]["name"] == "gate":
            body["spec"]["metrics"][0]["provider"]["prometheus"]["query"] = query
    bundle = shapes.bundle((*bodies, *more))
    return bundle, manifests.rollout(bundle)


def families(*shape, more=(), query=None):
    return meter.families(*release(*shape, more=more, query=query), HASHES)


def line(cluster, status, ms, method="GET"):
    return f"0.000\t{method}\t/basket\t{status}\t-\t{ms}\t127.0.0.1:1\t{cluster}\n"


def rendered(tmp_path, found, *lines):
    log = tmp_path / "access.log"
    log.write_text("".join(lines))
    counts = meter.Counts(log)
    counts.read()
    return "\n".join(meter.render(counts, found))


def sample(text, name, **labels):
    """The value of the one series with these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = [row for row in text.splitlines() if re.match(rf"{name}\{{", row)]
    (row,) = [row for row in lines if all(part in row for part in wanted)]
    return float(row.rpartition(" ")[2])


def test_istio_counts_each_service_by_status_for_both_reporters(tmp_path):
    found = families("istio", "istio", "timed", "plain", "none")
    lines = [line(edge.CANARY, 200, 3)] * 4 + [line(edge.CANARY, 503, 3), line(edge.STABLE, 200, 3)]
    text = rendered(tmp_path, found, *lines)
    for reporter in ("source", "destination"):
        canary = {"reporter": reporter, "destination_service_name": "shop-canary"}
        assert sample(text, "istio_requests_total", response_code="200", **canary) == 4
        assert sample(text, "istio_requests_total", response_code="503", **canary) == 1


def test_a_histogram_counts_what_took_at_most_its_bound(tmp_path):
    found = families("istio", "istio-p95", "timed", "plain", "none")
    text = rendered(tmp_path, found, *(line(edge.CANARY, 200, ms) for ms in (5, 6, 90000)))
    metric = "istio_request_duration_milliseconds"
    labels = {"reporter": "source", "destination_service_name": "shop-canary"}
    bucket = {bound: sample(text, f"{metric}_bucket", le=bound, **labels) for bound in ("5", "10")}
    assert bucket == {"5": 1, "10": 2}
    assert sample(text, f"{metric}_bucket", le="+Inf", **labels) == 3
    assert sample(text, f"{metric}_sum", **labels) == 90011


def test_nginx_names_the_stable_ingress_and_tells_the_canary_by_its_own_label(tmp_path):
    found = families("nginx", "nginx", "timed", "plain", "none")
    text = rendered(tmp_path, found, line(edge.CANARY, 500, 1), line(edge.STABLE, 200, 1))
    name = "nginx_ingress_controller_requests"
    assert sample(text, name, ingress="shop", status="500", canary="shop-shop-canary-80") == 1
    assert sample(text, name, ingress="shop", status="200", canary="") == 1


def test_nginx_calls_port_host_and_path_as_the_ingress_does_and_tells_methods_apart(tmp_path):
    """The controller's Ingress of the canary has the stable one's paths (`upstreamName`)."""
    backend = {"service": {"name": "shop-stable", "port": {"name": "web"}}}
    rule = {"host": "shop.example", "http": {"paths": [{"path": "/basket", "backend": backend}]}}
    ingress = {"kind": "Ingress", "metadata": {"name": "shop"}, "spec": {"rules": [rule]}}
    found = families("nginx", "nginx", "timed", "plain", "none", more=[ingress])
    lines = [line(edge.CANARY, 200, 1), *[line(edge.CANARY, 200, 1, "POST")] * 2]
    text = rendered(tmp_path, found, *lines)
    labels = {"canary": "shop-shop-canary-web", "host": "shop.example", "path": "/basket"}
    name = "nginx_ingress_controller_requests"
    assert [sample(text, name, method=m, **labels) for m in ("GET", "POST")] == [1, 2]


def test_traefik_calls_a_port_as_the_traefik_service_does(tmp_path):
    services = [{"name": name, "port": "web"} for name in ("shop-stable", "shop-canary")]
    weighted = {"kind": "TraefikService", "metadata": {"name": "shop"}}
    weighted["spec"] = {"weighted": {"services": services}}
    found = families("traefik", "traefik", "timed", "plain", "none", more=[weighted])
    text = rendered(tmp_path, found, line(edge.CANARY, 200, 1))
    labels = {"service": "shop-shop-canary-web@kubernetescrd", "code": "200", "method": "GET"}
    assert sample(text, "traefik_service_requests_total", **labels) == 1


def test_linkerd_tells_an_answer_by_its_class_and_its_status(tmp_path):
    found = families("smi", "linkerd", "timed", "plain", "none")
    lines = [line(edge.CANARY, status, 1) for status in (200, 404, 503)]
    text = rendered(tmp_path, found, *lines)
    for status, word in ((200, "success"), (404, "success"), (503, "failure")):
        labels = {"direction": "outbound", "service": "shop-canary", "status_code": str(status)}
        assert sample(text, "response_total", classification=word, **labels) == 1


def test_linkerd_knows_a_pod_of_a_rollout_by_its_replicaset_and_no_deployment():
    """Source: `isValidRSParent` of linkerd2, which knows no Rollout above a ReplicaSet."""
    found, _ = families("smi", "linkerd", "timed", "plain", "none")
    pod = found.labels[edge.CANARY]
    hashed = {"replicaset": f"shop-{HASHES.latest}", "rollouts_pod_template_hash": HASHES.latest}
    assert pod.items() >= {"app": "shop", **hashed}.items()
    query = 'sum(rate(response_total{direction="inbound",deployment="shop"}[1m]))'
    wrong = "has deployment='shop' (its labels are app, classification, direction, dst_namespace"
    (said,) = meter.refusals(*release("smi", "linkerd", "timed", "plain", "none", query=query))
    assert wrong in said


@pytest.mark.parametrize(
    ("shape", "query"),
    [
        ("smi linkerd", 'response_total{direction="outbound",deployment="bot",dst_service="shop"}'),
        ("istio istio", 'istio_requests_total{reporter="source",source_workload="shop-gateway"}'),
        ("gateway-api traefik", 'traefik_service_requests_total{service="shop-shop-canary-80@kubernetesgateway"}'),
        ("gateway-api traefik", 'traefik_service_requests_total{exported_service="shop-shop-canary-http-80@kubernetesgateway"}'),
        ("gateway-api envoy", 'envoy_cluster_upstream_rq{envoy_cluster_name=~"httproute/shop/.*"}'),
    ],
)  # fmt: skip
def test_clients_and_destinations_have_the_names_of_the_gates_own_router(shape, query):
    query = query.replace('dst_service="shop"', 'dst_service="shop-canary"')
    query = f"sum(rate({query}[1m]))"
    assert not list(meter.refusals(*release(*shape.split(), "timed", "plain", "none", query=query)))


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (
            "kong_http_requests_total",
            "which nothing here counts — leave it out with --without-metr",
        ),
        ("istio_tcp_connections_opened_total", "which nothing here counts"),
        ("aws_applicationelb_httpcode_target_5_xx_count_sum", "which nothing here counts"),
        ("kube_pod_status_ready", "which nothing here counts"),
        ("kube_pod_info", ""),
        ("node_cpu_seconds_total", "which nothing here counts"),
        ("probe_success", "which nothing here counts"),
        ("traces_spanmetrics_calls_total", "which nothing here counts"),
        ("probes_total", ""),
        ("job:errors:ratio_rate1m", "which no rule records here — name the folder of its rule"),
        ("kube_pod_container_status_restarts_total", ""),
        ("container_requests_total", ""),
    ],
)
def test_a_gate_on_what_is_counted_elsewhere_in_a_cluster_is_refused_by_name(metric, said):
    query = f"sum({metric}) or vector(0)"
    given = release("istio", "istio", "timed", "plain", "none", query=query)
    found = list(meter.refusals(*given))
    assert bool(found) is bool(said)
    assert all(f"metric istio queries {metric}, {said}" in line for line in found)
    assert not list(meter.refusals(*given, rules=True)) or ":" not in metric


def test_envoy_gateway_counts_stable_and_canary_as_one_cluster(tmp_path):
    backends = [{"name": "other"}], [{"name": "shop-stable"}, {"name": "shop-canary"}]
    rules = [{"backendRefs": backend} for backend in backends]
    route = {"kind": "HTTPRoute", "metadata": {"name": "shop"}, "spec": {"rules": rules}}
    query = 'envoy_cluster_upstream_rq_total{envoy_cluster_name=~"httproute/.*"}'
    found = families("gateway-api", "envoy", "timed", "plain", "none", more=[route], query=query)
    text = rendered(tmp_path, found, line(edge.CANARY, 200, 1), line(edge.STABLE, 200, 1))
    name = "httproute/shop/shop/rule/1"
    assert sample(text, "envoy_cluster_upstream_rq_total", envoy_cluster_name=name) == 2


def test_a_sidecar_tells_its_service_and_revision_by_the_labels_that_istio_prefers():
    template = {"app.kubernetes.io/name": "store", "app.kubernetes.io/version": "v7"}
    found, _ = families("istio", "istio", "timed", "plain", "none")
    assert found.labels[edge.CANARY]["destination_canonical_service"] == "shop"
    bundle, rollout = release("istio", "istio", "timed", "plain", "none")
    bundle.rollout.spec.template.metadata.labels.update(template)
    found, _ = meter.families(bundle, rollout, HASHES)
    told = found.labels[edge.CANARY]
    assert told["destination_canonical_service"] == "store"
    assert told["destination_canonical_revision"] == "v7"


def test_only_what_a_gate_asks_for_is_counted():
    assert families("istio", "none", "timed", "plain", "none") == ()
    assert {f.name for f in families("smi", "linkerd", "timed", "plain", "none")} == {
        "response_total"
    }


def test_what_is_written_later_is_added_and_half_a_line_waits_for_its_end(tmp_path):
    log = tmp_path / "access.log"
    counts = meter.Counts(log)
    counts.read()
    whole = line(edge.STABLE, 200, 1)
    log.write_text(whole + whole[:9])
    counts.read()
    assert counts.durations == {(edge.STABLE, 200, "GET"): {1: 1}}
    log.write_text(whole * 2)
    counts.read()
    assert counts.durations == {(edge.STABLE, 200, "GET"): {1: 2}}
