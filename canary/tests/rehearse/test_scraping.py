"""What the run's Prometheus scrapes."""

import urllib.error
import urllib.request
from collections import Counter

import pytest

from canary.argo import manifests
from canary.argo.model import Hashes, ReplicaSetName
from canary.rehearse import scraping
from canary.rehearse.active_service import ActiveService
from canary.rehearse.kubelet import Kubelet, Source
from canary.rehearse.replica_sets import ReplicaSets
from canary.runtime import documents
from canary.tests.argo import shapes
from canary.tests.machine import answering
from canary.tests.rehearse.test_meter import release


def set_aside(bundle, folder, *ports):
    """The pods that there may be."""
    source = Source(bundle.rollout.spec.template, {}, ports, ports[0], folder, lambda *_: {})
    kubelet = Kubelet(dict.fromkeys(("latest", "stable"), source), folder)
    return ReplicaSets(manifests.rollout(bundle), Hashes("latest", "stable"), kubelet, seed=1)


def test_each_pod_is_scraped_once(bundle, tmp_path):
    sets = set_aside(bundle, tmp_path, "http", "management")
    targets = [t for job in scraping.jobs(bundle, sets, 1.0) for t in job.targets]
    scraped = Counter(target.labels["pod"] for target in targets)
    assert scraped == Counter(slot.facts.name for slot in sets.slots())
    assert set(scraped.values()) == {1}


@pytest.mark.parametrize(
    ("shape", "refused"),
    [
        ("basic unscoped timed plain none", "metric unscoped queries http_requests_total, but"),
        ("basic unscoped timed plain service-monitor", None),
        ("basic unscoped background plain annotations", None),
        ("istio istio timed plain none", None),
        ("basic web timed plain none", None),
    ],
)
def test_a_gate_on_series_of_pods_that_nothing_scrapes_is_refused_before_the_start(shape, refused):
    bundle = shapes.bundle(shapes.manifests(shape.split()))
    found = list(scraping.refusals(manifests.rollout(bundle), bundle))
    assert bool(found) is (refused is not None)
    assert all(line.startswith(refused) for line in found)


def test_a_gate_of_several_steps_is_refused_once(root):
    bundle = manifests.read(documents.read(root / "deploy/overlays/local"))
    found = list(scraping.refusals(manifests.rollout(bundle), bundle))
    assert len(found) == len(set(found)) == 8


def test_so_is_one_that_selects_by_a_pattern_of_the_hash():
    query = 'sum(requests_total{pod=~"shop-{{args.hash}}-.*"})'
    bundle, rollout = release("basic", "hash", "timed", "plain", "none", query=query)
    (said,) = scraping.refusals(rollout, bundle)
    assert said.startswith("metric hash queries requests_total, but nothing")


def monitored(change, *more):
    """A shape with a PodMonitor that was changed."""
    bodies = shapes.manifests(("basic", "unscoped", "timed", "plain", "pod-monitor"))
    (monitor,) = [body for body in bodies if body["kind"] == "PodMonitor"]
    change(monitor)
    return shapes.bundle([*bodies, *more])


def unscraped(bundle):
    return "".join(scraping.refusals(manifests.rollout(bundle), bundle))


GROUPS = [
    ("PodMonitor", "azmonitoring.coreos.com/v1", {}),
    ("VMPodScrape", "operator.victoriametrics.com/v1beta1", {"scrape_interval": "10s"}),
    ("ClusterPodMonitoring", "monitoring.googleapis.com/v1", {"tls": {}, "timeout": "5s"}),
]


@pytest.mark.parametrize(("kind", "group", "endpoint"), GROUPS, ids=[kind for kind, *_ in GROUPS])
def test_a_monitor_of_each_operator_scrapes_the_pods(kind, group, endpoint, tmp_path):
    def change(monitor):
        endpoints = [{"port": "http", **endpoint}]
        monitor |= {"kind": kind, "apiVersion": group}
        key = "endpoints" if kind.endswith("ing") else "podMetricsEndpoints"
        monitor["spec"] = {"selector": monitor["spec"]["selector"], key: endpoints}

    bundle = monitored(change)
    (job,) = scraping.jobs(bundle, set_aside(bundle, tmp_path, "http"), 1.0)
    assert job.targets


def test_a_monitor_finds_a_port_by_its_number_and_a_cluster_tells_it_of_the_pod(tmp_path):
    def change(monitor):
        known = ("host_ip", "uid", "container_image", "container_port_number", "labelpresent_app")
        rules = [
            {"source_labels": [f"__meta_kubernetes_pod_{name}"], "target_label": name}
            for name in known
        ]
        endpoint = {"portNumber": 8080, "relabelConfigs": rules, "proxyFromEnvironment": True}
        monitor["spec"]["podMetricsEndpoints"] = [endpoint]
        monitor["spec"] |= {"nativeHistogramBucketLimit": 100, "scrapeClassicHistograms": True}

    bundle = monitored(change)
    (job,) = scraping.jobs(bundle, set_aside(bundle, tmp_path, "http"), 1.0)
    told = {name for rule in job.relabel for name in rule["source_labels"]}
    assert told <= job.targets[0].labels.keys()
    assert job.targets[0].labels["__meta_kubernetes_pod_container_port_number"] == "8080"


@pytest.mark.parametrize(
    ("selector", "refused"),
    [
        ({}, True),
        ({"matchNames": ["other"]}, True),
        ({"matchNames": ["shop", "other"]}, False),
        ({"any": True}, False),
    ],
)
def test_a_monitor_scrapes_in_the_namespaces_that_it_selects_alone(selector, refused):
    def change(monitor):
        monitor["metadata"] = {**monitor["metadata"], "namespace": "monitoring"}
        monitor["spec"]["namespaceSelector"] = selector

    assert ("selects them in namespace shop" in unscraped(monitored(change))) is refused


def test_the_port_of_a_meshs_proxy_is_not_looked_for_among_the_containers():
    def change(monitor):
        proxy = {"port": "http-envoy-prom", "path": "/stats/prometheus"}
        monitor["spec"]["podMetricsEndpoints"] = [proxy]

    service = {"kind": "ServiceMonitor", "apiVersion": "monitoring.coreos.com/v1"}
    service["spec"] = {"selector": {}, "endpoints": [{"port": "http"}]}
    assert scraping.ports(monitored(change, service)) == {"http"}
    assert "nothing scrapes the pods" in unscraped(monitored(change))


METADATA = [
    ("basic unscoped timed plain pod-monitor", "canaryMetadata", "stableMetadata"),
    ("blue-green hash post plain pod-monitor", "previewMetadata", "activeMetadata"),
]


@pytest.mark.parametrize(("shape", "canary", "stable"), METADATA, ids=["canary", "blueGreen"])
def test_series_have_the_labels_that_the_controller_gives_to_the_pods_of_a_side(
    shape, canary, stable, tmp_path
):
    bodies = shapes.manifests(shape.split())
    (strategy,) = bodies[0]["spec"]["strategy"].values()
    strategy |= {canary: {"labels": {"role": "new"}}, stable: {"labels": {"role": "old"}}}
    (monitor,) = [body for body in bodies if body["kind"] == "PodMonitor"]
    monitor["spec"]["podTargetLabels"].append("role")
    bundle = shapes.bundle(bodies)
    sets = set_aside(bundle, tmp_path, "http")
    (job,) = scraping.jobs(bundle, sets, 1.0)
    roles = {t.labels["rollouts_pod_template_hash"]: t.labels["role"] for t in job.targets}
    assert roles == {"latest": "new", "stable": "old"}
    assert canary not in "".join(bundle.unenforced)


@pytest.fixture
def active():
    service = ActiveService()
    service.start()
    yield service
    service.stop()


def test_the_active_service_has_every_pod_as_a_target_and_the_preview_service_the_new_ones(
    tmp_path, active
):
    shape = ("blue-green", "by-service", "post", "plain", "service-monitor")
    bundle = shapes.bundle(shapes.manifests(shape))
    sets = set_aside(bundle, tmp_path, "http")
    jobs = scraping.jobs(bundle, sets, 1.0, active)
    found = {job.name: job.targets for job in jobs}
    by_service = {
        name: {target.labels["pod"] for job in found.values() for target in job
               if target.labels["service"] == name}
        for name in ("shop", "shop-preview")
    }  # fmt: skip
    latest = {slot.facts.name for slot in sets.slots(ReplicaSetName.LATEST)}
    assert by_service["shop-preview"] == latest
    assert by_service["shop"] == {slot.facts.name for slot in sets.slots()}
    through = {t.port for job in jobs for t in job.targets if t.labels["service"] == "shop"}
    assert through == {active.port}


def test_a_pod_is_scraped_by_the_active_service_while_that_selects_it(active):
    with answering(lambda asked: (200, asked.path.encode())) as pod:
        url = f"http://127.0.0.1:{active.port}{active.path(pod, '/metrics?a=1')}"
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(url, timeout=5)
        active.select([pod])
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.read() == b"/metrics?a=1"
        active.select([])
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(url, timeout=5)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            'job="shop"',
            'asks for job="shop", which no target of the pods has: theirs is "shop/shop"',
        ),
        ('job="shop/shop",namespace="shop"', ""),
        ('namespace="other"', 'theirs is "shop"'),
        ('job!="shop",pod="x",track="canary"', ""),
    ],
)
def test_a_gate_on_another_target_than_the_pods_is_pointed_out(wanted, said):
    query = f"sum(rate(http_requests_total{{{wanted}}}[1m]))"
    bundle, rollout = release("basic", "unscoped", "timed", "plain", "pod-monitor", query=query)
    found = list(scraping.elsewhere(rollout, bundle))
    assert bool(found) is bool(said)
    assert all(said in line for line in found)
