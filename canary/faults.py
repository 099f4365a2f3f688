"""The words by which a healthy release is made a faulty one, to try a gate on.

A service is told them at its start: whoever can set a pod's environment may break it, and nobody
else. The service and its simulation each have this module, and a test holds the two equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WORDS = "errors=3%, latency=400ms@10%, cpu=90%, slow-start=20s, crash=500"

_SHARE = r"(?P<share>\d+(?:\.\d+)?)%"
_DURATION = r"(?P<duration>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)"
_FORMS = {
    "errors": re.compile(_SHARE),
    "latency": re.compile(f"{_DURATION}(?:@{_SHARE})?"),
    "cpu": re.compile(_SHARE),
    "slow-start": re.compile(_DURATION),
    "crash": re.compile(r"(?P<requests>[1-9]\d*)"),
}
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class FaultError(ValueError):
    """A fault that is not understood."""


@dataclass(frozen=True)
class Faults:
    """Shares are of one, times in seconds; zero is no fault."""

    error_share: float = 0.0
    latency_s: float = 0.0
    latency_share: float = 0.0
    cpu_share: float = 0.0
    slow_start_s: float = 0.0
    crash_after_requests: int = 0


def parse(text: str) -> Faults:
    """Reads comma-joined faults, such as "errors=3%,latency=400ms@10%".

    Raises:
        FaultError: if a fault is unknown, badly formed, out of range or given twice.
    """
    found: dict[str, float | int] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        fresh = _fault(word)
        if found.keys() & fresh.keys():
            raise FaultError(f"{word!r} is a fault given twice — give each once")
        found |= fresh
    return Faults(**found)  # type: ignore[arg-type]


def _fault(word: str) -> dict[str, float | int]:
    name, _, value = word.partition("=")
    form = _FORMS.get(name)
    match = form.fullmatch(value) if form else None
    if match is None:
        raise FaultError(f"{word!r} is not a fault: known are {WORDS}")
    groups = match.groupdict()
    share = float(groups["share"]) / 100 if groups.get("share") else 1.0
    if share > 1:
        raise FaultError(f"{word!r} is more than all — give at most 100%")
    seconds = float(groups["duration"]) * _UNIT_S[groups["unit"]] if "duration" in groups else 0.0
    return {
        "errors": {"error_share": share},
        "latency": {"latency_s": seconds, "latency_share": share},
        "cpu": {"cpu_share": share},
        "slow-start": {"slow_start_s": seconds},
        "crash": {"crash_after_requests": int(groups.get("requests") or 0)},
    }[name]  # type: ignore[return-value]
