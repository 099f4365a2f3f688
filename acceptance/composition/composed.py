"""All contracts together: jobs, ports, series and kinds of a cluster with all of it installed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from acceptance.composition.contract import Contract, Object, Pods, Service
from policies.rules import selects

# The API server's own Service, which every cluster has.
API_SERVER = Service(
    name="kubernetes",
    namespace="default",
    labels={"component": "apiserver", "provider": "kubernetes"},
    ports={"https": 443},
)
# On AKS the control plane is Microsoft's, and with Cilium there is no kube-proxy: a Service for
# one of them selects no pod (AKS's documentation: core concepts; Azure CNI powered by Cilium).
NOT_ON_AKS = frozenset({"kube-controller-manager", "kube-scheduler", "kube-etcd", "kube-proxy"})

# Series of exporters that no chart names, with the file that makes them, and the job or monitor
# that they are read by: a series is there if something is scraped for it.
SERIES = {
    # argo-rollouts v1.9.1, controller/metrics/prommetrics.go
    "rollout_": "argo-rollouts",
    "analysis_run_": "argo-rollouts",
    # argo-cd v3.2.3, controller/metrics/metrics.go
    "argocd_app_": "argo-cd",
    # alertmanager v0.34, notify/metric.go; client_golang's version collector
    "alertmanager_": "kube-prometheus-stack-alertmanager",
    "prometheus_": "kube-prometheus-stack-prometheus",
    # kube-state-metrics v2.20, docs/metrics
    "kube_": "kube-state-metrics",
    # kubelet, /metrics/cadvisor
    "container_": "kubelet",
}


@dataclass(frozen=True)
class Target:
    """Something that is scraped: the `job` that its series carry, and the port's name."""

    job: str
    namespace: str
    port: str
    path: str
    honor_labels: bool
    monitor: str
    drops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Composed:
    """The union of the contracts."""

    contracts: Mapping[str, Contract]

    @property
    def services(self) -> list[Service]:
        """Every Service."""
        return [API_SERVER, *(s for c in self.contracts.values() for s in c.services)]

    @property
    def pods(self) -> list[Pods]:
        """The pods of every workload."""
        return [pods for contract in self.contracts.values() for pods in contract.pods]

    @property
    def monitors(self) -> list[Object]:
        """Every ServiceMonitor."""
        return [monitor for contract in self.contracts.values() for monitor in contract.monitors]

    @property
    def targets(self) -> list[Target]:
        """What Prometheus finds to scrape on AKS."""
        found = [t for monitor in self.monitors for t in _targets(monitor, self.services)]
        return [target for target in found if target.job not in NOT_ON_AKS]

    @property
    def jobs(self) -> set[str]:
        """The values that the label `job` has."""
        return {target.job for target in self.targets}

    def scraping(self, series: str) -> list[Target]:
        """The targets that an exporter's series is read from; none if nothing reads it."""
        wanted = next((job for prefix, job in SERIES.items() if series.startswith(prefix)), None)
        return [t for t in self.targets if wanted in (t.job, t.monitor)]


def _targets(monitor: Object, services: Sequence[Service]) -> Iterator[Target]:
    spec, metadata = monitor["spec"], monitor["metadata"]
    places = (spec.get("namespaceSelector") or {}).get("matchNames") or [metadata["namespace"]]
    for service in services:
        if service.namespace not in places or not selects(spec["selector"], service.labels):
            continue
        # As the operator relabels: the label's value, else the Service's name.
        job = service.labels.get(spec.get("jobLabel") or "") or service.name
        for endpoint in spec["endpoints"]:
            if (port := str(endpoint["port"])) in service.ports:
                yield Target(
                    job=_relabelled(job, endpoint.get("relabelings") or []),
                    namespace=service.namespace,
                    port=port,
                    path=endpoint.get("path") or "/metrics",
                    honor_labels=bool(endpoint.get("honorLabels")),
                    monitor=metadata["name"],
                    drops=tuple(
                        rule["regex"]
                        for rule in endpoint.get("metricRelabelings") or []
                        if rule["action"] == "drop" and rule["sourceLabels"] == ["__name__"]
                    ),
                )


def _relabelled(job: str, relabelings: Sequence[Object]) -> str:
    """What `job` becomes, by a rule that has $1 for what it was."""
    found = [rule for rule in relabelings if rule.get("targetLabel") == "job"]
    assert all(rule.get("sourceLabels") == ["job"] for rule in found), found
    return str(found[-1]["replacement"]).replace("$1", job) if found else job
