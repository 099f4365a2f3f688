"""The frozen types every other module speaks in. Imports nothing of ours and does nothing.

Argo's words for Argo's things: a Rollout has steps, a step may start an AnalysisRun, an
AnalysisRun takes measurements of metrics, and everything judged has a phase.
All times are seconds, as floats; instants are seconds on whatever clock the caller keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """The phases of a measurement, a metric or an AnalysisRun (Argo's AnalysisPhase)."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    ERROR = "Error"
    INCONCLUSIVE = "Inconclusive"

    @property
    def completed(self) -> bool:
        """Whether nothing more will happen to what has this phase."""
        return self not in (Phase.PENDING, Phase.RUNNING)


@dataclass(frozen=True)
class WebRequest:
    """How a web metric asks, beside its address."""

    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


@dataclass(frozen=True)
class Metric:
    """One metric of an AnalysisTemplate with its arguments filled in: a gate.

    `count` and `consecutive_success_limit` are 0 where the manifest leaves them out;
    `failure_limit` −1 switches the failure limit off, as in Argo. With a `json_path` it is a web
    metric: `query` is an address, and the path leads to the value in its response. A `job` passes
    if its command does.
    """

    name: str
    query: str
    success_condition: str = ""
    failure_condition: str = ""
    count: int = 0
    interval_s: float | None = None
    initial_delay_s: float = 0.0
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4
    consecutive_success_limit: int = 0
    dry_run: bool = False
    timeout_s: float = 30.0
    address: str = ""
    json_path: str = ""
    request: WebRequest = WebRequest()
    job: bool = False

    @property
    def effective_count(self) -> int | None:
        """How many measurements end the metric; None is no end (interval without count)."""
        if self.count:
            return self.count
        return 1 if self.interval_s is None else None


@dataclass(frozen=True)
class Measurement:
    """One measurement at one metric: what was read, and the phase the conditions gave it.

    `value` is what Argo would show ("[0.0312]", "[]", "" when nothing could be read). `number` is
    its first sample, and `control` that of the same query asked of the stable ReplicaSet, if it was
    (`controlled`).
    """

    phase: Phase
    started_at: float
    finished_at: float
    value: str = ""
    message: str = ""
    number: float | None = None
    control: float | None = None
    controlled: bool = False


@dataclass(frozen=True)
class MetricResult:
    """What an AnalysisRun knows of one metric so far."""

    name: str
    phase: Phase = Phase.PENDING
    message: str = ""
    measurements: tuple[Measurement, ...] = ()
    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    consecutive_success: int = 0
    dry_run: bool = False


@dataclass(frozen=True)
class AnalysisRun:
    """A run of some metrics; `results` is keyed by name and lacks metrics not yet measured.

    `step_index` is the step it belongs to; None is the background analysis.
    """

    name: str
    metrics: tuple[Metric, ...]
    started_at: float
    results: Mapping[str, MetricResult] = field(default_factory=dict)
    phase: Phase = Phase.RUNNING
    message: str = ""
    terminate: bool = False
    completed_at: float | None = None
    step_index: int | None = None


@dataclass(frozen=True)
class SetWeight:
    """Step: ask for a share of the replicas, in per cent."""

    weight: int

    def __str__(self) -> str:
        return f"setWeight: {self.weight}"


@dataclass(frozen=True)
class Switch(SetWeight):
    """Step of a blueGreen: the active Service selects the new pods, once all of them are there."""

    weight: int = 100

    def __str__(self) -> str:
        return "activeService: switched"


@dataclass(frozen=True)
class TextMatch:
    """How a text of a request is matched: `kind` is exact, prefix or regex."""

    kind: str
    value: str


@dataclass(frozen=True)
class RequestMatch:
    """Requests that a route takes: every condition must hold, the headers by lower-case name."""

    headers: Mapping[str, TextMatch] = field(default_factory=dict)
    path: TextMatch | None = None
    method: TextMatch | None = None


@dataclass(frozen=True)
class SetRoute:
    """Step: send the matching requests to the canary, or copy a share of them there (a mirror).

    `mirror` is the share in per cent; None is a header route. Without a match the route is removed.
    """

    name: str
    matches: tuple[RequestMatch, ...]
    mirror: int | None = None

    def __str__(self) -> str:
        return f"{'setHeaderRoute' if self.mirror is None else 'setMirrorRoute'}: {self.name}"


@dataclass(frozen=True)
class SetCanaryScale:
    """Step: ask for canary pods apart from the weight; without a number they follow the weight.

    A step may set `routes` beside it, which do not wait for the pods.
    """

    replicas: int | None = None
    weight: int | None = None
    routes: tuple[SetRoute, ...] = ()

    def __str__(self) -> str:
        pods = "as the weight" if self.weight is None else f"{self.weight} %"
        if self.replicas is not None:
            pods = f"{self.replicas} pods"
        return ", ".join([f"setCanaryScale: {pods}", *map(str, self.routes)])


@dataclass(frozen=True)
class Preview(SetCanaryScale):
    """Step of a blueGreen: ask for pods behind the preview Service, apart from users."""

    def __str__(self) -> str:
        count = "all" if self.replicas is None else self.replicas
        return f"preview: {count} pod{'s' * (count != 1)}"


@dataclass(frozen=True)
class Routing:
    """A traffic router: requests are shared by weight, apart from the counts of pods.

    A blueGreen is one of two weights: the active Service selects stable's pods, or the new ones.

    Attributes:
        router: What shares them, as the manifest names it.
        services: The names of the Services of canary and stable, or preview and active.
        blue_green: Whether it is the strategy of that name.
        max_weight: What the weights of stable and canary add up to.
        dynamic_stable_scale: Whether stable gives up pods as the canary takes requests.
        scale_down_delay_s: How long the old release stays after the promotion; None is for ever.
        abort_scale_down_delay_s: How long the canary stays after an abort; None is for ever.
        abort_delay_given: Whether the manifest says so.
        min_pods: The fewest pods of a ReplicaSet that has any.
        routes: The names of the managed routes, the first to match first.
        always: Header routes that are there without a step.
    """

    router: str
    services: tuple[str, str] = ("", "")
    max_weight: int = 100
    dynamic_stable_scale: bool = False
    scale_down_delay_s: float | None = 30.0
    abort_scale_down_delay_s: float | None = 30.0
    abort_delay_given: bool = False
    min_pods: int = 0
    routes: tuple[str, ...] = ()
    always: tuple[SetRoute, ...] = ()
    blue_green: bool = False


@dataclass(frozen=True)
class Pause:
    """Step: wait; None waits for a person.

    A `manual` one has the duration after which the caller promotes it, as the person would.
    """

    duration_s: float | None
    manual: bool = False

    def __str__(self) -> str:
        if self.duration_s is None:
            return "pause"
        return f"pause: {'promoted after ' if self.manual else ''}{self.duration_s:g}s"


@dataclass(frozen=True)
class Analysis:
    """Step, or background: the metrics to run, still holding `{{args.…}}` of the ReplicaSets.

    `metrics` hold unresolved text; `controller` resolves `args` when the run is created, since
    the pod-template hashes are known only then. `arguments` maps a name to a literal or to one of
    the hashes. `place` is the field of a blueGreen's.
    """

    templates: tuple[str, ...]
    metrics: tuple[Metric, ...]
    arguments: Mapping[str, Argument]
    starting_step: int = 0
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place or 'analysis'}: {', '.join(self.templates)}"


class ReplicaSetName(StrEnum):
    """Which ReplicaSet a pod-template hash is asked of (Argo's Latest and Stable).

    `OLD` is the canary of a release that another replaced before its end; no argument names it.
    """

    LATEST = "Latest"
    STABLE = "Stable"
    OLD = "Old"


@dataclass(frozen=True)
class Hashes:
    """The pod-template hashes of the two ReplicaSets that a release is about."""

    latest: str
    stable: str


PRE_PROMOTION, POST_PROMOTION = "prePromotionAnalysis", "postPromotionAnalysis"

# An argument is its text, or the pod-template hash of one of the two ReplicaSets.
Argument = str | ReplicaSetName

Step = SetWeight | SetCanaryScale | SetRoute | Pause | Analysis


@dataclass(frozen=True)
class PodMetadata:
    """Labels and annotations that the controller gives to the pods of one ReplicaSet."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rollout:
    """The parts of a Rollout that decide how a canary goes on.

    `max_surge` and `max_unavailable` are as written: an int, or text such as "25%" (Argo reads
    a quoted "1" as 1 %). `progress_threshold` is replicaProgressThreshold: available pods, or a
    percentage of the wanted ones, that are enough for a step; None is all of them. The pods of
    stable and of any other release have the metadata of their templates and this.
    """

    name: str
    namespace: str
    replicas: int
    steps: tuple[Step, ...]
    background: Analysis | None = None
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    min_ready_s: float = 0.0
    progress_deadline_s: float = 600.0
    progress_deadline_abort: bool = False
    routing: Routing | None = None
    progress_threshold: int | str | None = None
    canary_metadata: PodMetadata = PodMetadata()
    stable_metadata: PodMetadata = PodMetadata()

    @property
    def max_weight(self) -> int:
        """What the weights of stable and canary add up to."""
        return self.routing.max_weight if self.routing else 100

    @property
    def blue_green(self) -> bool:
        """Whether users are switched from one release to the other at once."""
        return self.routing is not None and self.routing.blue_green

    @property
    def analyses(self) -> tuple[Analysis, ...]:
        """Those of the steps, and the background one."""
        inline = tuple(step for step in self.steps if isinstance(step, Analysis))
        return (*inline, self.background) if self.background else inline


@dataclass(frozen=True)
class ReplicaCounts:
    """One ReplicaSet as the controller sees it: asked for, existing and available pods."""

    desired: int
    current: int
    available: int


NO_PODS = ReplicaCounts(0, 0, 0)
