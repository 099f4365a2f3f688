"""What a cluster would export and this machine has not: set by hand, under the exporters' names.

Stand-ins, and said to be such wherever they are used: they show that an alert, its route and its
runbook work on series of this form, not that a controller exports them. Names and labels are those
of kube-state-metrics, cAdvisor, Argo Rollouts 1.9 (controller/metrics), Argo CD and the blackbox
exporter.
"""

from collections.abc import Iterator, Mapping

from observe import http_stub
from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = Mapping[str, str]


class FakeExporters(Collector):
    """Series that are there until they are taken away; a counter is a gauge that only rises."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        registry = CollectorRegistry()
        registry.register(self)
        self._server = http_stub.Server(MetricsHandler.factory(registry))
        self.port = self._server.port

    def set(self, name: str, labels: Labels, value: float) -> None:
        """Gives a series a value."""
        self._values[name, tuple(sorted(labels.items()))] = value

    def add(self, name: str, labels: Labels, value: float) -> None:
        """Raises a series by a value, from zero."""
        key = (name, tuple(sorted(labels.items())))
        self._values[key] = self._values.get(key, 0.0) + value

    def remove(self, name: str) -> None:
        """Takes every series of a name away."""
        self._values = {key: v for key, v in self._values.items() if key[0] != name}

    def collect(self) -> Iterator[Metric]:
        """Yields a family for each set of labels."""
        for (name, pairs), value in list(self._values.items()):
            labels = dict(pairs)
            family = GaugeMetricFamily(name, "stand-in", labels=list(labels))
            family.add_metric(list(labels.values()), value)
            yield family

    def stop(self) -> None:
        """Ends the server."""
        self._server.stop()
