"""What the service says of the same run: its own counters, read before and after.

The clients and the service count the same requests from two sides. What the clients sent and the
service never counted was lost on the way; what a request took the client longer than the service
was spent before it: in the gateway, in the network, in the queue for a thread.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from canary.errors import MeasureError

REQUESTS, SECONDS = "http_requests_total", "request_duration_seconds"


@dataclass(frozen=True)
class Reading:
    """The counters of all pods that were asked."""

    requests: float = 0.0
    failed: float = 0.0
    seconds: float = 0.0
    timed: float = 0.0

    def since(self, before: Reading) -> Reading:
        """What was added since."""
        pairs = zip(astuple(self), astuple(before), strict=True)
        return Reading(*(now - then for now, then in pairs))

    @property
    def mean_s(self) -> float:
        """How long the service took on average."""
        return self.seconds / self.timed if self.timed else 0.0


def read(urls: Sequence[str]) -> Reading:
    """Adds up the counters of every URL, each a pod's /metrics.

    Raises:
        MeasureError: if one cannot be read.
    """
    samples = [sample for url in urls for sample in _samples(url)]

    def total(name: str, status: str = "") -> float:
        found = (s for s in samples if s.name == name)
        return sum((s.value for s in found if s.labels.get("status", "").startswith(status)), 0.0)

    return Reading(
        requests=total(REQUESTS),
        failed=total(REQUESTS, "5"),
        seconds=total(f"{SECONDS}_sum"),
        timed=total(f"{SECONDS}_count"),
    )


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
        "service_mean_s": said.mean_s,
        "before_service_s": mean_s - said.mean_s,
    }
