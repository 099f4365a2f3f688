"""What a router's own exporter would say of the requests, under its names and labels.

Istio, ingress-nginx, Traefik, Envoy and Linkerd count per Service, and gates that are written for
them name the stable or the canary one. `python -m canary.rehearse.meter PORT LOG FILE` counts the
gateway's access log, by group of pods, and serves the families of FILE, which `series` has made.
Labels that a scrape would rename where they clash are there under both names.

docs/reference/rehearsal.md has the names, and the sources that they were compared with. Of Linkerd:
a Rollout's ReplicaSet has no parent that it knows (`isValidRSParent`), so that no pod has a
deployment.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from canary.argo import promql, resolve
from canary.argo.dialects import is_of_cluster, takes
from canary.argo.manifests import Bundle
from canary.argo.model import Hashes, Rollout
from canary.argo.promql import Selector
from canary.argo.releases import HASHES
from canary.rehearse import active_service, edge, endpoints, exporter
from canary.runtime import processes
from canary.runtime.gateway import PODS, read_access
from canary.yamls import listed, mapping, scalar

PATH = "/metrics"
# Envoy's default bounds, which are Istio's, and Linkerd's are milliseconds, the others seconds.
_ENVOY = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000),
    *(300000, 600000, 1800000, 3600000),
)
_NGINX = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TRAEFIK = (0.1, 0.3, 1.2, 5)
_LINKERD = tuple(n * scale for scale in (1, 10, 100, 1000, 10000) for n in (1, 2, 3, 4, 5))


@dataclass(frozen=True)
class Family:
    """One metric, and its labels by group of pods.

    `told` are the labels that differ by request, and what each says: the status, its first digit,
    Linkerd's word for it, or the method. `bounds` make it a histogram of durations, in units of
    which `per_s` are a second.
    """

    name: str
    labels: Mapping[str, Mapping[str, str]]
    told: Mapping[str, str] = field(default_factory=dict)
    bounds: Sequence[float] = ()
    per_s: float = 1.0


def families(bundle: Bundle, rollout: Rollout, hashes: Hashes) -> tuple[Family, ...]:
    """Those that the gates of a release ask for."""
    asked = {selector.metric for _, selector in selectors(rollout, hashes)}
    sides = _Sides(bundle, rollout, hashes)
    routers = (_istio, _nginx, _traefik, _envoy, _linkerd)
    found = (family for router in routers for family in router(sides))
    return tuple(f for f in found if any(_is_of(metric, f) for metric in asked))


def refusals(bundle: Bundle, rollout: Rollout, *, rules: bool = False) -> Iterator[str]:
    """Gates that would read nothing of what is counted outside of the pods.

    Args:
        bundle: The manifests.
        rollout: Their release.
        rules: Whether rule files are evaluated, which may record series.
    """
    asked = tuple(selectors(rollout, HASHES))
    found = families(bundle, rollout, HASHES)
    left_out = "or leave the metric out with --without-metric NAME"
    for wrong in dict.fromkeys([*unanswered(asked, found), *endpoints.unanswered(asked)]):
        yield f"{wrong} — give the name that is there, with --arg or in the template, {left_out}"
    for name, metric in dict.fromkeys((name, selector.metric) for name, selector in asked):
        if ":" in metric and not rules:
            yield (
                f"metric {name} queries {metric}, which no rule records here — name the folder of"
                f" its rule with --rules, {left_out}"
            )
        elif (
            is_of_cluster(metric)
            and metric not in exporter.NAMES
            and not metric.startswith(endpoints.PREFIX)
            and not any(_is_of(metric, family) for family in found)
        ):
            yield (
                f"metric {name} queries {metric}, which nothing here counts — leave it out with"
                f" --without-metric {name}"
            )


def unanswered(asked: Iterable[tuple[str, Selector]], found: Sequence[Family]) -> Iterator[str]:
    """Gates that select no series of the router's: what they select, and what there is."""
    for gate, selector in asked:
        mine = [f for f in found if _is_of(selector.metric, f)]
        groups = [labels for family in mine for labels in family.labels.values()]
        own = {"le", *(label for family in mine for label in family.told)}
        for matcher in selector.matchers:
            values = sorted({labels.get(matcher.label, "") for labels in groups})
            # A hash that no release has yet, and what is only known of a request, may be any.
            any_value = matcher.label in own or "{{" in matcher.value
            if groups and not any_value and not any(takes(matcher, value) for value in values):
                there = ", ".join(filter(None, values))
                given = {name for each in groups for name, held in each.items() if held}
                labels = ", ".join(sorted(given | own - {"le"}))
                yield (
                    f"metric {gate}: no {selector.metric} of the local gateway has "
                    f"{matcher.label}{matcher.sign}{matcher.value!r} "
                    f"({f'it has {there}' if there else f'its labels are {labels}'})"
                )


class Meter(processes.Program):
    """The exporter as a process of its own."""

    def __init__(self, folder: Path, log: Path, found: Sequence[Family]) -> None:
        self.port = processes.free_port()
        self._folder, self._log, self._families = folder, log, found

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
        self._begin(child, lambda: not processes.port_is_free(self.port), 30)


class Counts:
    """Requests so far: by group of pods, status and method, each with its durations."""

    def __init__(self, log: Path) -> None:
        self._log, self._at, self._rest = log, 0, ""
        self.durations: dict[tuple[str, int, str], Counter[int]] = {}

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
            key = access.cluster, access.status, access.method
            self.durations.setdefault(key, Counter())[access.ms] += 1


def render(counts: Counts, found: Iterable[Family]) -> Iterator[str]:
    """The families in the text format that Prometheus scrapes."""
    for family in found:
        series: dict[str, Counter[int]] = {}
        for (group, status, method), spent in sorted(counts.durations.items()):
            if group in family.labels:
                told = {name: _word(how, status, method) for name, how in family.told.items()}
                labels = json.dumps({**family.labels[group], **told})
                # What differs by nothing that is told is one series.
                series.setdefault(labels, Counter()).update(spent)
        for text, spent in series.items():
            labels = json.loads(text)
            if family.bounds:
                yield from _histogram(family, labels, spent)
            else:
                yield f"{family.name}{_shown(labels)} {spent.total()}"


def _histogram(family: Family, labels: Mapping[str, str], spent: Counter[int]) -> Iterator[str]:
    number = spent.total()
    held = [0] * (len(family.bounds) + 1)
    for ms, times in spent.items():
        held[bisect_left(family.bounds, ms * family.per_s / 1000)] += times
    below = 0
    for bound, more in zip(family.bounds, held, strict=False):
        below += more
        yield f"{family.name}_bucket{_shown({**labels, 'le': f'{bound:.9g}'})} {below}"
    total = sum(ms * times for ms, times in spent.items()) * family.per_s / 1000
    yield f"{family.name}_bucket{_shown({**labels, 'le': '+Inf'})} {number}"
    yield f"{family.name}_sum{_shown(labels)} {total}"
    yield f"{family.name}_count{_shown(labels)} {number}"


def _word(kind: str, status: int, method: str) -> str:
    if kind == "method":
        return method
    if kind == "class":
        return str(status // 100)
    if kind == "classification":
        return "failure" if status >= 500 or not status else "success"  # noqa: PLR2004 — HTTP's
    return str(status)


def _shown(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"


def selectors(rollout: Rollout, hashes: Hashes) -> Iterator[tuple[str, Selector]]:
    """What each gate selects of a release with these hashes, beside its name."""
    metrics = (m for a in rollout.analyses for m in resolve.with_hashes(a, hashes))
    for metric in (m for m in metrics if not (m.json_path or m.job)):
        yield from ((metric.name, selector) for selector in promql.read(metric.query).selectors)


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
        root = self.bundle.service.metadata.name if self.bundle.service else self.rollout.name
        if self.rollout.routing is None:
            return {PODS: (root, "")}
        canary, stable = self.bundle.rollout.spec.strategy.services
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
        return self.bundle.port.port if self.bundle.port else 80


def _given_labels(sides: _Sides, pod_hash: str) -> dict[str, str]:
    """The labels that a pod of a group begins with."""
    rollout = sides.rollout
    is_stable = pod_hash == sides.hashes.stable
    added = rollout.stable_metadata if is_stable else rollout.canary_metadata
    template = sides.bundle.rollout.spec.template.metadata.labels
    return {**template, **(added.labels if pod_hash else {})}


def _pod_labels(sides: _Sides, pod_hash: str) -> dict[str, str]:
    """A pod's labels as the scrape of a mesh's proxies maps all of them."""
    given = _given_labels(sides, pod_hash)
    plain = {re.sub(r"[^\w]", "_", name): value for name, value in given.items()}
    return {**plain, **({"rollouts_pod_template_hash": pod_hash} if pod_hash else {})}


def _client(
    sides: _Sides, labels: Mapping[str, str], metrics: str, side: Mapping[str, str]
) -> dict[str, str]:
    """What the gates call whom users come by: no manifest names it, so any name is right.

    `labels` are its labels as they are otherwise, and `side` those of a selector that reads them.
    """
    found = dict(labels)
    for _, selector in selectors(sides.rollout, sides.hashes):
        told = {m.label: m.value for m in selector.matchers if m.sign == "="}
        if re.match(metrics, selector.metric) and side.items() <= told.items():
            found |= {name: told[name] for name in labels if name in told}
    return found


def _istio(sides: _Sides) -> Iterator[Family]:
    """Both reporters: the gateway's own as source, the pods' sidecars as destination."""
    space = sides.bundle.namespace
    names = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
    revisions = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
    gateway = "istio-ingressgateway"
    source = {
        "source_workload": gateway,
        "source_workload_namespace": "istio-system",
        "source_app": gateway,
        "source_canonical_service": gateway,
    }
    source = _client(sides, source, "istio_", {})
    scraped = {"namespace": source["source_workload_namespace"], "app": source["source_app"]}
    for reporter in ("destination", "source"):
        own = reporter == "destination"
        unknown = "" if own else "unknown"  # what a sidecar does not know of itself is no label
        labels = {
            group: {
                "reporter": reporter,
                **source,
                "source_canonical_revision": "latest",
                "destination_workload": sides.rollout.name,
                "destination_workload_namespace": space,
                "destination_app": pod.get("app", unknown),
                "destination_version": pod.get("version", unknown),
                "destination_service": f"{service}.{space}.svc.cluster.local",
                "destination_service_name": service,
                "destination_service_namespace": space,
                "destination_canonical_service": _first(pod, names, sides.rollout.name),
                "destination_canonical_revision": _first(pod, revisions, "latest"),
                "request_protocol": "http",
                "response_flags": "-",
                "connection_security_policy": "mutual_tls" if own else "unknown",
                **({"namespace": space} | _pod_labels(sides, pod_hash) if own else scraped),
            }
            for group, (service, pod_hash) in sides.services.items()
            for pod in [_given_labels(sides, pod_hash)]
        }
        told = {"response_code": "status"}
        yield Family("istio_requests_total", labels, told)
        yield Family("istio_request_duration_milliseconds", labels, told, bounds=_ENVOY, per_s=1000)


def _first(labels: Mapping[str, str], names: Iterable[str], otherwise: str) -> str:
    return next((labels[name] for name in names if name in labels), otherwise)


def _nginx(sides: _Sides) -> Iterator[Family]:
    """The stable Ingress's, whose canary is told by one label, as `canary-by-weight` has it."""
    space = sides.bundle.namespace
    stable = sides.services.get(edge.STABLE, sides.services.get(PODS, ("", "")))[0]
    ingress, port, host, path = _ingress(sides, stable)
    labels = {
        group: {
            "ingress": ingress,
            "namespace": space,
            "exported_namespace": space,
            "service": stable,
            "exported_service": stable,
            "canary": f"{space}-{service}-{port}" if group == edge.CANARY else "",
            "host": host,
            "path": path,
            "controller_class": "k8s.io/ingress-nginx",
            "controller_namespace": "ingress-nginx",
        }
        for group, (service, _) in sides.services.items()
    }
    told = {"status": "status", "method": "method"}
    yield Family("nginx_ingress_controller_requests", labels, told)
    for name in ("request", "response", "header"):
        metric = f"nginx_ingress_controller_{name}_duration_seconds"
        yield Family(metric, labels, told, bounds=_NGINX)


def _ingress(sides: _Sides, service: str) -> tuple[str, str, str, str]:
    """The stable Ingress's name, and of its path to the Service the port, host and path.

    `canary` calls a port as the Ingress does, by name or number (ingress-nginx, `upstreamName`):
    the controller copies that path and puts the canary Service in it.
    """
    routing = sides.bundle.rollout.spec.strategy.traffic_routing
    nginx = (routing.nginx if routing else None) or {}
    named = scalar(nginx.get("stableIngress"))
    for document in sides.bundle.documents:
        if document.kind == "Ingress" and named in ("", document.name):
            for rule in map(mapping, listed(document.spec.get("rules"))):
                for path in map(mapping, listed(mapping(rule.get("http")).get("paths"))):
                    backend = mapping(mapping(path.get("backend")).get("service"))
                    port = mapping(backend.get("port"))
                    if backend.get("name") == service:
                        told = scalar(port.get("number")) or scalar(port.get("name"))
                        host = scalar(rule.get("host")) or "_"
                        return document.name, told, host, scalar(path.get("path")) or "/"
    return named or sides.rollout.name, str(sides.port), "_", "/"


def _traefik(sides: _Sides) -> Iterator[Family]:
    """A Service's port is called as the TraefikService calls it, by name or number.

    Behind a route of the Gateway API it is a number, with the protocol before it in later releases.
    """
    routing = sides.rollout.routing
    provider = "kubernetesgateway" if routing and routing.router == "plugins" else "kubernetescrd"
    protocol = "http-" if _asks(sides, "service", "http-.*@kubernetesgateway") else ""
    ports = {
        mapping(service).get("name"): scalar(mapping(service).get("port"))
        for document in sides.bundle.documents
        if document.kind == "TraefikService"
        for service in listed(mapping(document.spec.get("weighted")).get("services"))
    }
    labels = {
        group: {
            "service": (
                name := f"{sides.bundle.namespace}-{service}-{protocol}"
                f"{ports.get(service) or sides.port}@{provider}"
            ),
            "exported_service": name,
            "protocol": "http",
        }
        for group, (service, _) in sides.services.items()
    }
    told = {"code": "status", "method": "method"}
    yield Family("traefik_service_requests_total", labels, told)
    yield Family("traefik_service_request_duration_seconds", labels, told, bounds=_TRAEFIK)


def _asks(sides: _Sides, label: str, words: str) -> bool:
    """Whether a gate asks for a label, under either of its names, by such words."""
    matchers = (m for _, s in selectors(sides.rollout, sides.hashes) for m in s.matchers)
    return any(re.search(words, m.value) for m in matchers if m.label.endswith(label))


def _envoy(sides: _Sides) -> Iterator[Family]:
    """As Contour calls its clusters: namespace, Service and port.

    Or as Envoy Gateway does, if a gate asks so: a rule of a route, stable and canary together.
    """
    rule = _rule(sides) if _asks(sides, "envoy_cluster_name", "httproute/") else ""
    labels = {
        group: {"envoy_cluster_name": rule or f"{sides.bundle.namespace}_{service}_{sides.port}"}
        for group, (service, _) in sides.services.items()
    }
    yield Family("envoy_cluster_upstream_rq", labels, {"envoy_response_code": "status"})
    yield Family("envoy_cluster_upstream_rq_xx", labels, {"envoy_response_code_class": "class"})
    yield Family("envoy_cluster_upstream_rq_total", labels)
    yield Family("envoy_cluster_upstream_rq_completed", labels)
    yield Family("envoy_cluster_upstream_rq_time", labels, bounds=_ENVOY, per_s=1000)


def _rule(sides: _Sides) -> str:
    """The rule of the HTTPRoute that sends requests to the Services, as Envoy Gateway names it."""
    services = {service for service, _ in sides.services.values()}
    for document in sides.bundle.documents:
        if document.kind == "HTTPRoute":
            for index, rule in enumerate(map(mapping, listed(document.spec.get("rules")))):
                backends = map(mapping, listed(rule.get("backendRefs")))
                if services & {scalar(backend.get("name")) for backend in backends}:
                    return f"httproute/{sides.bundle.namespace}/{document.name}/rule/{index}"
    return f"httproute/{sides.bundle.namespace}/{sides.rollout.name}/rule/0"


def _linkerd(sides: _Sides) -> Iterator[Family]:
    """The pods' proxies, which know of the client nothing, and the client's with the Service.

    A pod of a Rollout is its ReplicaSet's there: no label says deployment.
    """
    space = sides.bundle.namespace
    side = {"direction": "outbound"}
    client = _client(sides, {"namespace": space, "deployment": ""}, "re(quest|sponse)_", side)
    for direction in ("inbound", "outbound"):
        labels = {}
        for group, (service, pod_hash) in sides.services.items():
            owner = {"replicaset": f"{sides.rollout.name}-{pod_hash}"} if pod_hash else {}
            own = {"namespace": space, **owner, **_pod_labels(sides, pod_hash)}
            to = {"dst_namespace": space, "dst_service": service}
            to |= {f"dst_{name}": value for name, value in owner.items()}
            labels[group] = {
                "direction": direction,
                **(own if direction == "inbound" else {**client, **to}),
            }
        status = {"status_code": "status"}
        yield Family("response_total", labels, {"classification": "classification", **status})
        yield Family("request_total", labels)
        yield Family("response_latency_ms", labels, status, bounds=_LINKERD, per_s=1000)


def main(port: int, log: Path, file: Path) -> None:
    """Serves the families of a file, counted from a log, until it is ended."""
    found = [Family(**fields) for fields in json.loads(file.read_text(encoding="utf-8"))]
    counts, lock = Counts(log), threading.Lock()

    def answer(_: str) -> tuple[int, str, bytes]:
        with lock:
            counts.read()
            text = "\n".join([*render(counts, found), ""])
        return 200, "text/plain; version=0.0.4", text.encode()

    active_service.server(port, answer).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
