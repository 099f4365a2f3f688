"""The events of a rehearsal on this machine, carried out when their moment comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from canary.argo import controller, events
from canary.argo.controller import Status
from canary.argo.events import Event, Kind, Schedule
from canary.argo.model import Hashes, ReplicaSetName, Rollout
from canary.rehearse.load import Load
from canary.rehearse.measurements import Measurements
from canary.rehearse.replica_sets import ReplicaSets
from canary.runtime.prometheus import Prometheus


class Machine(Protocol):
    """What events happen to."""

    rollout: Rollout
    sets: ReplicaSets
    prometheus: Prometheus
    measurements: Measurements
    load: Load | None

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the release."""

    def log(self, kind: str, text: str) -> None:
        """Notes what happened."""


@dataclass
class Happenings:
    """What is still to come.

    `second` is the hash of the release that may replace the first; `fire` lets an alert fire.
    """

    schedule: Schedule
    second: str
    fire: Callable[[str], None]

    def tick(self, node: Machine, status: Status) -> Status:
        """Carries out what is due; returns the status after it."""
        for event in self.schedule.due(status.step_index, node.clock()):
            node.log("event", str(event))
            status = self._carry_out(event, node, status)
        return status

    def _carry_out(self, event: Event, node: Machine, status: Status) -> Status:
        match event.kind:
            case Kind.TRAFFIC:
                if node.load is not None:
                    node.load.pace(event.number)
            case Kind.PROMETHEUS:
                if event.value == "stop":
                    node.prometheus.stop()
                else:
                    node.prometheus.start_empty()
            case Kind.REPLICAS:
                node.rollout = replace(node.rollout, replicas=int(event.number))
                node.sets.rollout = node.rollout
            case Kind.ALERT:
                self.fire(event.value)
            case Kind.LOSE:
                node.sets.lose(ReplicaSetName.LATEST, event.number)
            case Kind.RELEASE:
                node.sets.supersede(self.second)
                node.measurements.hashes = Hashes(self.second, status.hashes.stable)
                return controller.supersede(status, self.second, node.clock())
        return events.act(node.rollout, status, event, node.clock())
