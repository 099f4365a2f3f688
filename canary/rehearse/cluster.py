"""The cluster ground: the release on a real Kubernetes, walked by its own controllers.

Applies the overlay to a kube context, ships the candidate as one change of the pod template, and
only watches: Rollout, ReplicaSets and AnalysisRuns are read once a second and told as the local
ground tells its own. Users are the same Locust, sent through the overlay's own gateway.
"""

from __future__ import annotations

import copy
import json
import secrets
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from canary.argo.manifests import Bundle
from canary.argo.model import Pause, Rollout
from canary.errors import MachineError, UsageError
from canary.rehearse import cluster_state, rates, time_compression
from canary.rehearse.config import Config
from canary.rehearse.load import Load
from canary.rehearse.target import Event, Observation, Release
from canary.runtime import processes
from canary.runtime.gateway import Counts
from canary.runtime.kubectl import Kubectl, Watch
from canary.runtime.waiting import wait_until

OBSERVE_S = 1.0
READY_TIMEOUT_S = 300.0
AWAIT_S = 120
STEADY_TIMEOUT_S = 90.0
# The Secret that the overlay mounts, and the variable that makes every release one of its own.
SECRET, KEY = "gridos", "api-keys"
RELEASE_VARIABLE = "GRIDOS_RELEASE"
GATEWAY, ADMIN_PORT = "gateway", 9901


@dataclass(frozen=True)
class Shipping:
    """How the candidate differs, and where users enter.

    `image` is the candidate's, if it is not the overlay's own; `url` the gateway's address, or
    nothing for a port-forward.
    """

    rate: float
    faults: tuple[str, ...] = ()
    time_scale: float = 1.0
    image: str = ""
    url: str = ""
    without_traffic: bool = False


@dataclass
class ClusterGround:
    """One rehearsal on the cluster of a kube context."""

    kubectl: Kubectl
    bundle: Bundle
    config: Config
    rollout: Rollout
    traffic_file: Path
    locustfile: Path
    shipping: Shipping
    folder: Path
    name: str = field(init=False)
    observe_s: float = OBSERVE_S
    release: Release = field(init=False, default_factory=lambda: Release("", ""))
    _stack: ExitStack = field(default_factory=ExitStack)
    _torn_down: list[str] = field(default_factory=list)
    _zero: float = field(default_factory=time.monotonic)
    _released: bool = False
    _events: list[Event] = field(default_factory=list)
    _counts: dict[str, Counts] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    _admin: str = ""
    _load: Load | None = None
    _watch: Watch | None = None

    def __post_init__(self) -> None:
        self.name = f"cluster {self.kubectl.context}"

    # ------------------------------------------------------------------ the ground's interface

    def prepare(self) -> Iterator[Observation]:
        """Applies the overlay, waits until it is stable, and loads it until it is steady."""
        self._watch = Watch(self.kubectl, self.folder / "kubectl-proxy.log")
        self._stack.callback(self._watch.close)
        self._apply()
        yield from self._until_stable()
        hash_ = str(self._rollout()["status"]["stableRS"])
        self.release = Release(hash_, "")
        url = self.shipping.url or self._forward("http")
        self._admin = self._forward("admin")
        if not self.shipping.without_traffic:
            self._load = self._start_load(url)
            yield from self._until_steady(self._load)

    def rehearse(self) -> Iterator[Observation]:
        """Ships the candidate and follows the controller until the release has settled."""
        self._zero = time.monotonic()
        self._ship()
        self._released = True
        observation = self._observe()
        while not observation.settled:
            yield observation
            time.sleep(OBSERVE_S)
            observation = self._observe()
        yield observation

    def tear_down(self) -> tuple[str, ...]:
        """Takes a release that was not promoted back, and ends what was started here."""
        self._stack.close()
        return tuple(self._torn_down)

    # --------------------------------------------------------------------------------- starting

    @property
    def _namespace(self) -> str:
        return self.rollout.namespace

    def _rollout(self) -> Mapping[str, Any]:
        return self._watching.one(self._namespace, "rollouts", self.rollout.name)

    @property
    def _watching(self) -> Watch:
        assert self._watch is not None  # noqa: S101 — `prepare` comes first
        return self._watch

    def _apply(self) -> None:
        """Applies the manifests as they are; Jobs cannot be changed, so they are made anew."""
        rendered = [copy.deepcopy(found.body) for found in self.bundle.documents]
        time_compression.shorten(rendered, self.shipping.time_scale)
        spaces = [body for body in rendered if body["kind"] == "Namespace"]
        self.kubectl.apply(yaml.safe_dump_all(spaces))
        self._ensure_secret()
        for job in (body for body in rendered if body["kind"] == "Job"):
            name = job["metadata"]["name"]
            self.kubectl.run("delete", "job", name, "-n", self._namespace, "--ignore-not-found")
        self._documents = yaml.safe_dump_all(rendered)
        self.kubectl.apply(self._documents)
        for thing in rendered:
            self._await(thing["kind"], thing["metadata"])

    def _await(self, kind: str, metadata: Mapping[str, Any]) -> None:
        """Waits for what the release stands on; the Rollout itself is followed by `prepare`."""
        where = ["-n", metadata.get("namespace", self._namespace), f"--timeout={AWAIT_S}s"]
        if kind == "Deployment":
            self.kubectl.run("rollout", "status", f"deployment/{metadata['name']}", *where)
        if kind == "Job":
            self.kubectl.run("wait", "--for=condition=complete", f"job/{metadata['name']}", *where)

    def _ensure_secret(self) -> None:
        """Makes the Secret that the overlay mounts, unless somebody has."""
        kinds = self.kubectl.get(self._namespace, ["secrets"])
        if any(secret["metadata"]["name"] == SECRET for secret in kinds):
            return
        values = {KEY: secrets.token_urlsafe(24)}
        values["database-url"] = "postgresql://gridos@postgresql/gridos"
        metadata = {"name": SECRET, "namespace": self._namespace}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
        self.kubectl.apply(json.dumps(body))

    def _until_stable(self) -> Iterator[Observation]:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not cluster_state.stable(self._rollout(), self.rollout.replicas):
            if time.monotonic() > deadline:
                raise MachineError(
                    f"the stable release is not ready after {READY_TIMEOUT_S:.0f} s: "
                    f"{self._rollout().get('status', {}).get('message', '')}",
                    f"look at: kubectl get pods -n {self._namespace}",
                )
            yield self._observe()
            time.sleep(OBSERVE_S)

    def _forward(self, port: str) -> str:
        """Forwards a local port to the gateway's Service for as long as the rehearsal lasts."""
        local = processes.free_port()
        command = self.kubectl.command(
            "port-forward", "-n", self._namespace, f"svc/{GATEWAY}", f"{local}:{port}"
        )
        log = self.folder / f"port-forward-{port}.log"
        child = processes.start(f"port-forward-{port}", command, log)
        self._stack.callback(self._torn_down.append, f"port-forward {port}")
        self._stack.callback(child.stop, 2)
        if not wait_until(lambda: not processes.port_is_free(local), timeout_s=20):
            raise MachineError(f"no port-forward to {GATEWAY}: {child.tail()}", "name it by --url")
        return f"http://127.0.0.1:{local}"

    def _start_load(self, url: str) -> Load:
        secret = self.kubectl.one(self._namespace, "secret", SECRET)["data"]
        load = Load(
            folder=self.folder / "load",
            locustfile=self.locustfile,
            config=self.traffic_file,
            traffic=self.config.traffic,
            rate=self.shipping.rate,
            values=cluster_state.secret_values(secret, self.config.secrets, KEY),
        )
        self._stack.callback(self._torn_down.append, "locust")
        self._stack.callback(load.stop)
        load.start(url)
        return load

    def _until_steady(self, load: Load) -> Iterator[Observation]:
        deadline = time.monotonic() + STEADY_TIMEOUT_S
        while not rates.steady(load.seconds, load.rate):
            yield self._observe()
            if any(second.refused for second in load.seconds):
                raise UsageError(
                    "the load's requests are refused (4xx)", "correct `requests` in rehearsal.yaml"
                )
            if time.monotonic() > deadline:
                raise rates.not_carried(load.rate, load.seconds)
            time.sleep(OBSERVE_S)

    def _ship(self) -> None:
        """One change of the pod template: a name of its own, the faults, and the image."""
        variables = {RELEASE_VARIABLE: self.folder.name}
        if self.shipping.faults:
            variables[self.config.faults.variable] = ",".join(self.shipping.faults)
        place = "/spec/template/spec/containers/0"
        known = {RELEASE_VARIABLE, self.config.faults.variable}
        container = self._rollout()["spec"]["template"]["spec"]["containers"][0]
        kept = [entry for entry in container.get("env", []) if entry["name"] not in known]
        fresh = [{"name": name, "value": value} for name, value in variables.items()]
        operations = [{"op": "add", "path": f"{place}/env", "value": [*kept, *fresh]}]
        if self.shipping.image:
            operations.append({"op": "add", "path": f"{place}/image", "value": self.shipping.image})
        self.kubectl.patch(self._namespace, "rollout", self.rollout.name, operations)
        self._stack.callback(self._take_back)
        words = ", ".join(self.shipping.faults) or "no faults"
        self._events.append(Event(0.0, "release", f"{self.rollout.name} changed ({words})"))

    def _take_back(self) -> None:
        """Puts the overlay back unless the candidate was promoted: git would say the same."""
        status = self._rollout()["status"]
        if status.get("stableRS") == status.get("currentPodHash") and not status.get("abort"):
            return
        self.kubectl.apply(self._documents)
        self._torn_down.append("candidate")

    # -------------------------------------------------------------------------------- observing

    def _observe(self) -> Observation:
        kinds = ["rollouts", "replicasets", "analysisruns", "pods"]
        state = cluster_state.State(self._watching.get(self._namespace, kinds), self.rollout.name)
        now = time.monotonic() - self._zero
        if self._released and not self.release.latest_hash:
            latest = state.latest_hash
            if latest != self.release.stable_hash:
                self.release = Release(self.release.stable_hash, latest)
        self._hashes.update(state.addresses)
        self._count()
        events, self._events = tuple(self._events), []
        seen = cluster_state.observe(
            state,
            self.rollout,
            self.release,
            now,
            traffic={h: self._traffic(h) for h in ("stable", "canary")},
            seconds=tuple(self._load.read()) if self._load else (),
            events=events,
        )
        return replace(seen, rate=self._load.rate if self._load else 0.0)

    def _count(self) -> None:
        """What the gateway counted, by pod address; a pod that is gone keeps its last count."""
        if not self._admin:
            return
        try:
            with urllib.request.urlopen(f"{self._admin}/clusters?format=json", timeout=5) as answer:
                clusters = json.load(answer).get("cluster_statuses", [])
        except OSError:
            return
        for host in (h for cluster in clusters for h in cluster.get("host_statuses", [])):
            address = host["address"]["socket_address"]["address"]
            stats = {s["name"]: int(s.get("value", 0)) for s in host.get("stats", [])}
            counts = Counts(stats.get("rq_total", 0), stats.get("rq_error", 0))
            if counts.requests >= self._counts.get(address, Counts()).requests:
                self._counts[address] = counts

    def _traffic(self, side: str) -> Counts:
        latest = self.release.latest_hash
        mine = [
            counts
            for address, counts in self._counts.items()
            if (self._hashes.get(address) == latest and bool(latest)) is (side == "canary")
        ]
        return Counts(sum(c.requests for c in mine), sum(c.failed for c in mine))


def refuse_manual_pauses(rollout: Rollout) -> None:
    """Nobody resumes a pause here.

    Raises:
        UsageError: if a step waits for a person.
    """
    waits = [index for index, step in enumerate(rollout.steps) if step == Pause(None)]
    if waits:
        raise UsageError(
            f"step {waits[0]} pauses until a person resumes it", "give the pause a duration"
        )
