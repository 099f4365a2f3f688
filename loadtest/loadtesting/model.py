"""The frozen types every other module speaks in. Imports nothing of ours and does nothing.

Ratios are of one, times are in seconds.
"""

from dataclasses import dataclass
from enum import StrEnum

from openarrivals.shapes import Shape


class Result(StrEnum):
    """Of a check, and of a run."""

    PASS = "PASS"  # noqa: S105 — a verdict
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """What the program ends with."""
        return {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[self.value]


class Outcome(StrEnum):
    """What became of one request, as its user met it."""

    OK = "ok"
    REFUSED = "refused"  # a 4xx
    FAILED = "failed"  # a 5xx of the service's own
    GATEWAY = "gateway"  # a 5xx that the service never saw
    LOST = "lost"  # no answer: refused connection, reset, time-out, TLS

    @property
    def answered(self) -> bool:
        """Whether the service itself answered, so that its own metrics know of it."""
        return self in (Outcome.OK, Outcome.REFUSED, Outcome.FAILED)


@dataclass(frozen=True)
class Limits:
    """The numbers that judge a release, and where they were read.

    Attributes:
        max_error_ratio: Failures of the service, of what it answered.
        quantile: Which quantile of latency is limited, such as 0.95.
        max_latency_s: What that quantile must stay below.
        max_cpu_saturation: CPU used, of the limit.
        min_requests: Fewer say nothing.
        objective: The SLO's share of good requests.
        cpu_query: PromQL with `{{args.canary-hash}}` and `{{args.window}}` still in it.
        memory_limit_bytes: The container's limit.
        source: The files.
    """

    max_error_ratio: float
    quantile: float
    max_latency_s: float
    max_cpu_saturation: float
    min_requests: int
    objective: float
    cpu_query: str
    memory_limit_bytes: float | None
    source: str

    @property
    def max_slow_ratio(self) -> float:
        """The quantile is below its limit exactly while fewer than this are slower."""
        return round(1 - self.quantile, 10)


class Kind(StrEnum):
    """How a profile is run."""

    PLAIN = "plain"
    CAPACITY = "capacity"


@dataclass(frozen=True)
class Profile:
    """A load, what goes with it, and what it decides.

    Attributes:
        name: As on the command line.
        purpose: One sentence.
        shape: Requests a second over time.
        needed: Requests without which its verdict would be luck.
        fault: What makes a rehearsed release of its kind; nothing for a healthy one.
        expected: The verdict that such a release must get.
        judges: The checks beyond the usual ones ("cpu-saturation", "memory-growth", "objective").
        gate: The gate whose threshold it stands beside.
    """

    name: str
    purpose: str
    shape: Shape
    needed: int = 0
    fault: str = ""
    expected: Result = Result.PASS
    judges: tuple[str, ...] = ()
    gate: str = ""
    kind: Kind = Kind.PLAIN


@dataclass(frozen=True)
class Check:
    """One question about a run and its answer.

    `low` and `high` hold the true value with 95 % confidence, as far as chance goes; `limit` is
    what `value` must stay below. `unit` is "%", "s" or "".
    """

    name: str
    result: Result
    message: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Verdict:
    """The answer, in one sentence, and the checks it rests on."""

    result: Result
    headline: str
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
