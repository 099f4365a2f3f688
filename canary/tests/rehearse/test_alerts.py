"""An alert that is made to fire, asked for as production's gates ask."""

import json
import urllib.request
from pathlib import Path

import pytest

from canary.argo import analysis, manifests
from canary.argo.model import Metric, Phase
from canary.errors import MachineError, UsageError
from canary.rehearse import alerts, config
from canary.rehearse.alerts import Alerts
from canary.runtime import alertmanager, documents
from canary.runtime.prometheus import Prometheus, ScrapeJob, Target
from canary.runtime.waiting import wait_until

HASH = "abc"


@pytest.fixture
def metrics(root):
    """Production's two questions: the URL and the query, and the conditions of each."""
    file = root / "deploy/components/alerts-abort/analysis-blocking-alerts.yaml"
    before, during = (read.body["spec"]["metrics"][0] for read in documents.read(file))
    return before, during


@pytest.fixture
def watched(root, tmp_path, monkeypatch):
    """The shipped rules and routes, and a canary that is scraped; below this folder, as by default."""
    monkeypatch.chdir(tmp_path)
    try:
        alertmanager.find()
    except MachineError as missing:
        pytest.skip(str(missing))
    rules = root / "observability/rules"
    told = Alerts(rules, root / "observability/alertmanager/alertmanager.yaml", Path("alerts"))
    labels = {"namespace": "gridos", "rollouts_pod_template_hash": HASH}
    told.start()
    pods = ScrapeJob("pods", "/metrics", 0.5, [Target(told.job.targets[0].port, labels)])
    prometheus = Prometheus(
        tmp_path / "prometheus", [told.job, pods], told.for_prometheus, alerts.FLAGS
    )
    try:
        prometheus.start()
        yield told, prometheus
    finally:
        prometheus.stop()
        told.stop()


def phase(metric, result):
    conditions = (metric["successCondition"], metric["failureCondition"])
    judged, _ = analysis.judge(Metric("m", "", *conditions), result)
    return judged


def test_an_alert_that_is_made_to_fire_keeps_a_release_from_starting_and_aborts_one(
    metrics, watched
):
    told, prometheus = watched
    before, during = metrics
    url = before["provider"]["web"]["url"].replace("{{args.alertmanager}}", told.url)
    query = during["provider"]["prometheus"]["query"].replace("{{args.canary-hash}}", HASH)

    def starts():
        with urllib.request.urlopen(url.replace("{{args.despite}}", ""), timeout=60) as answer:
            return phase(before, tuple(range(len(json.load(answer)))))

    def goes_on():
        return phase(during, prometheus.query(query.replace("{{args.despite}}", "")))

    begun = f'min_over_time(timestamp(up{{rollouts_pod_template_hash="{HASH}"}})[1m:1s])'
    assert wait_until(lambda: prometheus.query(begun) != (), timeout_s=60)
    assert (starts(), goes_on()) == (Phase.SUCCESSFUL, Phase.SUCCESSFUL)

    told.fire("GridosDatabaseDown", prometheus)
    assert wait_until(lambda: told.fires("GridosDatabaseDown"), timeout_s=60)
    assert starts() is Phase.FAILED
    assert goes_on() is Phase.FAILED


# ------------------------------------------------------------------------- before anything is started


@pytest.fixture
def production(root):
    return manifests.rollout(manifests.read(documents.read(root / "deploy/overlays/production")))


@pytest.fixture
def own(root):
    here = root / "observability"
    return config.Alerts(rules=here / "rules", routes=here / "alertmanager/alertmanager.yaml")


def test_production_asks_for_alerts_before_and_during_a_release(root, production, rollout, own):
    asking = [metric.name for metric in alerts.asked(production)]
    assert asking == ["blocking-alerts-before", "blocking-alerts"]
    alerts.check(production, root / "rehearsal.yaml", own, ["GridosDatabaseDown"])
    assert alerts.asked(rollout) == []
    alerts.check(rollout, root / "rehearsal.yaml", None, [])


def test_what_no_alert_here_can_answer_is_refused_by_name(root, production, own):
    file = root / "rehearsal.yaml"
    with pytest.raises(UsageError, match=r"blocking-alerts-before asks which .* add `alerts`"):
        alerts.check(production, file, None, [])
    with pytest.raises(UsageError, match=r"'Gone' — name one of .*GridosDatabaseDown"):
        alerts.check(production, file, own, ["Gone"])
