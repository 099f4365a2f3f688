"""Kubernetes manifests → what a rehearsal needs of them, refusing what is not understood.

A field is understood (it has an attribute here), or known to mean nothing on one machine (an
attribute of type `Unenforced`, listed in the report), or refused with its file and path: a
manifest that is half understood would be rehearsed wrongly and believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from canary import durations
from canary.argo import model, releases
from canary.argo.gates import Gate
from canary.argo.templates import Templates
from canary.errors import UsageError
from canary.yamls import Document

# Kinds that one machine has no counterpart for; they are admitted and tested on a cluster.
UNENFORCED_KINDS = frozenset(
    {
        "Namespace",
        "ServiceAccount",
        "Ingress",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "SecretProviderClass",
        "Job",
        "CronJob",
        "Deployment",
        "ClusterRole",
        "ClusterRoleBinding",
    }
)

_BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}

# A field whose meaning needs a kubelet or an API server; read, reported, not acted on.
Unenforced = Any


def _seconds(value: object) -> object:
    """Argo takes a bare number as seconds and text as a Go duration."""
    return durations.parse(value) if isinstance(value, str) and not value.isdigit() else value


def millicores(value: object) -> float:
    """Kubernetes CPU quantities: "500m", "0.5", 1."""
    text = str(value)
    return float(text[:-1]) if text.endswith("m") else float(text) * 1000


def quantity_bytes(value: object) -> int:
    """Kubernetes memory quantities: "256Mi", "1G", 1048576."""
    text = str(value)
    for suffix, factor in _BYTES.items():
        if text.endswith(suffix):
            return int(float(text.removesuffix(suffix)) * factor)
    return int(float(text))


Seconds = Annotated[float, BeforeValidator(_seconds)]
Millicores = Annotated[float, BeforeValidator(millicores)]


class Manifest(BaseModel):
    """Camel-case fields as Kubernetes writes them; an unknown field is an error."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class Metadata(Manifest):
    """Name and labels of an object."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class KeySelector(Manifest):
    """A key of a ConfigMap or Secret."""

    name: str
    key: str
    optional: bool = False


class FieldSelector(Manifest):
    """A field of the pod itself."""

    field_path: str
    api_version: str = "v1"


class ResourceSelector(Manifest):
    """A resource of the container itself."""

    resource: Literal["limits.cpu", "requests.cpu"]
    divisor: Millicores = 1000.0
    container_name: str = ""


class EnvSource(Manifest):
    """Where an environment variable's value comes from."""

    field_ref: FieldSelector | None = None
    resource_field_ref: ResourceSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class EnvVar(Manifest):
    """One environment variable."""

    name: str
    value: str = ""
    value_from: EnvSource | None = None


class EnvFromName(Manifest):
    """The ConfigMap or Secret whose every key becomes a variable."""

    name: str
    optional: bool = False


class EnvFrom(Manifest):
    """A whole ConfigMap or Secret as environment."""

    config_map_ref: EnvFromName | None = None
    secret_ref: EnvFromName | None = None


class HttpGet(Manifest):
    """An HTTP probe; the port by number or by name."""

    path: str = "/"
    port: int | str
    scheme: Literal["HTTP"] = "HTTP"


class Probe(Manifest):
    """A probe with Kubernetes's own defaults."""

    http_get: HttpGet
    initial_delay_seconds: float = 0
    period_seconds: float = 10
    timeout_seconds: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


class SleepAction(Manifest):
    """A native sleep (no shell in the image needed)."""

    seconds: float


class PreStop(Manifest):
    """What runs before SIGTERM."""

    sleep: SleepAction


class Lifecycle(Manifest):
    """Container lifecycle."""

    pre_stop: PreStop | None = None


class ContainerPort(Manifest):
    """A named port."""

    container_port: int
    name: str = ""
    protocol: Literal["TCP"] = "TCP"


class Resources(Manifest):
    """CPU is measured against its limit; above the memory limit a container is killed."""

    requests: dict[str, str] = Field(default_factory=dict)
    limits: dict[str, str] = Field(default_factory=dict)

    @property
    def cpu_limit_millicores(self) -> float | None:
        """The CPU limit in thousandths of a core, if there is one."""
        text = self.limits.get("cpu")
        return None if text is None else millicores(text)

    @property
    def memory_limit_bytes(self) -> int | None:
        """The memory limit in bytes, if there is one."""
        text = self.limits.get("memory")
        return None if text is None else quantity_bytes(text)


class CsiVolume(Manifest):
    """A volume of the Secrets Store CSI driver, by the name of its SecretProviderClass."""

    driver: Literal["secrets-store.csi.k8s.io"]
    read_only: bool = False
    volume_attributes: dict[str, str]


class KeyToPath(Manifest):
    """A key and the file that it becomes."""

    key: str
    path: str
    mode: Unenforced = None


class FilesVolume(Manifest):
    """A Secret or a ConfigMap, each key a file, or only those of `items`."""

    name: str = Field("", validation_alias=AliasChoices("name", "secretName"))
    items: list[KeyToPath] = Field(default_factory=list)
    optional: bool = False
    default_mode: Unenforced = None


class Volume(Manifest):
    """A volume: one that holds files, which are written here, or one that needs none."""

    name: str
    csi: CsiVolume | None = None
    secret: FilesVolume | None = None
    config_map: FilesVolume | None = None
    empty_dir: Unenforced = None

    @property
    def holds_files(self) -> bool:
        """Whether its files are written here."""
        return bool(self.csi or self.secret or self.config_map)


class VolumeMount(Manifest):
    """Where a container sees a volume, or one file of it."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


class Container(Manifest):
    """A container to run as a local process."""

    name: str
    image: str
    command: list[str] = Field(default_factory=list)
    args: list[str] = Field(default_factory=list)
    env: list[EnvVar] = Field(default_factory=list)
    env_from: list[EnvFrom] = Field(default_factory=list)
    ports: list[ContainerPort] = Field(default_factory=list)
    resources: Resources = Resources()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    image_pull_policy: Unenforced = None
    security_context: Unenforced = None
    volume_mounts: list[VolumeMount] = Field(default_factory=list)

    def port(self, name_or_number: int | str) -> int:
        """The number of a port given by name or number."""
        if isinstance(name_or_number, int):
            return name_or_number
        return next(p.container_port for p in self.ports if p.name == name_or_number)

    def port_name(self, name_or_number: int | str) -> str:
        """The name of a port given by name or number; its number if it has none."""
        if isinstance(name_or_number, str):
            return name_or_number
        names = (p.name for p in self.ports if p.container_port == name_or_number)
        return next(names, "") or str(name_or_number)

    @property
    def port_names(self) -> set[str]:
        """The names of the ports that it declares, and of those that its probes ask."""
        return {self.port_name(p.container_port) for p in self.ports} | self.probed_ports

    @property
    def probed_ports(self) -> set[str]:
        """The names of the ports that its probes ask."""
        probes = (self.startup_probe, self.readiness_probe, self.liveness_probe)
        return {self.port_name(probe.http_get.port) for probe in probes if probe is not None}


class PodSpec(Manifest):
    """A pod; its containers share the loopback address, as in a pod."""

    containers: Annotated[list[Container], Field(min_length=1)]
    termination_grace_period_seconds: float = 30
    service_account_name: Unenforced = None
    automount_service_account_token: Unenforced = None
    security_context: Unenforced = None
    volumes: list[Volume] = Field(default_factory=list)
    affinity: Unenforced = None
    topology_spread_constraints: Unenforced = None
    enable_service_links: Unenforced = None

    @property
    def container(self) -> Container:
        """The first container, which kubectl also takes where none is named."""
        return self.containers[0]

    def owner(self, port: str) -> Container:
        """The container that has a port; the first one if none declares it."""
        return next((c for c in self.containers if port in c.port_names), self.container)


class PodTemplate(Manifest):
    """What each pod is made from."""

    metadata: Metadata = Metadata()
    spec: PodSpec


class PauseStep(Manifest):
    """No duration waits for a person."""

    duration: Seconds | None = None


class TemplateRef(Manifest):
    """A reference to an AnalysisTemplate by name."""

    template_name: str
    cluster_scope: Literal[False] = False


class ArgumentSource(Manifest):
    """Only the pod-template hashes: fields and Secrets mean nothing without a cluster."""

    pod_template_hash_value: Literal["Latest", "Stable"]


class Argument(Manifest):
    """An argument, as given or as declared."""

    name: str
    value: str | None = None
    value_from: ArgumentSource | None = None


class DryRun(Manifest):
    """A regular expression of metric names that are measured and not judged."""

    metric_name: str


class AnalysisRef(Manifest):
    """An inline analysis."""

    templates: list[TemplateRef]
    args: list[Argument] = Field(default_factory=list)
    dry_run: list[DryRun] = Field(default_factory=list)


class BackgroundRef(AnalysisRef):
    """A background analysis, from `startingStep` on."""

    starting_step: int = 0


class CanaryStep(Manifest):
    """Exactly one of the three kinds of step a basic canary knows."""

    set_weight: int | None = None
    pause: PauseStep | None = None
    analysis: AnalysisRef | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(
                f"it has {len(self.model_fields_set)} actions, and a step has exactly one of "
                "setWeight, pause and analysis"
            )
        return self


# A number of pods, or a percentage; Argo reads "1" as 1 %.
Fence = Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^\d{1,4}%?$")]


class Canary(Manifest):
    """A basic canary: shares come from replica counts, there is no traffic router."""

    steps: list[CanaryStep] = Field(default_factory=list)
    analysis: BackgroundRef | None = None
    max_surge: Fence = "25%"
    max_unavailable: Fence = "25%"


class Strategy(Manifest):
    """Canary only."""

    canary: Canary


class Selector(Manifest):
    """Labels a pod must carry."""

    match_labels: dict[str, str] = Field(default_factory=dict)


class RolloutSpec(Manifest):
    """The Rollout."""

    replicas: int = 1
    selector: Selector
    template: PodTemplate
    strategy: Strategy
    min_ready_seconds: float = 0
    progress_deadline_seconds: float = 600
    progress_deadline_abort: bool = False
    revision_history_limit: Unenforced = None
    rollback_window: Unenforced = None


class PrometheusQuery(Manifest):
    """The Prometheus provider."""

    query: str
    address: str = ""
    timeout: int = 30


class Provider(Manifest):
    """Prometheus is the only provider that can be rehearsed here."""

    prometheus: PrometheusQuery


class MetricSpec(Manifest):
    """A metric; numbers may still be `{{args.…}}`, so they stay text until they are resolved."""

    name: str
    provider: Provider
    success_condition: str = ""
    failure_condition: str = ""
    interval: str | int | None = None
    initial_delay: str | int | None = None
    count: str | int | None = None
    failure_limit: str | int | None = None
    inconclusive_limit: str | int | None = None
    consecutive_error_limit: str | int | None = None
    consecutive_success_limit: str | int | None = None


class AnalysisTemplateSpec(Manifest):
    """Metrics and their arguments."""

    args: list[Argument] = Field(default_factory=list)
    metrics: Annotated[list[MetricSpec], Field(min_length=1)]
    dry_run: list[DryRun] = Field(default_factory=list)


class ServicePort(Manifest):
    """A port of a Service."""

    port: int
    name: str = ""
    target_port: int | str | None = None
    protocol: Literal["TCP"] = "TCP"
    app_protocol: Unenforced = None


class ServiceSpec(Manifest):
    """What the gateway sends requests to."""

    selector: dict[str, str]
    ports: Annotated[list[ServicePort], Field(min_length=1)]
    type: Literal["ClusterIP"] = "ClusterIP"
    cluster_ip: Unenforced = Field(None, alias="clusterIP")


class PodMetricsEndpoint(Manifest):
    """How Prometheus scrapes a pod."""

    port: str
    path: str = "/metrics"
    interval: Seconds = 30.0
    scrape_timeout: Seconds | None = None
    scheme: Literal["http"] = "http"


class PodMonitorSpec(Manifest):
    """Which pods are scraped, how often, and which of their labels the series carry."""

    selector: Selector
    pod_metrics_endpoints: Annotated[list[PodMetricsEndpoint], Field(min_length=1, max_length=1)]
    pod_target_labels: list[str] = Field(default_factory=list)
    job_label: str = ""


class _Object(Manifest):
    api_version: str
    metadata: Metadata


class Rollout(_Object):
    """argoproj.io Rollout."""

    kind: Literal["Rollout"]
    spec: RolloutSpec


class AnalysisTemplate(_Object):
    """argoproj.io AnalysisTemplate."""

    kind: Literal["AnalysisTemplate"]
    spec: AnalysisTemplateSpec

    @property
    def literals(self) -> dict[str, str]:
        """The arguments that it gives a value of its own, as they are written."""
        return {a.name: a.value for a in self.spec.args if a.value is not None}


class Service(_Object):
    """A Service."""

    kind: Literal["Service"]
    spec: ServiceSpec


class ConfigMap(_Object):
    """A ConfigMap."""

    kind: Literal["ConfigMap"]
    data: dict[str, str] = Field(default_factory=dict)
    immutable: Unenforced = None


class PodMonitor(_Object):
    """A PodMonitor of the Prometheus operator."""

    kind: Literal["PodMonitor"]
    spec: PodMonitorSpec


UNDERSTOOD_KINDS: dict[str, type[_Object]] = {
    "Rollout": Rollout,
    "AnalysisTemplate": AnalysisTemplate,
    "Service": Service,
    "ConfigMap": ConfigMap,
    "PodMonitor": PodMonitor,
}


@dataclass(frozen=True)
class Bundle:
    """The manifests of one release: one Rollout and what belongs to it."""

    source: str
    documents: tuple[Document, ...]
    rollout: Rollout
    templates: dict[str, AnalysisTemplate]
    config_maps: dict[str, ConfigMap]
    service: Service | None
    pod_monitor: PodMonitor | None
    unenforced: tuple[str, ...]

    @property
    def namespace(self) -> str:
        """The Rollout's namespace."""
        return self.rollout.metadata.namespace or "default"

    @property
    def served_port(self) -> str:
        """The name of the container's port that users' requests come to."""
        spec = self.rollout.spec.template.spec
        if self.service is None:
            ports = spec.container.ports
            return spec.container.port_name(ports[0].container_port) if ports else ""
        port = self.service.spec.ports[0]
        target = port.port if port.target_port is None else port.target_port
        names = {container.port_name(target) for container in spec.containers}
        return min(names - {str(target)} or names)


def read(documents: Iterable[Document], source: str = "the manifests") -> Bundle:
    """What a rehearsal needs of the objects; `source` is what messages call them.

    Raises:
        UsageError: if there is no Rollout, more than one, or something not understood.
    """
    found = tuple(documents)
    understood = [_understand(document) for document in found if _is_enforced(document)]
    rollouts = [thing for thing in understood if isinstance(thing, Rollout)]
    if len(rollouts) != 1:
        raise UsageError(
            f"{source} holds {len(rollouts)} Rollouts", "point at manifests with exactly one"
        )
    (rollout,) = rollouts
    labels = rollout.spec.template.metadata.labels
    services = (t for t in understood if isinstance(t, Service) and _selects(t, labels))
    monitors = (t for t in understood if isinstance(t, PodMonitor) and _selects(t, labels))
    ignored = [f"{document.kind} objects" for document in found if not _is_enforced(document)]
    return Bundle(
        source=source,
        documents=found,
        rollout=rollout,
        templates={t.metadata.name: t for t in understood if isinstance(t, AnalysisTemplate)},
        config_maps={t.metadata.name: t for t in understood if isinstance(t, ConfigMap)},
        service=next(services, None),
        pod_monitor=next(monitors, None),
        unenforced=(*_unenforced(rollout), *ignored),
    )


def rollout(bundle: Bundle, given: Mapping[str, str] = releases.NOTHING_GIVEN) -> model.Rollout:
    """The Rollout to rehearse, at its real durations.

    Args:
        bundle: The manifests.
        given: Arguments of the analyses that win over what the manifests say, wherever declared.

    Raises:
        UsageError: if a template is missing, an argument has no value, or a number is none.
    """
    declared = {a.name for t in bundle.templates.values() for a in t.spec.args}
    for name in given:
        if name not in declared:
            raise UsageError(
                f"no AnalysisTemplate declares the argument {name!r}",
                f"there are {', '.join(sorted(declared))}",
            )
    document = next(found for found in bundle.documents if found.kind == "Rollout")
    release = releases.read(document, Templates(bundle.documents), given)
    for analysis in release.analyses:
        for name in (reference.name for reference in analysis.missing):
            known = ", ".join(sorted(bundle.templates)) or "none"
            raise UsageError(
                f"AnalysisTemplate {name!r} is referenced and missing from {bundle.source}",
                f"add it, or reference one that is there ({known})",
            )
        for gate in analysis.gates:
            _refuse(gate)
    return release.walked


def _refuse(gate: Gate) -> None:
    """Refuses a gate that could not be resolved, or whose windows cannot be scaled."""
    where = f"{gate.template.file} line {gate.template.position(gate.path)[0]}"
    place = f"{where}: AnalysisTemplate {gate.template.name}, metric {gate.name}"
    for name in gate.unresolved:
        raise UsageError(
            f"{place}: argument {name!r} has no value",
            "declare it in the template's args and give it a value there or in the Rollout",
        )
    if gate.broken:
        raise UsageError(f"{place}: {gate.broken}", "correct it")
    try:
        durations.scale_query(gate.metric.query if gate.metric else "", 1)
    except ValueError as wrong:
        raise UsageError(f"{place}: {wrong}", "correct it") from None


def _is_enforced(document: Document) -> bool:
    return document.kind not in UNENFORCED_KINDS


def _selects(thing: Service | PodMonitor, labels: dict[str, str]) -> bool:
    selector = thing.spec.selector
    wanted = selector.match_labels if isinstance(selector, Selector) else selector
    return all(labels.get(key) == value for key, value in wanted.items())


def _understand(document: Document) -> _Object:
    kind = document.kind
    if kind not in UNDERSTOOD_KINDS:
        raise UsageError(
            f"{document.file} line {document.position('kind')[0]}: "
            f"kind {document.body.get('kind', '')!r} is not understood",
            f"the rehearsal knows {', '.join(sorted({*UNDERSTOOD_KINDS, *UNENFORCED_KINDS}))}",
        )
    try:
        return UNDERSTOOD_KINDS[kind].model_validate(document.body)
    except ValidationError as invalid:
        first = invalid.errors()[0]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    path = "".join(parts).lstrip(".")
    place = f"{document.file} line {document.position(path)[0]}: {kind} field {path}"
    if first["type"] == "extra_forbidden":
        remedy = "remove it, or teach canary/argo/manifests.py what it means"
        raise UsageError(f"{place} is not understood", remedy)
    raise UsageError(f"{place}: {first['msg']}", "correct the manifest")


def _unenforced(rollout: Rollout) -> Iterator[str]:
    """Names what was read and is not acted on, as the report lists it."""
    spec = rollout.spec.template.spec
    for holder in (spec, *spec.containers):
        for name, field in type(holder).model_fields.items():
            if field.annotation is Any and name in holder.model_fields_set:
                yield f"{field.alias or name} of the {type(holder).__name__.lower()}"
