"""A real Prometheus, asked as the controller asks it."""

import os

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from canary.argo import analysis
from canary.argo.model import Analysis, Measurement, Phase
from canary.errors import MachineError
from canary.rehearse.exporter import PATH, ContainerFacts, Exporter
from canary.runtime import processes, prometheus
from canary.runtime.prometheus import Prometheus, QueryError, ScrapeJob, Target
from canary.runtime.waiting import wait_until


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A Prometheus that scrapes one live target and knows of one that does not answer."""
    registry = CollectorRegistry()
    Counter("things", "things", ["kind"], registry=registry).labels("a").inc(7)
    live, dead = processes.free_port(), processes.free_port()
    server, thread = start_http_server(live, "127.0.0.1", registry)
    targets = [Target(live, {"pod": "live"}), Target(dead, {"pod": "dead"})]
    started = Prometheus(
        tmp_path_factory.mktemp("prometheus"), [ScrapeJob("pods", "/metrics", 0.25, targets)]
    )
    started.start()
    assert wait_until(started.scraping, timeout_s=60)
    assert wait_until(lambda: started.query("things_total") != (), timeout_s=60)
    yield started
    started.stop()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_vector_is_a_tuple_and_a_scalar_a_float(served):
    assert served.query('things_total{pod="live"}') == (7.0,)
    assert served.query("scalar(things_total)") == 7.0
    assert served.query("nothing_at_all") == ()


def test_a_target_that_does_not_answer_yet_costs_nothing(served):
    assert wait_until(lambda: served.query('up{pod="dead"}') == (0.0,), timeout_s=60)


def test_a_query_that_is_wrong_carries_prometheuss_own_words(served):
    with pytest.raises(QueryError, match="parse error"):
        served.query("sum(")


def test_a_matrix_is_not_something_a_condition_can_judge(served):
    with pytest.raises(QueryError, match="matrix is not supported"):
        served.query("things_total[1m]")


def test_a_gate_on_the_platforms_series_outlives_a_scrape_that_failed(rollout, tmp_path):
    decides = next(step for step in rollout.steps if isinstance(step, Analysis))
    metrics = {
        metric.name: metric
        for metric in (*rollout.background.metrics, *decides.metrics)
        if metric.name in ("cpu-saturation-ratio", "container-restarts")
    }
    gates = {
        name: metric.query.replace("{{args.canary-hash}}", "abc")
        for name, metric in metrics.items()
    }
    facts = ContainerFacts("gridos", "gridos-abc-1", "gridos", "gridos", os.getpid(), 0, 0.5)
    exporter = Exporter(lambda: [facts])
    job = ScrapeJob("kubelet", PATH, 0.25, [Target(exporter.port, {})], honour_labels=True)
    scraping = Prometheus(tmp_path, [job])
    scraping.start()
    try:
        assert wait_until(lambda: all(map(scraping.query, gates.values())), timeout_s=30)
        exporter.stop()
        assert wait_until(lambda: scraping.query("kube_pod_created") == (), timeout_s=60)
        # What decides at a step's end has an answer; the guard has none, and asks again.
        phases = {
            name: analysis.judge(metrics[name], scraping.query(query))[0]
            for name, query in gates.items()
        }
    finally:
        scraping.stop()
    assert phases == {
        "cpu-saturation-ratio": Phase.SUCCESSFUL,
        "container-restarts": Phase.INCONCLUSIVE,
    }
    guard = analysis.start("guard", (metrics["container-restarts"],), 0.0)
    unknown = Measurement(phases["container-restarts"], 0.0, 0.0)
    asked = analysis.assess(analysis.record(guard, "container-restarts", unknown), 0.0)
    assert analysis.due(asked, 10.0) == guard.metrics


def test_a_prometheus_that_is_gone_is_an_error_and_not_a_crash(tmp_path):
    gone = Prometheus(tmp_path, [])
    with pytest.raises(QueryError, match="prometheus does not answer"):
        gone.query("up")
    assert not gone.scraping()


def test_a_machine_without_prometheus_is_told_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MachineError, match="prometheus is not on PATH — install it"):
        prometheus.find()
