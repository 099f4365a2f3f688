"""A rehearsal.yaml for the manifests of another team: what it leaves open is asked for at once."""

from pathlib import Path

import pytest

from canary.errors import UsageError
from canary.rehearse import config, gaps, plan
from canary.rehearse.environment import PodFacts
from canary.rehearse.fakes import Fakes

ROLLOUT = (Path(__file__).parent / "orders/orders.yaml").read_text()
SETTINGS = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {yaml: "retries: 3"}
"""
NEEDED = """
manifests: manifests.yaml
slo: {objective: 0.999, window: 30d}
traffic: {requests_per_second: 10, canary_requests_per_look: 5, requests: [{path: /}]}
"""
WHOLE = """
images:
  orders: [sh, --listen, "{host}:{port}"]
  agent: []
variables: {METRICS_ADDRESS: ":{port.metrics}", CACHE_URL: "{cache}"}
services: {cache: redis}
secrets: {login: {token: "{secret}"}, tls: {key: "k of {cache}"}}
"""


def read(folder, text, more=SETTINGS, rollout=ROLLOUT):
    """The file and the manifests beside it, read and checked."""
    (folder / "manifests.yaml").write_text(rollout + more)
    (folder / "rehearsal.yaml").write_text(NEEDED + text)
    build = plan.read(folder / "rehearsal.yaml", None)
    gaps.check(build.bundle, build.config, "rehearsal.yaml")
    return build


def test_everything_that_is_missing_is_asked_for_by_name_and_at_once(tmp_path):
    with pytest.raises(UsageError) as refused:
        read(tmp_path, "images: {orders: [sh]}\n", more="")
    message = str(refused.value)
    for wanted in (
        "images.agent: the command of image 'example/agent'",
        "listen.ports.http: the variable that sets port 'http'",
        "listen.ports.metrics: ",
        "secrets.login: a fake of Secret 'login' (keys token)",
        "secrets.tls: a fake of Secret 'tls'",
        "ConfigMap 'settings': add it to the manifests",
    ):
        assert wanted in message
    assert "\n" not in message


def test_a_monitor_of_a_port_that_no_container_has_is_refused_by_its_name(tmp_path):
    monitor = """
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: orders}
spec: {selector: {matchLabels: {app: orders}}, podMetricsEndpoints: [{port: PORT}]}
"""
    assert read(tmp_path, WHOLE, SETTINGS + monitor.replace("PORT", "metrics"))
    with pytest.raises(
        UsageError, match=r"no container has the port metricz .* there are http, met"
    ):
        read(tmp_path, WHOLE, SETTINGS + monitor.replace("PORT", "metricz"))


def test_a_file_names_all_of_its_mistakes_at_once(tmp_path):
    (tmp_path / "rehearsal.yaml").write_text("image: {}\ntraffic: {users: 0}\n")
    with pytest.raises(UsageError) as refused:
        config.read(tmp_path / "rehearsal.yaml")
    for wanted in ("image: ", "manifests: ", "slo: ", "traffic.users: "):
        assert wanted in str(refused.value)


def test_a_locustfile_that_is_not_there_is_unusable_input_with_its_remedy(tmp_path):
    text = NEEDED.replace("requests: [{path: /}]", "locustfile: users.py")
    (tmp_path / "rehearsal.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"users\.py does not exist — correct the path"):
        config.read(tmp_path / "rehearsal.yaml")
    (tmp_path / "users.py").touch()
    assert str(config.read(tmp_path / "rehearsal.yaml").traffic.locustfile) == "users.py"


def test_paths_are_relative_to_the_file_whatever_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    build = read(tmp_path, WHOLE)
    assert build.folder == tmp_path
    assert build.bundle.source == str(tmp_path / "manifests.yaml")


def test_a_container_runs_with_its_ports_services_and_files_of_this_machine(tmp_path):
    build = read(tmp_path, WHOLE)
    fakes = Fakes(build, {"cache": "redis://127.0.0.1:1/0"}, "s3cret", tmp_path / "volumes")
    source = fakes.source()
    (container, _) = build.bundle.rollout.spec.template.spec.containers
    assert (set(source.images), set(source.ports)) == ({"orders"}, {"http", "metrics"})
    pod = PodFacts("orders-1", "default", {}, {}, "127.0.0.1")
    command, variables = source.command(container, pod, {"http": 81, "metrics": 82})
    settings = tmp_path / "volumes/settings/orders.yaml"
    assert command[1:] == ["--listen", "127.0.0.1:81", f"--config={settings}", "--level=info"]
    assert settings.read_text() == "retries: 3"
    assert (tmp_path / "volumes/tls/key").read_text() == "k of redis://127.0.0.1:1/0"
    assert variables["CERTIFICATES"] == f"{tmp_path}/volumes/tls:/etc/tls-old"
    del variables["PATH"], variables["CERTIFICATES"]
    assert variables == {
        "LEVEL": "info",
        "TOKEN": "s3cret",
        "METRICS_ADDRESS": ":82",
        "CACHE_URL": "redis://127.0.0.1:1/0",
    }


def test_a_projected_volume_has_the_files_of_all_its_sources(tmp_path):
    projected = """projected: {sources: [
          {configMap: {name: settings}}, {secret: {name: tls, items: [{key: key, path: tls.key}]}},
          {serviceAccountToken: {path: token}},
          {configMap: {name: absent, optional: true, items: [{key: a, path: b}]}}]}"""
    rollout = ROLLOUT.replace("secret: {secretName: tls, defaultMode: 288}", projected)
    with pytest.raises(UsageError, match=r"secrets\.tls: a fake of Secret 'tls' \(keys key\)"):
        read(tmp_path, WHOLE.replace("tls: {key", "other: {key"), rollout=rollout)
    build = read(tmp_path, WHOLE, rollout=rollout)
    Fakes(build, {"cache": ""}, "", tmp_path / "volumes").source()
    files = {file.name: file.read_text() for file in (tmp_path / "volumes/tls").iterdir()}
    assert files == {"yaml": "retries: 3", "tls.key": "k of "}
    (line,) = [line for line in build.bundle.unenforced if "serviceAccountToken" in line]
    assert "volumes[1].projected.sources[2]" in line


def test_a_replacement_runs_whole_in_place_of_the_manifests_command(tmp_path):
    whole = '{run: [sh, "{port.http}", --config=/etc/orders/orders.yaml]}'
    text = WHOLE.replace('[sh, --listen, "{host}:{port}"]', whole)
    build = read(tmp_path, text)
    source = Fakes(build, {"cache": ""}, "", tmp_path / "volumes").source()
    container = build.bundle.rollout.spec.template.spec.container
    pod = PodFacts("orders-1", "default", {}, {}, "127.0.0.1")
    words, _ = source.command(container, pod, {"http": 81, "metrics": 82})
    assert words[1:] == ["81", f"--config={tmp_path}/volumes/settings/orders.yaml"]


def test_a_fault_without_a_variable_for_it_is_refused_with_what_to_do(tmp_path):
    build = read(tmp_path, WHOLE)
    with pytest.raises(UsageError, match="add `faults`, or release a faulty commit"):
        plan.make(build, build, plan.Choices(1.0, ("errors=3%",)), "")


@pytest.mark.parametrize(
    ("strategy", "most"),
    [
        ("{blueGreen: {activeService: orders, previewReplicaCount: 9}}", 9),
        (
            "{canary: {stableService: orders, canaryService: c, trafficRouting: {nginx: {}}, "
            "steps: [{setCanaryScale: {weight: 300}}]}}",
            3,
        ),
    ],
)
def test_as_many_pods_are_set_aside_as_any_step_asks_for(tmp_path, strategy, most):
    canary = "{canary: {steps: [{setWeight: 50}, {pause: {duration: 1m}}]}}"
    build = read(tmp_path, WHOLE, rollout=ROLLOUT.replace(canary, strategy))
    assert plan.make(build, build, plan.Choices(1.0), "").most_replicas == most


def test_a_command_that_init_could_not_guess_is_asked_for_by_its_image(tmp_path):
    with pytest.raises(UsageError, match=r"images\.orders: the command of image"):
        read(tmp_path, WHOLE.replace("orders: ", "orders: [CHANGE-ME] #"))
