"""The generator's own Prometheus metrics, to stand beside the service's on one panel.

loadtest_requests_total{route, outcome}        what users met
loadtest_request_duration_seconds{route}       from when each request was due
loadtest_dropped_total                         arrivals that found no free user in time
"""

from collections.abc import Iterable

from openarrivals.samples import Sample
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from loadtesting.model import Outcome

# The service's own bounds up to its gate's, and beyond it what a stall looks like to a user.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The three families, and their server if a port is given; loopback unless told otherwise."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "loadtest_requests",
            "Requests as their users met them",
            ["route", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "loadtest_request_duration_seconds",
            "From when a request was due to its response",
            ["route"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._dropped = Counter(
            "loadtest_dropped", "Arrivals that found no free user in time", registry=self.registry
        )

    def serve(self, port: int, address: str = "127.0.0.1") -> None:
        """Serves /metrics from a thread until the program ends."""
        start_http_server(port, address, self.registry)

    def take(self, samples: Iterable[tuple[Sample, Outcome]], dropped: int) -> None:
        """Counts a batch."""
        for sample, outcome in samples:
            self._requests.labels(sample.name, outcome).inc()
            self._seconds.labels(sample.name).observe(sample.latency_s)
        self._dropped.inc(dropped)
