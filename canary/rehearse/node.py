"""One machine as a cluster: what runs there once it is started, and one tick of its life.

Each tick lets the kubelet probe, shows the controller what it would see on a cluster, carries out
what it decides, and takes the measurements that are due.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from canary.argo import controller, quantities
from canary.argo.controller import RolloutPhase, Status
from canary.argo.model import Pause, ReplicaSetName
from canary.errors import MachineError
from canary.rehearse import edge
from canary.rehearse.active_service import ActiveService
from canary.rehearse.exporter import ContainerFacts, ExporterProgram
from canary.rehearse.happenings import Machine
from canary.rehearse.kubelet import ContainerState, Pod
from canary.rehearse.load import Second
from canary.rehearse.outage import WORLD, Outage
from canary.rehearse.replica_sets import SIDES
from canary.rehearse.target import Observation, remaining_s, stays
from canary.runtime.gateway import PODS, Counts, Gateway
from canary.runtime.prometheus import QueryError

EXPORTER_JOB = "kubelet"
# A Prometheus on loopback answers within a second, or refuses; Argo itself would wait for 30 s.
HUNG_TIMEOUT_S = 15.0
# For so long after a release's end the pods that stay are waited for. Without a database, for one,
# the stable pod that a rollback starts is never ready.
RECOVERY_TIMEOUT_S = 30.0
ROUTES = "routes"


@dataclass
class Clock:
    """Seconds since the release (before it: since the start), on a steady clock."""

    zero: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        """Now."""
        return time.monotonic() - self.zero

    def restart(self) -> None:
        """The release begins now."""
        self.zero = time.monotonic()


@dataclass(kw_only=True)
class Node(Machine):
    """Everything that was started; `status` is the controller's, once there is a release.

    `stable_alone` says that users come by a Service that selects no canary pod until the promotion.
    """

    scrape_interval_s: float
    exporter: ExporterProgram
    gateway: Gateway
    clock: Clock
    edge_delay_s: float
    left_out: tuple[str, ...] = ()
    outage: Outage | None = None
    stable_alone: bool = False
    active: ActiveService | None = None
    status: Status | None = None
    _seconds: list[Second] = field(default_factory=list)
    _routed: dict[str, object] = field(default_factory=dict)
    _drained_at: float | None = None
    _waited: bool = False

    def stop_load(self) -> None:
        """Sends nobody any more."""
        if self.load is not None:
            self.load.stop()

    def scale(self, replica_set: ReplicaSetName, replicas: int) -> None:
        """Asks a ReplicaSet for a number of pods."""
        done = self.sets.scale(replica_set, replicas)
        if done:
            self.log("scale", done)

    def tick(self) -> None:
        """Lets a moment pass.

        Raises:
            MachineError: if the gateway has ended by itself, or Prometheus hangs.
        """
        for pod, text in self.sets.kubelet.tick(time.monotonic()):
            self.log("pod", f"{pod} {text}")
        self.sets.fill()
        if self.status is not None:
            self.status = self._reconcile(self.happen(self.status))
            if self.outage is not None and (happening := self.outage.tick(self.clock())):
                self.log(WORLD, happening)
        self._follow_pods()
        self.exporter.tell(
            [
                _facts(pod, state, state.child.pid, self.rollout.namespace)
                for pod in self.sets.kubelet.pods
                for state in pod.containers
                if state.child is not None
            ]
        )
        waited_s = self.measurements.waited_s(self.clock())
        if waited_s > HUNG_TIMEOUT_S:
            raise MachineError(
                f"the run's Prometheus has not answered a measurement for {waited_s:.0f} s",
                "see prometheus.log in the run's folder, and use a less busy machine",
            )
        if not self.gateway.running:
            raise MachineError("the gateway ended by itself", "see envoy.log in the run's folder")
        if self.load is not None:
            self._seconds += self.load.read()

    def _reconcile(self, status: Status) -> Status:
        """One reconcile, with the measurements that are in, and what follows from it."""
        now = self.clock()
        for run, measurements in self.measurements.finished():
            status = controller.record_measurements(status, run, measurements, now)
        canary, stable, old = (self.sets.counts(name) for name in ReplicaSetName)
        status, scales = controller.reconcile(self.rollout, status, canary, stable, now, old)
        for scale in scales:
            self.scale(scale.replica_set, scale.replicas)
        self.measurements.begin(status.current_runs, now)
        return status

    def _follow_pods(self) -> None:
        """The Services' endpoints, and the router's weights: where the gateway sends requests."""
        sets = self.sets
        dead = sets.kubelet.unnoticed(self.edge_delay_s, time.monotonic())
        canary, stable, old = (
            sets.ready_ports(name) | (dead & sets.ports(name)) for name in ReplicaSetName
        )
        wanted: dict[str, object] = {}
        if self.rollout.routing is None:
            promoted = self.status is not None and self.status.promoted
            alone = canary if promoted else stable
            wanted[PODS] = alone if self.stable_alone else stable | canary | old
        else:
            wanted = {edge.STABLE: stable, edge.CANARY: canary}
            if self.active is not None:
                wanted[edge.PREVIEW] = canary
                self._select(self.active)
            wanted[ROUTES] = edge.routes(self.rollout, self.status, canary_ready=bool(canary))
        for name, now in wanted.items():
            if self._routed.get(name) != now:
                self._routed[name] = now
                if isinstance(now, set):
                    self.gateway.route(now, name)
                elif isinstance(now, list):
                    self.gateway.share(now)

    def _select(self, active: ActiveService) -> None:
        """The active Service's pods, as a scrape finds them."""
        switched = self.status is not None and self.status.weight == self.rollout.max_weight
        if switched and self.measurements.switched_at_s is None:
            self.measurements.switched_at_s = time.time()
        name = ReplicaSetName.LATEST if switched else ReplicaSetName.STABLE
        active.select(port for slot in self.sets.slots(name) for port in slot.ports.values())

    def observe(self) -> Observation:
        """The state of the release, and what was new since the last call."""
        counts = self.gateway.counts()
        status, now = self.status, self.clock()
        events, self._events = tuple(self._events), []
        seconds, self._seconds = tuple(self._seconds), []
        seen = Observation(
            at_s=now,
            phase=str(RolloutPhase.HEALTHY),
            message="",
            step_index=None,
            stable=self.sets.counts(ReplicaSetName.STABLE),
            canary=self.sets.counts(ReplicaSetName.LATEST),
            stable_traffic=self._traffic(counts, ReplicaSetName.STABLE),
            canary_traffic=self._traffic(counts, ReplicaSetName.LATEST, ReplicaSetName.OLD),
            seconds=seconds,
            events=events,
            rate=self.load.rate * self.load.lowest if self.load is not None else 0.0,
            left_out=self.left_out,
        )
        return seen if status is None else self._add_status(seen, status, now)

    def _add_status(self, seen: Observation, status: Status, now: float) -> Observation:
        settled = self._settled(status)
        waited_s = None if status.pause_started_at is None else now - status.pause_started_at
        scrapes, lost = self._count_scrapes(now) if settled else (0, 0)
        return replace(
            seen,
            phase=str(status.phase),
            message=status.message,
            step_index=status.step_index,
            runs=status.runs,
            weight=controller.weight_in_force(self.rollout, status),
            step_remaining_s=remaining_s(self.rollout, status.step_index, waited_s),
            promoted=status.promoted,
            aborted=bool(status.abort_message),
            timed_out=status.timed_out,
            inconclusive=status.paused_inconclusive,
            unjudged=controller.unjudged(self.rollout, status) or self._waits(status),
            settled=settled,
            scrapes=scrapes,
            scrapes_lost=lost,
        )

    def _count_scrapes(self, since_s: float) -> tuple[int, int]:
        """Scrapes of the exporter that were due in the time before now, and how many failed."""
        due = int(since_s / self.scrape_interval_s) - 1
        if due < 1 or not self.prometheus.running or self.prometheus.forgetful:
            return 0, 0
        query = f"sum(sum_over_time(up{{job='{EXPORTER_JOB}'}}[{since_s:.0f}s]))"
        try:
            answer = self.prometheus.query(query)
        except QueryError:
            return due, due
        answered = answer if isinstance(answer, float) else sum(answer)
        return due, max(0, due - int(answered))

    def _settled(self, status: Status) -> bool:
        """At a step that nobody promotes; or at an end, with every leaving pod gone."""
        if self.schedule.imminent:
            return False
        if status.paused_inconclusive or status.timed_out or self._waits(status):
            return True
        if not (status.promoted or status.abort_message or status.undone):
            self._drained_at, self._waited = None, False
            return False
        leaving, staying = ReplicaSetName.LATEST, ReplicaSetName.STABLE
        if status.promoted:
            leaving, staying = staying, leaving
        if self.sets.leaving(leaving) and not stays(self.rollout, promoted=status.promoted):
            return False
        if any(not pod.active for pod in self.sets.kubelet.pods):
            return False
        available = self.sets.counts(staying).available
        return available >= self.rollout.replicas or self._waited_for(staying, available)

    def _waited_for(self, staying: ReplicaSetName, available: int) -> bool:
        """Whether it is time to end without the pods that are not available."""
        now = self.clock()
        if self._drained_at is None:
            self._drained_at = now
        if now - self._drained_at < RECOVERY_TIMEOUT_S:
            return False
        if not self._waited:
            self._waited = True
            there = f"{available} of {self.rollout.replicas} pods of {SIDES[staying]} are available"
            late = f"{RECOVERY_TIMEOUT_S:.0f} s after the other pods left"
            self.log("pod", f"{there} {late}; not waited for any longer")
        return True

    def _waits(self, status: Status) -> str:
        """Why nothing goes on without a person; nothing where it does."""
        paused, index = status.pause_started_at is not None, status.step_index
        if status.user_paused and not self.schedule.imminent:
            return controller.PAUSED_BY_HAND
        if paused and self.rollout.steps[index : index + 1] == (Pause(None),):
            return controller.needs_promotion(index)
        return ""

    def _traffic(self, counts: Mapping[int, Counts], *replica_sets: ReplicaSetName) -> Counts:
        ports = {port for name in replica_sets for port in self.sets.ports(name)}
        return sum((found for port, found in counts.items() if port in ports), Counts())


def _facts(pod: Pod, state: ContainerState, pid: int, namespace: str) -> ContainerFacts:
    container = state.container
    resources = container.resources

    def of(name: str, given: Mapping[str, str]) -> float | None:
        # An API server sets a request to its limit where there is none.
        text = given.get(name, resources.limits.get(name))
        return None if text is None else float(quantities.parse(text))

    return ContainerFacts(
        namespace=namespace,
        pod=pod.name,
        container=container.name,
        image=container.image,
        pid=pid,
        restarts=state.restarts,
        cpu_limit_cores=of("cpu", resources.limits),
        memory_limit_bytes=of("memory", resources.limits),
        cpu_request_cores=of("cpu", resources.requests),
        memory_request_bytes=of("memory", resources.requests),
    )
