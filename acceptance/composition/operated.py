"""The Prometheus operator on a real API server without nodes, and a Prometheus on what it makes.

The operator reads the chart's objects with our values (from the contracts), the shipped PodMonitor,
Probe and PrometheusRules, and Alertmanager's configuration. Of Services, a node and a pod there are
the objects alone, with addresses that nobody answers: what is asked is which targets Prometheus
finds, and under which labels.

Left out: the pods that the operator asks for, and the programs in them.
"""

import base64
import gzip
import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acceptance.apiserver import ApiServer, find
from acceptance.calling import quietly
from acceptance.client import ask
from acceptance.cluster import ROOT, pods_scrape
from acceptance.composition.composed import Composed, Target
from acceptance.composition.contract import Contract
from acceptance.things import thing
from canary.errors import MachineError
from canary.runtime import processes
from canary.runtime.waiting import wait_until
from policies import objects

STACK = "kube-prometheus-stack"
MODULE = "github.com/prometheus-operator/prometheus-operator"
OVERLAY = "deploy/overlays/production"
# Ours that the operator reads, or that its monitors find.
KINDS = ("PodMonitor", "Probe", "Ingress")
HASH = "6d4f9c7b5d"
TIMEOUT_S = 120.0
# Of documentation: nobody has them.
ADDRESS, NODE_ADDRESS = "192.0.2.10", "192.0.2.20"


@dataclass(frozen=True)
class Found:
    """A target that Prometheus found."""

    pool: str
    url: str
    labels: Mapping[str, str]


CONFIG = "prometheus.yaml.gz"


class Operated:
    """A server with all that the operator reads, the operator, and Prometheus."""

    def __init__(self, server: ApiServer, folder: Path, contracts: Mapping[str, Contract]) -> None:
        self._server = server
        self._folder = folder
        self._contracts = contracts
        self._port = processes.free_port()
        self._children: list[processes.Child] = []

    def bring_up(self) -> None:
        """Makes the objects, and waits until the operator has made a job of each monitor."""
        program = _program()
        composed = Composed(self._contracts)
        ours = [t for t in objects.read(ROOT / OVERLAY) if t["kind"] in KINDS]
        self._server.apply_files(_kinds(self._contracts[STACK]))
        served = ("wait", "--for=condition=established", "crd", "--all", "--timeout=50s")
        self._server.run(*served).check_returncode()
        names = {service.namespace for service in composed.services} | {"gridos"}
        self._server.apply(*(thing("v1", "Namespace", n) for n in sorted(names - {"default"})))
        # The API server's own, and those that a contract adds to its chart's.
        made = {"default/kubernetes", f"kube-system/{STACK}-kubelet"}
        made |= {f"monitoring/{name}-operated" for name in ("prometheus", "alertmanager")}
        for service in composed.services:
            if f"{service.namespace}/{service.name}" not in made:
                self._server.apply(*_service(service))
        node = thing("v1", "Node", "node")
        rules = objects.of(objects.read(ROOT / "observability"), "PrometheusRule")
        routes = objects.read(ROOT / "observability/alertmanager")
        self._server.apply(node, _pod(), self._certificate(), *ours, *rules, *routes)
        running = {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
        self._server.set_status("pod", "gridos-a", running, "gridos")
        address = {"type": "InternalIP", "address": NODE_ADDRESS}
        ready = {"addresses": [address], "conditions": [{"type": "Ready", "status": "True"}]}
        self._server.set_status("node", "node", ready, "default")
        self._server.apply(*(t for made in self._contracts.values() for t in made.operated))
        self._start("prometheus-operator", [program, *self._operator()])
        self._await(lambda: self._monitored() <= self._jobs(), "each monitor has become a job")

    def scrape(self) -> None:
        """Starts Prometheus on the configuration that the operator made, and on its rules.

        Beside it are the same pods as the local overlay's finds them: what rehearsals on a cluster
        see.
        """
        folder = self._folder / "rules"
        folder.mkdir()
        for name, text in self.rule_files().items():
            (folder / name).write_text(text, encoding="utf-8")
        body = self.configuration() | {"rule_files": [f"{folder}/*.yaml"]}
        body["scrape_configs"] = [*body["scrape_configs"], pods_scrape()]
        for job in [*body["scrape_configs"], *body["alerting"]["alertmanagers"]]:
            self._outside(job)
        file = self._folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(body), encoding="utf-8")
        command = [str(find("prometheus")), f"--config.file={file}"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}"]
        self._start("prometheus", [*command, f"--web.listen-address=127.0.0.1:{self._port}"])
        self._await(lambda: self._asked("alertmanagers")["activeAlertmanagers"], "Alertmanager")
        jobs = {job["job_name"] for job in body["scrape_configs"]}
        self._await(lambda: jobs <= {one.pool for one in self.found()}, "each job has a target")

    def types(self, command: str) -> str:
        """What kubectl says to a command of a runbook.

        Raises:
            MachineError: if it fails, with its own words.
        """
        environment = processes.inherited(KUBECONFIG=str(self._server.kubeconfig))
        done = quietly("bash", "-c", command, env=environment)
        if done.returncode != 0:
            raise MachineError(f"{command}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        """Ends the programs."""
        for child in reversed(self._children):
            child.stop(grace_s=10)

    def configuration(self) -> dict[str, Any]:
        """Prometheus's, as the operator made it."""
        text = self.secret(f"prometheus-{self._name('Prometheus')}", CONFIG)
        # The reloader beside the one Prometheus there is fills this in.
        body: dict[str, Any] = yaml.safe_load(text.replace("$(SHARD)", "0")) or {}
        return body

    def routes(self) -> tuple[str, list[str]]:
        """Alertmanager's configuration as the operator made it, and the files beside it."""
        name = f"alertmanager-{self._name('Alertmanager')}-generated"
        return self.secret(name, "alertmanager.yaml.gz"), sorted(self._made("secret", name)["data"])

    def rule_files(self) -> dict[str, str]:
        """The files of rules that the operator made."""
        label = f"--selector=prometheus-name={self._name('Prometheus')}"
        found = self._server.get("configmaps", "--namespace=monitoring", label)
        assert found is not None
        return {name: text for one in found["items"] for name, text in one["data"].items()}

    def service(self, namespace: str, name: str) -> dict[str, Any]:
        """A Service that the operator made."""
        return self._made("service", name, namespace)

    def template(self, kind: str) -> dict[str, Any]:
        """The pods that the operator wants of a Prometheus or an Alertmanager."""
        made = self._made("statefulset", f"{kind.lower()}-{self._name(kind)}")
        template: dict[str, Any] = made["spec"]["template"]
        return template

    def secret(self, name: str, key: str) -> str:
        """One packed text of a Secret; empty as long as it is not there."""
        found = self._server.get("secret", name, "--namespace=monitoring")
        packed = (found or {}).get("data", {}).get(key)
        return gzip.decompress(base64.b64decode(packed)).decode() if packed else ""

    def found(self) -> list[Found]:
        """Every target that Prometheus finds."""
        return [
            Found(one["scrapePool"], one["scrapeUrl"], one["labels"])
            for one in self._asked("targets?state=active")["activeTargets"]
        ]

    def targets(self) -> set[Target]:
        """Those of ServiceMonitors, in the words of the contracts."""
        jobs = {job["job_name"]: job for job in self.configuration()["scrape_configs"]}
        return {
            Target(
                job=one.labels["job"],
                namespace=one.labels["namespace"],
                port=one.labels["endpoint"],
                path=urllib.parse.urlsplit(one.url).path,
                honor_labels=jobs[one.pool]["honor_labels"],
                monitor=one.pool.split("/")[2],
                drops=tuple(
                    rule["regex"]
                    for rule in jobs[one.pool].get("metric_relabel_configs", [])
                    if rule["action"] == "drop" and rule["source_labels"] == ["__name__"]
                ),
            )
            for one in self.found()
            if one.pool.startswith("serviceMonitor/")
        }

    def evaluated(self) -> set[str]:
        """The names of the rules that Prometheus has taken in."""
        groups = self._asked("rules")["groups"]
        return {rule["name"] for group in groups for rule in group["rules"]}

    # ----------------------------------------------------------------------------------- details

    def _made(self, kind: str, name: str, namespace: str = "monitoring") -> dict[str, Any]:
        found = self._server.get(kind, name, f"--namespace={namespace}")
        assert found is not None, f"the operator makes no {kind} {name}"
        return found

    def _monitored(self) -> set[str]:
        """The jobs that the operator makes of monitors: theirs by their endpoints, and ours."""
        return {"podMonitor/gridos/gridos/0", "probe/gridos/gridos"} | {
            f"serviceMonitor/{named['namespace']}/{named['name']}/{number}"
            for monitor in Composed(self._contracts).monitors
            for named in (monitor["metadata"],)
            for number, _ in enumerate(monitor["spec"]["endpoints"])
        }

    def _jobs(self) -> set[str]:
        jobs = self.configuration().get("scrape_configs") or []
        return {job["job_name"] for job in jobs}

    def _name(self, kind: str) -> str:
        (found,) = (t for t in self._contracts[STACK].operated if t["kind"] == kind)
        return str(found["metadata"]["name"])

    def _operator(self) -> list[str]:
        """As the chart starts it, as far as what it makes depends on it."""
        kubelet = ["--kubelet-service=kube-system/" + f"{STACK}-kubelet"]
        kubelet += ["--kubelet-endpoints=true", "--kubelet-endpointslice=false"]
        listen = f"--web.listen-address=127.0.0.1:{processes.free_port()}"
        return [listen, *kubelet, "--kubelet-sync-period=5s"]

    def _certificate(self) -> Mapping[str, Any]:
        """What a Job of the chart makes; without it the operator refuses the monitor of itself."""
        text = (self._server.kubeconfig.parent / "apiserver.crt").read_text(encoding="utf-8")
        return thing("v1", "Secret", f"{STACK}-admission", "monitoring", stringData={"ca": text})

    def _outside(self, job: dict[str, Any]) -> None:
        """Lets a job find its targets from outside of a pod; none of them is asked by name."""
        for found in job.get("kubernetes_sd_configs", []):
            found["kubeconfig_file"] = str(self._server.kubeconfig)
        for files in ("tls_config", "authorization", "bearer_token_file"):
            job.pop(files, None)

    def _asked(self, path: str) -> Any:
        answer = ask(f"http://127.0.0.1:{self._port}/api/v1/{path}")
        if answer.status != 200:
            return {"activeAlertmanagers": [], "activeTargets": []}
        return json.loads(answer.text)["data"]

    def _start(self, name: str, command: Sequence[str]) -> None:
        environment = processes.inherited(KUBECONFIG=str(self._server.kubeconfig))
        log = self._folder / f"{name}.log"
        self._children.append(processes.start(name, command, log, environment))

    def _await(self, condition: Callable[[], object], what: str) -> None:
        if not wait_until(lambda: bool(condition()), TIMEOUT_S, every_s=0.5):
            said = {child.name: child.tail() for child in self._children}
            raise MachineError(f"not within {TIMEOUT_S:g} s: {what}; {said}")


def _program() -> str:
    done = quietly(ROOT / "ci/tool", "prometheus-operator")
    if done.returncode != 0:
        raise MachineError(f"no prometheus-operator: {done.stderr.strip()}")
    return done.stdout.strip()


def _kinds(stack: Contract) -> Path:
    """The operator's own CustomResourceDefinitions, from its module."""
    (image,) = (i for i in stack.images if "/prometheus-operator:" in i)
    module = f"{MODULE}@{image.rpartition(':')[2]}"
    done = quietly("go", "mod", "download", "-json", module)
    if done.returncode != 0:
        raise MachineError(
            f"{module} cannot be downloaded: {done.stderr.strip()}", "is Go's proxy reachable?"
        )
    return Path(json.loads(done.stdout)["Dir"]) / "example/prometheus-operator-crd"


def _service(service: Any) -> Iterator[Mapping[str, Any]]:
    """A Service that selects nothing, and an address behind each of its ports."""
    named = (service.name, service.namespace, service.labels)
    ports = [{"name": name, "port": port} for name, port in service.ports.items()]
    yield thing("v1", "Service", *named, spec={"ports": ports})
    subsets = [{"addresses": [{"ip": ADDRESS}], "ports": ports}]
    yield thing("v1", "Endpoints", *named, subsets=subsets)


def _pod() -> Mapping[str, Any]:
    """A pod of production's Rollout, as Argo Rollouts labels it."""
    (rollout,) = objects.of(objects.read(ROOT / OVERLAY), "Rollout")
    template = rollout["spec"]["template"]
    labels = {**template["metadata"]["labels"], "rollouts-pod-template-hash": HASH}
    (container,) = template["spec"]["containers"]
    kept = {name: container[name] for name in ("name", "image", "ports")}
    spec = {"containers": [kept], "nodeName": "node"}
    return thing("v1", "Pod", "gridos-a", "gridos", labels, spec=spec)
