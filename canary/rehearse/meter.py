"""What a router's own exporter would say of the requests, under its names and labels.

Istio, ingress-nginx, Traefik, Envoy and Linkerd count per Service, and gates that are written for
them name the stable or the canary one. `python -m canary.rehearse.meter PORT LOG FILE` counts the
gateway's access log, by group of pods, and serves the families of FILE, which `series` has made.
Labels that a scrape would rename where they clash are there under both names.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from canary.argo.dialects import takes
from canary.argo.manifests import Bundle
from canary.argo.model import Hashes, Rollout
from canary.argo.promql import PromqlError, Selector, parse
from canary.errors import MachineError
from canary.rehearse import edge
from canary.runtime import processes
from canary.runtime.gateway import PODS, read_access
from canary.runtime.waiting import wait_until

PATH = "/metrics"
# What Envoy's default bounds, Istio's, are in milliseconds; Traefik's and nginx's in seconds.
_ISTIO = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
_NGINX = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TRAEFIK = (0.1, 0.3, 1.2, 5)
_LINKERD = tuple(n * scale for scale in (1, 10, 100, 1000, 10000) for n in (1, 2, 3, 4, 5))


@dataclass(frozen=True)
class Family:
    """One metric, and its labels by group of pods.

    `status` is the label that tells the outcome, and `word` how: the status, its first digit, or
    Linkerd's word. `bounds` make it a histogram of durations, in units of which `per_s` are a
    second.
    """

    name: str
    labels: Mapping[str, Mapping[str, str]]
    status: str = ""
    word: str = "status"
    bounds: Sequence[float] = ()
    per_s: float = 1.0


def families(bundle: Bundle, rollout: Rollout, hashes: Hashes) -> tuple[Family, ...]:
    """Those that the gates of a release ask for."""
    asked = {selector.metric for _, selector in _selectors(rollout)}
    found = _all(_Sides(bundle, rollout, hashes))
    return tuple(f for f in found if any(_is_of(metric, f) for metric in asked))


def unanswered(rollout: Rollout, found: Sequence[Family]) -> Iterator[str]:
    """Gates that select no series of the router's: what they select, and what there is."""
    for gate, selector in _selectors(rollout):
        mine = [f for f in found if _is_of(selector.metric, f)]
        groups = [labels for family in mine for labels in family.labels.values()]
        own = {"le", "method", "path", *(family.status for family in mine)}
        for matcher in selector.matchers:
            values = sorted({labels.get(matcher.label, "") for labels in groups})
            # A hash that no release has yet, and what is only known of a request, may be any.
            any_value = matcher.label in own or "{{" in matcher.value
            if groups and not any_value and not any(takes(matcher, value) for value in values):
                there = ", ".join(filter(None, values)) or "none"
                yield (
                    f"metric {gate}: no {selector.metric} of the local gateway has "
                    f"{matcher.label}{matcher.sign}{matcher.value!r} (it has {there})"
                )


class Meter:
    """The exporter as a process of its own."""

    def __init__(self, folder: Path, log: Path, found: Sequence[Family]) -> None:
        self.port = processes.free_port()
        self._folder, self._log, self._families = folder, log, found
        self._child: processes.Child | None = None

    def start(self) -> None:
        """Starts it and waits until it answers.

        Raises:
            MachineError: if it does not come up.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "families.json"
        file.write_text(json.dumps([asdict(family) for family in self._families]))
        command = [sys.executable, "-m", "canary.rehearse.meter", str(self.port)]
        command += [str(self._log), str(file)]
        child = processes.start("meter", command, self._folder / "meter.log", program="exporter")
        self._child = child
        started = wait_until(
            lambda: not processes.port_is_free(self.port), 30, give_up=lambda: not child.running
        )
        if not started:
            raise MachineError(f"the meter did not start: {child.tail()}", "see its log")

    def stop(self) -> None:
        """Ends it."""
        if self._child is not None:
            self._child.stop(grace_s=2)


class Counts:
    """Requests so far: by group of pods, status and method, each with its durations."""

    def __init__(self, log: Path) -> None:
        self._log, self._at, self._rest = log, 0, ""
        self.requests: Counter[tuple[str, int]] = Counter()
        self.durations: dict[tuple[str, int], Counter[int]] = {}

    def read(self) -> None:
        """Takes what was written since the last time."""
        if not self._log.exists():
            return
        with self._log.open(encoding="utf-8", errors="replace") as lines:
            lines.seek(self._at)
            text = self._rest + lines.read()
            self._at = lines.tell()
        *whole, self._rest = text.split("\n")
        for access in filter(None, map(read_access, whole)):
            key = access.cluster, access.status
            self.requests[key] += 1
            self.durations.setdefault(key, Counter())[access.ms] += 1


def render(counts: Counts, found: Iterable[Family]) -> Iterator[str]:
    """The families in the text format that Prometheus scrapes."""
    for family in found:
        for (group, status), number in sorted(counts.requests.items()):
            labels = dict(family.labels.get(group, {}))
            if not labels:
                continue
            if family.status:
                labels[family.status] = _word(family.word, status)
            if family.bounds:
                spent = counts.durations[group, status]
                yield from _histogram(family, labels, spent, number)
            else:
                yield f"{family.name}{_shown(labels)} {number}"


def _histogram(
    family: Family, labels: Mapping[str, str], spent: Mapping[int, int], number: int
) -> Iterator[str]:
    held = [0] * (len(family.bounds) + 1)
    for ms, times in spent.items():
        held[bisect_left(family.bounds, ms * family.per_s / 1000)] += times
    below = 0
    for bound, more in zip(family.bounds, held, strict=False):
        below += more
        yield f"{family.name}_bucket{_shown({**labels, 'le': f'{bound:g}'})} {below}"
    total = sum(ms * times for ms, times in spent.items()) * family.per_s / 1000
    yield f"{family.name}_bucket{_shown({**labels, 'le': '+Inf'})} {number}"
    yield f"{family.name}_sum{_shown(labels)} {total}"
    yield f"{family.name}_count{_shown(labels)} {number}"


def _word(kind: str, status: int) -> str:
    if kind == "class":
        return str(status // 100)
    if kind == "classification":
        return "failure" if status >= 500 or not status else "success"  # noqa: PLR2004 — HTTP's
    return str(status)


def _shown(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"


def _selectors(rollout: Rollout) -> Iterator[tuple[str, Selector]]:
    for analysis in rollout.analyses:
        for metric in analysis.metrics:
            try:
                found = parse(metric.query).selectors
            except PromqlError:
                continue  # what still names a hash may not parse yet
            yield from ((metric.name, selector) for selector in found)


def _is_of(metric: str, family: Family) -> bool:
    ending = r"_(bucket|sum|count)" if family.bounds else ""
    return re.fullmatch(re.escape(family.name) + ending, metric) is not None


@dataclass(frozen=True)
class _Sides:
    """What the labels of stable and canary are made of; without a router there is one group."""

    bundle: Bundle
    rollout: Rollout
    hashes: Hashes

    @property
    def services(self) -> Mapping[str, tuple[str, str]]:
        """The Service and the pod-template hash of each group; together they have no hash."""
        if self.rollout.routing is None:
            name = self.bundle.service.metadata.name if self.bundle.service else self.rollout.name
            return {PODS: (name, "")}
        canary, stable = self.bundle.rollout.spec.strategy.services
        root = self.bundle.service.metadata.name if self.bundle.service else self.rollout.name
        groups = {edge.STABLE: (stable or root, self.hashes.stable)}
        if self.rollout.blue_green:
            groups[edge.CANARY] = (stable or root, self.hashes.latest)
            canary_group = edge.PREVIEW
        else:
            canary_group = edge.CANARY
        return {**groups, canary_group: (canary or root, self.hashes.latest)}

    @property
    def port(self) -> int:
        """The port that the Services have."""
        service = self.bundle.service
        return service.spec.ports[0].port if service and service.spec.ports else 80


def _all(sides: _Sides) -> Iterator[Family]:
    yield from _istio(sides)
    yield from _nginx(sides)
    yield from _traefik(sides)
    yield from _envoy(sides)
    yield from _linkerd(sides)


def _labels_of(sides: _Sides) -> Mapping[str, str]:
    return sides.bundle.rollout.spec.template.metadata.labels


def _istio(sides: _Sides) -> Iterator[Family]:
    """Both reporters: the gateway's own as source, the pods' sidecars as destination."""
    space, pod = sides.bundle.namespace, _labels_of(sides)
    app = pod.get("app", pod.get("app.kubernetes.io/name", "unknown"))
    version = pod.get("version", pod.get("app.kubernetes.io/version", ""))
    for reporter, where in (("destination", space), ("source", "istio-system")):
        labels = {
            group: {
                "reporter": reporter,
                "source_workload": "istio-ingressgateway",
                "source_workload_namespace": "istio-system",
                "source_app": "istio-ingressgateway",
                "destination_workload": sides.rollout.name,
                "destination_workload_namespace": space,
                "destination_app": app,
                "destination_version": version or "unknown",
                "destination_service": f"{service}.{space}.svc.cluster.local",
                "destination_service_name": service,
                "destination_service_namespace": space,
                "destination_canonical_service": app,
                "destination_canonical_revision": version or "latest",
                "request_protocol": "http",
                "response_flags": "-",
                "namespace": where,
                "app": app,
                **({"rollouts_pod_template_hash": pod_hash} if where == space else {}),
            }
            for group, (service, pod_hash) in sides.services.items()
        }
        yield Family("istio_requests_total", labels, "response_code")
        yield Family(
            "istio_request_duration_milliseconds",
            labels,
            "response_code",
            bounds=_ISTIO,
            per_s=1000,
        )


def _nginx(sides: _Sides) -> Iterator[Family]:
    """The stable Ingress's, whose canary is told by one label, as `canary-by-weight` has it."""
    space = sides.bundle.namespace
    stable = sides.services.get(edge.STABLE, sides.services.get(PODS, ("", "")))[0]
    labels = {
        group: {
            "ingress": _ingress(sides, stable),
            "namespace": space,
            "exported_namespace": space,
            "service": stable,
            "exported_service": stable,
            "canary": f"{space}-{service}-{sides.port}" if group == edge.CANARY else "",
            "host": "_",
            "path": "/",
            "controller_class": "k8s.io/ingress-nginx",
            "controller_namespace": "ingress-nginx",
        }
        for group, (service, _) in sides.services.items()
    }
    yield Family("nginx_ingress_controller_requests", labels, "status")
    for name in ("request", "response"):
        metric = f"nginx_ingress_controller_{name}_duration_seconds"
        yield Family(metric, labels, "status", bounds=_NGINX)


def _ingress(sides: _Sides, service: str) -> str:
    routing = sides.bundle.rollout.spec.strategy.traffic_routing
    nginx = (routing.nginx if routing else None) or {}
    named = str(nginx.get("stableIngress") or "")
    backing = (
        document.name
        for document in sides.bundle.documents
        if document.kind == "Ingress" and f"'{service}'" in str(document.spec)
    )
    return named or next(backing, sides.rollout.name)


def _traefik(sides: _Sides) -> Iterator[Family]:
    labels = {
        group: {
            "service": (name := f"{sides.bundle.namespace}-{service}-{sides.port}@kubernetescrd"),
            "exported_service": name,
            "protocol": "http",
        }
        for group, (service, _) in sides.services.items()
    }
    yield Family("traefik_service_requests_total", labels, "code")
    yield Family("traefik_service_request_duration_seconds", labels, "code", bounds=_TRAEFIK)


def _envoy(sides: _Sides) -> Iterator[Family]:
    """As Contour calls its clusters: namespace, Service and port."""
    labels = {
        group: {"envoy_cluster_name": f"{sides.bundle.namespace}_{service}_{sides.port}"}
        for group, (service, _) in sides.services.items()
    }
    yield Family("envoy_cluster_upstream_rq", labels, "envoy_response_code")
    yield Family("envoy_cluster_upstream_rq_xx", labels, "envoy_response_code_class", "class")
    yield Family("envoy_cluster_upstream_rq_total", labels)
    yield Family("envoy_cluster_upstream_rq_time", labels, bounds=_ISTIO, per_s=1000)


def _linkerd(sides: _Sides) -> Iterator[Family]:
    """The pods' proxies, and the gateway's own with the Service that it was meant for."""
    space, pod = sides.bundle.namespace, _labels_of(sides)
    plain = {re.sub(r"[^\w]", "_", name): value for name, value in pod.items()}
    for direction in ("inbound", "outbound"):
        labels = {
            group: {
                "direction": direction,
                "namespace": space,
                "dst_namespace": space,
                "service": service,
                "dst_service": service,
                "deployment": sides.rollout.name,
                "rollout": sides.rollout.name,
                **plain,
                **({"rollouts_pod_template_hash": pod_hash} if direction == "inbound" else {}),
            }
            for group, (service, pod_hash) in sides.services.items()
        }
        yield Family("response_total", labels, "classification", "classification")
        yield Family("request_total", labels)
        yield Family("response_latency_ms", labels, bounds=_LINKERD, per_s=1000)


def main(port: int, log: Path, file: Path) -> None:
    """Serves the families of a file, counted from a log, until it is ended."""
    found = [Family(**fields) for fields in json.loads(file.read_text(encoding="utf-8"))]
    counts, lock = Counts(log), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        """Answers a scrape."""

        def do_GET(self) -> None:
            """Counts what is new and says it all."""
            with lock:
                counts.read()
                text = "\n".join([*render(counts, found), ""]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
