"""Pods as local processes: started, probed, restarted and ended as a kubelet would.

Everything happens in `tick`, on the caller's thread: children die with the thread that started
them (processes.py), and only the HTTP probes themselves run beside it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from canary.argo import objects
from canary.rehearse import probes
from canary.rehearse.environment import PodFacts, expand, fill
from canary.runtime import processes

LOCALHOST = "127.0.0.1"
MIB = 2**20
# The kernel kills at the very byte; looking costs a few milliseconds a pod, so here it is a moment.
MEMORY_PERIOD_S = 2.0
# Of the log of a container that is restarted, for the report.
LAST_LINES = 5
# The kubelet's restart back-off: at once, then 10 s, doubling to 5 min.
BACK_OFF_S = (0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)


@dataclass
class ProbeState:
    """One probe of one container: when it is due, and its run of equal answers."""

    probe: objects.Probe
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

    Command and variables may hold `{host}`, `{port}` (where users' requests come to) and
    `{port.NAME}`. A whole one takes the place of the manifest's command and arguments too.
    """

    command: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False


@dataclass(frozen=True)
class Source:
    """What the pods of one ReplicaSet are made from, and the environment of each.

    `images` are by the names of the containers that are run; `ports` are the names of the ports
    that each pod is given, and `served` is the one that users' requests come to.
    """

    template: objects.PodTemplate
    images: Mapping[str, Image]
    ports: Sequence[str]
    served: str
    working_directory: Path
    variables: Callable[[objects.Container, PodFacts], Mapping[str, str]]
    # The path on this machine of what a container has mounted, in a text.
    localise: Callable[[objects.Container, str], str] = lambda _, text: text

    def command(
        self, container: objects.Container, pod: PodFacts, ports: Mapping[str, int]
    ) -> tuple[list[str], dict[str, str]]:
        """What a container runs, and its environment."""
        image = self.images[container.name]
        places = {"host": LOCALHOST, "port": str(ports.get(self.served, ""))}
        places |= {f"port.{name}": str(port) for name, port in ports.items()}
        variables = {
            **self.variables(container, pod),
            **{name: fill(text, places) for name, text in image.variables.items()},
        }
        own = [fill(word, places) for word in image.command]
        if image.whole:
            return own, variables
        given = [
            self.localise(container, expand(word, variables))
            for word in (*container.command, *container.args)
        ]
        return ([] if container.command else own) + given, variables


@dataclass
class ContainerState:
    """One container of a pod: its process and its probes."""

    container: objects.Container
    child: processes.Child | None = None
    startup: ProbeState | None = None
    readiness: ProbeState | None = None
    liveness: ProbeState | None = None
    restarts: int = 0
    restart_at: float | None = None
    signalled: bool = False

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.child is not None and self.child.running

    @property
    def ready(self) -> bool:
        """Whether it has started, runs, and its readiness probe says so."""
        started = self.startup is None or self.startup.passed
        ready = self.readiness is None or self.readiness.passed
        return self.running and self.restart_at is None and started and ready


@dataclass
class Pod:
    """One pod: its containers, and what the controllers need to know of it."""

    facts: PodFacts
    source: Source
    replica_set: str
    ports: Mapping[str, int]
    created_at: float
    containers: Sequence[ContainerState]
    ready_at: float | None = None
    terminating_since: float | None = None
    terminated: bool = False

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.facts.name

    @property
    def port(self) -> int:
        """Where users' requests come to."""
        return self.ports[self.source.served]

    @property
    def restarts(self) -> int:
        """How often its containers were restarted."""
        return sum(state.restarts for state in self.containers)

    @property
    def active(self) -> bool:
        """Whether a ReplicaSet counts the pod."""
        return self.terminating_since is None

    @property
    def ready(self) -> bool:
        """Whether the pod is sent traffic."""
        return self.active and self.ready_at is not None


@dataclass(frozen=True)
class Ending:
    """A container that ended and was restarted, or was ended for it; `tail` is of its log."""

    log: Path
    replica_set: str
    because: str
    tail: list[str]


@dataclass
class Kubelet:
    """Runs the pods of one node: this machine. `sources` are by ReplicaSet."""

    sources: Mapping[str, Source]
    folder: Path
    pods: list[Pod] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    _died: dict[int, float] = field(default_factory=dict)
    _events: list[tuple[str, str]] = field(default_factory=list)
    _weigh_at: float = 0.0
    _probers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "probe"))

    def create(
        self, facts: PodFacts, replica_set: str, ports: Mapping[str, int], now: float
    ) -> Pod:
        """Starts a pod; `ports` are by the names of the container's."""
        source = self.sources[replica_set]
        run = [c for c in source.template.spec.containers if c.name in source.images]
        pod = Pod(facts, source, replica_set, ports, now, [ContainerState(c) for c in run])
        for state in pod.containers:
            self._run(pod, state, now)
        self.pods.append(pod)
        return pod

    def delete(self, pod: Pod, now: float) -> None:
        """Begins a pod's end: out of the endpoints now, preStop, then SIGTERM."""
        pod.terminating_since, pod.ready_at = now, None
        self._died.pop(pod.ports.get(pod.source.served, 0), None)
        self._log(pod, "terminating")

    def lose(self, pod: Pod, now: float) -> None:
        """A pod is gone without a word to anybody."""
        for state in pod.containers:
            if state.child is not None:
                state.child.kill()
        self._note_death(pod, now)
        pod.terminated, pod.terminating_since, pod.ready_at = True, now, None
        self._log(pod, "lost")

    def unnoticed(self, delay_s: float, now: float) -> set[int]:
        """The ports of pods that died so recently that the edge does not know it yet."""
        return {port for port, at in self._died.items() if now - at < delay_s}

    def _note_death(self, pod: Pod, now: float) -> None:
        if pod.ready_at is not None and pod.source.served:
            self._died[pod.port] = now

    def tick(self, now: float) -> list[tuple[str, str]]:
        """Lets time pass for every pod; returns what happened since the last tick, and to which."""
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
        running = [state.child for pod in self.pods for state in pod.containers if state.child]
        for child in running:
            child.terminate()
        deadline = time.monotonic() + 3
        while any(child.running for child in running) and time.monotonic() < deadline:
            time.sleep(0.05)
        for child in running:
            child.kill()
        self._probers.shutdown(wait=False, cancel_futures=True)
        ended, self.pods = len(self.pods), []
        return ended

    def tail(self, pod: Pod) -> str:
        """The last words of a pod: of a container that is not ready, if there is one."""
        states = sorted(pod.containers, key=lambda state: state.ready)
        return states[0].child.tail() if states and states[0].child else ""

    def _run(self, pod: Pod, state: ContainerState, now: float) -> None:
        source, container = pod.source, state.container
        command, variables = source.command(container, pod.facts, pod.ports)
        first = container.name == pod.source.template.spec.container.name
        name = pod.name if first else f"{pod.name}-{container.name}"
        state.child = processes.start(
            name,
            command,
            self.folder / f"{name}.log",
            variables,
            source.working_directory,
            program="pods",
            yielding=True,
        )
        state.startup = _probe(container.startup_probe, now)
        state.readiness = _probe(container.readiness_probe, now)
        state.liveness = _probe(container.liveness_probe, now, passed=True)

    def _check(self, pod: Pod, now: float) -> None:
        for state in pod.containers:
            self._check_container(pod, state, now)
        ready = all(state.ready for state in pod.containers)
        if ready and pod.ready_at is None:
            pod.ready_at = now
            self._died.pop(pod.ports.get(pod.source.served, 0), None)
            self._log(pod, f"ready after {now - pod.created_at:.1f} s")
        elif not ready and pod.ready_at is not None:
            pod.ready_at = None
            self._log(pod, "not ready any more")

    def _check_container(self, pod: Pod, state: ContainerState, now: float) -> None:
        if state.restart_at is not None:
            if now >= state.restart_at:
                state.restart_at = None
                self._run(pod, state, now)
            return
        if state.child is not None and not state.child.running:
            code = state.child.popen.returncode
            self._restart(pod, state, now, f"container exited with {code}")
            return
        if state.startup is not None and not state.startup.passed:
            self._probe(pod, state.container, state.startup, now)
            if state.startup.exhausted:
                self._restart(pod, state, now, "startup probe failed")
            return
        if state.liveness is not None:
            self._probe(pod, state.container, state.liveness, now)
            if not state.liveness.passed:
                self._restart(pod, state, now, "liveness probe failed")
                return
        if state.readiness is not None:
            self._probe(pod, state.container, state.readiness, now)

    def _probe(self, pod: Pod, container: objects.Container, state: ProbeState, now: float) -> None:
        if state.pending is not None and state.pending.done():
            state.take(state.pending.result())
            state.pending = None
        if state.pending is None and now >= state.due_at:
            state.due_at = now + state.probe.period_seconds
            port = pod.ports.get(_asked(state.probe, container), pod.port)
            state.pending = self._probers.submit(probes.passes, state.probe, port)

    def _restart(self, pod: Pod, state: ContainerState, now: float, reason: str) -> None:
        if state.child is not None:
            state.child.kill()
            tail = state.child.tail_lines(LAST_LINES)
            self.endings.append(Ending(state.child.log, pod.replica_set, reason, tail))
        self._note_death(pod, now)
        pod.ready_at = None
        wait_s = BACK_OFF_S[min(state.restarts, len(BACK_OFF_S) - 1)]
        state.restarts += 1
        state.restart_at = now + wait_s
        self._log(pod, f"{reason}; restart {state.restarts} in {wait_s:.0f} s")

    def _kill_heavy(self, now: float) -> None:
        """Restarts the containers above their memory limit, as the kernel would have them."""
        states = {
            state.child.pid: (pod, state, limit)
            for pod in self.pods
            if pod.active
            for state in pod.containers
            if state.child is not None and state.child.running
            if (limit := state.container.resources.memory_limit_bytes) is not None
        }
        heavy = processes.memory_above({pid: limit for pid, (*_, limit) in states.items()})
        for pid, held in heavy.items():
            pod, state, limit = states[pid]
            text = f"out of memory: {held / MIB:.0f} MiB held, {limit / MIB:.0f} MiB allowed"
            self._restart(pod, state, now, text)

    def _terminate(self, pod: Pod, now: float) -> None:
        since = pod.terminating_since if pod.terminating_since is not None else now
        left = [state for state in pod.containers if state.child and state.child.running]
        if not left:
            pod.terminated = True
            return
        for state in left:
            assert state.child is not None  # noqa: S101 — `left` holds those that have one
            pre_stop = state.container.lifecycle.pre_stop
            sleep_s = pre_stop.seconds if pre_stop else 0.0
            if now - since >= sleep_s and not state.signalled:
                state.child.terminate()
                state.signalled = True
            if now - since >= pod.source.template.spec.termination_grace_period_seconds:
                state.child.kill()
                self._log(pod, "killed at the end of its grace period")

    def _log(self, pod: Pod, text: str) -> None:
        self._events.append((pod.name, text))


def _probe(probe: objects.Probe | None, now: float, passed: bool = False) -> ProbeState | None:
    if probe is None:
        return None
    return ProbeState(probe, now + probe.initial_delay_seconds, passed)


def _asked(probe: objects.Probe, container: objects.Container) -> str:
    """The port that a probe asks; a command is taken to ask the container's first."""
    if probe.port is not None:
        return container.port_name(probe.port)
    return container.port_name(container.ports[0].container_port) if container.ports else ""
