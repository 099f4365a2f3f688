"""Pods as local processes: started, probed, restarted and ended as a kubelet would.

Everything happens in `tick`, on the caller's thread: children die with the thread that started
them (processes.py), and only the HTTP probes themselves run beside it.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from canary.argo import manifests
from canary.rehearse.environment import PodFacts
from canary.runtime import processes

MIB = 2**20
# The kernel kills at the very byte; looking costs a few milliseconds a pod, so here it is a moment.
MEMORY_PERIOD_S = 2.0
# The kubelet's restart back-off: at once, then 10 s, doubling to 5 min.
BACK_OFF_S = (0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)


@dataclass
class ProbeState:
    """One probe of one container: when it is due, and its run of equal answers."""

    probe: manifests.Probe
    due_at: float
    passed: bool
    successes: int = 0
    failures: int = 0
    pending: Future[bool] | None = None

    def take(self, success: bool) -> None:
        """Counts an answer; the state flips after the manifest's number of equal ones."""
        self.successes, self.failures = (
            (self.successes + 1, 0) if success else (0, self.failures + 1)
        )
        if self.successes >= self.probe.success_threshold:
            self.passed = True
        elif self.exhausted:
            self.passed = False

    @property
    def exhausted(self) -> bool:
        """Whether the last `failureThreshold` answers were all failures."""
        return self.failures >= self.probe.failure_threshold


@dataclass(frozen=True)
class Image:
    """What stands in for a container image, and how it is told where to listen.

    `port_variables` are by the names of the container's ports; `served` is the one that users'
    requests come to.
    """

    command: Sequence[str]
    host_variable: str
    port_variables: Mapping[str, str]
    served: str


@dataclass(frozen=True)
class Source:
    """What the pods of one ReplicaSet are made from, and the environment of each."""

    template: manifests.PodTemplate
    image: Image
    working_directory: Path
    variables: Callable[[PodFacts], Mapping[str, str]]

    @property
    def container(self) -> manifests.Container:
        """The one container of such a pod."""
        return self.template.spec.container


@dataclass
class Pod:
    """One pod: its process, its probes, and what the controllers need to know of it."""

    facts: PodFacts
    source: Source
    replica_set: str
    ports: Mapping[str, int]
    created_at: float
    child: processes.Child | None = None
    startup: ProbeState | None = None
    readiness: ProbeState | None = None
    liveness: ProbeState | None = None
    ready_at: float | None = None
    restarts: int = 0
    restart_at: float | None = None
    terminating_since: float | None = None
    signalled: bool = False
    terminated: bool = False

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.facts.name

    @property
    def port(self) -> int:
        """Where users' requests come to."""
        return self.ports[self.source.image.served]

    @property
    def active(self) -> bool:
        """Whether a ReplicaSet counts the pod."""
        return self.terminating_since is None

    @property
    def ready(self) -> bool:
        """Whether the pod is sent traffic."""
        return self.active and self.ready_at is not None


@dataclass(frozen=True)
class PodEvent:
    """Something that happened to a pod, for the log."""

    pod: str
    text: str


@dataclass
class Kubelet:
    """Runs the pods of one node: this machine. `sources` are by ReplicaSet."""

    sources: Mapping[str, Source]
    folder: Path
    pods: list[Pod] = field(default_factory=list)
    _events: list[PodEvent] = field(default_factory=list)
    _weigh_at: float = 0.0
    _probers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "probe"))

    def create(
        self, facts: PodFacts, replica_set: str, ports: Mapping[str, int], now: float
    ) -> Pod:
        """Starts a pod; `ports` are by the names of the container's."""
        pod = Pod(facts, self.sources[replica_set], replica_set, ports, now)
        self._run(pod, now)
        self.pods.append(pod)
        return pod

    def delete(self, pod: Pod, now: float) -> None:
        """Begins a pod's end: out of the endpoints now, preStop, then SIGTERM."""
        pod.terminating_since, pod.ready_at = now, None
        self._log(pod, "terminating")

    def tick(self, now: float) -> list[PodEvent]:
        """Lets time pass for every pod; returns what happened since the last tick."""
        if now >= self._weigh_at:
            self._weigh_at = now + MEMORY_PERIOD_S
            self._kill_heavy(now)
        for pod in self.pods:
            if pod.active:
                self._check(pod, now)
            else:
                self._terminate(pod, now)
        self.pods = [pod for pod in self.pods if not pod.terminated]
        events, self._events = self._events, []
        return events

    def stop(self) -> int:
        """Ends every pod at once; returns how many there were."""
        running = [pod.child for pod in self.pods if pod.child is not None]
        for child in running:
            child.terminate()
        deadline = time.monotonic() + 3
        while any(child.running for child in running) and time.monotonic() < deadline:
            time.sleep(0.05)
        for child in running:
            child.kill()
        self._probers.shutdown(wait=False, cancel_futures=True)
        self.pods = []
        return len(running)

    def tail(self, pod: Pod) -> str:
        """The last words of a pod."""
        return pod.child.tail() if pod.child else ""

    def _run(self, pod: Pod, now: float) -> None:
        source, container = pod.source, pod.source.container
        variables = {
            **source.variables(pod.facts),
            source.image.host_variable: "127.0.0.1",
            **{source.image.port_variables[name]: str(port) for name, port in pod.ports.items()},
        }
        command = [*(container.command or source.image.command), *container.args]
        log = self.folder / f"{pod.name}.log"
        pod.child = processes.start(
            pod.name,
            command,
            log,
            variables,
            source.working_directory,
            program="pods",
            yielding=True,
        )
        pod.startup = _probe(container.startup_probe, now)
        pod.readiness = _probe(container.readiness_probe, now)
        pod.liveness = _probe(container.liveness_probe, now, passed=True)

    def _check(self, pod: Pod, now: float) -> None:
        if pod.restart_at is not None:
            if now >= pod.restart_at:
                pod.restart_at = None
                self._run(pod, now)
            return
        if pod.child is not None and not pod.child.running:
            self._restart(pod, now, f"container exited with {pod.child.popen.returncode}")
            return
        if pod.startup is not None and not pod.startup.passed:
            self._probe(pod, pod.startup, now)
            if pod.startup.exhausted:
                self._restart(pod, now, "startup probe failed")
            return
        self._probe_running(pod, now)

    def _probe_running(self, pod: Pod, now: float) -> None:
        if pod.liveness is not None:
            self._probe(pod, pod.liveness, now)
            if not pod.liveness.passed:
                self._restart(pod, now, "liveness probe failed")
                return
        if pod.readiness is not None:
            self._probe(pod, pod.readiness, now)
        ready = pod.readiness is None or pod.readiness.passed
        if ready and pod.ready_at is None:
            pod.ready_at = now
            self._log(pod, f"ready after {now - pod.created_at:.1f} s")
        elif not ready and pod.ready_at is not None:
            pod.ready_at = None
            self._log(pod, "not ready any more")

    def _probe(self, pod: Pod, state: ProbeState, now: float) -> None:
        if state.pending is not None and state.pending.done():
            state.take(state.pending.result())
            state.pending = None
        if state.pending is None and now >= state.due_at:
            state.due_at = now + state.probe.period_seconds
            asked = state.probe.http_get
            port = pod.ports[pod.source.container.port_name(asked.port)]
            url = f"http://127.0.0.1:{port}{asked.path}"
            state.pending = self._probers.submit(_answers, url, state.probe.timeout_seconds)

    def _restart(self, pod: Pod, now: float, reason: str) -> None:
        if pod.child is not None:
            pod.child.kill()
        pod.ready_at = None
        wait_s = BACK_OFF_S[min(pod.restarts, len(BACK_OFF_S) - 1)]
        pod.restarts += 1
        pod.restart_at = now + wait_s
        self._log(pod, f"{reason}; restart {pod.restarts} in {wait_s:.0f} s")

    def _kill_heavy(self, now: float) -> None:
        """Restarts the containers above their memory limit, as the kernel would have them."""
        pods = {
            pod.child.pid: (pod, limit)
            for pod in self.pods
            if pod.active and pod.child is not None and pod.child.running
            if (limit := pod.source.container.resources.memory_limit_bytes) is not None
        }
        heavy = processes.memory_above({pid: limit for pid, (_, limit) in pods.items()})
        for pid, held in heavy.items():
            pod, limit = pods[pid]
            text = f"out of memory: {held / MIB:.0f} MiB held, {limit / MIB:.0f} MiB allowed"
            self._restart(pod, now, text)

    def _terminate(self, pod: Pod, now: float) -> None:
        since = pod.terminating_since if pod.terminating_since is not None else now
        pre_stop = pod.source.container.lifecycle.pre_stop
        sleep_s = pre_stop.sleep.seconds if pre_stop else 0.0
        child = pod.child
        if child is None or not child.running:
            pod.terminated = True
            return
        if now - since >= sleep_s and not pod.signalled:
            child.terminate()
            pod.signalled = True
        if now - since >= pod.source.template.spec.termination_grace_period_seconds:
            child.kill()
            self._log(pod, "killed at the end of its grace period")

    def _log(self, pod: Pod, text: str) -> None:
        self._events.append(PodEvent(pod.name, text))


def _probe(probe: manifests.Probe | None, now: float, passed: bool = False) -> ProbeState | None:
    if probe is None:
        return None
    return ProbeState(probe, now + probe.initial_delay_seconds, passed)


def _answers(url: str, timeout_s: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return bool(answer.status // 100 in (2, 3))
    except (OSError, ValueError):
        return False
