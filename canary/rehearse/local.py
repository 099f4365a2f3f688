"""The local ground: the release on this machine, pods as processes behind a real gateway.

The imperative shell of a rehearsal. Each tick lets the kubelet probe, shows the controller what it
would see on a cluster, carries out what it decides, and takes the looks that are due.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from canary.argo import controller
from canary.argo.controller import RolloutPhase, Status
from canary.argo.model import AnalysisRun, Hashes, Pause, ReplicaSetName, Rollout
from canary.errors import MachineError, ReleaseError, UsageError
from canary.rehearse import config as configuration
from canary.rehearse import rates, time_compression
from canary.rehearse.builds import Build
from canary.rehearse.environment import PodFacts
from canary.rehearse.exporter import PATH as EXPORTER_PATH
from canary.rehearse.exporter import ContainerFacts, ExporterProgram
from canary.rehearse.fakes import StandIns, check_faults, local_command
from canary.rehearse.kubelet import Kubelet, Pod
from canary.rehearse.load import Load, Second
from canary.rehearse.measurements import Looks
from canary.rehearse.rates import Rates
from canary.rehearse.replica_sets import ReplicaSets, release_of, target_labels
from canary.rehearse.target import Event, Observation, Release
from canary.runtime import database, processes, scratch
from canary.runtime.gateway import Counts, Gateway
from canary.runtime.prometheus import Prometheus, QueryError, ScrapeJob, Target

TICK_S = 0.1
OBSERVE_S = 0.3
EXPORTER_JOB = "kubelet"
WARM_UP_TIMEOUT_S = 60.0
MIGRATION_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Options:
    """How this rehearsal differs from the manifests' ordinary day.

    `rates` are the requests a second to send, and the least to send where a machine cannot;
    `port` is the gateway's, or any free one; `rules` a folder of rule files that the run's
    Prometheus evaluates as well.
    """

    rates: Rates
    time_scale: float = 6.0
    faults: tuple[str, ...] = ()
    port: int | None = None
    without_traffic: bool = False
    without_prometheus: bool = False
    rules: Path | None = None


@dataclass
class LocalGround:
    """One rehearsal on this machine; `rollout` is already at the rehearsal's time scale.

    The candidate's manifests decide how the release walks and what judges it, as they would once
    Argo CD has applied them; `config_path` is the file whose traffic the users send.
    """

    stable: Build
    candidate: Build
    rollout: Rollout
    config_path: Path
    locustfile: Path
    options: Options
    folder: Path
    name: str = "local processes"
    observe_s: float = OBSERVE_S
    release: Release = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)
    _torn_down: list[str] = field(default_factory=list)
    _status: Status | None = None
    _zero: float = field(default_factory=time.monotonic)
    _events: list[Event] = field(default_factory=list)
    _seconds: list[Second] = field(default_factory=list)
    _counts: Mapping[int, Counts] = field(default_factory=dict)
    _routed: set[int] = field(default_factory=set)
    _load: Load | None = None

    def __post_init__(self) -> None:
        waits = [i for i, step in enumerate(self.rollout.steps) if step == Pause(None)]
        if waits:
            raise UsageError(
                f"step {waits[0]} pauses until a person resumes it",
                "give the pause a duration in the overlay you rehearse",
            )
        check_faults(self.candidate.config.faults, self.options.faults, self.candidate.programs)
        self.release = release_of(self.stable, self.candidate, self.options.faults)

    # ------------------------------------------------------------------ the ground's interface

    def prepare(self) -> Iterator[Observation]:
        """Starts everything, waits for the stable pods, and loads them until they are steady."""
        database_url = self._stack.enter_context(database.running())
        self._stack.callback(self._torn_down.append, "postgresql")
        secret = secrets.token_urlsafe(24)
        mounted = self._stack.enter_context(scratch.folder("secrets"))
        self._standins, self._candidates = (
            StandIns(build, database_url, secret, mounted / side)
            for side, build in (("stable", self.stable), ("candidate", self.candidate))
        )
        self._sets = self._make_replica_sets()
        self._prometheus = self._start_prometheus()
        self._looks = Looks(self._prometheus, self.release, self._now)
        self._stack.callback(self._looks.stop)
        self._gateway = Gateway(self.folder / "gateway", self.options.port)
        self._ending("envoy", self._gateway.stop)
        self._gateway.start()
        self._standins.prepare(self._sets.slots(ReplicaSetName.STABLE)[0].facts)
        self._scale(ReplicaSetName.STABLE, self.rollout.replicas)
        yield from self._until_ready()
        yield from self._until_scraping()
        if not self.options.without_traffic:
            self._ending("locust", self._stop_load)
            self._start_load(self.options.rates.wanted)
            yield from self._until_steady()

    def rehearse(self) -> Iterator[Observation]:
        """Applies the candidate and walks the steps until the release has settled."""
        self._zero = time.monotonic()
        yield from self._migrate()
        words = ", ".join(self.options.faults) or str(self.candidate)
        self._log("release", f"{self.rollout.name}-{self.release.latest_hash} applied ({words})")
        hashes = Hashes(self.release.latest_hash, self.release.stable_hash)
        self._status = controller.begin(self.rollout, hashes, self._now())
        observation = self._observe()
        while not observation.settled:
            yield observation
            until = time.monotonic() + OBSERVE_S
            while (left_s := until - time.monotonic()) > 0:
                self._tick()
                time.sleep(min(TICK_S, left_s))
            observation = self._observe()
        yield observation

    def tear_down(self) -> tuple[str, ...]:
        """Ends everything in the reverse order of its start."""
        self._stack.close()
        return tuple(self._torn_down)

    # --------------------------------------------------------------------------------- starting

    def _ending(self, name: str, stop: Callable[[], object]) -> None:
        """Has `stop` called at the end, and remembers that it was."""

        def end() -> None:
            result = stop()
            self._torn_down.append(f"{result} {name}" if isinstance(result, int) else name)

        self._stack.callback(end)

    def _make_replica_sets(self) -> ReplicaSets:
        candidate = replace(self._candidates.source(), variables=self._faulty_variables)
        sources = {
            self.release.stable_hash: self._standins.source(),
            self.release.latest_hash: candidate,
        }
        kubelet = Kubelet(sources, self.folder / "pods")
        self._ending("pods", kubelet.stop)
        return ReplicaSets(self.rollout, self.release, kubelet, self._traffic_asked.seed)

    def _faulty_variables(self, pod: PodFacts) -> Mapping[str, str]:
        variables = self._candidates.variables(pod)
        if self.options.faults:
            variables[self.candidate.config.faults.variable] = ",".join(self.options.faults)
        return variables

    def _migrate(self) -> Iterator[Observation]:
        """Runs the candidate's own preparations while stable pods answer, as a sync hook would.

        Raises:
            ReleaseError: if one fails: the release would not be applied, and users notice nothing.
        """
        pod = self._sets.slots(ReplicaSetName.LATEST)[0].facts
        for command in self.candidate.config.release:
            words = " ".join(command)
            child = processes.start(
                words,
                local_command(command, self.candidate.programs),
                self.folder / "release.log",
                self._candidates.variables(pod),
                self.candidate.folder,
            )
            deadline = time.monotonic() + MIGRATION_TIMEOUT_S
            while child.running and time.monotonic() < deadline:
                self._tick()
                time.sleep(TICK_S)
                yield self._observe()
            if child.running or child.popen.returncode:
                child.kill()
                raise ReleaseError(f"the candidate's `{words}` failed: {child.tail()}")
            self._log("release", f"{words}: {child.tail(1)}")

    def _start_prometheus(self) -> Prometheus:
        self._exporter = ExporterProgram(self.folder / "exporter")
        self._ending("exporter", self._exporter.stop)
        self._exporter.start()
        monitor = self.candidate.bundle.pod_monitor
        endpoint = monitor.spec.pod_metrics_endpoints[0] if monitor else None
        interval_s = time_compression.scrape_interval_s(
            endpoint.interval if endpoint else 30.0, self.options.time_scale
        )
        self._scrape_interval_s = interval_s
        kubelet = [Target(self._exporter.port, {})]
        jobs = [ScrapeJob(EXPORTER_JOB, EXPORTER_PATH, interval_s, kubelet, honour_labels=True)]
        if endpoint:
            jobs.append(ScrapeJob("pods", endpoint.path, interval_s, self._targets()))
        prometheus = Prometheus(self.folder / "prometheus", jobs, self._rules())
        self._ending("prometheus", prometheus.stop)
        prometheus.start()
        return prometheus

    def _rules(self) -> Mapping[str, Any]:
        """Configuration for the rule files, at their own windows: these are not scaled."""
        if self.options.rules is None:
            return {}
        files = sorted(str(file.resolve()) for file in self.options.rules.rglob("*.yaml"))
        return {
            "rule_files": files,
            "global": {"scrape_interval": "15s", "evaluation_interval": "1s"},
        }

    def _targets(self) -> Sequence[Target]:
        monitor = self.candidate.bundle.pod_monitor
        assert monitor is not None  # noqa: S101 — only called where there is one
        job = f"{self.rollout.namespace}/{monitor.metadata.name}"
        endpoint = monitor.spec.pod_metrics_endpoints[0].port
        container = self.candidate.bundle.rollout.spec.template.spec.container.name
        copied = monitor.spec.pod_target_labels
        return [
            Target(slot.ports[endpoint], target_labels(slot, job, endpoint, container, copied))
            for slot in self._sets.slots()
            # As on a cluster: a pod without a port of that name is not scraped.
            if endpoint in slot.ports
        ]

    def _containers(self) -> Sequence[ContainerFacts]:
        return [
            _facts(pod, pod.child.pid, self.rollout.namespace)
            for pod in list(self._sets.kubelet.pods)
            if pod.child is not None
        ]

    def _start_load(self, rate: float) -> None:
        self._stop_load()
        self._load = Load(
            folder=self.folder / f"load-{rate:.0f}",
            locustfile=self.locustfile,
            config=self.config_path,
            traffic=self._traffic_asked,
            rate=rate,
            values=self._standins.values,
        )
        self._load.start(self._gateway.url)

    def _stop_load(self) -> None:
        if self._load is not None:
            self._load.stop()

    @property
    def _traffic_asked(self) -> configuration.Traffic:
        """What users send: they know only what is released already."""
        return self.stable.config.traffic

    def _until_ready(self) -> Iterator[Observation]:
        deadline = time.monotonic() + self.rollout.progress_deadline_s
        while self._sets.counts(ReplicaSetName.STABLE).available < self.rollout.replicas:
            self._tick()
            pods = self._sets.kubelet.pods
            stuck = [pod for pod in pods if pod.restarts > 1]
            if stuck or time.monotonic() > deadline:
                said = self._sets.kubelet.tail((stuck or pods)[0])
                raise MachineError(
                    f"the stable release did not become ready: {said}",
                    "run the image's command by hand with the manifest's environment",
                )
            time.sleep(TICK_S)
            yield self._observe()

    def _until_scraping(self) -> Iterator[Observation]:
        deadline = time.monotonic() + WARM_UP_TIMEOUT_S
        while not self._prometheus.scraping():
            self._tick()
            if time.monotonic() > deadline:
                raise MachineError("prometheus does not take up its targets", "see its log")
            time.sleep(OBSERVE_S)
            yield self._observe()

    def _until_steady(self) -> Iterator[Observation]:
        """Waits for some whole seconds in which the users' rate is met and nothing is refused.

        Where it is not, a lower rate is sent, if the gates still see enough.
        """
        deadline = time.monotonic() + WARM_UP_TIMEOUT_S
        while self._load is not None and not rates.steady(self._load.seconds, self._load.rate):
            self._tick()
            load = self._load
            if any(second.refused for second in load.seconds):
                raise UsageError(
                    "the load's requests are refused (4xx)", "correct `requests` in rehearsal.yaml"
                )
            carried = rates.sustained(load.seconds)
            if carried is not None and load.rate == self.options.rates.wanted:
                rate = rates.lower(self.options.rates, carried)
                self._log("machine", rates.told(self.options.rates, carried, rate))
                self._start_load(rate)
            if time.monotonic() > deadline:
                raise rates.not_carried(load.rate, load.seconds)
            time.sleep(TICK_S)
            yield self._observe()

    # ------------------------------------------------------------------------------------ ticks

    def _tick(self) -> None:
        for happened in self._sets.kubelet.tick(time.monotonic()):
            self._log("pod", f"{happened.pod} {happened.text}")
        if self._status is not None:
            self._status = self._walk(self._status)
        self._follow_pods()
        self._exporter.tell(self._containers())
        if not self._gateway.running:
            raise MachineError("the gateway ended by itself", "see envoy.log in the run's folder")
        if self._load is not None:
            self._seconds += self._load.read()

    def _walk(self, status: Status) -> Status:
        """One reconcile, with the looks that are in, and what follows from it."""
        now = self._now()
        for run, measurements in self._looks.finished():
            status = controller.record_measurements(status, run, measurements, now)
        canary = self._sets.counts(ReplicaSetName.LATEST)
        stable = self._sets.counts(ReplicaSetName.STABLE)
        status, scales = controller.reconcile(self.rollout, status, canary, stable, now)
        for scale in scales:
            self._scale(scale.replica_set, scale.replicas)
        self._looks.begin(_current(status), now)
        if self.options.without_prometheus and self._halfway(status, now):
            self._log("machine", "prometheus killed (--without prometheus)")
            self._prometheus.stop()
        return status

    def _scale(self, replica_set: ReplicaSetName, replicas: int) -> None:
        done = self._sets.scale(replica_set, replicas)
        if done:
            self._log("scale", done)

    def _halfway(self, status: Status, now: float) -> bool:
        """Whether half of the first pause is over, and Prometheus still there to be killed."""
        remaining_s = self._remaining_s(status, now)
        first = next(i for i, s in enumerate(self.rollout.steps) if isinstance(s, Pause))
        pause = self.rollout.steps[first]
        if remaining_s is None or status.step_index != first or not isinstance(pause, Pause):
            return False
        return self._prometheus.running and remaining_s < (pause.duration_s or 0.0) / 2

    def _follow_pods(self) -> None:
        """The Service's endpoints: what is ready is what the gateway sends requests to."""
        ready = {pod.port for pod in self._sets.kubelet.pods if pod.ready}
        if ready != self._routed:
            self._gateway.route(ready)
            self._routed = ready

    # -------------------------------------------------------------------------------- observing

    def _observe(self) -> Observation:
        self._counts = self._gateway.counts()
        status, now = self._status, self._now()
        events, self._events = tuple(self._events), []
        seconds, self._seconds = tuple(self._seconds), []
        seen = Observation(
            at_s=now,
            phase=str(RolloutPhase.HEALTHY),
            message="",
            step_index=None,
            stable=self._sets.counts(ReplicaSetName.STABLE),
            canary=self._sets.counts(ReplicaSetName.LATEST),
            stable_traffic=self._traffic(ReplicaSetName.STABLE),
            canary_traffic=self._traffic(ReplicaSetName.LATEST),
            seconds=seconds,
            events=events,
            rate=self._load.rate if self._load is not None else 0.0,
        )
        return seen if status is None else self._add_status(seen, status, now)

    def _add_status(self, seen: Observation, status: Status, now: float) -> Observation:
        settled = self._settled(status)
        scrapes, lost = self._count_scrapes(now) if settled else (0, 0)
        return replace(
            seen,
            phase=str(status.phase),
            message=status.message,
            step_index=status.step_index,
            runs=(*status.finished_runs, *_current(status)),
            weight=controller.weight_in_force(self.rollout, status),
            step_remaining_s=self._remaining_s(status, now),
            promoted=status.promoted,
            aborted=bool(status.abort_message),
            timed_out=status.timed_out,
            inconclusive=status.paused_inconclusive,
            settled=settled,
            scrapes=scrapes,
            scrapes_lost=lost,
        )

    def _count_scrapes(self, since_s: float) -> tuple[int, int]:
        """Scrapes of the exporter that were due in the time before now, and how many failed."""
        due = int(since_s / self._scrape_interval_s) - 1
        if due < 1 or not self._prometheus.running:
            return 0, 0
        query = f"sum(sum_over_time(up{{job='{EXPORTER_JOB}'}}[{since_s:.0f}s]))"
        try:
            answer = self._prometheus.query(query)
        except QueryError:
            return due, due
        answered = answer if isinstance(answer, float) else sum(answer)
        return due, max(0, due - int(answered))

    def _settled(self, status: Status) -> bool:
        """Waiting for a person; or promoted or aborted, with every leaving pod gone."""
        if status.paused_inconclusive or status.timed_out:
            return True
        if not (status.promoted or status.abort_message):
            return False
        leaving, staying = ReplicaSetName.LATEST, ReplicaSetName.STABLE
        if status.promoted:
            leaving, staying = staying, leaving
        if self._sets.leaving(leaving):
            return False
        draining = any(not pod.active for pod in self._sets.kubelet.pods)
        return not draining and self._sets.counts(staying).available >= self.rollout.replicas

    def _remaining_s(self, status: Status, now: float) -> float | None:
        if status.pause_started_at is None or status.step_index >= len(self.rollout.steps):
            return None
        step = self.rollout.steps[status.step_index]
        if not isinstance(step, Pause) or step.duration_s is None:
            return None
        return max(0.0, status.pause_started_at + step.duration_s - now)

    def _traffic(self, replica_set: ReplicaSetName) -> Counts:
        ports = self._sets.ports(replica_set)
        mine = [counts for port, counts in self._counts.items() if port in ports]
        return Counts(sum(c.requests for c in mine), sum(c.failed for c in mine))

    def _now(self) -> float:
        """Seconds since the release (before it: since the start), on a steady clock."""
        return time.monotonic() - self._zero

    def _log(self, kind: str, text: str) -> None:
        self._events.append(Event(self._now(), kind, text))


def _facts(pod: Pod, pid: int, namespace: str) -> ContainerFacts:
    container = pod.source.container
    limit = container.resources.cpu_limit_millicores
    return ContainerFacts(
        namespace=namespace,
        pod=pod.name,
        container=container.name,
        image=container.image,
        pid=pid,
        restarts=pod.restarts,
        cpu_limit_cores=None if limit is None else limit / 1000,
    )


def _current(status: Status) -> tuple[AnalysisRun, ...]:
    runs = (status.step_run, status.background_run)
    return tuple(run for run in runs if run is not None)
