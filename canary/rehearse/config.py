"""`rehearsal.yaml`: what a rehearsal cannot read from the manifests, as frozen types."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from canary import durations, yamls
from canary.argo import events
from canary.errors import UsageError
from canary.runtime import processes

# What stands for a random text that is made for the run.
SECRET = "{secret}"  # noqa: S105 — no secret, but what stands for one

Command = Annotated[list[str], Field(min_length=1)]
Seconds = Annotated[
    float, BeforeValidator(lambda v: durations.parse(v) if isinstance(v, str) else v)
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Section):
    """The variables that tell a process where to listen.

    `ports` are by the names of the container's ports, or by their numbers where they have none;
    `port` is short for the one that users' requests come to.
    """

    host: str = ""
    port: str = ""
    ports: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        if self.port and self.ports:
            raise ValueError("give either `port` or `ports`")
        return self

    def variables(self, served: str) -> dict[str, str]:
        """The variable of each port; `served` is the name of the one for users' requests."""
        return self.ports or ({served: self.port} if self.port else {})


class Replacement(_Section):
    """What runs in place of an image and of the `command` and `args` of its container."""

    run: Command


class Helm(_Section):
    """How `manifests` are rendered where they are a chart; its own name is the default one."""

    values: list[Path] = Field(default_factory=list)
    name: str = ""
    namespace: str = ""


class Build(_Section):
    """How a git reference becomes programs: commands in its worktree, once.

    References whose `inputs` are equal share what is built, which then belongs into `{out}`; where
    none are named each commit is built for itself. `checkout_is_built` says that this checkout
    needs none of it, because it has been installed by other means.
    """

    commands: Annotated[list[Command], Field(min_length=1)]
    inputs: list[str] = Field(default_factory=list)
    checkout_is_built: bool = False


class Service(_Section):
    """A program that the pods need: `ready` is asked until it exits with 0.

    Without `ready` it is ready once something listens on `{port}`. What stands for it elsewhere in
    the file is `url`.
    """

    command: Command
    url: str = "{host}:{port}"
    ready: list[str] = Field(default_factory=list)


class Faults(_Section):
    """How a bad release is made: a variable, and the program that knows its words."""

    variable: str
    check: list[str] = Field(default_factory=list)


class Slo(_Section):
    """The availability objective (a share) and the seconds it is counted over."""

    objective: Annotated[float, Field(gt=0, lt=1)]
    window: Seconds


class Request(_Section):
    """One kind of request and its weight among the others."""

    weight: Annotated[int, Field(gt=0)] = 1
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: Annotated[str, Field(pattern="^/")]
    headers: dict[str, str] = Field(default_factory=dict)
    json_body: Any = Field(None, alias="json")


class Traffic(_Section):
    """Rates are requests a second over all pods, in real time."""

    requests_per_second: Annotated[float, Field(ge=0)]
    canary_requests_per_look: Annotated[float, Field(ge=0)]
    # Where a machine cannot send that many, at least these; None is no fewer.
    least_canary_requests_per_look: Annotated[float, Field(ge=0)] | None = None
    users: Annotated[int, Field(gt=0)] = 80
    seed: int = 1
    # The service's OpenAPI document in JSON, from this file's folder: which routes there are.
    openapi: Path | None = None
    # Routes of it, or of the metrics, that are not sent on purpose, as `GET /path/{name}`.
    left_out: list[str] = Field(default_factory=list)
    requests: list[Request] = Field(default_factory=list)
    # Users of one's own, which send at the rate that the rehearsal asks for.
    locustfile: Path | None = None

    @model_validator(mode="after")
    def _has_users(self) -> Self:
        if bool(self.requests) == bool(self.locustfile):
            raise ValueError("give either `requests` or a `locustfile`")
        return self


class Cluster(_Section):
    """What a rehearsal on a cluster needs to know of the overlay.

    `secret` is made with these `values` unless there is one (`{secret}` is a fresh random text);
    `variable` makes every release one of its own; users enter by the Service `gateway`.
    """

    secret: str
    values: dict[str, str]
    variable: str
    gateway: str

    @property
    def key(self) -> str:
        """Which of the Secret's keys holds what requests name as `{secret}`."""
        return next((key for key, text in self.values.items() if SECRET in text), "")


class Alerts(_Section):
    """Where gates ask about alerts: a folder of rule files, and Alertmanager's routes."""

    rules: Path
    routes: Path


def _only_commands(value: object) -> object:
    """A list of commands is short for a build that has nothing else."""
    return {"commands": value} if isinstance(value, list) else value


def _event(text: str) -> str:
    """An event that can be read (`canary.argo.events`)."""
    events.parse(text)
    return text


class Config(_Section):
    """The whole file."""

    manifests: Path
    # What else a cluster has of it: a monitor, templates, ConfigMaps.
    also: list[Path] = Field(default_factory=list)
    # Which one, where they hold several.
    rollout: str = ""
    helm: Helm = Helm()
    build: Annotated[Build | None, BeforeValidator(_only_commands)] = None
    images: dict[str, list[str] | Replacement] = Field(default_factory=dict)
    listen: Listen = Listen()
    variables: dict[str, str] = Field(default_factory=dict)
    # What the names of the program's own settings begin with; a run inherits none from the shell.
    settings: str = ""
    services: dict[str, Literal["postgresql", "redis"] | Service] = Field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = Field(default_factory=dict)
    prepare: list[list[str]] = Field(default_factory=list)
    release: list[list[str]] = Field(default_factory=list)
    faults: Faults | None = None
    slo: Slo
    traffic: Traffic
    alerts: Alerts | None = None
    cluster: Cluster | None = None
    jobs: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    web: dict[str, str] = Field(default_factory=dict)
    events: list[Annotated[str, AfterValidator(_event)]] = Field(default_factory=list)


def read(path: Path) -> Config:
    """Reads the file; what is relative in it is relative to its folder.

    Raises:
        UsageError: if the file is missing, is not YAML, or has fields that are unknown or wrong.
    """
    if not path.exists():
        raise UsageError(
            f"{path} does not exist", "name a rehearsal.yaml with --config, or run: canary init"
        )
    documents = yamls.read(path)
    if len(documents) != 1:
        raise UsageError(f"{path} contains {len(documents)} documents, not one", "correct it")
    try:
        config = Config.model_validate(documents[0].body)
    except ValidationError as invalid:
        wrong = "; ".join(_complaint(error) for error in invalid.errors())
        raise UsageError(f"{path}: {wrong}", "see docs/reference/configuration.md") from None
    own = config.traffic.locustfile
    if own is not None and not (path.parent / own).is_file():
        raise UsageError(
            f"{path}: traffic.locustfile: {path.parent / own} does not exist",
            "correct the path, give `requests` instead, or run: canary init",
        )
    processes.withhold(config.settings)
    return config


def _complaint(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}" if where else error["msg"]
