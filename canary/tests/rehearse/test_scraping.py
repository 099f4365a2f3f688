"""What the run's Prometheus scrapes."""

import copy
import urllib.error
import urllib.request
from collections import Counter

import pytest

from canary.argo import manifests
from canary.argo.model import Hashes, ReplicaSetName
from canary.errors import UsageError
from canary.rehearse import scraping
from canary.rehearse.active_service import ActiveService
from canary.rehearse.kubelet import Kubelet, Source
from canary.rehearse.replica_sets import ReplicaSets
from canary.tests.argo import shapes
from canary.tests.machine import answering


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
    if refused is None:
        scraping.check(manifests.rollout(bundle), bundle)
        return
    with pytest.raises(UsageError, match=refused):
        scraping.check(manifests.rollout(bundle), bundle)


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
    shape = ("basic", "unscoped", "timed", "plain", "pod-monitor")
    bodies = copy.deepcopy(shapes.manifests(shape))
    templates = [body for body in bodies if body["kind"] == "AnalysisTemplate"]
    query = f"sum(rate(http_requests_total{{{wanted}}}[1m]))"
    for template in templates:
        template["spec"]["metrics"][0]["provider"] = {"prometheus": {"query": query}}
    bundle = shapes.bundle(bodies)
    found = list(scraping.elsewhere(manifests.rollout(bundle), bundle))
    assert bool(found) is bool(said)
    assert all(said in line for line in found)
