"""Kubernetes manifests → what a rehearsal needs of them, or all that stands in its way at once."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from canary import durations
from canary.argo import model, releases, scalers, support, validation
from canary.argo.gates import Analysis, Gate
from canary.argo.objects import (
    LEFT_OUT,
    AnalysisTemplate,
    ConfigMap,
    Object,
    PodMonitor,
    PodMonitoring,
    Rollout,
    Service,
    ServiceMonitor,
    ServicePort,
    carries,
)
from canary.argo.support import Row, Support
from canary.argo.templates import Templates, is_argo
from canary.errors import UsageError
from canary.yamls import Document, listed, mapping, scalar

Monitor = PodMonitor | ServiceMonitor | PodMonitoring
TEMPLATE_KINDS = ("AnalysisTemplate", "ClusterAnalysisTemplate")

_Kind = TypeVar("_Kind", bound=Object)


@dataclass(frozen=True)
class Bundle:
    """The manifests of one release: one Rollout and what belongs to it.

    `services` select its pods, and `monitors` scrape them; `service` is the one that users come by.
    `refused` is what it cannot be rehearsed with; what is refused has been taken out of the rest.
    `elsewhere` are those of the documents that are not this release's to apply.
    """

    source: str
    documents: tuple[Document, ...]
    rollout: Rollout
    templates: dict[str, AnalysisTemplate]
    config_maps: dict[str, ConfigMap]
    service: Service | None
    services: tuple[Service, ...]
    monitors: tuple[Monitor, ...]
    rows: tuple[Row, ...]
    refused: tuple[str, ...] = ()
    elsewhere: tuple[Document, ...] = ()

    @property
    def namespace(self) -> str:
        """The Rollout's namespace."""
        return self.rollout.metadata.namespace or "default"

    @property
    def pod_monitor(self) -> PodMonitor | None:
        """The PodMonitor of its pods, if there is one."""
        return next((found for found in self.monitors if isinstance(found, PodMonitor)), None)

    @property
    def stable_alone(self) -> bool:
        """Whether users come by a Service that selects no canary pod until the promotion."""
        strategy = self.rollout.spec.strategy
        named = self.service is not None and self.service.metadata.name == strategy.services[1]
        return named and not strategy.shares_by_weight

    @property
    def unenforced(self) -> tuple[str, ...]:
        """What was read and is not acted on, as the report lists it."""
        fields = [str(r) for r in self.rows if r.path and r.support is Support.NOT_ENFORCED]
        kinds = dict.fromkeys(r.document.kind for r in self.rows if not r.path)
        return (*fields, *(f"{kind} objects" for kind in kinds))

    @property
    def port(self) -> ServicePort | None:
        """The Service's port that users come to."""
        return _users_port(self.service)

    @property
    def served_port(self) -> str:
        """The name of the container's port that users' requests come to."""
        spec, port = self.rollout.spec.template.spec, self.port
        if port is None:
            ports = spec.container.ports
            return spec.container.port_name(ports[0].container_port) if ports else ""
        target = port.port if port.target_port is None else port.target_port
        names = {container.port_name(target) for container in spec.containers}
        return min(names - {str(target)} or names)


def read(
    documents: Iterable[Document], source: str = "the manifests", without: Collection[str] = ()
) -> Bundle:
    """What a rehearsal needs of the objects.

    Args:
        documents: The objects.
        source: What messages call them.
        without: The names of metrics that are not to be judged, whatever their provider is.

    Raises:
        UsageError: if there is no Rollout, more than one, anything that is not supported, or no
            metric of such a name.
    """
    bundle = take(documents, source, without)
    if bundle.refused:
        raise UsageError(listing(bundle.refused))
    return bundle


def take(
    documents: Iterable[Document],
    source: str,
    without: Collection[str] = (),
    elsewhere: Sequence[Document] = (),
) -> Bundle:
    """The same with what is not supported beside it; `elsewhere` are other objects that it needs.

    Raises:
        UsageError: if too little is left, or there is no metric of such a name.
    """
    given = (*documents, *elsewhere)
    names = {scalar(mapping(m).get("name")) for d in given for m in _metrics(d)}
    for name in without:
        if name not in names:
            raise UsageError(
                f"no AnalysisTemplate of {source} has the metric {name!r}",
                f"there are {', '.join(sorted(names)) or 'none'}",
            )
    found, things, rows = _understand([_leaving_out(document, without) for document in given])
    refused = [str(row) for row in rows if row.support is Support.NOT_SUPPORTED]
    rollouts = _of(things, Rollout)
    if len(rollouts) != 1:
        if refused and not rollouts:
            raise UsageError(listing(refused))
        given_names = told_apart([d for d in found if d.kind == "Rollout" and is_argo(d)])
        named = f" ({', '.join(given_names)})" if given_names else ""
        remedy = "name the one to rehearse in rehearsal.yaml, as `rollout`"
        if len(set(given_names)) < len(given_names):
            remedy = "leave all but one of a name out"
        raise UsageError(
            f"{source} contains {len(rollouts)} Rollouts{named}",
            remedy if rollouts else "point at manifests with one",
        )
    (rollout,) = rollouts
    labels = rollout.spec.template.metadata.labels
    selecting = [
        service
        for service in _of(things, Service)
        if service.spec.selector and carries(labels, service.spec.selector)
    ]
    service = _entry(rollout, selecting)
    if grpc := _grpc(service, found):
        refused.append(
            f"{source}: {grpc} is gRPC, and the users speak HTTP/1.1 only — give the Service a port"
            " that speaks HTTP, and leave routes of gRPC out"
        )
    return Bundle(
        source=source,
        documents=found,
        rollout=rollout,
        templates={t.metadata.name: t for t in _of(things, AnalysisTemplate)},
        config_maps={t.metadata.name: t for t in _of(things, ConfigMap)},
        service=service,
        services=tuple(selecting),
        monitors=tuple(
            thing
            for thing in things
            if isinstance(thing, PodMonitor | ServiceMonitor | PodMonitoring)
            and _reaches(thing, rollout.metadata.namespace)
            and _scrapes(thing, labels, selecting)
        ),
        rows=rows,
        refused=tuple(refused),
        elsewhere=tuple(elsewhere),
    )


def told_apart(documents: Sequence[Document]) -> list[str]:
    """Their names, behind their namespaces where two have one name."""
    names = {document.name for document in documents}
    return sorted(d.name if len(names) == len(documents) else d.qualified for d in documents)


def _metrics(document: Document) -> Sequence[Any]:
    return listed(document.spec.get("metrics")) if document.kind in TEMPLATE_KINDS else ()


def _leaving_out(document: Document, names: Collection[str]) -> Document:
    """The same, with a provider that asks nobody for each metric of these names."""
    metrics = _metrics(document)
    if not any(scalar(mapping(metric).get("name")) in names for metric in metrics):
        return document
    kept = [
        {**metric, "provider": {LEFT_OUT: {}}} if scalar(metric.get("name")) in names else metric
        for metric in map(mapping, metrics)
    ]
    return document.with_spec({**document.spec, "metrics": kept})


def explain(documents: Iterable[Document], without: Collection[str] = ()) -> tuple[Row, ...]:
    """What becomes of each field, the ones that refuse first."""
    order = [Support.NOT_SUPPORTED, Support.NOT_ENFORCED, Support.ENFORCED]
    rows = _understand(_leaving_out(document, without) for document in documents)[2]
    return tuple(sorted(rows, key=lambda row: order.index(row.support)))


def rollout(bundle: Bundle, given: Mapping[str, str] = releases.NOTHING_GIVEN) -> model.Rollout:
    """The Rollout to rehearse, at its real durations.

    Args:
        bundle: The manifests.
        given: Arguments of the analyses that win over what the manifests say, wherever declared.

    Raises:
        UsageError: if a template is missing, an argument has no value, or a number is none.
    """
    found, wrong = judged(bundle, given)
    if wrong:
        raise UsageError(listing(wrong))
    return found


def judged(bundle: Bundle, given: Mapping[str, str]) -> tuple[model.Rollout, Sequence[str]]:
    """The same, and what cannot be resolved of its gates."""
    declared = {a.name for t in bundle.templates.values() for a in t.spec.args}
    there = ", ".join(sorted(declared))
    wrong = [
        f"no AnalysisTemplate declares the argument {name!r} — there are {there or 'none'}"
        for name in given
        if name not in declared
    ]
    document = next(d for d in bundle.documents if d.kind == "Rollout" and is_argo(d))
    release = releases.read(document, Templates(bundle.documents), given)
    known = ", ".join(sorted(bundle.templates)) or "none"
    wrong += [
        f"AnalysisTemplate {reference.name!r} is referenced and missing from {bundle.source} — "
        f"add it, or name where it lies with `also` in rehearsal.yaml (there are: {known})"
        for analysis in release.analyses
        for reference in analysis.missing
    ]
    wrong += [what for gate in release.gates for what in _broken(gate)]
    wrong += [what for analysis in release.analyses for what in _refused(document, analysis)]
    return releases.rehearsed(release), list(dict.fromkeys(wrong))


def _understand(
    documents: Iterable[Document],
) -> tuple[tuple[Document, ...], list[Object], tuple[Row, ...]]:
    """The objects, as far as a rehearsal acts on them, and what becomes of each field."""
    given = tuple(documents)
    found = tuple(_scaled(with_workload(document, given), given) for document in given)
    named = named_templates(found)
    things: list[Object] = []
    rows: list[Row] = []
    for document in found:
        thing, fields = support.understand(document)
        foreign = _foreign(document, found)
        unused = document.kind in TEMPLATE_KINDS and document.name not in named
        if foreign or unused:  # whatever it holds, it refuses nothing
            elsewhere = "it lies in another namespace than the Rollout"
            why = "no analysis refers to it" if unused else elsewhere
            fields = tuple(replace(row, support=Support.NOT_ENFORCED, note=why) for row in fields)
        rows += fields
        things += [thing] if thing is not None and not foreign else []
    return found, things, tuple(rows)


def _foreign(document: Document, others: Sequence[Document]) -> bool:
    """Whether no Rollout can refer to an object of its kind there, by its namespace."""
    spaces = {other.namespace for other in others if other.kind == "Rollout"}
    apart = bool(document.namespace) and not spaces & {document.namespace, ""}
    return apart and document.kind in {"AnalysisTemplate", "ConfigMap", "Service"}


def with_workload(document: Document, others: Sequence[Document]) -> Document:
    """A Rollout with the pod template of the workload that it names, as the controller takes it."""
    wanted = mapping(document.spec.get("workloadRef"))
    if document.kind != "Rollout" or not wanted:
        return document
    named = (scalar(wanted.get("kind")), scalar(wanted.get("name")))
    near = [other for other in others if other.namespace in (document.namespace, "")]
    found = next((other for other in near if (other.kind, other.name) == named), None)
    if found is None:
        return document
    spec = found.body if found.kind == "PodTemplate" else found.spec
    taken = {key: spec[key] for key in ("template", "selector") if key in spec}
    return document.with_spec({**taken, **document.spec})


def _scaled(document: Document, others: Sequence[Document]) -> Document:
    """A Rollout with as many replicas as its autoscaler would let it have; it may name none."""
    given = document.spec.get("replicas")
    asked = 1 if given is None else given
    scaler = scalers.of(document, others) if document.kind == "Rollout" else None
    if scaler is None or not isinstance(asked, int):
        return document
    replicas = scalers.within(scaler, asked)
    return (
        document.with_spec({**document.spec, "replicas": replicas})
        if replicas != asked
        else document
    )


def named_templates(documents: Sequence[Document]) -> set[str]:
    """The templates that the Rollouts name, and those that these name."""
    named = {n for d in documents if d.kind == "Rollout" for n in _template_names(d.body)}
    for _ in documents:
        inner = [d.body for d in documents if d.kind in TEMPLATE_KINDS and d.name in named]
        named |= {name for body in inner for name in _template_names(body)}
    return named


def _template_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield scalar(value.get("templateName"))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _template_names(each)


def _of(things: Iterable[Object], kind: type[_Kind]) -> list[_Kind]:
    return [thing for thing in things if isinstance(thing, kind)]


def _entry(rollout: Rollout, services: Sequence[Service]) -> Service | None:
    """The Service that users come by.

    A router's users come by both of its Services, whose ports are the same, and a blueGreen's by
    the active one. Without a router they come by a Service that selects both sides; the stable one
    selects stable pods alone.
    """
    strategy = rollout.spec.strategy
    stable = next((s for s in services if s.metadata.name == strategy.services[1]), None)
    both = next((s for s in services if s.metadata.name not in strategy.services), None)
    return (stable or both) if strategy.shares_by_weight else (both or stable)


def _users_port(service: Service | None) -> ServicePort | None:
    """The first port of a Service that does not speak gRPC; the first where all do."""
    ports = service.spec.ports if service else []
    return next((port for port in ports if not port.grpc), next(iter(ports), None))


def _grpc(service: Service | None, documents: Iterable[Document]) -> str:
    """What says that users speak gRPC: the gateway here and its log know HTTP/1.1 alone."""
    if (port := _users_port(service)) and port.grpc:
        return f"port {port.name or port.port} of the users' Service"
    for document in documents:
        metadata = mapping(document.body.get("metadata"))
        asked = scalar(mapping(metadata.get("annotations")).get(_NGINX_PROTOCOL))
        if document.kind == "GRPCRoute" or asked.startswith("GRPC"):
            return f"{document.kind}/{document.name}"
    return ""


_NGINX_PROTOCOL = "nginx.ingress.kubernetes.io/backend-protocol"


def _reaches(monitor: Monitor, namespace: str) -> bool:
    """Whether a monitor looks in a namespace, as far as both say where they are."""
    own = monitor.metadata.namespace
    if not own or not namespace or own == namespace:
        return True
    if isinstance(monitor, PodMonitoring):
        return False
    chosen = monitor.spec.namespace_selector
    return chosen.any or namespace in chosen.match_names


def _scrapes(monitor: Monitor, labels: Mapping[str, str], services: Sequence[Service]) -> bool:
    selector = monitor.spec.selector
    if isinstance(monitor, ServiceMonitor):
        return any(selector.takes(service.metadata.labels) for service in services)
    return selector.takes(labels)


def listing(wrong: Iterable[str]) -> str:
    """One thing as a line, several as a list."""
    lines = list(wrong)
    if len(lines) == 1:
        return lines[0]
    return "\n  ".join([f"{len(lines)} things stand in the way:", *lines])


def _broken(gate: Gate) -> Iterator[str]:
    """What of a gate could not be resolved, or cannot be scaled."""
    where = f"{gate.template.file} line {gate.template.position(gate.path)[0]}"
    place = f"{where}: AnalysisTemplate {gate.template.name}, metric {gate.name}"
    for name in gate.unresolved:
        yield (
            f"{place}: argument {name!r} has no value — declare it in the template's args and "
            "give it a value there or in the Rollout"
        )
    if gate.broken:
        yield f"{place}: {gate.broken} — give it one"
    else:
        wrong = validation.durations(gate.raw)
        yield from (
            f"{place}: {said}, so that the controller ends its run in Error" for said in wrong
        )
    try:
        durations.scale_query(gate.metric.query if gate.metric else "", 1)
    except ValueError as wrong:
        yield f"{place}: {wrong} — correct it"


def _refused(rollout: Document, analysis: Analysis) -> Iterator[str]:
    """What the controller itself refuses of an analysis."""
    path = analysis.moment.path
    place = f"{rollout.file} line {rollout.position(path)[0]}: Rollout field {path}"
    for pattern in analysis.unmatched:
        yield (
            f"{place}: dryRun {pattern!r} matches no metric, so that the controller ends its run"
            " in Error — name one of its metrics"
        )
    for gate in analysis.endless:
        yield (
            f"{place}: metric {gate.name}'s count {gate.count} has no value in the template, so"
            " that the controller refuses the Rollout — give it one there"
        )
