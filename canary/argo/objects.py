"""The objects of Kubernetes that a rehearsal acts on, as types.

A field is enforced (it has an attribute here), or read and not enforced (its name is in
`NOT_ENFORCED`, or the object that holds it says so), or not supported: it has neither, and its
meaning would be missed. `support` names them all.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from canary import durations
from canary.argo import quantities


def _seconds(value: object) -> object:
    """Argo takes a bare number as seconds and text as a Go duration."""
    return durations.parse(value) if isinstance(value, str) and not value.isdigit() else value


def _quantity(value: object) -> object:
    quantities.parse(value)
    return str(value)


def _object_name(name: str) -> str:
    """A DNS subdomain (RFC 1123), as the API server requires it of these kinds."""
    if len(name) > 253 or not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name):  # noqa: PLR2004
        raise ValueError("a name has at most 253 lower-case letters, digits, hyphens and dots")
    return name


# As an API server takes them: a number or a boolean in quotes is a string.
Int = Annotated[int, Field(strict=True)]
Bool = Annotated[bool, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
# `sleep 15` as a program, or among a shell's words.
_SLEEP = re.compile(r"(?:(?<=^)|(?<=[\s;&]))(?:/\S*/)?sleep (\d+(?:\.\d+)?)s?(?=[\s;&]|$)")
Quantity = Annotated[str, BeforeValidator(_quantity)]


class Manifest(BaseModel):
    """Camel-case fields as Kubernetes writes them; an unknown field is an error.

    Those whose meaning needs a kubelet or an API server, by `NOT_ENFORCED`, are only set aside.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )
    NOT_ENFORCED: ClassVar[frozenset[str]] = frozenset()
    set_aside: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _set_aside(cls, given: object) -> object:
        if not isinstance(given, dict) or not given.keys() & cls.NOT_ENFORCED:
            return given
        aside = {name: given[name] for name in given if name in cls.NOT_ENFORCED}
        return {**{n: v for n, v in given.items() if n not in aside}, "set_aside": aside}

    def not_enforced(self) -> Mapping[str, str]:
        """Fields that are understood and not acted on with these values, and what happens."""
        return {}

    def refused(self) -> Mapping[str, str]:
        """Fields that the controller itself refuses with these values, and why."""
        return {}


# What the run's targets carry of a cluster's discovery (`rehearse/scraping`).
_DISCOVERED = re.compile(
    r"__meta_kubernetes_(namespace|endpoints_name"
    r"|endpoint_(port_name|port_protocol|ready|node_name|address_target_(kind|name))"
    r"|(pod|service)_(name|(label|annotation)(present)?_.*)"
    r"|pod_(ip|host_ip|uid|phase|ready|node_name|controller_(kind|name)"
    r"|container_(name|image|init|port_(name|number|protocol))))$"
)
# What a labelmap may copy of nodes and namespaces, of which there are none.
_OTHERS = re.compile(r"__meta_kubernetes_(?:node|namespace)_\w+")


def names(text: str) -> frozenset[str]:
    """Those that a text lists."""
    return frozenset(text.split())


class Metadata(Manifest):
    """Name and labels of an object."""

    NOT_ENFORCED = names(
        "creationTimestamp uid resourceVersion generation managedFields finalizers selfLink"
        " ownerReferences generateName"
    )
    name: Annotated[str, AfterValidator(_object_name)] = ""
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class KeySelector(Manifest):
    """A key of a ConfigMap or Secret."""

    name: str
    key: str
    optional: Bool = False


class FieldSelector(Manifest):
    """A field of the pod itself."""

    field_path: str
    api_version: str = "v1"


class ResourceSelector(Manifest):
    """A resource of the container itself."""

    resource: Annotated[str, Field(pattern=r"^(limits|requests)\..+$")]
    divisor: Quantity = "1"
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
    optional: Bool = False


class EnvFrom(Manifest):
    """A whole ConfigMap or Secret as environment."""

    config_map_ref: EnvFromName | None = None
    secret_ref: EnvFromName | None = None
    prefix: str = ""


class Header(Manifest):
    """A header of a probe's request."""

    name: str
    value: str = ""


class HttpGet(Manifest):
    """An HTTP probe; the port by number or by name."""

    NOT_ENFORCED = names("host")
    path: str = "/"
    port: int | str
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: list[Header] = Field(default_factory=list)


class TcpSocket(Manifest):
    """A probe that connects."""

    NOT_ENFORCED = names("host")
    port: int | str


class Grpc(Manifest):
    """A probe by gRPC's own health protocol."""

    NOT_ENFORCED = names("service")
    port: Int


class Exec(Manifest):
    """A command in the container."""

    command: list[str] = Field(default_factory=list)


class Probe(Manifest):
    """A probe with Kubernetes's own defaults; a command is not run, its paths are the image's."""

    NOT_ENFORCED = names("terminationGracePeriodSeconds")
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: Grpc | None = None
    exec: Exec | None = None
    initial_delay_seconds: Number = 0
    period_seconds: Number = 10
    timeout_seconds: Number = 1
    success_threshold: Int = 1
    failure_threshold: Int = 3

    @property
    def port(self) -> int | str | None:
        """The port that it asks; None for the one that users' requests come to."""
        asked = self.http_get or self.tcp_socket or self.grpc
        return asked.port if asked else None

    def not_enforced(self) -> Mapping[str, str]:
        """A command or gRPC is taken as: the port accepts connections."""
        instead = "passes once the port accepts connections"
        return {name: instead for name in ("grpc", "exec") if getattr(self, name) is not None}


class SleepAction(Manifest):
    """A native sleep (no shell in the image needed)."""

    seconds: Number


class PreStop(Manifest):
    """What runs before SIGTERM; of commands only a sleep is known."""

    NOT_ENFORCED = names("httpGet tcpSocket")
    sleep: SleepAction | None = None
    exec: Exec | None = None

    @property
    def seconds(self) -> float:
        """How long it takes, as far as that is known: of a command only its sleeps are run."""
        if self.sleep is not None:
            return self.sleep.seconds
        return sum(float(number) for number in _SLEEP.findall(self._words))

    @property
    def _words(self) -> str:
        return " ".join(self.exec.command) if self.exec else ""

    def not_enforced(self) -> Mapping[str, str]:
        """A command that is no sleep is not run."""
        others = _SLEEP.sub("", re.sub(r"^\S*sh -\w*c ", "", self._words))
        if self.exec is None or not re.search(r"\w", others):
            return {}
        return {"exec": "of the command only sleep is run" if self.seconds else _NOT_RUN}


_NOT_RUN = "the command is not run"


class Lifecycle(Manifest):
    """Container lifecycle."""

    NOT_ENFORCED = names("postStart stopSignal")
    pre_stop: PreStop | None = None


class ContainerPort(Manifest):
    """A named port."""

    NOT_ENFORCED = names("hostPort hostIP protocol")
    container_port: Int
    name: str = ""


class Resources(Manifest):
    """CPU is measured against its limit; above the memory limit a container is killed."""

    NOT_ENFORCED = names("claims")
    requests: dict[str, Quantity] = Field(default_factory=dict)
    limits: dict[str, Quantity] = Field(default_factory=dict)

    @property
    def cpu_limit_millicores(self) -> float | None:
        """The CPU limit in thousandths of a core, if there is one."""
        text = self.limits.get("cpu")
        return None if text is None else float(quantities.parse(text) * 1000)

    @property
    def memory_limit_bytes(self) -> int | None:
        """The memory limit in bytes, if there is one."""
        text = self.limits.get("memory")
        return None if text is None else int(quantities.parse(text))


class CsiVolume(Manifest):
    """A volume of a CSI driver; that of the Secrets Store holds a SecretProviderClass's values."""

    NOT_ENFORCED = names("nodePublishSecretRef fsType")
    driver: str
    read_only: Bool = False
    volume_attributes: dict[str, str] = Field(default_factory=dict)

    @property
    def is_secrets_store(self) -> bool:
        """Whether its files are written here."""
        return self.driver == "secrets-store.csi.k8s.io"

    def not_enforced(self) -> Mapping[str, str]:
        """What another driver would put there."""
        other = "none of its files is written: only those of the Secrets Store are"
        return {} if self.is_secrets_store else {"driver": other}


class KeyToPath(Manifest):
    """A key and the file that it becomes."""

    NOT_ENFORCED = names("mode")
    key: str
    path: str


class FilesVolume(Manifest):
    """A Secret or a ConfigMap, each key a file, or only those of `items`."""

    NOT_ENFORCED = names("defaultMode")
    name: str = Field("", validation_alias=AliasChoices("name", "secretName"))
    items: list[KeyToPath] = Field(default_factory=list)
    optional: Bool = False


class Projection(Manifest):
    """One of the sources of a projected volume."""

    NOT_ENFORCED = names("serviceAccountToken clusterTrustBundle downwardAPI podCertificate")
    secret: FilesVolume | None = None
    config_map: FilesVolume | None = None


class Projected(Manifest):
    """Several sources in one folder."""

    NOT_ENFORCED = names("defaultMode")
    sources: list[Projection] = Field(default_factory=list)


class Volume(Manifest):
    """A volume: one that holds files, which are written here, or the machine's own disk."""

    NOT_ENFORCED = names(
        "emptyDir hostPath persistentVolumeClaim downwardAPI ephemeral nfs azureFile azureDisk"
        " awsElasticBlockStore gcePersistentDisk image cephfs cinder fc flexVolume flocker gitRepo"
        " glusterfs iscsi photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos"
        " vsphereVolume"
    )
    name: str
    csi: CsiVolume | None = None
    secret: FilesVolume | None = None
    config_map: FilesVolume | None = None
    projected: Projected = Projected()

    @property
    def secrets(self) -> list[FilesVolume]:
        """The Secrets whose keys are its files; a SecretProviderClass makes one of its name."""
        found = [self.secret, *(source.secret for source in self.projected.sources)]
        if self.csi is not None and self.csi.is_secrets_store:
            name = self.csi.volume_attributes.get("secretProviderClass", "")
            found.append(FilesVolume(name=name))
        return [held for held in found if held is not None]

    @property
    def config_maps(self) -> list[FilesVolume]:
        """The ConfigMaps whose keys are its files."""
        found = [self.config_map, *(source.config_map for source in self.projected.sources)]
        return [held for held in found if held is not None]

    @property
    def holds_files(self) -> bool:
        """Whether its files are written here."""
        return bool(self.secrets or self.config_maps)


class VolumeMount(Manifest):
    """Where a container sees a volume, or one file of it."""

    NOT_ENFORCED = names("mountPropagation subPathExpr recursiveReadOnly")
    name: str
    mount_path: str
    read_only: Bool = False
    sub_path: str = ""


class Container(Manifest):
    """A container to run as a local process."""

    NOT_ENFORCED = names(
        "imagePullPolicy securityContext stdin stdinOnce tty terminationMessagePath"
        " terminationMessagePolicy volumeDevices resizePolicy workingDir restartPolicy"
        " restartPolicyRules"
    )
    name: str
    image: str = ""
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
    volume_mounts: list[VolumeMount] = Field(default_factory=list)

    def port(self, name_or_number: int | str) -> int:
        """The number of a port given by name or number."""
        if isinstance(name_or_number, int):
            return name_or_number
        named = (p.container_port for p in self.ports if p.name == name_or_number)
        return next(named, int(name_or_number) if name_or_number.isdigit() else 0)

    def port_name(self, name_or_number: int | str) -> str:
        """The name of a port given by name or number; its number if it has none."""
        if isinstance(name_or_number, str) and not name_or_number.isdigit():
            return name_or_number
        names = (p.name for p in self.ports if p.container_port == int(name_or_number))
        return next(names, "") or str(name_or_number)

    @property
    def port_names(self) -> set[str]:
        """The names of the ports that it declares, and of those that its probes ask."""
        return {self.port_name(p.container_port) for p in self.ports} | self.probed_ports

    @property
    def probed_ports(self) -> set[str]:
        """The names of the ports that its probes ask."""
        probes = (self.startup_probe, self.readiness_probe, self.liveness_probe)
        asked = (probe.port for probe in probes if probe is not None)
        return {self.port_name(port) for port in asked if port is not None}


class PodSpec(Manifest):
    """A pod; its containers share the loopback address, as in a pod."""

    NOT_ENFORCED = names(
        "serviceAccountName serviceAccount automountServiceAccountToken securityContext affinity"
        " topologySpreadConstraints enableServiceLinks imagePullSecrets initContainers tolerations"
        " nodeSelector nodeName priorityClassName priority preemptionPolicy dnsPolicy dnsConfig"
        " hostAliases hostNetwork hostPID hostIPC hostname subdomain setHostnameAsFQDN"
        " restartPolicy schedulerName runtimeClassName shareProcessNamespace readinessGates"
        " overhead os activeDeadlineSeconds resourceClaims schedulingGates hostUsers"
        " hostnameOverride ephemeralContainers resources"
    )
    containers: Annotated[list[Container], Field(min_length=1)]
    termination_grace_period_seconds: Number = 30
    volumes: list[Volume] = Field(default_factory=list)

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
    cluster_scope: Bool = False


class ArgumentSource(Manifest):
    """A pod-template hash, or a field of the Rollout; what a Secret holds only a cluster knows."""

    pod_template_hash_value: Literal["Latest", "Stable"] | None = None
    field_ref: FieldSelector | None = None
    secret_key_ref: KeySelector | None = None

    def not_enforced(self) -> Mapping[str, str]:
        """A Secret's value."""
        return {"secretKeyRef": 'reads as "secret"'} if self.secret_key_ref else {}


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

    NOT_ENFORCED = names("measurementRetention analysisRunMetadata")
    templates: list[TemplateRef] = Field(default_factory=list)
    args: list[Argument] = Field(default_factory=list)
    dry_run: list[DryRun] = Field(default_factory=list)


class BackgroundRef(AnalysisRef):
    """A background analysis, from `startingStep` on."""

    starting_step: Int = 0


class CanaryScale(Manifest):
    """How many canary pods there are, apart from the weight."""

    replicas: Int | None = None
    weight: Int | None = None
    match_traffic_weight: Bool = False


class TextMatch(Manifest):
    """One way to match a text."""

    exact: str = ""
    prefix: str = ""
    regex: str = ""


class HeaderMatch(Manifest):
    """A header that a request must carry."""

    header_name: str
    header_value: TextMatch


class HeaderRoute(Manifest):
    """Requests that go to the canary by a header."""

    name: str
    match: list[HeaderMatch] = Field(default_factory=list)


class RouteMatch(Manifest):
    """Requests that are mirrored."""

    method: TextMatch | None = None
    path: TextMatch | None = None
    headers: dict[str, TextMatch] = Field(default_factory=dict)


class MirrorRoute(Manifest):
    """Requests that the canary gets a copy of."""

    name: str
    match: list[RouteMatch] = Field(default_factory=list)
    percentage: Int | None = None


_TOGETHER = {"set_canary_scale", "set_header_route", "set_mirror_route"}


class CanaryStep(Manifest):
    """One of the kinds of step that can be taken here, or a scale with routes beside it."""

    set_weight: Int | None = None
    pause: PauseStep | None = None
    analysis: AnalysisRef | None = None
    set_canary_scale: CanaryScale | None = None
    set_header_route: HeaderRoute | None = None
    set_mirror_route: MirrorRoute | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        given = self.model_fields_set
        together = "set_canary_scale" in given and given <= _TOGETHER
        if len(given) != 1 and not together:
            many = len(given)
            raise ValueError(f"it has {many} actions, and a rehearsal takes one: make {many} steps")
        return self


# A number of pods, or a percentage; Argo reads "1" as 1 %.
Fence = Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^\d{1,4}%?$")]


class ManagedRoute(Manifest):
    """The name of a route that the controller manages."""

    name: str


class TrafficRouting(Manifest):
    """The router; what its objects are called matters to the cluster alone."""

    nginx: dict[str, Any] | None = None
    istio: dict[str, Any] | None = None
    alb: dict[str, Any] | None = None
    smi: dict[str, Any] | None = None
    traefik: dict[str, Any] | None = None
    ambassador: dict[str, Any] | None = None
    apisix: dict[str, Any] | None = None
    app_mesh: dict[str, Any] | None = None
    plugins: dict[str, Any] | None = None
    managed_routes: list[ManagedRoute] = Field(default_factory=list)
    max_traffic_weight: Int | None = None

    @property
    def subsets(self) -> bool:
        """Whether Istio tells the sides apart by a DestinationRule, and no Services do."""
        return bool((self.istio or {}).get("destinationRule"))

    def not_enforced(self) -> Mapping[str, str]:
        """What sticks users to a side."""
        if (self.alb or {}).get("stickinessConfig"):
            return {"alb.stickinessConfig": "each request is shared by weight anew"}
        return {}


class PingPong(Manifest):
    """Two Services that take turns as stable and canary."""

    ping_service: str
    pong_service: str


class ProgressThreshold(Manifest):
    """How many pods are enough for a step."""

    type: Literal["Percent", "Pods"]
    value: Int


class Canary(Manifest):
    """A canary: shares come from replica counts, or from a traffic router's weights."""

    NOT_ENFORCED = names("antiAffinity")
    canary_metadata: Metadata = Metadata()
    stable_metadata: Metadata = Metadata()
    steps: list[CanaryStep] = Field(default_factory=list)
    analysis: BackgroundRef | None = None
    max_surge: Fence = "25%"
    max_unavailable: Fence = "25%"
    canary_service: str = ""
    stable_service: str = ""
    ping_pong: PingPong | None = None
    traffic_routing: TrafficRouting | None = None
    scale_down_delay_seconds: Int | None = None
    scale_down_delay_revision_limit: Int | None = None
    abort_scale_down_delay_seconds: Int | None = None
    dynamic_stable_scale: Bool = False
    min_pods_per_replica_set: Int | None = None
    replica_progress_threshold: ProgressThreshold | None = None

    @property
    def services(self) -> tuple[str, str]:
        """The names of the Services of (canary, stable), as the first release finds them."""
        if self.ping_pong is not None:
            return self.ping_pong.pong_service, self.ping_pong.ping_service
        return self.canary_service, self.stable_service


class BlueGreen(Manifest):
    """All users at once, by the selector of the active Service."""

    # maxUnavailable is about restarts alone.
    NOT_ENFORCED = names("antiAffinity maxUnavailable")
    preview_metadata: Metadata = Metadata()
    active_metadata: Metadata = Metadata()
    active_service: str
    preview_service: str = ""
    preview_replica_count: Int | None = None
    auto_promotion_enabled: Bool = True
    auto_promotion_seconds: Int = 0
    scale_down_delay_seconds: Int | None = None
    scale_down_delay_revision_limit: Int | None = None
    abort_scale_down_delay_seconds: Int | None = None
    pre_promotion_analysis: AnalysisRef | None = None
    post_promotion_analysis: AnalysisRef | None = None


class Strategy(Manifest):
    """How a release reaches its users: one of the two."""

    canary: Canary | None = None
    blue_green: BlueGreen | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.canary is None) is (self.blue_green is None):
            raise ValueError("the controller takes one of canary and blueGreen")
        return self

    @property
    def services(self) -> tuple[str, str]:
        """The names of the Services of the new release and of stable, before the promotion."""
        if self.canary is not None:
            return self.canary.services
        assert self.blue_green is not None  # noqa: S101 — it is one of the two
        return self.blue_green.preview_service, self.blue_green.active_service

    @property
    def traffic_routing(self) -> TrafficRouting | None:
        """A canary's router."""
        return self.canary.traffic_routing if self.canary else None

    @property
    def shares_by_weight(self) -> bool:
        """Whether requests are shared apart from the counts of pods."""
        return self.blue_green is not None or self.traffic_routing is not None


class Expression(Manifest):
    """A requirement of a selector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = Field(default_factory=list)

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels meets it."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
        return self.key not in labels


class Selector(Manifest):
    """Labels a pod must carry."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: list[Expression] = Field(default_factory=list)

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects an object with these labels."""
        return carries(labels, self.match_labels) and all(
            expression.takes(labels) for expression in self.match_expressions
        )


class WorkloadRef(Manifest):
    """The workload whose pod template the Rollout takes; `read` has put it in its place."""

    NOT_ENFORCED = names("scaleDown")
    api_version: str = ""
    kind: str
    name: str


class RolloutSpec(Manifest):
    """The Rollout."""

    NOT_ENFORCED = names("revisionHistoryLimit rollbackWindow restartAt analysis")
    replicas: Int = 1
    selector: Selector = Selector()
    workload_ref: WorkloadRef | None = None
    template: PodTemplate
    strategy: Strategy
    min_ready_seconds: Number = 0
    progress_deadline_seconds: Number = 600
    progress_deadline_abort: Bool = False
    paused: Bool = False

    def refused(self) -> Mapping[str, str]:
        """A Rollout that stands still."""
        found = {"paused": "nothing is released until a person unsets it"} if self.paused else {}
        if self.replicas == 0:
            found["replicas"] = "no pod is released: rehearse it with the replicas of an overlay"
        return found


# The provider of a metric that the caller does not want judged.
LEFT_OUT = "leftOut"


class PrometheusQuery(Manifest):
    """The Prometheus provider."""

    NOT_ENFORCED = names("authentication insecure headers")
    query: str
    address: str = ""
    timeout: Int = 30


class WebHeader(Manifest):
    """A header of a web metric's request."""

    key: str
    value: str = ""


class WebQuery(Manifest):
    """The web provider."""

    NOT_ENFORCED = names("insecure authentication")
    url: str
    json_path: str = ""
    timeout_seconds: Int = 10
    method: Literal["GET", "POST", "PUT"] = "GET"
    headers: list[WebHeader] = Field(default_factory=list)
    body: str = ""
    json_body: Any = None

    def refused(self) -> Mapping[str, str]:
        """A body that the controller does not send (metricproviders/webmetric of v1.9.1)."""
        given = {"body": self.body or None, "jsonBody": self.json_body}
        sent = [name for name, value in given.items() if value is not None]
        if not sent or (self.method != "GET" and len(sent) == 1):
            return {}
        why = "the controller takes one of body and jsonBody, and that with POST and PUT alone"
        return dict.fromkeys(sent, why)


class Provider(Manifest):
    """The providers that can be rehearsed here: one of them.

    `left_out` takes the place of any for a metric that is not to be judged.
    """

    prometheus: PrometheusQuery | None = None
    web: WebQuery | None = None
    job: dict[str, Any] | None = None
    left_out: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(p is not None for p in (self.prometheus, self.web, self.job, self.left_out)) != 1:
            raise ValueError("give one provider, prometheus, web or job")
        return self

    def not_enforced(self) -> Mapping[str, str]:
        """What stands in for a Job, and a metric that is left out."""
        notes = {
            "job": "the command of `jobs` in rehearsal.yaml runs instead",
            LEFT_OUT: "not judged: it is left out",
        }
        given = {"job": self.job, LEFT_OUT: self.left_out}
        return {name: note for name, note in notes.items() if given[name] is not None}


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
    """Metrics and their arguments, or other templates."""

    NOT_ENFORCED = names("measurementRetention")
    args: list[Argument] = Field(default_factory=list)
    metrics: list[MetricSpec] = Field(default_factory=list)
    templates: list[TemplateRef] = Field(default_factory=list)
    dry_run: list[DryRun] = Field(default_factory=list)


class ServicePort(Manifest):
    """A port of a Service."""

    NOT_ENFORCED = names("protocol appProtocol nodePort")
    port: Int
    name: str = ""
    target_port: int | str | None = None

    @property
    def grpc(self) -> bool:
        """Whether it says that it speaks gRPC; what Istio calls grpc-web is HTTP/1.1."""
        words = self.name, str(self.set_aside.get("appProtocol", ""))
        return any(re.fullmatch(r"grpc(-(?!web).*)?", word) for word in words)

    def not_enforced(self) -> Mapping[str, str]:
        """Requests of gRPC, beside those of HTTP."""
        return {"port": "no user calls it: users are sent over HTTP/1.1 alone"} if self.grpc else {}


class ServiceSpec(Manifest):
    """What the gateway sends requests to."""

    NOT_ENFORCED = names(
        "type clusterIP clusterIPs sessionAffinity sessionAffinityConfig externalTrafficPolicy"
        " internalTrafficPolicy ipFamilies ipFamilyPolicy loadBalancerIP loadBalancerClass"
        " loadBalancerSourceRanges externalIPs externalName publishNotReadyAddresses"
        " healthCheckNodePort allocateLoadBalancerNodePorts trafficDistribution"
    )
    selector: dict[str, str] = Field(default_factory=dict)
    ports: list[ServicePort] = Field(default_factory=list)


class Endpoint(Manifest):
    """How Prometheus scrapes a pod; relabelings go to the run's Prometheus as they are."""

    NOT_ENFORCED = names(
        "tlsConfig tls authorization basicAuth bearerTokenSecret bearerTokenFile oauth2 proxyUrl"
        " proxyURL noProxy proxyFromEnvironment proxyConnectHeader honorTimestamps filterRunning"
        " enableHttp2 followRedirects follow_redirects trackTimestampsStaleness scheme timeout"
        " sampleLimit seriesLimit max_scrape_size attach_metadata vm_scrape_params"
    )
    port: int | str = ""
    port_number: Int | None = None
    target_port: int | str = ""
    path: str = "/metrics"
    interval: Seconds = Field(30.0, validation_alias=AliasChoices("interval", "scrape_interval"))
    scrape_timeout: Seconds | None = None
    params: dict[str, list[str]] = Field(default_factory=dict)
    honor_labels: Bool = False
    # In the words of the operators of Prometheus, VictoriaMetrics and Google.
    relabelings: list[dict[str, Any]] = Field(
        default_factory=list, validation_alias=AliasChoices("relabelings", "relabelConfigs")
    )
    metric_relabelings: list[dict[str, Any]] = Field(
        default_factory=list,
        validation_alias=AliasChoices(
            "metricRelabelings", "metricRelabeling", "metricRelabelConfigs"
        ),
    )

    @field_validator("relabelings", "metric_relabelings")
    @classmethod
    def _is_of_texts(cls, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for key, value in (pair for config in given for pair in config.items()):
            held = value if isinstance(value, list) else [value]
            if not all(isinstance(each, str | int) for each in held):
                raise ValueError(f"{key} of a relabeling is neither a text nor a list of texts")
        return given

    @field_validator("relabelings")
    @classmethod
    def _knows_its_sources(cls, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        listed = [config.get("sourceLabels") or config.get("source_labels") for config in given]
        named = [str(name) for names_ in listed for name in names_ or ()]
        named += _OTHERS.findall(" ".join(str(config.get("regex", "")) for config in given))
        if unknown := [n for n in named if n.startswith("__meta_") and not _DISCOVERED.match(n)]:
            raise ValueError(f"{unknown[0]} is not known of a pod on one machine")
        return given


_LIMITS = (
    "serviceDiscoveryRole nativeHistogramBucketLimit nativeHistogramMinBucketFactor"
    " scrapeClassicHistograms scrapeNativeHistograms convertClassicHistogramsToNHCB seriesLimit"
    " discoveryRole sampleLimit targetLimit labelLimit labelNameLengthLimit"
    " labelValueLengthLimit keepDroppedTargets attachMetadata scrapeClass scrapeProtocols"
    " fallbackScrapeProtocol bodySizeLimit selectorMechanism limits filterRunning"
)


class NamespaceSelector(Manifest):
    """The namespaces in which a monitor looks; without names its own."""

    any: Bool = False
    match_names: list[str] = Field(default_factory=list)


class PodMonitorSpec(Manifest):
    """Which pods are scraped, how often, and which of their labels the series carry."""

    NOT_ENFORCED = names(_LIMITS)
    selector: Selector = Selector()
    namespace_selector: NamespaceSelector = NamespaceSelector()
    pod_metrics_endpoints: Annotated[list[Endpoint], Field(min_length=1)]
    pod_target_labels: list[str] = Field(default_factory=list)
    job_label: str = ""


class ServiceMonitorSpec(Manifest):
    """The same by the Services that select the pods."""

    NOT_ENFORCED = names(_LIMITS)
    selector: Selector = Selector()
    namespace_selector: NamespaceSelector = NamespaceSelector()
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]
    target_labels: list[str] = Field(default_factory=list)
    pod_target_labels: list[str] = Field(default_factory=list)
    job_label: str = ""


class FromPod(Manifest):
    """A label of the pod, and what the series call it."""

    from_: str = Field(alias="from")
    to: str = ""


class PodMonitoringLabels(Manifest):
    """Which labels the series carry."""

    metadata: list[str] = Field(default_factory=lambda: ["pod", "container"])
    from_pod: list[FromPod] = Field(default_factory=list)


class PodMonitoringSpec(Manifest):
    """The same for Google's managed collection."""

    NOT_ENFORCED = names(_LIMITS)
    selector: Selector = Selector()
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]
    target_labels: PodMonitoringLabels = PodMonitoringLabels()


class Object(Manifest):
    """What all objects have."""

    NOT_ENFORCED = names("status")
    api_version: str
    metadata: Metadata = Metadata()


class Rollout(Object):
    """argoproj.io Rollout."""

    kind: Literal["Rollout"]
    spec: RolloutSpec


class AnalysisTemplate(Object):
    """argoproj.io AnalysisTemplate, or the cluster's."""

    kind: Literal["AnalysisTemplate", "ClusterAnalysisTemplate"]
    spec: AnalysisTemplateSpec

    @property
    def literals(self) -> dict[str, str]:
        """The arguments that it gives a value of its own, as they are written."""
        return {a.name: a.value for a in self.spec.args if a.value is not None}


class Service(Object):
    """A Service."""

    kind: Literal["Service"]
    spec: ServiceSpec


class ConfigMap(Object):
    """A ConfigMap."""

    NOT_ENFORCED = names("immutable binaryData")
    kind: Literal["ConfigMap"]
    data: dict[str, str] = Field(default_factory=dict)


class PodMonitor(Object):
    """A PodMonitor of the Prometheus operator, or what VictoriaMetrics makes of it."""

    kind: Literal["PodMonitor", "VMPodScrape"]
    spec: PodMonitorSpec


class ServiceMonitor(Object):
    """A ServiceMonitor of the Prometheus operator, or what VictoriaMetrics makes of it."""

    kind: Literal["ServiceMonitor", "VMServiceScrape"]
    spec: ServiceMonitorSpec


class PodMonitoring(Object):
    """A PodMonitoring of Google's managed Prometheus, or the cluster's."""

    kind: Literal["PodMonitoring", "ClusterPodMonitoring"]
    spec: PodMonitoringSpec


KINDS: dict[str, type[Object]] = {
    "Rollout": Rollout,
    "AnalysisTemplate": AnalysisTemplate,
    "ClusterAnalysisTemplate": AnalysisTemplate,
    "Service": Service,
    "ConfigMap": ConfigMap,
    "PodMonitor": PodMonitor,
    "ServiceMonitor": ServiceMonitor,
    "PodMonitoring": PodMonitoring,
    "ClusterPodMonitoring": PodMonitoring,
    "VMPodScrape": PodMonitor,
    "VMServiceScrape": ServiceMonitor,
}


def carries(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether an object with these labels is selected by those."""
    return all(labels.get(key) == value for key, value in wanted.items())
