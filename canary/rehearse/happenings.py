"""The events of a rehearsal on this machine, carried out when their moment comes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from canary.argo import controller, events
from canary.argo.controller import Status
from canary.argo.events import Event, Kind, Schedule
from canary.argo.model import Hashes, ReplicaSetName, Rollout
from canary.rehearse.load import Load
from canary.rehearse.measurements import Measurements
from canary.rehearse.replica_sets import ReplicaSets
from canary.rehearse.target import Event as Told
from canary.runtime.prometheus import Prometheus


@dataclass(kw_only=True)
class Machine:
    """What events happen to; `schedule` is what is still to come.

    `second` is the hash of the release that may replace the first; `fire` lets an alert fire.
    """

    rollout: Rollout
    sets: ReplicaSets
    prometheus: Prometheus
    measurements: Measurements
    clock: Callable[[], float]
    schedule: Schedule
    second: str
    fire: Callable[[str], None]
    load: Load | None = None
    _events: list[Told] = field(default_factory=list)

    def log(self, kind: str, text: str) -> None:
        """Notes an event, for the next observation."""
        self._events.append(Told(self.clock(), kind, text))

    def happen(self, status: Status) -> Status:
        """Carries out what is due; returns the status after it."""
        for event in self.schedule.due(status.step_index, self.clock()):
            self.log("event", str(event))
            status = self._carry_out(event, status)
        return status

    def _carry_out(self, event: Event, status: Status) -> Status:
        match event.kind:
            case Kind.TRAFFIC:
                if self.load is not None:
                    self.load.pace(event.number)
            case Kind.PROMETHEUS:
                if event.value == "stop":
                    self.prometheus.stop()
                else:
                    self.prometheus.start_empty()
            case Kind.REPLICAS:
                self.rollout = replace(self.rollout, replicas=int(event.number))
                self.sets.rollout = self.rollout
            case Kind.ALERT:
                self.fire(event.value)
            case Kind.LOSE:
                self.sets.lose(ReplicaSetName.LATEST, event.number)
            case Kind.RELEASE:
                self.sets.supersede(self.second)
                self.measurements.hashes = Hashes(self.second, status.hashes.stable)
                return controller.supersede(status, self.second, self.clock())
        return events.act(self.rollout, status, event, self.clock())
