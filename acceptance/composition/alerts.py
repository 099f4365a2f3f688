"""Production's alerts and its release, on the real controllers.

A real Kubernetes with the real Argo Rollouts, kube-state-metrics, Prometheus 3 with our rules
and Alertmanager with the shipped routes. The Rollout and both AnalysisTemplates are production's as
rendered, with these changes: its pods run `pause` (the gates, which need the service, are proven by
`make rehearse TARGET=cluster`), two pods instead of ten, shorter pauses and windows. The pods are
found and scraped as the local overlay's Prometheus does it, which a test holds to be the
PodMonitor's way; a pod that pauses has nothing to say, so each of these scrapes fails.

Left out: Argo CD and the Prometheus operator (no chart can be fetched here), Azure.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml
from observe import rules

from acceptance.cluster import CACHE, HOST, KUBECONFIG, ROOT, Cluster, pods_scrape
from acceptance.things import thing
from canary.errors import MachineError
from canary.runtime import alertmanager
from canary.runtime.waiting import wait_until
from policies import objects

OVERLAY = Path("deploy/overlays/production")
SCRAPING = Path(__file__).with_name("prometheus.yaml")
DESPITE = "gridos.example.com/release-despite"
KINDS = ("Namespace", "ServiceAccount", "AnalysisTemplate", "Rollout")
# By this the rules' windows and `for` are divided; a window keeps four scrapes.
FACTOR, MIN_S = 60.0, 8.0
PAUSE_S = 25
TIMEOUT_S = 150.0
ALERT = "GridosDatabaseDown"
PROMETHEUS, ALERTMANAGER, EXPORTER = 9090, 9093, 9400

# What a service on a good day says of itself; `{up}` is whether its pods reach the database.
SERIES = """\
http_requests_total{{namespace="gridos",pod="a",method="GET",route="/v1/feeders",status="200"}} 100
gridos_db_up{{namespace="gridos",pod="a"}} {up}
probe_success{{namespace="gridos",job="probe/gridos/gridos"}} 1
container_cpu_usage_seconds_total{{namespace="gridos",pod="a",container="gridos",image="i"}} 1
kube_pod_container_resource_limits{{namespace="gridos",pod="a",container="gridos",resource="cpu"}} 1
"""


@dataclass(frozen=True)
class Ended:
    """What became of a release: its phase, the controller's words, and whether it had pods."""

    phase: str
    message: str
    pods: int
    seconds: float


class Platform:
    """The cluster, what watches it, and a service that can be made to lose its database."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._revision = 0

    def bring_up(self) -> None:
        """Starts what watches it and applies production, with its first release."""
        self._watch()
        found = (t for t in production(PAUSE) if t["kind"] in KINDS)
        self._cluster.apply(*sorted(found, key=lambda body: KINDS.index(body["kind"])))
        self._await(lambda: self._phase()[0] == "Healthy", "the first release")
        # What was absent while all of it started fires for a while.
        self._await(lambda: not self._blocking(), "no blocking alert is left from the start")

    def _watch(self) -> None:
        """Starts Prometheus and Alertmanager under the names that production asks."""
        self.lose_database(lost=False)
        serve = ["python3", "-m", "http.server", str(EXPORTER), "--bind", "127.0.0.1"]
        self._cluster.run("start", "exporter", *serve, "--directory", str(self._folder))
        program = alertmanager.find()
        there = ["env", f"--chdir={alertmanager.home(program)}"]
        self._cluster.run("start", "alertmanager", *there, str(program), *self._alertmanager())
        self._cluster.run("start", "prometheus", str(CACHE / "prometheus"), *self._prometheus())
        self._cluster.kubectl("create", "namespace", "monitoring")
        for name, port in (("alertmanager", ALERTMANAGER), ("prometheus", PROMETHEUS)):
            self._cluster.apply(*_service(f"{name}-operated", port))
        ready = ("curl", "-s", f"http://{HOST}:{ALERTMANAGER}/-/ready")
        self._await(lambda: bool(self._cluster.run("run", *ready, check=False)), "Alertmanager")

    def lose_database(self, *, lost: bool) -> None:
        """Lets the service's pods say that they reach the database, or do not."""
        (self._folder / "metrics").write_text(SERIES.format(up=int(not lost)), encoding="utf-8")

    def await_alert(self, *, firing: bool) -> None:
        """Waits until Alertmanager knows of the alert, or no longer does."""
        self._await(
            lambda: (ALERT in self._firing()) == firing, f"{ALERT} {'fires' if firing else 'ends'}"
        )

    def decide_about_alert(self, *, decided: bool) -> None:
        """Annotates the Rollout with the alert's name, or takes the annotation away."""
        word = f"{DESPITE}={ALERT}" if decided else f"{DESPITE}-"
        self._cluster.kubectl("annotate", "rollout", "gridos", "-n", "gridos", word)

    def restart_kube_state_metrics(self) -> None:
        """Ends it and starts it again, as a node that is drained would."""
        name = "kube-state-metrics"
        self._cluster.run("stop", name)
        listen = ["--host", HOST, "--port=8080", "--telemetry-host", HOST, "--telemetry-port=8081"]
        self._cluster.run("start", name, str(CACHE / name), f"--kubeconfig={KUBECONFIG}", *listen)

    def silence(self) -> None:
        """Silences the alert, as its runbook lets a person do."""
        command = [str(alertmanager.amtool()), "silence", "add", f"alertname={ALERT}"]
        command += ["--duration=1h", "--comment=drill", "--author=drill"]
        self._cluster.run("run", *command, f"--alertmanager.url=http://{HOST}:{ALERTMANAGER}")

    def release(self, at_half: Callable[[], None] = lambda: None) -> Ended:
        """Ships a release and waits for its end; `at_half` is done once it is at its 50 % step."""
        self._revision += 1
        patch = {"spec": {"template": {"metadata": {"annotations": {"r": str(self._revision)}}}}}
        self._cluster.kubectl(
            "patch", "rollout", "gridos", "-n", "gridos", "--type=merge", "-p", json.dumps(patch)
        )
        # The phase before may be that of a release that was aborted.
        self._await(self._noticed, "the controller sees the release")
        return self._follow(at_half)

    def retry(self) -> Ended:
        """Tries the release that was aborted again, as the runbook says, and waits for its end."""
        retry = ("retry", "rollout", "gridos", "-n", "gridos")
        self._cluster.run("run", "kubectl-argo-rollouts", *retry)
        self._await(lambda: self._phase()[0] != "Degraded", "the release begins again")
        return self._follow()

    def _follow(self, at_half: Callable[[], None] = lambda: None) -> Ended:
        began = time.monotonic()
        most, to_do = 0, [at_half]

        def ended() -> bool:
            nonlocal most
            most = max(most, self._status().get("updatedReplicas", 0))
            if to_do and self._at_half():
                to_do.pop()()
            return self._phase()[0] in ("Healthy", "Degraded")

        self._await(ended, "the release ends")
        phase, message = self._phase()
        return Ended(phase, message, most, time.monotonic() - began)

    def _at_half(self) -> bool:
        """Whether half of the pods are the release's, and Prometheus has seen one of them."""
        status = self._status()
        hash_ = status.get("currentPodHash")
        if hash_ == status.get("stableRS") or status.get("currentStepIndex", 0) < HALF:
            return False
        query = f'query=count(up{{rollouts_pod_template_hash="{hash_}"}})'
        url = f"http://{HOST}:{PROMETHEUS}/api/v1/query"
        said = self._cluster.run("run", "curl", "-sfG", url, "--data-urlencode", query)
        return bool(json.loads(said)["data"]["result"])

    def _rollout(self) -> dict[str, Any]:
        text = self._cluster.kubectl("get", "rollout", "gridos", "-n", "gridos", "-o", "json")
        rollout: dict[str, Any] = json.loads(text)
        return rollout

    def _noticed(self) -> bool:
        rollout = self._rollout()
        seen = rollout.get("status", {}).get("observedGeneration")
        return bool(seen == str(rollout["metadata"]["generation"]))

    def _status(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = self._rollout().get("status", {})
        return status

    def _phase(self) -> tuple[str, str]:
        status = self._status()
        return str(status.get("phase", "")), str(status.get("message", ""))

    def _blocking(self) -> list[str]:
        return self._firing("&filter=blocks_release%3D%22true%22")

    def _firing(self, chosen: str = "") -> list[str]:
        """The alerts that Alertmanager knows of and nobody has silenced."""
        url = f"http://{HOST}:{ALERTMANAGER}/api/v2/alerts?active=true{chosen}"
        found = json.loads(self._cluster.run("run", "curl", "-sf", url))
        return [alert["labels"]["alertname"] for alert in found]

    def _await(
        self, condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        if not wait_until(condition, timeout_s, every_s=1.0):
            raise MachineError(f"not within {timeout_s:g} s: {what}; {self._explained()}")

    def _explained(self) -> str:
        """For whoever asks why it stands still."""
        return f"{self._phase()}; measurements: {self._measured()}"

    def _measured(self) -> list[str]:
        """What the analyses of the newest release found."""
        text = self._cluster.kubectl("get", "analysisruns", "-n", "gridos", "-o", "json")
        return [
            f"{result['name']} {one.get('phase')}: {one.get('value', one.get('message', ''))}"
            for run in json.loads(text)["items"][-2:]
            for result in run.get("status", {}).get("metricResults", [])
            for one in result.get("measurements", [])[-2:]
        ]

    def _alertmanager(self) -> list[str]:
        """The shipped routes; nobody is told."""
        told = yaml.safe_load((ROOT / "observability/alertmanager/alertmanager.yaml").read_text())
        told = {"route": told["route"], "inhibit_rules": told["inhibit_rules"]} | {
            "receivers": [{"name": receiver["name"]} for receiver in told["receivers"]]
        }
        file = self._folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(told), encoding="utf-8")
        listen = [f"--web.listen-address={HOST}:{ALERTMANAGER}", "--cluster.listen-address="]
        return [f"--config.file={file}", f"--storage.path={self._folder / 'am'}", *listen]

    def _prometheus(self) -> list[str]:
        """The shipped rules, quickened."""
        groups = rules.scaled(rules.read(ROOT / "observability/rules"), FACTOR, MIN_S)
        (self._folder / "rules.yaml").write_text(
            yaml.safe_dump(rules.document(rules.ordered(groups))), encoding="utf-8"
        )
        text = Template(SCRAPING.read_text("utf-8")).substitute(
            folder=self._folder,
            host=HOST,
            exporter=f"127.0.0.1:{EXPORTER}",
            alertmanager=f"{HOST}:{ALERTMANAGER}",
        )
        pods = pods_scrape(kubeconfig_file=str(KUBECONFIG)) | {"scrape_interval": "1s"}
        body = yaml.safe_load(text)
        body["scrape_configs"].append(pods)
        file = self._folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(body), encoding="utf-8")
        return [
            f"--config.file={file}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={HOST}:{PROMETHEUS}",
            "--rules.alert.resend-delay=5s",
        ]


def production(image: str) -> Iterator[dict[str, Any]]:
    """Production's own objects, as this cluster can run them."""
    for found in objects.read(ROOT / OVERLAY):
        body = copy.deepcopy(dict(found))
        if body["metadata"]["name"] in ASKED:
            for metric in body["spec"]["metrics"]:
                metric["interval"] = "2s"
        if body["kind"] == "Rollout":
            _simplify(body["spec"], image)
        yield body


def _service(name: str, port: int) -> Iterator[dict[str, Any]]:
    """A name of the cluster for what listens on the node."""
    ports, of = [{"port": port}], {"kubernetes.io/service-name": name}
    yield thing("v1", "Service", name, "monitoring", spec={"ports": ports})
    slice_ = thing("discovery.k8s.io/v1", "EndpointSlice", name, "monitoring", of, ports=ports)
    there = {"addresses": [HOST], "conditions": {"ready": True}}
    yield slice_ | {"addressType": "IPv4", "endpoints": [there]}


# In the simplified release: what is asked first, then 50 % and a pause.
HALF = 2
# The templates that ask about alerts; the others are the gates.
ASKED = ("release-may-start", "blocking-alerts")
PAUSE = "gridos.local/pause:1"


def _simplify(spec: dict[str, Any], image: str) -> None:
    """Pods that pause, and the steps without the gates: what is asked of alerts stays as it is."""
    canary = spec["strategy"]["canary"]
    first = canary["steps"][0]
    assert first["analysis"]["templates"] == [{"templateName": "release-may-start"}]
    canary["steps"] = [first, {"setWeight": 50}, {"pause": {"duration": f"{PAUSE_S}s"}}]
    background = canary["analysis"]
    # Before the canary has a pod: earlier than production's, whose pods were scraped for minutes.
    background["startingStep"] = 1
    background["templates"] = [{"templateName": "blocking-alerts"}]
    background["args"] = [a for a in background["args"] if a["name"] in ("canary-hash", "despite")]
    spec["replicas"] = 2
    spec.pop("minReadySeconds", None)
    pod = spec["template"]["spec"]
    pod["volumes"] = []
    pod["topologySpreadConstraints"] = []
    pod["terminationGracePeriodSeconds"] = 1
    (container,) = pod["containers"]
    kept = {name: container[name] for name in ("name", "ports", "resources", "securityContext")}
    pause = {"image": image, "imagePullPolicy": "Never"}
    pod["containers"] = [kept | pause]
