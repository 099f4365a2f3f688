"""What the run's Prometheus scrapes."""

from collections import Counter

from canary.argo import manifests
from canary.argo.model import Hashes
from canary.rehearse import scraping
from canary.rehearse.kubelet import Kubelet, Source
from canary.rehearse.replica_sets import ReplicaSets
from canary.runtime import documents


def test_each_pod_is_scraped_once(root, tmp_path):
    bundle = manifests.read(documents.read(root / "deploy/base"))
    template = bundle.rollout.spec.template
    source = Source(template, {}, ("http", "management"), "http", tmp_path, lambda *_: {})
    kubelet = Kubelet(dict.fromkeys(("latest", "stable"), source), tmp_path)
    sets = ReplicaSets(manifests.rollout(bundle), Hashes("latest", "stable"), kubelet, seed=1)
    targets = [t for job in scraping.jobs(bundle, sets, 1.0) for t in job.targets]
    scraped = Counter(target.labels["pod"] for target in targets)
    assert scraped == Counter(slot.facts.name for slot in sets.slots())
    assert set(scraped.values()) == {1}
