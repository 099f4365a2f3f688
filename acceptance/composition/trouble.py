"""The service in trouble on a real cluster, for the commands by which a runbook has it looked at.

The local overlay's service and database run from the shipped image; then the database is taken
away. Beside them a pod with a wrong setting ends again and again, an Alertmanager under the name of
production's cannot deliver, and a prober cannot resolve the public address. There is no Prometheus,
no gateway and no Argo CD.
"""

import copy
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from acceptance.cluster import ROOT, Cluster
from acceptance.composition.person import Person
from acceptance.things import thing
from canary.errors import MachineError
from canary.runtime.waiting import wait_until
from policies import objects

OVERLAY = ROOT / "deploy/overlays/local"
# Of the overlay's: who keeps to two pods, and who needs an image more.
LEFT_OUT = ("HorizontalPodAutoscaler/gridos", "Deployment/gateway")
DATABASE = "docker.io/library/postgres:17"
MONITORING = Path(__file__).with_name("monitoring.yaml")
ALERTMANAGER = "alertmanager-kube-prometheus-stack-alertmanager-0"
ENDING = "gridos-ending"
TIMEOUT_S = 180.0

_READ = yaml.safe_load(Path(__file__).with_name("trouble.yaml").read_text("utf-8"))
SAYS: Mapping[str, str] = _READ["says"]
FORWARDED: Mapping[str, str] = _READ["forwarded"]
# Nobody has it.
HOST = "gridos.invalid"


class Trouble:
    """The cluster, the service on it, and a person."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._person = Person(cluster, folder)

    def begin(self) -> None:
        """Brings the service up, and then all of the trouble."""
        self._cluster.fake(DATABASE, "postgres")
        for name in ("alertmanager", "blackbox-exporter"):
            self._cluster.fake(f"localhost/{name}:drill", name)
        self._cluster.run("image", "gridos:dev", str(ROOT))
        self._serve()
        self._cluster.apply(_ending(), *yaml.safe_load_all(MONITORING.read_text("utf-8")))
        self._cluster.kubectl("scale", "deployment", "postgresql", "-n", "gridos", "--replicas=0")
        self._await(self._refuses, "requests are refused")
        self._await(lambda: self._restarts(ENDING) > 0, f"{ENDING} was started again")
        self._await(self._undelivered, "Alertmanager tries to deliver an alert")

    def said(self) -> Iterator[tuple[str, str]]:
        """Each command with what it says; the first pod is asked, or the one that ends."""
        pod = self._pods()[0]["metadata"]["name"]
        for command, url in FORWARDED.items():
            words = command.replace("POD", pod).split()
            self._cluster.run("start", f"forward-{words[-1]}", *words)
            self._await(partial(self._person.can, f"curl -s {url}"), command)
        for command in SAYS:
            asked = ENDING if "--previous" in command else pod
            yield command, self._person.types(command, POD=asked, HOST=HOST)

    # ----------------------------------------------------------------------------------- details

    def _serve(self) -> None:
        """The service with its database, migrated and ready."""
        self._cluster.apply(*_service())
        migrated = ("--for=condition=complete", "job/gridos-migrate", "-n", "gridos")
        self._cluster.kubectl("wait", *migrated, f"--timeout={TIMEOUT_S:.0f}s")
        self._await(lambda: len(self._pods()) > 1, "two pods are ready")

    def _pods(self) -> list[dict[str, Any]]:
        """The service's that are ready."""
        named = ("pods", "-n", "gridos", "-l", "app.kubernetes.io/name=gridos", "-o", "json")
        found = json.loads(self._cluster.kubectl("get", *named))["items"]
        return [
            pod
            for pod in found
            if any(status["ready"] for status in pod["status"].get("containerStatuses", []))
        ]

    def _refuses(self) -> bool:
        """Whether each pod answers 503."""
        asked = [f"http://{pod['status']['podIP']}:8000/v1/feeders" for pod in self._pods()]
        said = [
            self._cluster.run("run", "curl", "-s", "-w", "\n%{http_code}", url) for url in asked
        ]
        return bool(said) and all(text.endswith("\n503") for text in said)

    def _restarts(self, pod: str) -> int:
        where = "jsonpath={.status.containerStatuses[*].restartCount}"
        return int(self._cluster.kubectl("get", "pod", pod, "-n", "gridos", "-o", where) or 0)

    def _undelivered(self) -> bool:
        """Whether Alertmanager has been told of an alert, and has a failure to log."""
        amtool = ("amtool", "alert", "add", "alertname=Drill")
        there = ("exec", "-n", "monitoring", ALERTMANAGER, "--")
        told = ("kubectl", *there, *amtool, "--alertmanager.url=http://localhost:9093")
        self._cluster.run("run", *told, check=False)
        logs = ("logs", "-n", "monitoring", ALERTMANAGER)
        return "failed" in self._cluster.run("run", "kubectl", *logs, check=False)

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        if not wait_until(condition, TIMEOUT_S, every_s=1.0):
            pods = self._cluster.kubectl("get", "pods", "-A")
            raise MachineError(f"not within {TIMEOUT_S:g} s: {what}; {pods}")


def _service() -> Iterator[dict[str, Any]]:
    """What the overlay has in the service's namespace, and the Secret of docs/install.md."""
    given = {
        "database-url": "postgresql://gridos@postgresql/gridos",
        "api-keys": secrets.token_hex(16),
    }
    yield thing("v1", "Namespace", "monitoring")
    for found in objects.read(OVERLAY):
        body = copy.deepcopy(dict(found))
        kind, about = body["kind"], body["metadata"]
        if kind == "Rollout":
            body["spec"]["replicas"] = 2
        if f"{kind}/{about['name']}" == "Namespace/gridos":
            yield body
            yield thing("v1", "Secret", "gridos", "gridos", stringData=given)
        elif about.get("namespace") == "gridos" and f"{kind}/{about['name']}" not in LEFT_OUT:
            yield body


def _ending() -> dict[str, Any]:
    """A pod of the Rollout's template that no Service and no Rollout selects."""
    (rollout,) = objects.of(objects.read(OVERLAY), "Rollout")
    spec = copy.deepcopy(rollout["spec"]["template"]["spec"])
    spec["containers"][0]["env"].append({"name": "GRIDOS_MANAGEMENT_PORT", "value": "none"})
    spec["topologySpreadConstraints"] = []
    return thing("v1", "Pod", ENDING, "gridos", spec=spec)
