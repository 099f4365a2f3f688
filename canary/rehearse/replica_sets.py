"""The two ReplicaSets on one machine: which pods they ask the kubelet for, and their names.

Pods are set aside before they are needed, with name and port, so that Prometheus can be told of
them in advance: it takes up new targets every 5 s and no faster, which at a scale of 6 would be
half of a step. Until a pod starts, its target simply does not answer.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from random import Random

from canary.argo.model import NO_PODS, Hashes, ReplicaCounts, ReplicaSetName, Rollout
from canary.rehearse.environment import PodFacts
from canary.rehearse.kubelet import LOCALHOST, Kubelet, Pod
from canary.runtime import processes

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own, which spells no words
SIDES = {
    ReplicaSetName.LATEST: "canary",
    ReplicaSetName.STABLE: "stable",
    ReplicaSetName.OLD: "replaced canary",
}
HASH_LABEL = "rollouts-pod-template-hash"
ADDRESSES = IPv4Network("10.244.0.0/16")


@dataclass(frozen=True)
class Slot:
    """A pod that may be started: what it will be called, and its ports by name.

    `address` is its own in the metrics, as on a cluster: on this machine all pods share one.
    """

    facts: PodFacts
    ports: Mapping[str, int]
    served: str
    address: str

    @property
    def port(self) -> int:
        """Where users' requests will come to."""
        return self.ports[self.served]


@dataclass
class ReplicaSets:
    """Stable and canary; `seed` makes the pods' random names repeat from run to run.

    `most` is the largest number of replicas that there will be; `old` is the hash of a release
    that another replaced before its end.
    """

    rollout: Rollout
    hashes: Hashes
    kubelet: Kubelet
    seed: int
    most: int = 0
    old: str = ""
    _desired: dict[str, int] = field(default_factory=dict)
    _slots: dict[str, list[Slot]] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = Random(self.seed)  # noqa: S311 — names, not secrets
        addresses = map(str, ADDRESSES.hosts())
        most = max(self.most, self.rollout.replicas)
        for pod_hash in (self.hashes.stable, *(self.kubelet.sources.keys() - {self.hashes.stable})):
            # Stable pods are started twice when a release is aborted, canary pods once.
            count = 2 * most if pod_hash == self.hashes.stable else most + 1
            self._desired[pod_hash] = self._used[pod_hash] = 0
            self._slots[pod_hash] = [
                self._set_aside(pod_hash, names, next(addresses)) for _ in range(count)
            ]

    def hash_of(self, replica_set: ReplicaSetName) -> str:
        """A ReplicaSet's pod-template hash; nothing for an old one that is not there."""
        if replica_set is ReplicaSetName.OLD:
            return self.old
        latest = replica_set is ReplicaSetName.LATEST
        return self.hashes.latest if latest else self.hashes.stable

    def scale(self, replica_set: ReplicaSetName, replicas: int) -> str:
        """Creates what is missing and deletes what is too much; says what was done, if anything."""
        pod_hash = self.hash_of(replica_set)
        before, self._desired[pod_hash] = self._desired[pod_hash], replicas
        pods = list(self._pods(pod_hash))
        now = time.monotonic()
        self.fill()
        # Kubernetes deletes what is not ready first, then the youngest.
        by_worth = sorted(pods, key=lambda pod: (pod.ready, -pod.created_at))
        for pod in by_worth[: max(0, len(pods) - replicas)]:
            self.kubelet.delete(pod, now)
        return "" if before == replicas else f"{SIDES[replica_set]} {before} → {replicas}"

    def fill(self) -> None:
        """Creates the pods that are missing, as where some were lost."""
        now = time.monotonic()
        for pod_hash, wanted in self._desired.items():
            for _ in range(wanted - len(list(self._pods(pod_hash)))):
                slot = self._next_slot(pod_hash)
                self.kubelet.create(slot.facts, pod_hash, slot.ports, now)

    def lose(self, replica_set: ReplicaSetName, count: float) -> None:
        """Pods are gone from one moment to the next, as with their node."""
        pods = list(self._pods(self.hash_of(replica_set)))
        for pod in pods[: int(min(count, len(pods)))]:
            self.kubelet.lose(pod, time.monotonic())

    def supersede(self, latest: str) -> None:
        """The canary is an old ReplicaSet from now on, and another's has no pods yet."""
        self.old, self.hashes = self.hashes.latest, Hashes(latest, self.hashes.stable)

    def counts(self, replica_set: ReplicaSetName) -> ReplicaCounts:
        """What the controller sees of a ReplicaSet now."""
        pod_hash, now = self.hash_of(replica_set), time.monotonic()
        if not pod_hash:
            return NO_PODS
        pods = list(self._pods(pod_hash))
        ready_since = [pod.ready_at for pod in pods if pod.ready_at is not None]
        available = [at for at in ready_since if now - at >= self.rollout.min_ready_s]
        return ReplicaCounts(self._desired[pod_hash], len(pods), len(available))

    def ready_ports(self, replica_set: ReplicaSetName) -> set[int]:
        """Where the pods of a ReplicaSet that are sent traffic listen."""
        return {pod.port for pod in self._pods(self.hash_of(replica_set)) if pod.ready}

    def leaving(self, replica_set: ReplicaSetName) -> bool:
        """Whether any pod of a ReplicaSet still runs, draining ones included."""
        pod_hash = self.hash_of(replica_set)
        return any(pod.replica_set == pod_hash for pod in self.kubelet.pods)

    def ports(self, replica_set: ReplicaSetName) -> set[int]:
        """Every port that a ReplicaSet's pods have or may get."""
        return {slot.port for slot in self._slots.get(self.hash_of(replica_set), ())}

    def slots(self, replica_set: ReplicaSetName | None = None) -> Sequence[Slot]:
        """Every pod there is or may be, of one ReplicaSet or of both."""
        if replica_set is not None:
            return self._slots[self.hash_of(replica_set)]
        return [slot for slots in self._slots.values() for slot in slots]

    def _pods(self, pod_hash: str) -> Iterator[Pod]:
        return (pod for pod in self.kubelet.pods if pod.active and pod.replica_set == pod_hash)

    def _next_slot(self, pod_hash: str) -> Slot:
        slots, taken = self._slots[pod_hash], {pod.name for pod in self.kubelet.pods}
        while True:
            slot = slots[self._used[pod_hash] % len(slots)]
            self._used[pod_hash] += 1
            if slot.facts.name not in taken:
                return slot

    def _set_aside(self, pod_hash: str, names: Random, address: str) -> Slot:
        metadata = self.kubelet.sources[pod_hash].template.metadata
        is_stable = pod_hash == self.hashes.stable
        added = self.rollout.stable_metadata if is_stable else self.rollout.canary_metadata
        suffix = "".join(names.choice(ALPHABET) for _ in range(5))
        facts = PodFacts(
            name=f"{self.rollout.name}-{pod_hash}-{suffix}",
            namespace=self.rollout.namespace,
            labels={**metadata.labels, **added.labels, HASH_LABEL: pod_hash},
            annotations={**metadata.annotations, **added.annotations},
            ip=LOCALHOST,
        )
        source = self.kubelet.sources[pod_hash]
        ports = {name: processes.free_port() for name in source.ports}
        return Slot(facts, ports, source.served, address)
