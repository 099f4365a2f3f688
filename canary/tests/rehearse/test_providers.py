"""Metrics that Prometheus does not answer: a web service, a Job's command, and those left out."""

import json
import sys
from dataclasses import replace

import pytest

from canary.argo import manifests, resolve
from canary.argo.model import Hashes, Metric, Phase
from canary.errors import UsageError
from canary.rehearse import plan, providers
from canary.rehearse.providers import Providers
from canary.runtime import documents
from canary.tests.argo import shapes
from canary.tests.machine import answering

WEB = Metric("web", "http://shop.shop.svc/state", "result == 'ok'", json_path="{$.state}")
JOB = Metric("smoke", "", job=True)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://shop/state", "http://edge/state"),
        ("http://shop.shop.svc.cluster.local:8080/state?a=1", "http://edge/state?a=1"),
        ("https://ci.example.com/api/gate", "http://127.0.0.1:9/gate"),
        ("http://am:9093/api/v2/alerts?active=true", "http://alerts/api/v2/alerts?active=true"),
        ("http://shopping/state", ""),
    ],
)
def test_a_web_metric_asks_what_stands_in_for_its_address(url, address):
    known = Providers(alertmanager="http://alerts", services={"shop": "http://edge"})
    known = replace(known, web={"https://ci.example.com/api": "http://127.0.0.1:9"})
    assert known.address(url) == address


def test_the_new_releases_own_service_is_asked_where_it_alone_answers():
    shape = ("blue-green", "web", "by-hand", "plain", "none")
    bundle = shapes.bundle(shapes.manifests(shape))
    known = providers.services(bundle, "http://edge", "http://preview")
    assert known == {"shop": "http://edge", "shop-preview": "http://preview"}
    asked = Providers(services=known).address("http://shop-preview.shop.svc/health")
    assert asked == "http://preview/health"


@pytest.mark.parametrize(("state", "phase"), [("ok", Phase.SUCCESSFUL), ("bad", Phase.FAILED)])
def test_a_web_metric_is_judged_by_what_the_release_itself_answers(state, phase):
    body = json.dumps({"state": state}).encode()
    with answering(lambda asked: (200 if asked.path == "/state" else 404, body)) as port:
        known = Providers(services={"shop": f"http://127.0.0.1:{port}"})
        assert known.measure(WEB, lambda: 1.0).phase is phase


def test_a_text_passes_whatever_the_conditions_are_as_in_the_controller():
    with answering(lambda _: (200, b"bad")) as port:
        taken = Providers(services={"shop": f"http://127.0.0.1:{port}"}).measure(WEB, lambda: 1.0)
    assert (taken.phase, taken.value) == (Phase.SUCCESSFUL, "bad")
    assert "is not JSON, so its conditions are not evaluated" in taken.message


def test_a_web_metric_sends_what_its_manifest_says_with_its_arguments_filled_in():
    bodies = shapes.manifests(("services", "web", "timed", "plain", "none"))
    (template,) = [b for b in bodies if b["metadata"]["name"] == "gate"]
    template["spec"]["metrics"][0]["provider"]["web"] |= {
        "method": "POST",
        "jsonBody": {"service": "{{args.service}}", "hash": "{{args.hash}}"},
        "headers": [{"key": "X-Team", "value": "{{ args.service }}"}],
        "authentication": {"oauth2": {}},
    }
    bundle = shapes.bundle(bodies)
    (analysis,) = manifests.rollout(bundle).analyses
    (metric,) = resolve.with_hashes(analysis, Hashes("new", "old"))
    asked = []

    def answer(request):
        text = request.rfile.read(int(request.headers["Content-Length"]))
        told = request.headers["Content-Type"], request.headers["X-Team"]
        asked.append((request.command, json.loads(text), *told))
        return 200, b'{"ok": [1]}'

    with answering(answer) as port:
        Providers(services={"shop-canary": f"http://127.0.0.1:{port}"}).measure(metric, lambda: 1.0)
    sent = {"service": "shop-canary", "hash": "new"}
    assert asked == [("POST", sent, "application/json", "shop-canary")]
    assert any("web.authentication" in line for line in bundle.unenforced)


@pytest.mark.parametrize(
    ("program", "phase", "message"),
    [
        ("import os; assert os.environ['REHEARSAL_URL'] == 'http://edge'", Phase.SUCCESSFUL, ""),
        ("raise SystemExit('no basket')", Phase.FAILED, "no basket"),
    ],
)
def test_a_job_passes_if_its_command_does(program, phase, message, tmp_path):
    jobs = {"smoke": [sys.executable, "-c", program]}
    taken = Providers("http://edge", jobs=jobs, folder=tmp_path).measure(JOB, lambda: 1.0)
    assert (taken.phase, taken.message) == (phase, message)


def test_a_job_whose_command_is_not_there_is_an_error(tmp_path):
    known = Providers(jobs={"smoke": ["/no/such/program"]}, folder=tmp_path)
    assert known.measure(JOB, lambda: 1.0).phase is Phase.ERROR


@pytest.fixture
def shop(root, tmp_path):
    """The shop with three metrics more: of a Job, of a web service, and of a provider that is not here."""

    def made(*given, without=()):
        folder = root / "canary/tests/rehearse/shop"
        text = (folder / "manifests/shop.yaml").read_text()
        more = (
            "    - name: smoke\n      provider: {job: {spec: {template: {spec: {}}}}}\n"
            "    - name: state\n      successCondition: result == 'ok'\n"
            "      provider: {web: {url: 'https://ci.example.com/state', jsonPath: '{$.state}'}}\n"
            "    - name: apm\n      successCondition: result < 1\n"
            "      provider: {datadog: {query: 'avg:requests'}}\n"
        )
        (tmp_path / "shop.yaml").write_text(text.rstrip() + "\n" + more)
        config = tmp_path / "rehearsal.yaml"
        config.write_text("\n".join([(folder / "rehearsal.yaml").read_text(), *given]))
        return plan.read(config, tmp_path / "shop.yaml", without=without)

    return made


def unanswered(build):
    return list(providers.unanswered(manifests.rollout(build.bundle), build.bundle, build.config))


def test_a_provider_that_is_not_here_is_refused_by_name_until_its_metric_is_left_out(shop):
    with pytest.raises(UsageError, match=r"spec\.metrics\[3\]\.provider\.datadog is not supported"):
        shop()
    build = shop(without=["apm"])
    (gates,) = manifests.rollout(build.bundle).analyses
    assert [metric.name for metric in gates.metrics] == ["failed", "smoke", "state"]
    assert "leftOut: not judged: it is left out" in "; ".join(build.bundle.unenforced)


def test_what_the_configuration_leaves_open_is_asked_for_all_at_once(shop):
    smoke, state = unanswered(shop(without=["apm"]))
    assert smoke.startswith("jobs.smoke: the command that runs instead of its Job, or leave it out")
    assert state.startswith("web: an address for https://ci.example.com/state of metric state")
    told = ("jobs: {smoke: [smoke-test]}", "web: {'https://ci.example.com': 'http://127.0.0.1:9'}")
    assert unanswered(shop(*told, without=["apm"])) == []


def test_all_that_stands_in_the_way_of_a_rehearsal_is_said_at_once(shop, tmp_path):
    shop(without=["apm"])
    manifest, config = tmp_path / "shop.yaml", tmp_path / "rehearsal.yaml"
    text = manifest.read_text().replace("kind: PodMonitor", "kind: Unknown")
    gone = "{analysis: {templates: [{templateName: gone}]}}"
    steps = f"steps:\n        - {gone}\n        - plugin: {{name: example/step}}\n"
    manifest.write_text(text.replace("steps:\n", steps, 1))
    config.write_text(config.read_text().replace("shop: [python3", "other: [python3"))
    with pytest.raises(UsageError) as refused:
        plan.choose(None, None, config, manifest, lambda _: None, given={"nothing": "1"})
    said = str(refused.value)
    assert said.startswith("6 things stand in the way:")
    for each in (
        "steps[1].plugin is not supported",
        "metrics[3].provider.datadog is not supported",
        "no AnalysisTemplate declares the argument 'nothing' — there are hash",
        "AnalysisTemplate 'gone' is referenced and missing",
        "metric failed queries shop_requests_total, but nothing scrapes the pods",
        "images.shop: the command of image 'shop' ([] runs none)",
        "jobs.smoke: the command that runs instead of its Job",
    ):
        assert each in said


def test_a_step_whose_every_metric_is_left_out_judges_nothing(shop):
    build = shop(without=["apm", "failed", "smoke", "state"])
    assert manifests.rollout(build.bundle).analyses == ()


def test_a_metric_that_is_not_there_cannot_be_left_out(root):
    found = documents.read(root / "canary/tests/rehearse/shop/manifests")
    with pytest.raises(UsageError, match="has the metric 'nobody' — there are failed"):
        manifests.read(found, without=["nobody"])
