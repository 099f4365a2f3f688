"""What happens during a release beside it: traffic, monitoring, replicas, pods, a person's hand.

    WHAT[=VALUE]@WHEN     traffic=0@step=4+5s   replicas=20@90s   abort@step=4

`WHEN` counts from the moment a step begins, or from the release; an alert may fire `before` it,
too. A hand's acts do to the status
what `kubectl argo rollouts` and the controller of v1.9.1 make of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from canary import durations
from canary.argo import controller
from canary.argo.controller import Status
from canary.argo.model import Rollout

ALL = "all"
MAX_REPLICAS = 100
MAX_FACTOR = 10.0
BEFORE = "before"
# So long after the release is what happens before it.
BEFORE_S = float("-inf")


class Kind(StrEnum):
    """What can happen."""

    TRAFFIC = "traffic"
    PROMETHEUS = "prometheus"
    REPLICAS = "replicas"
    ALERT = "alert"
    LOSE = "lose-canary"
    PROMOTE = "promote"
    PROMOTE_FULL = "promote-full"
    ABORT = "abort"
    RETRY = "retry"
    UNDO = "undo"
    PAUSE = "pause"
    RELEASE = "release"


# What changes the way of a release, whatever its gates say.
BY_HAND = frozenset(
    {Kind.PROMOTE, Kind.PROMOTE_FULL, Kind.ABORT, Kind.RETRY, Kind.UNDO, Kind.PAUSE, Kind.RELEASE}
)
# What the kinds that have a value take, in words.
VALUES = {
    Kind.TRAFFIC: f"a factor of the rate, 0 to {MAX_FACTOR:g}",
    Kind.PROMETHEUS: "stop or start",
    Kind.REPLICAS: f"a number of pods, 1 to {MAX_REPLICAS}",
    Kind.LOSE: "a number of pods, or all",
    Kind.ALERT: "the name of an alert",
}


@dataclass(frozen=True)
class Event:
    """Something that happens `after_s` a step was begun, or after the release."""

    kind: Kind
    value: str
    step: int | None
    after_s: float

    @property
    def number(self) -> float:
        """The value of a kind that has a number."""
        return float("inf") if self.value == ALL else float(self.value)

    def __str__(self) -> str:
        what = f"{self.kind}={self.value}" if self.value else f"{self.kind}"
        if self.after_s == BEFORE_S:
            return f"{what}@{BEFORE}"
        if self.step is None:
            return f"{what}@{self.after_s:g}s"
        return f"{what}@step={self.step}" + (f"+{self.after_s:g}s" if self.after_s else "")


def parse(text: str) -> Event:
    """Reads an event.

    Raises:
        ValueError: if it is none, with the known words.
    """
    what, _, when = text.partition("@")
    name, _, value = what.partition("=")
    try:
        kind = Kind(name)
    except ValueError:
        known = ", ".join(f"{k}=…" if k in VALUES else k for k in Kind)
        raise ValueError(f"{name!r} is not an event: there are {known}") from None
    if kind in VALUES and not _is_valid(kind, value):
        raise ValueError(f"{text}: {kind} takes {VALUES[kind]}")
    if kind not in VALUES and "=" in what:
        raise ValueError(f"{text}: {kind} takes no value")
    if when == BEFORE and kind is Kind.ALERT:
        return Event(kind, value, None, BEFORE_S)
    step, after = None, when
    if when.startswith("step="):
        number, _, after = when.removeprefix("step=").partition("+")
        if not (number.isascii() and number.isdigit() and len(number) < 4):  # noqa: PLR2004 — below 1000
            raise ValueError(f"{text}: when is such as 30s, step=4 or step=4+5s")
        step, after = int(number), after or "0"
    try:
        return Event(kind, value, step, durations.parse(after))
    except ValueError as wrong:
        raise ValueError(f"{text}: when is such as 30s, step=4 or step=4+5s ({wrong})") from None


def _is_valid(kind: Kind, value: str) -> bool:
    if kind is Kind.PROMETHEUS:
        return value in ("stop", "start")
    if kind is Kind.LOSE and value == ALL:
        return True
    if kind is Kind.ALERT:
        return value.isidentifier()
    if not (value.isascii() and value.replace(".", "", 1).isdigit() and len(value) <= 5):  # noqa: PLR2004
        return False
    if kind is Kind.TRAFFIC:
        return float(value) <= MAX_FACTOR
    return value.isdigit() and 1 <= int(value) <= MAX_REPLICAS


@dataclass
class Schedule:
    """The events that are still to come, and when each step was begun first."""

    pending: list[Event]
    _begun: dict[int, float] = field(default_factory=dict)

    def due(self, step: int, now: float) -> Iterable[Event]:
        """Takes the events whose moment has come."""
        self._begun.setdefault(step, now)
        over = [event for event in self.pending if self._is_over(event, now)]
        self.pending = [event for event in self.pending if event not in over]
        return over

    @property
    def imminent(self) -> bool:
        """Whether there is any whose moment will come for sure."""
        return any(event.step is None or event.step in self._begun for event in self.pending)

    def _is_over(self, event: Event, now: float) -> bool:
        began = 0.0 if event.step is None else self._begun.get(event.step)
        return began is not None and now >= began + event.after_s


def act(rollout: Rollout, status: Status, event: Event, now: float) -> Status:
    """The status after a person's act; what is not a person's changes none."""
    match event.kind:
        case Kind.PROMOTE:
            return controller.promote(rollout, status, now)
        case Kind.PROMOTE_FULL:
            return controller.promote_fully(rollout, status, now)
        case Kind.ABORT:
            return controller.abort(status, controller.BY_HAND, now)
        case Kind.RETRY:
            return controller.retry(status, now)
        case Kind.UNDO:
            return controller.undo(rollout, status, now)
        case Kind.PAUSE:
            return controller.pause(status)
    return status
