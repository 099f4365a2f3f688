"""The rate that users send: what was asked for, what this machine sustains, what the gates need.

Found out before anything is shipped, from the seconds in which users met only the stable release.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from canary.errors import MachineError, UsageError
from canary.rehearse.load import Refusal, Second

STEADY_SECONDS = 3
# Users that come up, cold pods and cold connections have passed by then, if the machine has time.
PROBE_SECONDS = 15
# A second below this share of the asked rate is one in which the load was not met.
MET_SHARE = 0.9
# Of what a machine sustains with the stable release alone: a release starts pods beside it.
SPARE_SHARE = 0.8
MAX_NAMED = 3
REMEDY = "use a less busy machine or a smaller --time-scale"


@dataclass(frozen=True)
class Rates:
    """Requests a second: `wanted` is asked for; below `least` a measurement sees too few."""

    wanted: float
    least: float


def met(second: Second, rate: float) -> bool:
    """Whether a second held the requests that were asked for."""
    return second.requests >= MET_SHARE * rate


def steady(seconds: Sequence[Second], rate: float) -> bool:
    """Whether the latest seconds met the rate, and every request was answered."""
    latest = seconds[-STEADY_SECONDS:]
    return len(latest) == STEADY_SECONDS and all(
        met(second, rate) and not second.failed and not second.lost for second in latest
    )


def sustained(seconds: Sequence[Second]) -> float | None:
    """What the latest seconds carried, once there are enough to tell; failures do not count."""
    if len(seconds) < PROBE_SECONDS:
        return None
    latest = seconds[-STEADY_SECONDS:]
    return sum(s.requests - s.failed - s.lost for s in latest) / len(latest)


def lower(rates: Rates, carried: float) -> float:
    """The rate to send instead of one that this machine does not sustain.

    Raises:
        MachineError: if the gates would see too little at any rate it sustains.
    """
    spare = min(rates.wanted, SPARE_SHARE * carried)
    if spare < rates.least:
        raise MachineError(
            f"This machine sustains {carried:.0f} of the {rates.wanted:.0f} requests/s asked for, "
            f"and a rehearsal needs {rates.least / SPARE_SHARE:.0f}: nothing was shipped",
            REMEDY,
        )
    return max(spare // 10 * 10, rates.least)


def told(rates: Rates, carried: float, rate: float) -> str:
    """The one line that says what is sent instead, and why."""
    return (
        f"this machine sustains {carried:.0f} of the {rates.wanted:.0f} requests/s asked for: "
        f"{rate:.0f} requests/s are sent, which is enough for every gate"
    )


def refuse_refused(seconds: Sequence[Second], answers: Sequence[Refusal]) -> None:
    """Refuses a load that the stable release does not answer, however fast the machine is.

    Args:
        seconds: What users met.
        answers: The first of the answers that were errors.

    Raises:
        UsageError: if a request was answered by a 4xx, or a pod answers some by a 5xx all the time.
    """
    latest = seconds[-STEADY_SECONDS:]
    if any(second.refused for second in seconds):
        raise UsageError(
            f"the load's requests are refused: {_named(answers, 400)}",
            "correct the paths and bodies of `traffic`, in rehearsal.yaml or its locustfile",
        )
    if len(seconds) >= PROBE_SECONDS and all(second.failed for second in latest):
        named = _named([answer for answer in answers if answer.port], 500)
        if named:
            raise UsageError(
                f"the stable release alone fails: {named}",
                "see the logs of its pods, and give it in rehearsal.yaml what it needs",
            )


def _named(answers: Sequence[Refusal], from_status: int) -> str:
    """The first requests with such a status."""
    found = (
        f"{a.method} {a.path} with {a.status}"
        for a in answers
        if a.status // 100 * 100 == from_status
    )
    return ", ".join(list(dict.fromkeys(found))[:MAX_NAMED])


def not_carried(rate: float, seconds: Sequence[Second]) -> MachineError:
    """The error of a stable release that never met the rate with every request answered."""
    last = f"{seconds[-1]}" if seconds else "nothing sent"
    return MachineError(
        f"The stable release alone does not sustain {rate:.0f} requests/s on this machine "
        f"(last second: {last}): nothing was shipped",
        REMEDY,
    )
