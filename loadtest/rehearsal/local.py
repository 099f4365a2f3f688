"""The local ground: the release on this machine, pods as processes behind a real gateway.

This is the imperative shell: each tick it lets the kubelet probe, shows the controller what it
would see on a cluster, carries out what it decides, and takes the measurements that are due.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rehearsal import analysis, controller, database, processes, timescale
from rehearsal.config import Config
from rehearsal.controller import RolloutPhase, Scale, Status
from rehearsal.environment import PodFacts, Sources, resolve
from rehearsal.errors import MachineError, UsageError
from rehearsal.exporter import PATH as EXPORTER_PATH
from rehearsal.exporter import ContainerFacts, Exporter
from rehearsal.gateway import Counts, Gateway
from rehearsal.ground import Event, Observation, Release
from rehearsal.kubelet import Image, Kubelet, Pod
from rehearsal.load import Load, Second
from rehearsal.manifests import Bundle
from rehearsal.model import (
    AnalysisRun,
    Measurement,
    Metric,
    Pause,
    Phase,
    ReplicaCounts,
    ReplicaSetName,
    Rollout,
)
from rehearsal.prometheus import Prometheus, QueryError, ScrapeJob, Target

TICK_S = 0.1
OBSERVE_S = 0.2
WARM_UP_TIMEOUT_S = 60.0
STEADY_SECONDS = 3
HASH_LABEL = "rollouts-pod-template-hash"
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own, which spells no words


@dataclass(frozen=True)
class Options:
    """How this rehearsal differs from the manifests' ordinary day."""

    faults: tuple[str, ...] = ()
    time_scale: float = 6.0
    port: int | None = None
    without_traffic: bool = False
    without_prometheus: bool = False


@dataclass
class LocalGround:
    """One rehearsal on this machine; `rollout` is already at the rehearsal's time scale."""

    bundle: Bundle
    rollout: Rollout
    config: Config
    config_path: Path
    options: Options
    folder: Path
    name: str = "local processes"
    rate: float = 0.0
    _stack: ExitStack = field(default_factory=ExitStack)
    _torn_down: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        waits = [i for i, s in enumerate(self.rollout.steps) if s == Pause(None)]
        if waits:
            raise UsageError(
                f"step {waits[0]} pauses until a person resumes it",
                "give the pause a duration in the overlay you rehearse",
            )
        stable_hash = _template_hash(self.bundle, "stable", ())
        self.release = Release(stable_hash, _template_hash(self.bundle, "latest", self.options.faults))
        self._hashes = controller.Hashes(self.release.latest_hash, self.release.stable_hash)
        self._desired = {self.release.stable_hash: 0, self.release.latest_hash: 0}
        # Pod names are random on a cluster; here they repeat from run to run.
        self._random = Random(self.config.traffic.seed)  # noqa: S311 — names, not secrets
        self._queries = ThreadPoolExecutor(8, "query")
        self._in_flight: dict[tuple[str, str], Future[Measurement]] = {}
        self._status: Status | None = None
        self._released_at: float | None = None
        self._events: list[Event] = []
        self._seconds: list[Second] = []
        self._port_hash: dict[int, str] = {}
        self._counts: Mapping[int, Counts] = {}
        self._counted_at = 0.0
        self._routed: set[int] = set()
        self._scraped: set[int] = set()

    # ------------------------------------------------------------------ the ground's interface

    def prepare(self) -> Iterator[Observation]:
        """Starts everything, waits for the stable pods, and loads them until they are steady."""
        self._check_faults()
        self._sources = Sources(
            {name: config_map.data for name, config_map in self.bundle.config_maps.items()},
            self._secrets(self._start("postgresql", database.running())),
        )
        self._kubelet = self._start_kubelet()
        self._prometheus = self._start_prometheus()
        self._gateway = Gateway(self.folder / "gateway", self.options.port)
        self._stack.callback(self._end, "envoy", self._gateway.stop)
        self._gateway.start()
        self._run_preparations()
        self._scale(Scale(ReplicaSetName.STABLE, self.rollout.replicas))
        yield from self._until_ready()
        if not self.options.without_traffic:
            self._load = self._start_load()
            yield from self._until_steady()

    def rehearse(self) -> Iterator[Observation]:
        """Applies the candidate and walks the steps until the release has settled."""
        self._released_at = time.monotonic()
        words = ", ".join(self.options.faults) or "no faults"
        self._log("release", f"candidate {self.rollout.name}-{self._hashes.latest} applied ({words})")
        self._status = controller.begin(self.rollout, self._hashes, self._now())
        while True:
            observed_at = time.monotonic()
            while time.monotonic() - observed_at < OBSERVE_S:
                self._tick()
                time.sleep(TICK_S)
            observation = self._observe()
            yield observation
            if observation.settled:
                return

    def tear_down(self) -> tuple[str, ...]:
        """Ends everything in the reverse order of its start."""
        self._queries.shutdown(wait=False, cancel_futures=True)
        self._stack.close()
        return tuple(self._torn_down)

    # --------------------------------------------------------------------------------- starting

    def _start(self, name: str, context: object) -> str:
        url = str(self._stack.enter_context(context))  # type: ignore[arg-type]
        self._stack.callback(self._torn_down.append, name)
        return url

    def _end(self, name: str, stop: object) -> None:
        result = stop()  # type: ignore[operator]
        self._torn_down.append(f"{result} pods" if isinstance(result, int) else name)

    def _check_faults(self) -> None:
        if not self.options.faults or not self.config.faults.check:
            return
        command = [*self._local(self.config.faults.check), ",".join(self.options.faults)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        if checked.returncode != 0:
            raise UsageError((checked.stderr or checked.stdout).strip().removeprefix("gridos: "))

    def _secrets(self, database_url: str) -> Mapping[str, Mapping[str, str]]:
        """The stand-ins of rehearsal.yaml, their placeholders filled."""
        fresh = {"{database}": database_url, "{secret}": secrets.token_urlsafe(24)}
        return {
            name: {key: fresh.get(text, text) for key, text in values.items()}
            for name, values in self.config.secrets.items()
        }

    def _start_kubelet(self) -> Kubelet:
        image = self.bundle.rollout.spec.template.spec.container.image
        name = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
        if name not in self.config.images:
            raise UsageError(
                f"image {image!r} has no local command", f"add {name} under `images` in rehearsal.yaml"
            )
        kubelet = Kubelet(
            spec=self.bundle.rollout.spec.template.spec,
            image=Image(
                self._local(self.config.images[name]),
                self.config.listen.host,
                self.config.listen.port,
            ),
            folder=self.folder / "pods",
            working_directory=Path.cwd(),
            variables=self._variables,
        )
        self._stack.callback(self._end, "pods", kubelet.stop)
        return kubelet

    def _start_prometheus(self) -> Prometheus:
        exporter = Exporter(self._containers)
        self._stack.callback(exporter.stop)
        monitor = self.bundle.pod_monitor
        endpoint = monitor.spec.pod_metrics_endpoints[0] if monitor else None
        interval_s = endpoint.interval if endpoint else 30.0
        scaled_s = timescale.scrape_interval_s(interval_s, self.options.time_scale)
        jobs = [ScrapeJob("kubelet", EXPORTER_PATH, scaled_s, honour_labels=True)]
        if endpoint:
            jobs.append(ScrapeJob("pods", endpoint.path, scaled_s))
        prometheus = Prometheus(self.folder / "prometheus", jobs)
        self._stack.callback(self._end, "prometheus", prometheus.stop)
        prometheus.start()
        prometheus.scrape("kubelet", [Target(exporter.port, {})])
        return prometheus

    def _run_preparations(self) -> None:
        """The release's migration job: each command with the container's own environment."""
        facts = self._facts(self.release.stable_hash)
        for command in self.config.prepare:
            local = self._local(command)
            done = subprocess.run(
                local,
                env=dict(self._variables(facts)),
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            if done.returncode != 0:
                said = (done.stderr or done.stdout).strip()
                raise MachineError(f"`{' '.join(command)}` failed: {said}", "run it by hand")

    def _start_load(self) -> Load:
        values = {
            f"{name}.{key}": value
            for name, keys in self._sources.secrets.items()
            for key, value in keys.items()
        }
        locustfile = self.config_path.parent / "locustfile.py"
        load = Load(
            self.folder / "load", locustfile, self.config_path, self.config.traffic, self.rate, values
        )
        self._stack.callback(self._end, "locust", load.stop)
        (self.folder / "load").mkdir(parents=True, exist_ok=True)
        load.start(self._gateway.url)
        return load

    def _until_ready(self) -> Iterator[Observation]:
        deadline = time.monotonic() + self.rollout.progress_deadline_s
        while self._counted(self.release.stable_hash).available < self.rollout.replicas:
            self._tick()
            stuck = [pod for pod in self._kubelet.pods if pod.restarts > 1]
            if stuck or time.monotonic() > deadline:
                pod = (stuck or self._kubelet.pods)[0]
                raise MachineError(
                    f"the stable release did not become ready: {self._kubelet.tail(pod)}",
                    "run the image's command by hand with the manifest's environment",
                )
            time.sleep(TICK_S)
            yield self._observe()

    def _until_steady(self) -> Iterator[Observation]:
        """Waits for some whole seconds in which the users' rate is met and nothing is refused."""
        deadline = time.monotonic() + WARM_UP_TIMEOUT_S
        while True:
            self._tick()
            last = self._load.seconds[-STEADY_SECONDS:]
            if any(second.refused for second in last):
                raise MachineError(
                    "the load's requests are refused (4xx)", "correct `requests` in rehearsal.yaml"
                )
            if len(last) == STEADY_SECONDS and all(self._steady(second) for second in last):
                return
            if time.monotonic() > deadline:
                raise MachineError(
                    f"the stable release alone does not carry {self.rate:.0f} requests/s here "
                    f"(last second: {last[-1] if last else 'nothing sent'})",
                    "use a smaller --time-scale, or a less busy machine",
                )
            time.sleep(TICK_S)
            yield self._observe()

    def _steady(self, second: Second) -> bool:
        return second.requests >= 0.9 * self.rate and not second.failed and not second.lost

    # ------------------------------------------------------------------------------------ ticks

    def _tick(self) -> None:
        now = self._now()
        for happened in self._kubelet.tick(time.monotonic()):
            self._log("pod", f"{happened.pod} {happened.text}")
        if self._status is not None:
            self._collect(now)
            self._reconcile(now)
            self._measure(now)
        self._follow_pods()
        self._count(now)
        if not self.options.without_traffic and hasattr(self, "_load"):
            self._seconds += self._load.read()
        if not self._gateway.running:
            raise MachineError("the gateway ended by itself", "see envoy.log in the run's folder")

    def _reconcile(self, now: float) -> None:
        assert self._status is not None  # noqa: S101 — the caller checked
        self._status, scales = controller.reconcile(
            self.rollout,
            self._status,
            self._counted(self.release.latest_hash),
            self._counted(self.release.stable_hash),
            now,
        )
        for scale in scales:
            self._scale(scale)

    def _scale(self, scale: Scale) -> None:
        """Does a ReplicaSet's work: creates what is missing, deletes what is too much."""
        latest = scale.replica_set is ReplicaSetName.LATEST
        pod_hash = self.release.latest_hash if latest else self.release.stable_hash
        pods = [pod for pod in self._kubelet.pods if pod.active and pod.replica_set == pod_hash]
        if self._desired[pod_hash] != scale.replicas:
            side = "canary" if latest else "stable"
            self._log("scale", f"{side} {self._desired[pod_hash]} → {scale.replicas}")
        self._desired[pod_hash] = scale.replicas
        now = time.monotonic()
        for _ in range(scale.replicas - len(pods)):
            pod = self._kubelet.create(self._facts(pod_hash), pod_hash, now)
            self._port_hash[pod.port] = pod_hash
        # Kubernetes deletes what is not ready first, then the youngest.
        surplus = sorted(pods, key=lambda pod: (pod.ready, -pod.created_at))
        for pod in surplus[: max(0, len(pods) - scale.replicas)]:
            self._kubelet.delete(pod, now)

    def _measure(self, now: float) -> None:
        for run in self._current_runs():
            in_flight = frozenset(metric for name, metric in self._in_flight if name == run.name)
            for metric in analysis.due(run, now, in_flight):
                key = (run.name, metric.name)
                self._in_flight[key] = self._queries.submit(self._look, metric)

    def _collect(self, now: float) -> None:
        """Hands finished measurements to the controller."""
        assert self._status is not None  # noqa: S101 — the caller checked
        finished = [key for key, future in self._in_flight.items() if future.done()]
        for run, metric in finished:
            measurement = self._in_flight.pop((run, metric)).result()
            self._status = controller.record_measurement(self._status, run, metric, measurement)
        if self.options.without_prometheus and self._halfway_through_first_pause(now):
            self._log("machine", "prometheus killed (--without prometheus)")
            self._prometheus.stop()

    def _look(self, metric: Metric) -> Measurement:
        """One measurement, and its control: the same question about the stable ReplicaSet."""
        started_at = self._now()
        try:
            result = self._prometheus.query(metric.query, metric.timeout_s)
            control = self._control(metric)
        except QueryError as failed:
            return Measurement(Phase.ERROR, started_at, self._now(), message=str(failed))
        phase, message = analysis.judge(metric, result)
        number = result if isinstance(result, float) else (result[0] if result else None)
        value = f"{result:g}" if isinstance(result, float) else _shown(result)
        return Measurement(phase, started_at, self._now(), value, message, number, control)

    def _control(self, metric: Metric) -> float | None:
        query = metric.query.replace(self.release.latest_hash, self.release.stable_hash)
        result = self._prometheus.query(query, metric.timeout_s)
        return result if isinstance(result, float) else (result[0] if result else None)

    def _halfway_through_first_pause(self, now: float) -> bool:
        assert self._status is not None  # noqa: S101 — the caller checked
        first = next(i for i, s in enumerate(self.rollout.steps) if isinstance(s, Pause))
        pause = self.rollout.steps[first]
        began = self._status.pause_started_at
        if self._status.step_index != first or began is None or not isinstance(pause, Pause):
            return False
        return self._prometheus.running and now - began > (pause.duration_s or 0.0) / 2

    def _follow_pods(self) -> None:
        """Endpoints for the gateway, targets for Prometheus."""
        ready = {pod.port for pod in self._kubelet.pods if pod.ready}
        if ready != self._routed:
            self._gateway.route(ready)
            self._routed = ready
        scraped = {pod.port for pod in self._kubelet.pods}
        if scraped != self._scraped and self.bundle.pod_monitor is not None:
            self._prometheus.scrape("pods", [self._target(pod) for pod in self._kubelet.pods])
            self._scraped = scraped

    def _count(self, now: float) -> None:
        """Reads the gateway's counters once a second."""
        if now - self._counted_at >= 1.0:
            self._counted_at = now
            self._counts = self._gateway.counts()

    # -------------------------------------------------------------------------------- observing

    def _observe(self) -> Observation:
        status = self._status
        events, self._events = tuple(self._events), []
        seconds, self._seconds = tuple(self._seconds), []
        return Observation(
            at_s=self._now(),
            phase=str(status.phase) if status else str(RolloutPhase.HEALTHY),
            message=status.message if status else "",
            step_index=status.step_index if status else None,
            stable=self._counted(self.release.stable_hash),
            canary=self._counted(self.release.latest_hash),
            runs=(*status.finished_runs, *self._current_runs()) if status else (),
            stable_traffic=self._traffic(self.release.stable_hash),
            canary_traffic=self._traffic(self.release.latest_hash),
            seconds=seconds,
            events=events,
            step_remaining_s=self._remaining_s(),
            promoted=bool(status and status.promoted),
            aborted=bool(status and status.abort_message),
            inconclusive=bool(status and status.paused_inconclusive),
            settled=self._settled(),
        )

    def _settled(self) -> bool:
        """Paused for a person; or promoted or aborted, with every leaving pod gone."""
        status = self._status
        if status is None:
            return False
        if status.paused_inconclusive:
            return True
        if not (status.promoted or status.abort_message):
            return False
        leaving, staying = self.release.latest_hash, self.release.stable_hash
        if status.promoted:
            leaving, staying = staying, leaving
        gone = not any(pod.replica_set == leaving for pod in self._kubelet.pods)
        draining = any(not pod.active for pod in self._kubelet.pods)
        return gone and not draining and self._counted(staying).available >= self.rollout.replicas

    def _remaining_s(self) -> float | None:
        status = self._status
        if status is None or status.pause_started_at is None:
            return None
        if status.step_index is None or status.step_index >= len(self.rollout.steps):
            return None
        step = self.rollout.steps[status.step_index]
        if not isinstance(step, Pause) or step.duration_s is None:
            return None
        return max(0.0, status.pause_started_at + step.duration_s - self._now())

    def _current_runs(self) -> tuple[AnalysisRun, ...]:
        if self._status is None:
            return ()
        runs = (self._status.step_run, self._status.background_run)
        return tuple(run for run in runs if run is not None)

    def _counted(self, pod_hash: str) -> ReplicaCounts:
        now = time.monotonic()
        pods = [pod for pod in self._kubelet.pods if pod.active and pod.replica_set == pod_hash]
        available = [
            pod
            for pod in pods
            if pod.ready_at is not None and now - pod.ready_at >= self.rollout.min_ready_s
        ]
        return ReplicaCounts(self._desired[pod_hash], len(pods), len(available))

    def _traffic(self, pod_hash: str) -> Counts:
        mine = [c for port, c in self._counts.items() if self._port_hash.get(port) == pod_hash]
        return Counts(sum(c.requests for c in mine), sum(c.failed for c in mine))

    # ------------------------------------------------------------------------- pods' particulars

    def _facts(self, pod_hash: str) -> PodFacts:
        metadata = self.bundle.rollout.spec.template.metadata
        suffix = "".join(self._random.choice(ALPHABET) for _ in range(5))
        return PodFacts(
            name=f"{self.rollout.name}-{pod_hash}-{suffix}",
            namespace=self.rollout.namespace,
            labels={**metadata.labels, HASH_LABEL: pod_hash},
            annotations=metadata.annotations,
            ip="127.0.0.1",
        )

    def _variables(self, facts: PodFacts) -> Mapping[str, str]:
        container = self.bundle.rollout.spec.template.spec.container
        variables = resolve(container, facts, self._sources)
        if facts.labels[HASH_LABEL] == self.release.latest_hash and self.options.faults:
            variables[self.config.faults.variable] = ",".join(self.options.faults)
        # A container has only its image's environment; a process needs PATH to start at all.
        return {"PATH": os.environ.get("PATH", os.defpath), **variables}

    def _containers(self) -> Sequence[ContainerFacts]:
        container = self.bundle.rollout.spec.template.spec.container
        limit = container.resources.cpu_limit_millicores
        return [
            ContainerFacts(
                namespace=self.rollout.namespace,
                pod=pod.name,
                container=container.name,
                image=container.image,
                pid=pod.child.pid,
                restarts=pod.restarts,
                cpu_limit_cores=None if limit is None else limit / 1000,
            )
            for pod in list(self._kubelet.pods)
            if pod.child is not None
        ]

    def _target(self, pod: Pod) -> Target:
        """The labels that the operator's scrape of a PodMonitor adds."""
        monitor = self.bundle.pod_monitor
        assert monitor is not None  # noqa: S101 — the caller checked
        labels = {
            "namespace": self.rollout.namespace,
            "pod": pod.name,
            "container": self.bundle.rollout.spec.template.spec.container.name,
            "endpoint": monitor.spec.pod_metrics_endpoints[0].port,
            "job": f"{self.rollout.namespace}/{monitor.metadata.name}",
        }
        for name in monitor.spec.pod_target_labels:
            if name in pod.facts.labels:
                labels[name.translate(str.maketrans("-./", "___"))] = pod.facts.labels[name]
        return Target(pod.port, labels)

    def _local(self, command: Sequence[str]) -> list[str]:
        """A command whose program is found beside our own Python first, then on PATH."""
        program, *arguments = command
        beside = Path(sys.executable).parent / program
        found = str(beside) if beside.is_file() else shutil.which(program)
        if found is None:
            raise UsageError(f"{program} is not installed", "run: make setup")
        return [found, *arguments]

    # ----------------------------------------------------------------------------------- details

    def _now(self) -> float:
        """Seconds since the release, on a clock that is never set back."""
        return time.monotonic() - (self._released_at or time.monotonic())

    def _log(self, kind: str, text: str) -> None:
        self._events.append(Event(self._now(), kind, text))


def _template_hash(bundle: Bundle, role: str, faults: Sequence[str]) -> str:
    """A pod-template hash as long as Argo's, the same for the same template and faults."""
    text = bundle.rollout.spec.template.model_dump_json() + role + ",".join(faults)
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:10])


def _shown(samples: tuple[float, ...]) -> str:
    return "[" + ",".join(f"{sample:.6g}" for sample in samples) + "]"
