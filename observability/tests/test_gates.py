"""What panels show of a release's CPU and restarts is what its gates judge by.

Gates keep their queries whole in the AnalysisTemplates; here both are asked of one Prometheus over a
synthesised release, for both of its pod-template hashes, at several instants.
"""

import re

import pytest
from observe import rules

from canary.argo import manifests, virtual_rollout
from canary.power import backfill, synthetic_series
from canary.power.samples import Fault, Traffic
from canary.runtime import documents

RECORDED = {
    "cpu-saturation-ratio": "gridos:release_cpu_saturation:ratio_rate1m",
    "container-restarts": "gridos:release_container_restarts:sum",
}
# Weighed against chance, a route's or the stable release's own: panels show the plain numbers.
WEIGHED = {
    "canary-requests", "client-errors-against-stable", "error-ratio", "errors-against-stable",
    "p95-against-stable", "p95-latency-seconds", "requests-against-stable", "route-errors",
}  # fmt: skip
STABLE, CANARY = "5f6d7c8b9", "7b9c8d6f5"
BASE_S = 7200 * 240_000


@pytest.fixture(scope="module")
def gates(root):
    rollout = manifests.rollout(manifests.read(documents.read(root / "deploy/base")))
    return {metric.name: metric.query for what in rollout.analyses for metric in what.metrics} | {
        metric.name: metric.query for metric in rollout.steps[-1].metrics
    }


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Five minutes of a stable release and a failing, slow, crashing canary."""
    lives = [
        virtual_rollout.PodLifetime(f"s{number:04d}", False, -1.0, -1.0) for number in range(3)
    ]
    lives += [virtual_rollout.PodLifetime("c0001", True, 0.0, 0.5)]
    release = synthetic_series.Release(
        names=synthetic_series.Names("gridos", "gridos", "gridos", CANARY, STABLE),
        pods=lives,
        traffic=Traffic(requests_per_s=60),
        fault=Fault(error_rate=0.04, slow_share=0.1, cpu=0.9, restarts=1),
        weather=synthetic_series.ScrapeNoise(),
        base_s=BASE_S + 600,
        end_s=300,
        history_s=300,
        seed=7,
    )
    folder = tmp_path_factory.mktemp("release")
    backfill.load(synthetic_series.lines(release), folder, "release")
    with backfill.serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def inlined(groups):
    """Every recorded expression with the series it is made of written out."""
    expressions = {rule.name: rule.expression for rule in rules.records(groups)}

    def write_out(text):
        found = re.compile(r"\bgridos:\w+:\w+")
        while found.search(text):
            text = found.sub(lambda name: f"({expressions[name[0]]})", text)
        return text

    return {name: write_out(text) for name, text in expressions.items()}


@pytest.mark.parametrize("gate", RECORDED)
def test_a_gate_and_its_recorded_series_say_the_same(gate, gates, inlined, released):
    told = 0
    for pod_hash in (STABLE, CANARY):
        query = re.sub(r"\{\{\s*args\.canary-hash\s*\}\}", pod_hash, gates[gate])
        picked = (
            f"({inlined[RECORDED[gate]]}) and on (rollouts_pod_template_hash) {marker(pod_hash)}"
        )
        for at_s in (660, 690, 737, 800, 880):
            judged = released.query(query, at_s=BASE_S + at_s)
            shown = released.query(picked, at_s=BASE_S + at_s)
            assert shown == pytest.approx(judged, rel=1e-9), (pod_hash, at_s)
            told += len(judged)
    assert told >= 8, "the gate must have had something to say"


def marker(pod_hash):
    return f'label_replace(vector(1), "rollouts_pod_template_hash", "{pod_hash}", "", "")'


def test_every_gate_is_recorded_or_weighed(gates):
    assert set(gates) == set(RECORDED) | WEIGHED
