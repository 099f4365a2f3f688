"""Kinds of release by the words that a person gives them."""

from __future__ import annotations

import argparse

from canary.errors import UsageError
from canary.power import effect_sizes
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario
from canary.power.synthetic_series import Weather

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
        "crash": Scenario(words, Fault(restarts=1), traffic),
        "idle": Scenario(words, Fault(), effect_sizes.changed(traffic, {"rps": IDLE_RPS})),
        "late-scrapes": Scenario(words, Fault(), traffic, Weather(discovery_s=LATE_S)),
        "prometheus-gone": Scenario(words, Fault(), traffic, prometheus_gone=True),
        "label-missing": Scenario(words, Fault(), traffic, Weather(hashed=False)),
    }
    if words in named:
        return named[words]
    try:
        return Scenario(words, effect_sizes.fault(*effect_sizes.sized(words)), traffic)
    except argparse.ArgumentTypeError:
        kinds = ", ".join([*named, *(f"{kind}=SIZE" for kind in effect_sizes.KINDS)])
        raise UsageError(f"{words!r} is no kind of release", f"say one of {kinds}") from None
