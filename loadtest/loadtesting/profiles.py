"""The profiles, generated from the limits: a good and a bad release on either side of each gate.

The ratios of a pair are the limit times a factor, so that they move with the gate. With this
repository's limits: errors 0.2 % and 3 %, slow requests 2 % and 10 %, CPU 40 % and 90 %.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from openarrivals import shapes
from openarrivals.schedule import Plan
from openarrivals.shapes import Shape

from canary.errors import UsageError
from canary.power import stats
from loadtesting.model import Kind, Limits, Profile, Result

# Of the limit: far enough that some hundred requests tell, near enough to mean something.
ERRORS, SLOW = (0.2, 3.0), (0.4, 2.0)
CPU = (4 / 7, 9 / 7)
# A slow request takes this much longer than the limit, so that no other delay decides.
SLOW_FACTOR = 1.6
# What one pod carries without strain; the gates' own 100/s are over ten.
RATE = 50.0
# A window of CPU must hold four scrapes of 5 s, and a start that is not counted.
CPU_SECONDS = 30.0
SMOKE_SECONDS, SOAK_SECONDS, SPIKE_SECONDS = 10.0, 1800.0, 30.0
IDLE_RATE, IDLE_SECONDS = 1.0, 20.0


@dataclass(frozen=True)
class Overrides:
    """What a caller may change: requests a second, and the ratios of a closer pair."""

    rate: float = RATE
    pair: tuple[float, float] | None = None
    seed: int = 1
    seconds: float | None = None


def catalogue(limits: Limits, overrides: Overrides = Overrides()) -> dict[str, Profile]:
    """Every profile by name; a closer pair is the one of each gate whose limit it surrounds.

    Raises:
        UsageError: if a closer pair surrounds no limit.
    """
    pairs = [*_errors(limits, overrides), *_latency(limits, overrides), *_cpu(limits, overrides)]
    found = {
        profile.name: profile for profile in (*pairs, _idle(limits), *_others(limits, overrides))
    }
    if overrides.pair and found == catalogue(limits, replace(overrides, pair=None)):
        raise UsageError(
            f"no gate's limit ({_limits(limits)}) lies between {_pair(overrides.pair)}",
            "give one ratio on either side of it",
        )
    return found


def find(name: str, limits: Limits, overrides: Overrides = Overrides()) -> Profile:
    """One of them.

    Raises:
        UsageError: if there is none of that name, or the closer pair is not one of its gate.
    """
    known = catalogue(limits, overrides)
    if name not in known:
        raise UsageError(f"there is no profile {name!r}", f"choose one of {', '.join(known)}")
    if overrides.pair and known[name] == catalogue(limits, replace(overrides, pair=None))[name]:
        raise UsageError(
            f"{_pair(overrides.pair)} surround no limit of {name}", f"limits: {_limits(limits)}"
        )
    return known[name]


def _limits(limits: Limits) -> str:
    errors, slow, cpu = (limits.max_error_ratio, limits.max_slow_ratio, limits.max_cpu_saturation)
    return f"errors {_percent(errors)}, latency {_percent(slow)}, cpu {_percent(cpu)}"


def _pair(near: tuple[float, float]) -> str:
    return " and ".join(map(_percent, near))


def _ratios(
    limit: float, factors: tuple[float, float], overrides: Overrides
) -> tuple[float, float]:
    """The two ratios of a pair: as near as was wished, if that is on either side of the limit."""
    if overrides.pair and overrides.pair[0] < limit < overrides.pair[1]:
        return overrides.pair
    return factors[0] * limit, factors[1] * limit


def _errors(limits: Limits, overrides: Overrides) -> Iterable[Profile]:
    limit = limits.max_error_ratio
    good, bad = _ratios(limit, ERRORS, overrides)
    needed = stats.requests_to_distinguish(limit, good, bad)
    shape = _shape(needed, overrides)
    for name, ratio, expected in (("good", good, Result.PASS), ("bad", bad, Result.FAIL)):
        yield Profile(
            name=f"errors-{name}",
            purpose=f"{100 * ratio:.3g} % of requests fail; the limit is {100 * limit:g} %",
            shape=shape,
            needed=needed,
            fault=f"errors={_percent(ratio)}",
            expected=expected,
            gate="error-ratio",
        )


def _latency(limits: Limits, overrides: Overrides) -> Iterable[Profile]:
    limit = limits.max_slow_ratio
    good, bad = _ratios(limit, SLOW, overrides)
    needed = stats.requests_to_distinguish(limit, good, bad)
    shape = _shape(needed, overrides)
    slow_ms = round(limits.max_latency_s * SLOW_FACTOR * 1000)
    for name, ratio, expected in (("good", good, Result.PASS), ("bad", bad, Result.FAIL)):
        yield Profile(
            name=f"latency-{name}",
            purpose=f"{100 * ratio:.3g} % of requests take {slow_ms} ms more; "
            f"the limit is {100 * limit:g} %",
            shape=shape,
            needed=needed,
            fault=f"latency={slow_ms}ms@{_percent(ratio)}",
            expected=expected,
            gate="p95-latency-seconds",
        )


def _cpu(limits: Limits, overrides: Overrides) -> Iterable[Profile]:
    seconds = overrides.seconds or CPU_SECONDS
    shape = shapes.constant(overrides.rate / 5, seconds)
    good, bad = _ratios(limits.max_cpu_saturation, CPU, overrides)
    for name, ratio, expected in (("good", good, Result.PASS), ("bad", bad, Result.FAIL)):
        share = round(ratio, 2)
        yield Profile(
            name=f"cpu-{name}",
            purpose=f"{100 * share:.0f} % of the CPU; "
            f"the limit is {100 * limits.max_cpu_saturation:.0f} %",
            shape=shape,
            needed=limits.min_requests,
            fault=f"cpu={share:.0%}",
            expected=expected,
            judges=("cpu-saturation",),
            gate="cpu-saturation-ratio",
        )


def _idle(limits: Limits) -> Profile:
    return Profile(
        name="idle",
        purpose=f"too few requests for any verdict; the gates need {limits.min_requests}",
        shape=shapes.constant(IDLE_RATE, IDLE_SECONDS),
        needed=limits.min_requests,
        expected=Result.INCONCLUSIVE,
        gate="canary-requests",
    )


def _others(limits: Limits, overrides: Overrides) -> Iterable[Profile]:
    yield Profile(
        name="smoke",
        purpose="is everything there? A short run of the whole mix",
        shape=shapes.constant(max(overrides.rate / 2, 10.0), overrides.seconds or SMOKE_SECONDS),
        needed=limits.min_requests,
    )
    yield Profile(
        name="soak",
        purpose="half an hour at one rate: does memory grow, is the objective met?",
        shape=shapes.constant(overrides.rate, overrides.seconds or SOAK_SECONDS),
        needed=limits.min_requests,
        judges=("memory-growth", "objective"),
    )
    yield Profile(
        name="spike",
        purpose="four times the rate for a third of the run, and back",
        shape=shapes.spike(overrides.rate, 4 * overrides.rate, overrides.seconds or SPIKE_SECONDS),
        needed=limits.min_requests,
    )
    yield Profile(
        name="capacity",
        purpose="the highest rate that meets the limits and the objective, by bisection",
        shape=shapes.constant(overrides.rate, overrides.seconds or SMOKE_SECONDS),
        kind=Kind.CAPACITY,
    )


def _shape(needed: int, overrides: Overrides) -> Shape:
    """Whole seconds at the rate, until the seeded schedule holds the requests that are needed."""
    seconds = overrides.seconds or max(1.0, needed // overrides.rate)
    while overrides.seconds is None and _planned(overrides, seconds) < needed:
        seconds += 1
    return shapes.constant(overrides.rate, seconds)


def _planned(overrides: Overrides, seconds: float) -> int:
    """How many requests the seeded Poisson schedule holds."""
    return sum(1 for _ in Plan(shapes.constant(overrides.rate, seconds), seed=overrides.seed).due())


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.6g}%"
