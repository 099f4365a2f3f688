"""Who hears of which alert, and that they really do."""

import json
import re
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from observe import alertmanager
from observe.receiver import read
from observe.stack import SCRAPE_S, Stack
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from canary.argo import expression
from canary.runtime import documents, processes
from canary.runtime.alertmanager import Alertmanager, find
from canary.runtime.prometheus import ScrapeJob, Target
from canary.runtime.waiting import wait_until

CONFIGURATION = Path(__file__).parent.parent / "alertmanager/alertmanager.yaml"

# (severity, team, blocks releases or is about one) → receivers
ROUTES = {
    ("page", "service", True): ["releases", "pages-service"],
    ("page", "platform", True): ["releases", "pages-platform"],
    ("page", "platform", False): ["pages-platform"],
    ("ticket", "service", False): ["tickets-service"],
    ("ticket", "service", True): ["releases", "tickets-service"],
    ("ticket", "platform", False): ["tickets-platform"],
    ("ticket", "platform", True): ["releases", "tickets-platform"],
    ("freeze", "service", True): ["releases"],
    ("none", "platform", False): ["dead-mans-switch"],
}


@pytest.fixture(scope="module")
def shipped():
    return yaml.safe_load(CONFIGURATION.read_text())


@pytest.fixture
def beside_its_template(shipped, tmp_path):
    """The configuration, its template where it looks for it."""
    place = tmp_path / "gridos.tmpl"
    place.write_text(CONFIGURATION.with_name("gridos.tmpl").read_text())
    file = tmp_path / "alertmanager.yaml"
    file.write_text(yaml.safe_dump(shipped | {"templates": [str(place)]}))
    return file


def test_amtool_accepts_the_configuration_and_its_templates(amtool_or_skip, beside_its_template):
    assert alertmanager.check(amtool_or_skip, beside_its_template) == ""


def test_amtool_refuses_a_template_that_is_broken(amtool_or_skip, beside_its_template):
    beside_its_template.with_name("gridos.tmpl").write_text('{{ define "gridos.title" }}')
    assert "gridos.tmpl" in alertmanager.check(amtool_or_skip, beside_its_template)


def test_the_operator_finds_configuration_template_and_secrets_where_they_are_put(shipped, root):
    """It mounts the configuration's Secret there; the vault's driver, the files of its class."""
    values = (root / "deploy/argocd/platform/kube-prometheus-stack-values.yaml").read_text()
    spec = yaml.safe_load(values)["alertmanager"]["alertmanagerSpec"]
    objects = [found.body for found in documents.read(CONFIGURATION.parent)]
    (secret,) = objects
    assert spec["useExistingSecret"] is True
    assert spec["configSecret"] == secret["metadata"]["name"]
    assert set(secret["data"]) == {"alertmanager.yaml", "gridos.tmpl"}
    assert shipped["templates"] == ["/etc/alertmanager/config/gridos.tmpl"]
    (mount,), (volume,) = spec["volumeMounts"], spec["volumes"]
    assert mount["name"] == volume["name"]
    (provided,) = (found.body for found in documents.read(CONFIGURATION.parent / "azure"))
    assert volume["csi"]["volumeAttributes"]["secretProviderClass"] == provided["metadata"]["name"]
    objects = yaml.safe_load(provided["spec"]["parameters"]["objects"])["array"]
    files = {yaml.safe_load(entry)["objectAlias"] for entry in objects}
    read = re.findall(r"_file: (\S+)", CONFIGURATION.read_text())
    assert set(read) == {f"{mount['mountPath']}/{file}" for file in files}
    assert len(read) == 6


def test_amtool_is_asked_something_it_can_refuse(amtool_or_skip, tmp_path):
    wrong = tmp_path / "alertmanager.yaml"
    wrong.write_text(CONFIGURATION.read_text().replace("receiver: releases", "receiver: release"))
    assert "release" in alertmanager.check(amtool_or_skip, wrong)


def test_every_alert_reaches_the_people_of_its_severity_and_team(amtool_or_skip, alerts):
    for alert in alerts:
        releases = {"blocks_release", "about_release"} & alert.labels.keys()
        key = (alert.labels["severity"], alert.labels["team"], bool(releases))
        labels = {"alertname": alert.name, "namespace": "gridos", **alert.labels}
        reached = alertmanager.receivers(amtool_or_skip, CONFIGURATION, labels)
        assert reached == ROUTES[key], alert.name


def test_an_alert_that_nobody_thought_of_is_somebodys_ticket(amtool_or_skip):
    reached = alertmanager.receivers(amtool_or_skip, CONFIGURATION, {"alertname": "Unheard"})
    assert reached == ["tickets-platform"]


def test_every_receiver_is_reached_by_some_route(shipped):
    assert {r["name"] for r in shipped["receivers"]} == {
        n for names in ROUTES.values() for n in names
    }


def test_what_silences_and_what_is_silenced_are_alerts_that_exist(shipped, alerts):
    names = [alert.name for alert in alerts]
    for rule in shipped["inhibit_rules"]:
        for side in ("source_matchers", "target_matchers"):
            (matcher,) = rule[side]
            pattern = matcher.split('"')[1]
            assert any(re.fullmatch(pattern, name) for name in names), matcher


def test_no_secret_stands_in_the_configuration(shipped):
    text = CONFIGURATION.read_text()
    assert text.count("_file:") == 7 - 1
    for key in ("routing_key:", "service_key:", "api_url:", "credentials:", "password:"):
        assert key not in text


def test_a_charts_alert_is_told_without_the_lines_that_it_has_nothing_for(amtool_or_skip, tmp_path):
    """amtool fills in its own example, whose first alert has none of our annotations."""
    said = alertmanager.rendered(
        amtool_or_skip, CONFIGURATION.with_name("gridos.tmpl"), '{{ template "gridos.text" . }}'
    )
    assert "If ignored" not in said
    assert "What to do" not in said


def test_a_pagerduty_resolve_is_told_from_a_trigger():
    resolved = {"routing_key": "k", "event_action": "resolve", "payload": {"summary": "X: y"}}
    assert read("k", resolved, "").status == "resolved"
    assert read("k", resolved | {"event_action": "trigger"}, "").status == "firing"


# -------------------------------------------------------------------------------- end to end


@pytest.fixture(scope="module")
def database_gauge():
    """A pod's word on its database, to be set by the test."""
    registry = CollectorRegistry()
    gauge = Gauge("gridos_db_up", "1 if the last attempt connected", registry=registry)
    gauge.set(1)
    port = processes.free_port()
    server, thread = start_http_server(port, "127.0.0.1", registry)
    yield gauge, port
    server.shutdown()
    server.server_close()
    thread.join()


def post(to, what, body):
    """Tells an Alertmanager of alerts or a silence."""
    request = urllib.request.Request(
        f"{to.url}/api/v2/{what}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=60).close()


@pytest.fixture(scope="module")
def stack(root, database_gauge, tmp_path_factory, or_skip):
    """The real rules, Prometheus and Alertmanager, at three minutes a second."""
    labels = {"namespace": "gridos", "pod": "gridos-aaa-1", "container": "gridos"}
    jobs = [ScrapeJob("gridos/gridos", "/metrics", SCRAPE_S, [Target(database_gauge[1], labels)])]
    folder = tmp_path_factory.mktemp("stack")
    or_skip(find)
    with Stack(folder, jobs, factor=180, source=root / "observability") as started:
        yield started


def test_a_real_alert_reaches_its_pager_and_the_release_channel_and_resolves(stack, database_gauge):
    gauge, _ = database_gauge
    alert = "GridosDatabaseDown"
    gauge.set(0)
    stack.wait(lambda: len(stack.receiver.about(alert)) >= 2, f"{alert} reached its receivers")
    told = {n.receiver for n in stack.receiver.about(alert)}
    assert told == {"pages-service", "releases"}
    (page, *_) = [n for n in stack.receiver.about(alert) if n.receiver == "pages-service"]
    assert "0% of the pods reached the database" in page.text
    assert f"docs/runbooks/{alert}.md" in page.text

    gauge.set(1)
    stack.wait(lambda: stack.receiver.about(alert, "resolved") != [], f"{alert} resolved")
    assert not stack.fires(alert)


def test_the_dead_mans_switch_hears_the_watchdog_again_and_again(stack):
    stack.wait(lambda: len(stack.receiver.about("Watchdog")) >= 2, "the watchdog was heard")
    heard = stack.receiver.about("Watchdog")
    assert {n.receiver for n in heard} == {"dead-mans-switch"}
    assert {n.authorization for n in heard} == {"Bearer token-of-dead-mans-switch"}


def test_a_cause_silences_its_consequence(stack, database_gauge):
    gauge, _ = database_gauge
    gauge.set(0)
    stack.wait(lambda: stack.alertmanager.state("GridosDatabaseDown") == "active", "it fires")
    consequence = [{"labels": {"alertname": "GridosLatencyAboveGate", "namespace": "gridos"}}]
    post(stack.alertmanager, "alerts", consequence)
    stack.wait(
        lambda: stack.alertmanager.state("GridosLatencyAboveGate") == "suppressed", "it is silenced"
    )
    assert stack.receiver.about("GridosLatencyAboveGate") == []


# ------------------------------------------------------------------------- whether a release starts


@pytest.fixture
def bare(tmp_path, or_skip):
    """An Alertmanager that tells nobody."""
    or_skip(find)
    told = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    started = Alertmanager(tmp_path / "alertmanager", told, tmp_path)
    try:
        started.start()
        yield started
    finally:
        started.stop()


def test_a_release_does_not_start_while_a_blocking_alert_fires_that_nobody_silenced(
    alert_gate, bare
):
    metric = alert_gate("release-may-start")
    url = metric["provider"]["web"]["url"].replace("{{args.alertmanager}}", bare.url)

    def phase(despite=""):
        asked = url.replace("{{args.despite}}", despite)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            result = tuple(range(len(json.load(answer))))
        conditions = (metric["successCondition"], metric["failureCondition"])
        passed, failed = (expression.evaluate(condition, result) for condition in conditions)
        return {(True, False): "Successful", (False, True): "Failed"}[passed, failed]

    def known(alert):
        return wait_until(lambda: bare.state(alert) == "active", timeout_s=60)

    post(bare, "alerts", [{"labels": {"alertname": "Other", "blocks_release": "false"}}])
    assert known("Other")
    assert phase() == "Successful"

    blocking = {"alertname": "Blocker", "blocks_release": "true"}
    post(bare, "alerts", [{"labels": blocking}])
    assert known("Blocker")
    assert phase() == "Failed"
    assert phase(despite="Block") == "Failed"
    assert phase(despite="Another|Block.*") == "Successful"

    matcher = {"name": "alertname", "value": "Blocker", "isRegex": False}
    silence = {"matchers": [matcher], "createdBy": "on call", "comment": "looked at"}
    now = datetime.now(UTC)
    times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
    post(bare, "silences", silence | times)
    assert wait_until(lambda: phase() == "Successful", timeout_s=60)
