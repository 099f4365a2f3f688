"""What the service says of the same run: its own counters, read before and after.

The clients and the service count the same requests from two sides. What the clients sent and the
service never counted was lost on the way; what a request took the client longer than the service
was spent before it: in the gateway, in the network, in the queue for a thread.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from canary.errors import MeasureError

REQUESTS, SECONDS = "http_requests_total", "request_duration_seconds"
MEMORY = "process_resident_memory_bytes"


@dataclass(frozen=True)
class Reading:
    """The counters of all pods that were asked; memory is None where none is exported."""

    requests: float = 0.0
    failed: float = 0.0
    seconds: float = 0.0
    timed: float = 0.0
    memory_bytes: float | None = None

    def since(self, before: Reading) -> Reading:
        """What was added since."""
        return Reading(
            self.requests - before.requests,
            self.failed - before.failed,
            self.seconds - before.seconds,
            self.timed - before.timed,
            self.memory_bytes,
        )

    @property
    def mean_s(self) -> float | None:
        """How long the service took on average."""
        return self.seconds / self.timed if self.timed else None


def read(urls: Sequence[str]) -> Reading:
    """Adds up the counters of every URL, each a pod's /metrics.

    Raises:
        MeasureError: if one cannot be read.
    """
    requests = failed = seconds = timed = 0.0
    memory: float | None = None
    for url in urls:
        for sample in _samples(url):
            if sample.name == REQUESTS:
                requests += sample.value
                failed += sample.value if sample.labels.get("status", "").startswith("5") else 0
            elif sample.name == f"{SECONDS}_sum":
                seconds += sample.value
            elif sample.name == f"{SECONDS}_count":
                timed += sample.value
            elif sample.name == MEMORY:
                memory = (memory or 0.0) + sample.value
    return Reading(requests, failed, seconds, timed, memory)


def _samples(url: str) -> list[Sample]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        families = list(text_string_to_metric_families(text))
    except (OSError, ValueError) as failed:
        raise MeasureError(f"{url} cannot be read: {failed}", "is it a /metrics?") from None
    return [sample for family in families for sample in family.samples]


def compare(
    said: Reading, sent: int, answered: int, failed: int, mean_s: float
) -> dict[str, float]:
    """The difference between the two sides: requests, failures, and seconds a request."""
    return {
        "sent": sent,
        "answered": answered,
        "counted_by_service": said.requests,
        "lost_before_service": sent - said.requests,
        "answered_but_uncounted": max(0.0, answered - said.requests),
        "failed_seen": failed,
        "failed_counted": said.failed,
        "client_mean_s": mean_s,
        "service_mean_s": said.mean_s or 0.0,
        "before_service_s": mean_s - (said.mean_s or 0.0),
    }
