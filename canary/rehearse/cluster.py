"""The cluster target: the release on a real Kubernetes, taken through by its own controllers.

Applies the overlay to a kube context, ships the candidate as one change of the pod template, and
only watches: Rollout, ReplicaSets and AnalysisRuns are read once a second and told as the local
target tells its own. Users are the same Locust, sent through the overlay's own gateway. Its
requests and logs the cluster keeps itself.
"""

import copy
import json
import secrets
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from canary.argo import controller, events
from canary.argo.events import Kind
from canary.argo.model import AnalysisRun, Hashes
from canary.errors import MachineError, UsageError
from canary.rehearse import cluster_state, rates, time_compression
from canary.rehearse.config import SECRET
from canary.rehearse.load import Load
from canary.rehearse.plan import Plan
from canary.rehearse.target import Event, Observation, Target
from canary.runtime import processes
from canary.runtime.gateway import Counts, endpoints
from canary.runtime.kubectl import Kubectl, Watch
from canary.runtime.waiting import wait_until

OBSERVE_S = 1.0
READY_TIMEOUT_S = 300.0
AWAIT_S = 120
STEADY_TIMEOUT_S = 90.0
RELEASED_TIMEOUT_S = 60.0


class ClusterTarget(Target):
    """One rehearsal on the cluster of a kube context."""

    observe_s = OBSERVE_S
    not_scaled = (
        *time_compression.NOT_SCALED,
        "how often the cluster's Prometheus scrapes: a gate that compares scrapes of canary and "
        "stable may blame a release for what both suffer, which --time-scale 1 rules out",
    )

    def __init__(self, kubectl: Kubectl, plan: Plan, folder: Path) -> None:
        if plan.config.cluster is None:
            raise UsageError("rehearsal.yaml has no `cluster`", "add it")
        if plan.events:
            raise UsageError("events are not carried out on a cluster", "leave `events` out")
        super().__init__(plan.scaled)
        self.name = f"cluster {kubectl.context}"
        # What an act changes is the Rollout itself.
        self.shared = f"the Rollout {plan.scaled.name} in {plan.scaled.namespace} on {self.name}"
        self.plan, self.hashes = plan, Hashes("", "")
        self._kubectl, self._folder, self._cluster = kubectl, folder, plan.config.cluster
        own = (found for found in plan.bundle.documents if found not in plan.bundle.elsewhere)
        self._manifests = [copy.deepcopy(found.body) for found in own]
        choices = plan.choices
        time_compression.shorten(self._manifests, choices.time_scale, choices.promote_s)
        self._zero = time.monotonic()
        self._released = False
        self._events: list[Event] = []
        self._counts: Mapping[str, Counts] = {}
        self._read: Mapping[str, Counts] = {}
        self._hash_of: dict[str, str] = {}
        self._admin = ""
        self._runs: dict[str, AnalysisRun] = {}
        self._promoted_in_full = False
        self._load: Load | None = None
        self._watch: Watch | None = None

    # ------------------------------------------------------------------ the target's interface

    def prepare(self) -> Iterator[Observation]:
        """Applies the overlay, waits until it is stable, and loads it until it is steady."""
        self._watch = Watch(self._kubectl, self._folder / "kubectl-proxy.log")
        self._stack.callback(self._watch.close)
        self._apply()
        yield from self._until_stable()
        hash_ = str(self._rollout()["status"]["stableRS"])
        self.hashes = Hashes("", hash_)
        url = self.plan.choices.url or self._forward("http")
        self._admin = self._forward("admin")
        if not self.plan.without_traffic:
            self._load = self._start_load(url)
            yield from self._until_steady(self._load)

    def rehearse(self) -> Iterator[Observation]:
        """Ships the candidate and follows the controller until the release has settled."""
        self._zero = time.monotonic()
        self._promoted_in_full = False
        self._ship()
        self._released = True
        observation, longest_s = self._observe(), controller.longest_s(self.rollout)
        while not observation.settled or self.held(observation):
            yield observation
            time.sleep(OBSERVE_S)
            # What was decided stays so, whatever is done elsewhere; a retry here is another try.
            retried, seen = self._take_acts(), self._observe()
            observation = seen if retried else cluster_state.following(observation, seen, longest_s)
        yield observation

    # --------------------------------------------------------------------------------- starting

    def _take_acts(self) -> bool:
        """Does to the Rollout what a person asked for; whether a retry was among it."""
        retried = False
        for kind in self._acts_asked:
            at_s = time.monotonic() - self._zero
            said = str(events.Event(kind, "", None, round(at_s, 1)))
            try:
                self._patch_status(cluster_state.act(kind, self._rollout()))
                retried = retried or kind is Kind.RETRY
            except MachineError as refused:
                said = f"{kind} was refused: {refused}"
            self._events.append(Event(at_s, "event", said))
        return retried

    def _patch_status(self, status: Mapping[str, Any]) -> None:
        where = ["-n", self._namespace, "--subresource=status", "--type=merge"]
        body = json.dumps({"status": status})
        self._kubectl.run("patch", "rollout", self.rollout.name, *where, "-p", body)

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
        rendered = self._manifests
        spaces = [body for body in rendered if body["kind"] == "Namespace"]
        self._kubectl.apply(yaml.safe_dump_all(spaces))
        self._ensure_secret()
        for job in (body for body in rendered if body["kind"] == "Job"):
            name = job["metadata"]["name"]
            self._kubectl.run("delete", "job", name, "-n", self._namespace, "--ignore-not-found")
        self._kubectl.apply(yaml.safe_dump_all(rendered))
        for thing in rendered:
            self._await(thing["kind"], thing["metadata"])

    def _await(self, kind: str, metadata: Mapping[str, Any]) -> None:
        """Waits for what the release stands on; the Rollout itself is followed by `prepare`."""
        where = ["-n", metadata.get("namespace", self._namespace), f"--timeout={AWAIT_S}s"]
        if kind == "Deployment":
            self._kubectl.run("rollout", "status", f"deployment/{metadata['name']}", *where)
        if kind == "Job":
            self._kubectl.run("wait", "--for=condition=complete", f"job/{metadata['name']}", *where)

    def _ensure_secret(self) -> None:
        """Makes the Secret that the overlay mounts, unless somebody has."""
        name = self._cluster.secret
        kinds = self._kubectl.get(self._namespace, ["secrets"])
        if any(secret["metadata"]["name"] == name for secret in kinds):
            return
        fresh = secrets.token_urlsafe(24)
        values = {key: text.replace(SECRET, fresh) for key, text in self._cluster.values.items()}
        metadata = {"name": name, "namespace": self._namespace}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
        self._kubectl.apply(json.dumps(body))

    def _until_stable(self) -> Iterator[Observation]:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not cluster_state.stable(rollout := self._rollout(), self.rollout.replicas):
            if cluster_state.returning(rollout):
                # Nobody judges it: its gates would find no requests, and in v1.9.1 the analysis
                # that a blueGreen waits for never begins within the rollback window.
                self._patch_status({"promoteFull": True, "abort": False})
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
        command = self._kubectl.command(
            "port-forward", "-n", self._namespace, f"svc/{self._cluster.gateway}", f"{local}:{port}"
        )
        log = self._folder / f"port-forward-{port}.log"
        child = processes.start(f"port-forward-{port}", command, log)
        self._stack.callback(self._torn_down.append, f"port-forward {port}")
        self._stack.callback(child.stop, 2)
        if not wait_until(lambda: not processes.port_is_free(local), timeout_s=20):
            gateway = self._cluster.gateway
            raise MachineError(f"no port-forward to {gateway}: {child.tail()}", "name it by --url")
        return f"http://127.0.0.1:{local}"

    def _start_load(self, url: str) -> Load:
        cluster, config = self._cluster, self.plan.config
        secret = self._kubectl.one(self._namespace, "secret", cluster.secret)["data"]
        load = Load(
            folder=self._folder / "load",
            config=self.plan.stable.config_file,
            locustfile=self.plan.stable.locustfile,
            traffic=config.traffic,
            rate=self.plan.rate,
            values=cluster_state.secret_values(secret, config.secrets, cluster),
        )
        self._stack.callback(self._torn_down.append, "locust")
        self._stack.callback(load.stop)
        load.start(url)
        return load

    def _until_steady(self, load: Load) -> Iterator[Observation]:
        deadline = time.monotonic() + STEADY_TIMEOUT_S
        while not rates.steady(load.seconds, load.rate):
            yield self._observe()
            rates.refuse_refused(load.seconds, load.refusals())
            if time.monotonic() > deadline:
                raise rates.not_carried(load.rate, load.seconds)
            time.sleep(OBSERVE_S)

    def _ship(self) -> None:
        """One change of the pod template: a name of its own, the faults, and the image."""
        variables = {self._cluster.variable: self._folder.name, **self.plan.fault_variables}
        place = "/spec/template/spec/containers/0"
        faults = self.plan.config.faults
        known = {self._cluster.variable, *([faults.variable] if faults else [])}
        container = self._rollout()["spec"]["template"]["spec"]["containers"][0]
        kept = [entry for entry in container.get("env", []) if entry["name"] not in known]
        fresh = [{"name": name, "value": value} for name, value in variables.items()]
        operations = [{"op": "add", "path": f"{place}/env", "value": [*kept, *fresh]}]
        if image := self.plan.choices.image:
            operations.append({"op": "add", "path": f"{place}/image", "value": image})
        self._kubectl.patch(self._namespace, "rollout", self.rollout.name, operations)
        self._stack.callback(self._take_back)
        words = ", ".join(self.plan.choices.faults) or "no faults"
        self._events.append(Event(0.0, "release", f"{self.rollout.name} changed ({words})"))

    def _take_back(self) -> None:
        """Puts the overlay back unless the candidate was promoted: git would say the same."""
        status = self._rollout()["status"]
        if self.hashes.latest and status.get("currentPodHash") != self.hashes.latest:
            return  # another release than ours is somebody else's
        if status.get("stableRS") == status.get("currentPodHash") and not status.get("abort"):
            return
        self._kubectl.apply(yaml.safe_dump_all(self._manifests))
        self._torn_down.append("candidate")

    # -------------------------------------------------------------------------------- observing

    def _observe(self) -> Observation:
        kinds = ["rollouts", "replicasets", "analysisruns", "pods"]
        state = cluster_state.State(self._watching.get(self._namespace, kinds), self.rollout.name)
        now = time.monotonic() - self._zero
        if self._released and not self.hashes.latest:
            # By what `_ship` gave it: the newest template may be somebody else's by now.
            latest = state.released(self._cluster.variable, self._folder.name)
            self.hashes = Hashes(latest, self.hashes.stable)
            if not latest and now > RELEASED_TIMEOUT_S:
                raise MachineError(
                    f"the controller made no ReplicaSet of the candidate in {now:.0f} s",
                    "see whether somebody else changed the Rollout, and the controller's log",
                )
        self._hash_of.update(state.addresses)
        self._count()
        events, self._events = tuple(self._events), []
        seen = cluster_state.observe(
            state,
            self.rollout,
            self.hashes,
            now,
            traffic={h: self._traffic(h) for h in ("stable", "canary")},
            seconds=tuple(self._load.read()) if self._load else (),
            events=events,
            known=self._runs,
        )
        self._runs = {run.name: run for run in seen.runs}
        self._promoted_in_full |= state.status.get("promoteFull") is True
        by_hand = controller.promoted_by_hand() if seen.promoted and self._promoted_in_full else ""
        return replace(
            seen,
            unjudged=seen.unjudged or by_hand,
            rate=self._load.rate if self._load else 0.0,
        )

    def _count(self) -> None:
        """What the gateway counted, by pod address."""
        if not self._admin:
            return
        try:
            with urllib.request.urlopen(f"{self._admin}/clusters?format=json", timeout=5) as answer:
                clusters = json.load(answer)
        except OSError:
            return
        found: dict[str, Counts] = {}
        for _, endpoint, counts in endpoints(clusters):
            # A pod is reached by two Services, where a router has one for each release.
            address = endpoint["address"]
            found[address] = found.get(address, Counts()) + counts
        self._counts = cluster_state.counted(self._counts, self._read, found)
        self._read = found

    def _traffic(self, side: str) -> Counts:
        latest = self.hashes.latest
        mine = (
            counts
            for address, counts in self._counts.items()
            if (self._hash_of.get(address) == latest and bool(latest)) is (side == "canary")
        )
        return sum(mine, Counts())
