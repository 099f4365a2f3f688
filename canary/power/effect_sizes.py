"""Faults and traffic as people write them on a command line, in the words of `canary.faults`."""

import argparse
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from canary import faults
from canary.errors import UsageError
from canary.power.samples import SLOW_S, Fault, Traffic

KINDS = ("errors", "slow", "cpu")
_FIELDS = {
    "errors": "error_rate",
    "slow": "slow_share",
    "cpu": "cpu",
    "rps": "requests_per_s",
}

# Fewer failures than this say nothing of how they cluster.
ENOUGH_FAILURES = 20


def share(text: str) -> float:
    """A share from "2%" or "0.02"."""
    words = text.strip()
    value = _number(words.removesuffix("%")) / (100 if words.endswith("%") else 1)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: write 2% or 0.02")
    return value


def shares(text: str) -> tuple[float, ...]:
    """Shares that make one from "30,30,40", the rarest last."""
    parts = [_number(part) for part in text.split(",")]
    if not all(0 < part < math.inf for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of shares: write 30,30,40")
    return tuple(sorted((part / sum(parts) for part in parts), reverse=True))


def sized(text: str) -> tuple[str, float]:
    """A kind and its size from "errors=2%", "latency=400ms@10%", or "2%" for errors."""
    if "=" not in text and text.endswith("%"):
        text = f"errors={text}"
    try:
        found = faults.parse(text)
    except faults.FaultError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None
    sizes = {name: found.share(name) for name in ("errors", "latency", "cpu")}
    word = text.partition("=")[0].strip()
    if len(found.found) != 1 or found.found[0].route or word not in sizes:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(sizes)} alone")
    if word == "latency" and found.value("latency") < SLOW_S:
        raise argparse.ArgumentTypeError(
            f"{text!r}: a slow request is one of {SLOW_S * 1000:.0f}ms and more here"
        )
    return "slow" if word == "latency" else word, sizes[word]


def fault(kind: str, size: float) -> Fault:
    """A release with one fault of this size from its first request on."""
    changed: dict[str, Any] = {_FIELDS[kind]: size}
    return replace(Fault(), **changed)


def usual(kind: str, traffic: Traffic) -> float:
    """How much of a kind of fault a healthy release shows."""
    return float(getattr(traffic, _FIELDS[kind]))


def whole(text: str) -> int:
    """How many releases: enough to say something, few enough to end."""
    value = _number(text)
    if value != value // 1 or not 1 <= value <= 100_000:  # noqa: PLR2004 — memory, again
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 100000")
    return int(value)


def changed(traffic: Traffic, given: Mapping[str, float]) -> Traffic:
    """The traffic with some of its rates replaced: errors, slow, cpu, rps, overdispersion."""
    named: dict[str, Any] = {_FIELDS.get(key, key): value for key, value in given.items()}
    return replace(traffic, **named)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def of_rehearsal(file: Path) -> Traffic:
    """What a rehearsal's `result.json` says of traffic: the stable release is the baseline.

    The rate is the declared one, since a rehearsal sends more to be done sooner. How failures
    cluster comes from their variance from one sample to the next (method of moments for a
    beta-binomial), where there are enough of them.

    Raises:
        UsageError: if it is no result of a rehearsal.
    """
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        series = result["series"]
        usual = Traffic(float(result["traffic"]["declared_requests_per_second"]))
        requests = [float(value) for value in series["stable_requests"]]
        failed = [float(value) for value in series["stable_failed"]]
        seconds = [float(at) for at in series["at_s"]]
        cpu = [
            m["control"]
            for run in result["analysis_runs"]
            for metric in run["metrics"]
            if "cpu" in metric["name"]
            for m in metric["measurements"]
            if m["control"] is not None
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise UsageError(
            f"{file} is not a result of a rehearsal ({wrong})",
            "name a result.json of `canary rehearse`",
        ) from None
    lengths = [after - before for before, after in itertools.pairwise(seconds)]
    counts = [
        (rate * length, bad * length)
        for rate, bad, length in zip(requests[1:], failed[1:], lengths, strict=True)
        if rate
    ]
    everything = sum(n for n, _ in counts)
    if not everything:
        raise UsageError(f"{file} saw no requests", "name a rehearsal with traffic")
    return replace(
        usual,
        error_rate=max(sum(bad for _, bad in counts) / everything, 1 / everything),
        cpu=sum(cpu) / len(cpu) if cpu else usual.cpu,
        overdispersion=overdispersion(counts),
    )


def overdispersion(counts: Sequence[tuple[float, float]]) -> float:
    """The intra-class correlation of failures in (requests, failures) pairs; 0 if unknown."""
    everything, failures = sum(n for n, _ in counts), sum(bad for _, bad in counts)
    if failures < ENOUGH_FAILURES or len(counts) < 2:  # noqa: PLR2004 — a variance needs two
        return 0.0
    rate = failures / everything
    spread = sum((bad - n * rate) ** 2 / (n * rate * (1 - rate)) for n, bad in counts)
    mean = everything / len(counts)
    return max(0.0, (spread / (len(counts) - 1) - 1) / max(mean - 1, 1.0))
