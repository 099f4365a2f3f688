"""Kinds of release by the words that a person gives them."""

from dataclasses import replace

from canary import faults
from canary.errors import UsageError
from canary.power import effect_sizes
from canary.power.samples import FAST_S, SLOW_S, Fault, Traffic
from canary.power.simulation import Scenario
from canary.power.synthetic_series import ScrapeNoise

# A request in three hours: what is left when nobody comes.
IDLE_RPS = 0.0001

LATE_S = 20.0

# The words whose faults are synthesised, for all routes alike.
SIMULATED = (
    "errors", "status", "latency", "hang", "reset", "cpu", "crash", "leak", "warmup", "after",
    "database-down",
)  # fmt: skip


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
    for one in found.found:
        if one.name not in SIMULATED or one.route:
            what = f"{one.name} of one route" if one.route else one.name
            raise UsageError(f"{words!r}: {what} is not simulated", "rehearse it")
    latency_s = found.value("latency")
    fault = Fault(
        error_rate=found.share("errors") or None,
        slow_share=found.share("latency") or None,
        slow_s=FAST_S + latency_s if latency_s else SLOW_S,
        cpu=found.share("cpu") or None,
        # By the first measurements a pod that leaks has met its limit.
        restarts=float(found.value("crash") > 0 or found.value("leak") > 0),
        onset_s=found.value("after"),
        lost_share=1 - (1 - found.share("hang")) * (1 - found.share("reset")),
        warm_up_s=found.value("warmup"),
        outage_s=found.value("database-down"),
    )
    if share := found.share("status"):
        failed = found.value("status") >= 500  # noqa: PLR2004 — 5xx
        fault = replace(fault, error_rate=share) if failed else replace(fault, refused_share=share)
    return Scenario(words, fault, traffic)
