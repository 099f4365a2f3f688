"""Pods as real processes: probed, restarted with the kubelet's back-off, drained and ended."""

import os
import re
import sys
import time
import urllib.request
from dataclasses import replace

import pytest

from canary.argo.objects import PodTemplate
from canary.rehearse.environment import PodFacts
from canary.rehearse.exporter import NAMES, PATH, ContainerFacts, ExporterProgram, PodCollector
from canary.rehearse.kubelet import BACK_OFF_S, Image, Kubelet, Source
from canary.runtime import processes
from canary.runtime.waiting import wait_until

SERVER = """
import http.server, os, signal, sys, time
if os.environ.get("CRASH"): sys.exit(3)
held = os.urandom(int(os.environ.get("HOLD_MIB", "0")) * 2**20)
time.sleep(float(os.environ.get("SLOW", "0")))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.path != "/readyz" or not os.path.exists(os.environ["UNREADY"])
        self.send_response(200 if ok else 503); self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


FACTS = PodFacts("pod-1", "n", {}, {}, "127.0.0.1")


def probe(path, **fields):
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 0.1, **fields}


TEMPLATE = PodTemplate.model_validate(
    {
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "resources": {"limits": {"memory": "100Mi"}},
                    "ports": [{"name": "http", "containerPort": 8000}],
                    "startupProbe": probe("/livez", failureThreshold=100),
                    "readinessProbe": probe("/readyz", failureThreshold=2),
                    "lifecycle": {"preStop": {"sleep": {"seconds": 0.5}}},
                }
            ],
        }
    }
)


def source(template, folder, given, ports=("http",), told="http", images=None):
    """A pod's source: the little server, told of the port that it listens on."""
    listen = {"HOST": "{host}", "PORT": f"{{port.{told}}}"}
    images = images or {"c": Image([sys.executable, "-c", SERVER], listen)}
    return Source(template, images, ports, "http", folder, lambda *_: given)


@pytest.fixture
def make(tmp_path):
    """Makes kubelets whose pods run the little server above, with extra variables."""
    made = []

    def make(template=TEMPLATE, variables=None, **options):
        given = {"UNREADY": str(tmp_path / "unready"), "PATH": "", **(variables or {})}
        kubelet = Kubelet({"hash": source(template, tmp_path, given, **options)}, tmp_path)
        made.append(kubelet)
        return kubelet

    yield make
    for kubelet in made:
        kubelet.stop()


def create(kubelet, *ports):
    """A pod with these ports, or with one alone."""
    given = {name: processes.free_port() for name in ports or ("http",)}
    return kubelet.create(FACTS, "hash", given, time.monotonic())


def ready(kubelet, *ports):
    pod = create(kubelet, *ports)
    until(kubelet, lambda: pod.ready)
    return pod


def until(kubelet, condition):
    """Ticks until a condition holds; returns what happened meanwhile."""
    events, deadline = [], time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, events
        events += [text for _, text in kubelet.tick(time.monotonic())]
        time.sleep(0.02)
    return events


def test_the_edge_knows_of_a_lost_pod_only_after_its_delay(make):
    kubelet = make()
    pod = ready(kubelet)
    now = time.monotonic()
    kubelet.lose(pod, now)
    assert kubelet.unnoticed(10.0, now + 9.9) == {pod.port}
    assert kubelet.unnoticed(10.0, now + 10.0) == set()
    assert until(kubelet, lambda: not kubelet.pods) == ["lost"]
    assert not pod.containers[0].running


def test_the_edge_knows_at_once_of_a_pod_that_leaves_in_order(make):
    kubelet = make()
    pod = ready(kubelet)
    kubelet.delete(pod, time.monotonic())
    assert kubelet.unnoticed(10.0, time.monotonic()) == set()


def test_a_pod_that_died_and_is_ready_again_needs_no_noticing(make):
    kubelet = make()
    pod = ready(kubelet)
    pod.containers[0].child.kill()
    until(kubelet, lambda: pod.restarts == 1)
    assert kubelet.unnoticed(60.0, time.monotonic()) == {pod.port}
    until(kubelet, lambda: pod.ready)
    assert kubelet.unnoticed(60.0, time.monotonic()) == set()


def test_a_probe_asks_the_port_that_it_names(make):
    template = TEMPLATE.model_copy(deep=True)
    container = template.spec.container
    for probed in (container.startup_probe, container.readiness_probe):
        probed.http_get.__dict__["port"] = "management"
    names = ("http", "management")
    pod = ready(make(template, ports=names, told="management"), *names)
    assert pod.port == pod.ports["http"]


def test_a_pod_is_ready_once_its_startup_and_readiness_probes_say_so(make):
    kubelet = make(variables={"SLOW": "0.5"})
    pod = create(kubelet)
    events = until(kubelet, lambda: pod.ready)
    assert events[0].startswith("ready after")


def test_a_pod_that_fails_readiness_twice_is_sent_nothing_until_it_recovers(make, tmp_path):
    kubelet = make()
    pod = ready(kubelet)
    (tmp_path / "unready").touch()
    until(kubelet, lambda: not pod.ready)
    assert pod.restarts == 0
    (tmp_path / "unready").unlink()
    until(kubelet, lambda: pod.ready)


def test_a_pod_that_dies_is_restarted_at_once_and_then_with_back_off(make):
    kubelet = make(variables={"CRASH": "1"})
    pod = create(kubelet)
    events = until(kubelet, lambda: pod.restarts == 2)
    assert events == [
        "container exited with 3; restart 1 in 0 s",
        f"container exited with 3; restart 2 in {BACK_OFF_S[1]:.0f} s",
    ]
    assert pod.containers[0].restart_at - time.monotonic() == pytest.approx(BACK_OFF_S[1], abs=1)


def test_a_pod_above_its_memory_limit_is_killed_and_restarted_and_one_below_is_not(make):
    modest = make(variables={"HOLD_MIB": "20"})
    spared = ready(modest)
    hungry = make(variables={"HOLD_MIB": "150"})
    pod = create(hungry)
    events = until(hungry, lambda: pod.restarts == 1)
    assert re.fullmatch(
        r"out of memory: 1\d\d MiB held, 100 MiB allowed; restart 1 in 0 s", events[-1]
    )
    modest.tick(time.monotonic())
    assert spared.restarts == 0


def test_a_deleted_pod_leaves_the_endpoints_at_once_and_ends_after_its_pre_stop_sleep(make):
    kubelet = make()
    pod = ready(kubelet)
    kubelet.delete(pod, time.monotonic())
    assert not pod.ready
    kubelet.tick(time.monotonic())
    assert pod.containers[0].child.running
    until(kubelet, lambda: kubelet.pods == [])
    assert pod.containers[0].child.popen.returncode == 0


def test_stopping_leaves_no_process(make):
    kubelet = make()
    pods = [create(kubelet) for _ in range(3)]
    until(kubelet, lambda: all(pod.ready for pod in pods))
    assert kubelet.stop() == 3
    assert not any(pod.containers[0].child.running for pod in pods)


def test_the_exporter_sees_memory_and_the_cpu_that_a_pods_child_burns(tmp_path):
    burning = "import subprocess,sys,time; subprocess.Popen([sys.executable,'-c','while True: pass']); time.sleep(60)"
    child = processes.start("burner", [sys.executable, "-c", burning], tmp_path / "log")
    try:
        facts = ContainerFacts("n", "pod-1", "c", "i", child.pid, 2, 0.5, None, 0.25, 2.0**27)
        deadline, used = time.monotonic() + 60, 0.0
        while used < 0.3:
            assert time.monotonic() < deadline
            families = {f.name: f for f in PodCollector(lambda: [facts]).collect()}
            (sample,) = families["container_cpu_usage_seconds"].samples
            used = sample.value
        assert sample.labels == {"namespace": "n", "pod": "pod-1", "container": "c", "image": "i"}
        (held,) = families["container_memory_working_set_bytes"].samples
        assert held.value > 2 * 2**20  # two Pythons
        assert held.labels == sample.labels
        (restarts,) = families["kube_pod_container_status_restarts"].samples
        assert restarts.value == 2
        (limit,) = families["kube_pod_container_resource_limits"].samples
        assert (limit.value, limit.labels["resource"], limit.labels["unit"]) == (0.5, "cpu", "core")
        asked = [
            (s.labels["resource"], s.value)
            for s in families["kube_pod_container_resource_requests"].samples
        ]
        assert asked == [("cpu", 0.25), ("memory", 2**27)]
        (phase,) = (s.labels["phase"] for s in families["kube_pod_status_phase"].samples if s.value)
        assert phase == "Running"
        (about,) = families["kube_pod_info"].samples
        assert about.labels["created_by_name"] == "pod"
        assert {s.name for family in families.values() for s in family.samples} == NAMES
    finally:
        child.kill()


def test_the_exporter_is_a_process_of_its_own_and_serves_what_it_was_told_last(tmp_path):
    exporter = ExporterProgram(tmp_path / "exporter")
    try:
        exporter.start()
        facts = ContainerFacts("n", "pod-1", "c", "i", os.getpid(), 0, 0.5)
        exporter.tell([facts])
        assert scraped(exporter, 'kube_pod_container_status_restarts_total{container="c"') == 0
        assert scraped(exporter, "container_cpu_usage_seconds_total{") > 0
        exporter.tell([replace(facts, restarts=3)])
        assert scraped(exporter, 'kube_pod_container_status_restarts_total{container="c"') == 3
        exporter.tell([])
        assert scraped(exporter, "container_cpu_usage_seconds_total{") is None
    finally:
        exporter.stop()
    assert processes.port_is_free(exporter.port)


def scraped(exporter, start):
    with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}{PATH}") as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(start)), None)


def test_pods_yield_to_the_harness(make):
    pod = create(make())
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, pod.containers[0].child.pid) == max(
        ours, processes.YIELDING
    )


def test_what_a_program_and_its_children_used_is_counted_once_it_has_ended(tmp_path):
    burning = "import time\nwhile time.process_time() < 0.4: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burning!r}])"
    before = processes.cpu_spent().get("burners", 0.0)
    child = processes.start(
        "burner-1", [sys.executable, "-c", script], tmp_path / "log", program="burners"
    )
    assert wait_until(lambda: not child.running, timeout_s=60)
    child.kill()
    used = processes.cpu_spent()["burners"] - before
    assert 0.4 <= used < 4
    assert processes.cpu_spent()["harness"] > 0


def test_only_what_is_above_its_limit_is_named_heavy(tmp_path):
    holding = "held = b'x' * (40 * 2**20); print('held', flush=True); import time; time.sleep(60)"
    child = processes.start("holder", [sys.executable, "-c", holding], tmp_path / "log")
    try:
        assert wait_until(lambda: "held" in child.tail(), timeout_s=60)
        assert processes.memory_above({child.pid: 200 * 2**20}) == {}
        assert processes.memory_above({child.pid: 30 * 2**20})[child.pid] > 40 * 2**20
    finally:
        child.kill()


def two(make, sidecar):
    """For pods of the little server on `http` and a second container on `metrics`."""
    template = TEMPLATE.model_copy(deep=True)
    fields = {"name": "side", "image": "s", "ports": [{"name": "metrics", "containerPort": 9}]}
    fields["readinessProbe"] = {**probe("/readyz"), "httpGet": {"path": "/", "port": "metrics"}}
    template.spec.containers.append(type(template.spec.container).model_validate(fields))
    first = Image([sys.executable, "-c", SERVER], {"HOST": "{host}", "PORT": "{port}"})
    images = {"c": first, **({"side": sidecar} if sidecar else {})}
    return make(template, ports=("http", "metrics"), images=images)


def test_a_pod_of_two_containers_is_ready_once_both_are_and_one_restarts_alone(make):
    listen = {"HOST": "{host}", "PORT": "{port.metrics}"}
    kubelet = two(make, Image([sys.executable, "-c", SERVER], listen))
    pod = ready(kubelet, "http", "metrics")
    first, second = pod.containers
    urllib.request.urlopen(f"http://127.0.0.1:{pod.ports['metrics']}/").close()
    second.child.kill()
    events = until(kubelet, lambda: second.restarts == 1 and pod.ready)
    assert first.restarts == 0
    assert first.child.running
    assert next(event.split(";")[0] for event in events).startswith("container exited")
    assert kubelet.stop() == 1


def test_a_container_that_is_not_run_here_keeps_no_pod_waiting(make):
    pod = ready(two(make, None), "http", "metrics")
    assert [state.container.name for state in pod.containers] == ["c"]


def test_a_command_is_told_its_ports_and_the_manifests_arguments_their_variables(tmp_path):
    template = TEMPLATE.model_copy(deep=True)
    template.spec.container.args.extend(["--level=$(LEVEL)", "$$(LEVEL)", "$(UNSET)"])
    image = Image(["serve", "--listen={host}:{port}", "{other}"], {"METRICS": ":{port.metrics}"})
    given = {"LEVEL": "debug"}
    made = source(template, tmp_path, given, images={"c": image})
    command, variables = made.command(template.spec.container, FACTS, {"http": 1, "metrics": 2})
    assert command[:3] == ["serve", "--listen=127.0.0.1:1", "{other}"]
    assert command[3:] == ["--level=debug", "$(LEVEL)", "$(UNSET)"]
    assert variables == {"LEVEL": "debug", "METRICS": ":2"}
    whole = replace(made, images={"c": replace(image, whole=True)})
    assert whole.command(template.spec.container, FACTS, {"http": 1})[0] == command[:3]
