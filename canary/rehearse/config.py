"""`rehearsal.yaml`: what a rehearsal cannot read from the manifests, as frozen types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from canary import durations, yamls
from canary.errors import UsageError

# What stands for a random text that is made for the run.
SECRET = "{secret}"  # noqa: S105 — no secret, but what stands for one

Seconds = Annotated[
    float, BeforeValidator(lambda v: durations.parse(v) if isinstance(v, str) else v)
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Section):
    """The variables that tell a process where to listen.

    `ports` are by the names of the container's ports; `port` is short for the one that users'
    requests come to.
    """

    host: str
    port: str = ""
    ports: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        if bool(self.port) == bool(self.ports):
            raise ValueError("give either `port` or `ports`")
        return self

    def variables(self, served: str) -> dict[str, str]:
        """The variable of each port; `served` is the name of the one for users' requests."""
        return self.ports or {served: self.port}


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
    requests: Annotated[list[Request], Field(min_length=1)]


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
        return next((key for key, text in self.values.items() if text == SECRET), "")


class Config(_Section):
    """The whole file."""

    manifests: Path
    images: dict[str, Annotated[list[str], Field(min_length=1)]]
    listen: Listen
    secrets: dict[str, dict[str, str]] = Field(default_factory=dict)
    prepare: list[list[str]] = Field(default_factory=list)
    release: list[list[str]] = Field(default_factory=list)
    faults: Faults
    slo: Slo
    traffic: Traffic
    cluster: Cluster | None = None


def read(path: Path) -> Config:
    """Reads the file; a relative `manifests` is taken from the working directory.

    Raises:
        UsageError: if the file is missing, is not YAML, or has a field that is unknown or wrong.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist", "name a rehearsal.yaml with --config")
    documents = yamls.read(path)
    if len(documents) != 1:
        raise UsageError(f"{path} holds {len(documents)} documents, not one", "correct it")
    try:
        return Config.model_validate(documents[0].body)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{path}: {where}: {first['msg']}", "see docs/reference/configuration.md"
        ) from None
