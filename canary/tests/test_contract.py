"""Names that manifests and rules use must exist in a live service, and the shipped traffic too."""

import re
from random import Random

import pytest
from prometheus_client.parser import text_string_to_metric_families

from acceptance.client import ask
from canary import durations
from canary.argo import manifests, threshold
from canary.lint import contract
from canary.rehearse import config
from canary.rehearse.traffic import Mix

# Not the service's: the kubelet's and kube-state-metrics'.
PLATFORM_METRICS = {
    "container_cpu_usage_seconds_total",
    "kube_pod_container_resource_limits",
    "kube_pod_container_status_restarts_total",
}
TARGET_LABELS = {"namespace", "pod", "container", "rollouts_pod_template_hash"}


@pytest.fixture(scope="module")
def live(serve):
    """The service's own two ports: users', and the one of probes and metrics."""
    with serve() as service:
        yield {"http": service.url, "management": service.management}


@pytest.fixture(scope="module")
def families(live):
    return list(text_string_to_metric_families(ask(f"{live['management']}/metrics").text))


def metrics(bundle):
    """Every gate, at the steps and beside them."""
    found = {m.query: m for what in manifests.rollout(bundle).analyses for m in what.metrics}
    assert found
    return list(found.values())


def queries(bundle):
    return [metric.query for metric in metrics(bundle)]


def selectors(query):
    """(metric name, label names) of each selector in a query."""
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)))
        for name, labels in re.findall(r"([a-z_]+)\{([^}]*(?:\{\{[^}]*\}\}[^}]*)*)\}", query)
    ]


def test_every_metric_and_label_of_the_gates_is_exported(bundle, families):
    samples = [sample for family in families for sample in family.samples]
    for query in queries(bundle):
        assert selectors(query), query
        for name, labels in selectors(query):
            if name in PLATFORM_METRICS:
                continue
            exported = {key for sample in samples if sample.name == name for key in sample.labels}
            assert exported, f"{name} is not exported"
            assert labels <= exported | TARGET_LABELS, f"{name}: {labels - exported}"


def test_the_latency_gates_threshold_is_a_bucket_bound(bundle, families):
    bounds = {
        float(sample.labels["le"])
        for family in families
        for sample in family.samples
        if sample.name == "request_duration_seconds_bucket"
    }
    gates = [m for m in metrics(bundle) if "request_duration_seconds_bucket" in m.query]
    assert {gate.name for gate in gates} == {"p95-latency-seconds", "p95-against-stable"}
    for gate in gates:
        (limit,) = threshold.numbers(gate)
        # A factor, of what stable's percentile is taken for at least.
        least = re.search(r"/\s*clamp_min\(.*,\s*([\d.]+)\s*\)\s*$", gate.query, re.DOTALL)
        assert limit * (float(least[1]) if least else 1.0) in bounds, gate.name


def test_every_failure_stands_at_zero_before_it_happens(families):
    statuses = {
        sample.labels["status"]
        for family in families
        for sample in family.samples
        if sample.name == "http_requests_total" and sample.labels["route"] == "/v1/feeders"
    }
    assert {"500", "502", "503", "504"} <= statuses


def test_every_probe_and_scrape_path_answers_on_the_live_service(bundle, live):
    container = bundle.rollout.spec.template.spec.container
    probes = [container.startup_probe, container.readiness_probe, container.liveness_probe]
    asked = {(probe.http_get.port, probe.http_get.path) for probe in probes}
    asked |= {(each.port, each.path) for each in bundle.pod_monitor.spec.pod_metrics_endpoints}
    for port, path in asked:
        assert ask(f"{live[port]}{path}").status == 200


def test_ports_selectors_and_labels_agree_across_the_manifests(bundle):
    container = bundle.rollout.spec.template.spec.container
    assert container.port("http") == 8000
    assert container.port(bundle.service.spec.ports[0].target_port) == 8000
    (settings,) = bundle.config_maps.values()
    assert container.port("management") == int(settings.data["GRIDOS_MANAGEMENT_PORT"]) == 8001
    assert container.probed_ports == {"management"}
    assert bundle.pod_monitor.spec.pod_metrics_endpoints[0].port == "management"
    assert bundle.pod_monitor.spec.pod_target_labels == ["rollouts-pod-template-hash"]
    names = {bundle.rollout.metadata.name, bundle.service.metadata.name, container.name}
    assert names == {"gridos"}


def test_the_windows_hold_at_least_four_scrapes(bundle):
    interval = bundle.pod_monitor.spec.pod_metrics_endpoints[0].interval
    for query in queries(bundle):
        assert all(window >= 4 * interval for window in durations.ranges_s(query))


def test_the_pods_time_to_drain_fits_their_grace_period(bundle):
    spec = bundle.rollout.spec.template.spec
    graceful_timeout_s = 25  # gunicorn_config.graceful_timeout
    pre_stop_s = spec.container.lifecycle.pre_stop.sleep.seconds
    assert pre_stop_s + graceful_timeout_s < spec.termination_grace_period_seconds


def test_the_rehearsals_traffic_meets_routes_that_exist(root, live):
    key = {"gridos-api-keys.keys": "none"}  # this service lets everybody read
    for request in config.read(root / "loadtest/rehearsal.yaml").traffic.requests:
        if request.method == "GET":
            sent = Mix([request], key, Random(33)).draw()
            assert ask(f"{live['http']}{sent.path}").status == 200, sent.name


def test_the_saved_scrape_names_what_the_live_service_exports(root, live, tmp_path):
    (tmp_path / "live.prom").write_text(ask(f"{live['management']}/metrics").text)
    saved = contract.load(str(root / "observability/contract.prom"))
    exported = contract.load(str(tmp_path / "live.prom"))
    assert (saved.labels, saved.bounds) == (exported.labels, exported.bounds)
