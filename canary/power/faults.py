"""Kinds of release by the words that a person gives them."""

from __future__ import annotations

from canary import faults
from canary.errors import UsageError
from canary.power import effect_sizes
from canary.power.samples import FAST_S, SLOW_S, Fault, Traffic
from canary.power.simulation import Scenario
from canary.power.synthetic_series import ScrapeNoise

# A request in a hundred seconds: what is left when nobody comes.
IDLE_RPS = 0.01

LATE_S = 20.0


def scenario(words: str, traffic: Traffic) -> Scenario:
    """The release that the words describe, under this traffic.

    Raises:
        UsageError: if they describe none.
    """
    named = {
        "healthy": Scenario(words, Fault(), traffic),
        "idle": Scenario(words, Fault(), effect_sizes.changed(traffic, {"rps": IDLE_RPS})),
        "late-scrapes": Scenario(words, Fault(), traffic, ScrapeNoise(discovery_s=LATE_S)),
        "prometheus-gone": Scenario(words, Fault(), traffic, prometheus_gone=True),
        "label-missing": Scenario(words, Fault(), traffic, ScrapeNoise(hashed=False)),
    }
    if words in named:
        return named[words]
    try:
        found = faults.parse(words)
    except faults.FaultError as wrong:
        raise UsageError(f"{wrong}, and {', '.join(named)}") from None
    if found.slow_start_s:
        raise UsageError(f"{words!r}: a slow start is not simulated", "rehearse it")
    fault = Fault(
        error_rate=found.error_share or None,
        slow_share=found.latency_share or None,
        slow_s=FAST_S + found.latency_s if found.latency_s else SLOW_S,
        cpu=found.cpu_share or None,
        restarts=float(found.crash_after_requests > 0),
    )
    return Scenario(words, fault, traffic)
