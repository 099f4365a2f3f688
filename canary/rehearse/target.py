"""Where a rehearsal happens, and what it tells: the interface between a target and everything else.

The report, the view and the verdict know only `Observation`s. Local processes are one target
(`local`); a Kubernetes cluster, whose own controller takes the steps, can be another.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue

from canary.argo.events import Kind
from canary.argo.model import AnalysisRun, Hashes, Pause, ReplicaCounts, Rollout
from canary.rehearse.evidence import Evidence, Route
from canary.rehearse.load import Second
from canary.runtime.gateway import Counts


@dataclass(frozen=True)
class Event:
    """Something worth a line in the log; `at_s` counts from the moment of release."""

    at_s: float
    kind: str
    text: str


@dataclass(frozen=True)
class Observation:
    """The state of the release at one moment, and what was new since the one before.

    `at_s` counts from the release and is negative before it. `stable_traffic` and
    `canary_traffic` are what the gateway counted since the start; `seconds` is what users met.
    `weight` is the
    share in per cent that the steps ask for; `settled` says that nothing more will happen.
    `rate` is what users are to send a second; `scrapes_lost` of `scrapes` of the containers' own
    figures are missing since the release, counted where it has settled. `unjudged` says how a
    release ended that no gate decided about, because of what a person did or did not do.
    `left_out` are the metrics that the caller wants unjudged.
    """

    at_s: float
    phase: str
    message: str
    step_index: int | None
    stable: ReplicaCounts
    canary: ReplicaCounts
    runs: tuple[AnalysisRun, ...] = ()
    stable_traffic: Counts = Counts()
    canary_traffic: Counts = Counts()
    seconds: tuple[Second, ...] = ()
    events: tuple[Event, ...] = ()
    weight: int | None = None
    step_remaining_s: float | None = None
    promoted: bool = False
    aborted: bool = False
    timed_out: bool = False
    inconclusive: bool = False
    unjudged: str = ""
    settled: bool = False
    rate: float = 0.0
    left_out: tuple[str, ...] = ()
    scrapes: int = 0
    scrapes_lost: int = 0

    @property
    def decided(self) -> bool:
        """Whether the release has an end, if not yet its last pods."""
        ended = self.promoted or self.aborted or self.inconclusive or self.timed_out
        return ended or bool(self.unjudged)


@dataclass(frozen=True)
class Place:
    """Where and when it was decided, and which shares of requests failed in the gate's window.

    A gate with a confidence margin reads less than the canary's; None is not known.
    """

    weight: int | None = None
    at_s: float | None = None
    failed_share: float | None = None
    stable_share: float | None = None

    @property
    def weighed(self) -> str:
        """The weight in force, as a sentence has it."""
        return f" at {self.weight} %" if self.weight else ""

    @property
    def timed(self) -> str:
        """The time since the release, as a sentence ends."""
        return "." if self.at_s is None else f", {self.at_s:.0f} s after release."


def stays(rollout: Rollout, *, promoted: bool) -> bool:
    """Whether the pods that lost are never taken away."""
    routing = rollout.routing
    if routing is None:
        return False
    return (routing.scale_down_delay_s if promoted else routing.abort_scale_down_delay_s) is None


def remaining_s(rollout: Rollout, index: int | None, waited_s: float | None) -> float | None:
    """How long the pause of a step still lasts, of which so much has passed; None if none does."""
    step = rollout.steps[index] if index is not None and index < len(rollout.steps) else None
    if waited_s is None or not isinstance(step, Pause) or step.duration_s is None:
        return None
    return max(0.0, step.duration_s - waited_s)


# For how long a running target remembers requests by route.
ROUTES_S = 5.0


class Target(ABC):
    """A place where a release can be rehearsed; it observes every `observe_s` seconds.

    `not_scaled` is what time compression leaves as it is. `acts` is what a person may do to the
    release by `act`, and `shared` what else than this rehearsal that changes, to be confirmed;
    nothing if nothing. `held` says whether to go on after the end, since a person may still act.
    """

    name: str
    hashes: Hashes
    observe_s: float
    not_scaled: Sequence[str]
    shared = ""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        # `plan.check_events` says why no retry of a blueGreen.
        self.acts = (Kind.PROMOTE, Kind.ABORT, *(() if rollout.blue_green else (Kind.RETRY,)))
        self.held: Callable[[Observation], bool] = lambda _: False
        self._asked: SimpleQueue[Kind] = SimpleQueue()
        self._stack = ExitStack()
        self._torn_down: list[str] = []

    def act(self, kind: Kind) -> None:
        """Has a person's act done, between two observations."""
        self._asked.put(kind)

    @property
    def _acts_asked(self) -> Iterator[Kind]:
        """What a person has asked for since the last time."""
        while not self._asked.empty():
            yield self._asked.get()

    @abstractmethod
    def prepare(self) -> Iterator[Observation]:
        """Brings the stable release up, under load; ends when it is steady."""

    @abstractmethod
    def rehearse(self) -> Iterator[Observation]:
        """Ships the candidate and follows it until nothing more will happen."""

    def latest_routes(self) -> Sequence[Route]:
        """What was asked of each route in the last `ROUTES_S` seconds, as far as is known."""
        return ()

    def tear_down(self) -> tuple[str, ...]:
        """Ends everything in the reverse order of its start; says what."""
        self._stack.close()
        return tuple(self._torn_down)

    def evidence(self, decided_at_s: float | None, *, timed: bool) -> Evidence:  # noqa: ARG002 — what nothing is known of
        """What is left to find the cause in, once everything has ended; nothing where none is.

        Args:
            decided_at_s: What came later is no cause; None if nothing was decided.
            timed: Whether times say anything about a release.
        """
        return Evidence()
