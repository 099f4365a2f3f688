"""What only Prometheus knows: the CPU gate's own query, and memory over the run."""

import json
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from canary.argo import resolve
from loadtesting.model import Check, Limits, Result

CPU, MEMORY = "cpu-saturation", "memory-growth"
ASKED = frozenset({CPU, MEMORY})
# A rate needs four scrapes of the gates' 5 s; a longer window than the run's would reach back to
# before the load.
MIN_WINDOW_S = 20.0
# Memory is asked for this often; a slope of fewer points than MIN_POINTS says nothing.
STEP_S, MIN_POINTS = 15.0, 10
# What the service loads once, at the first request that wants it, is no leak: this much of a soak
# is let pass. Of fifteen minutes, the last such step (14 MiB, and flat after it) came in the fifth.
SETTLING = 1 / 3
# Growth that would fill the container within this long fails the soak.
HORIZON_S = 24 * 3600.0
MEMORY_QUERY = 'sum(container_memory_working_set_bytes{namespace="gridos", container="gridos"})'


def cpu(address: str | None, limits: Limits, pod_hash: str, seconds: float) -> Check:
    """The CPU gate's question about the length of the run."""
    limit = limits.max_cpu_saturation
    if address is None:
        return _unknown(CPU, "only Prometheus knows it — name one with --prometheus", limit)
    if seconds < MIN_WINDOW_S:
        return _unknown(CPU, f"{seconds:.0f} s are too short: run {MIN_WINDOW_S:g} s", limit)
    filled = {"canary-hash": pod_hash, "window": f"{round(seconds)}s"}
    query, _ = resolve.fill(limits.cpu_query, filled)
    try:
        found = _get(address, "query", {"query": query})
    except (OSError, ValueError, KeyError) as failed:
        return _unknown(CPU, f"{address} does not answer: {failed}", limit)
    if not found:
        return _unknown(CPU, f"{address} has no such series: {' '.join(query.split())}", limit)
    value = float(found[0]["value"][1])
    if value != value:  # noqa: PLR0124 — NaN
        return _unknown(CPU, f"{address} answers NaN", limit)
    result = Result.FAIL if value >= limit else Result.PASS
    sign = "≥" if value >= limit else "<"
    text = f"{CPU}: {value:.1%} of the CPU limit {sign} {limit:.0%}"
    return Check(CPU, result, text, value, limit=limit, unit="%")


def memory(
    address: str | None, limits: Limits, began_at: float, ended_at: float, query: str = MEMORY_QUERY
) -> Check:
    """Whether memory grows so that the container would be full within a day."""
    if address is None:
        return _unknown(MEMORY, "only Prometheus knows it — name one with --prometheus", None)
    asked = {"query": query, "start": began_at, "end": ended_at, "step": STEP_S}
    try:
        found = _get(address, "query_range", asked)
    except (OSError, ValueError, KeyError) as failed:
        return _unknown(MEMORY, f"{address} does not answer: {failed}", None)
    points = [(float(at), float(value)) for at, value in found[0]["values"]] if found else []
    return growth(points, limits.memory_limit_bytes)


def growth(points: Sequence[tuple[float, float]], limit_bytes: float | None) -> Check:
    """Judges (second, bytes) points by Theil and Sen's slope with its 95 % interval.

    Only what follows the settling counts.
    """
    points = points[round(len(points) * SETTLING) :]
    if len(points) < MIN_POINTS or limit_bytes is None:
        return _unknown(MEMORY, f"{len(points)} points of memory, {MIN_POINTS} are needed", None)
    from scipy import stats  # noqa: PLC0415 — it takes a second, and only a soak needs it

    times, values = zip(*points, strict=True)
    slope, _, low, high = stats.theilslopes(values, times, alpha=0.95)
    allowed = (limit_bytes - values[-1]) / HORIZON_S
    result = _grown(slope, low, high, allowed)
    text = (
        f"{MEMORY}: {slope * 3600 / 2**20:+.2f} MiB/h (95 % {low * 3600 / 2**20:+.2f} … "
        f"{high * 3600 / 2**20:+.2f}); {allowed * 3600 / 2**20:.2f} MiB/h would fill the container "
        "in a day"
    )
    if result is Result.INCONCLUSIVE:
        text += " — more of the same soak would tell which it is"
    return Check(MEMORY, result, text, float(slope), float(low), float(high), allowed, "B/s")


def _grown(slope: float, low: float, high: float, allowed: float) -> Result:
    """Growth beyond chance that fills the container fails; to pass, it must be ruled out."""
    if low > 0 and slope >= allowed:
        return Result.FAIL
    return Result.PASS if high < allowed else Result.INCONCLUSIVE


def _unknown(name: str, why: str, limit: float | None) -> Check:
    return Check(name, Result.INCONCLUSIVE, f"{name}: {why}", limit=limit)


def _get(address: str, what: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    url = f"{address.rstrip('/')}/api/v1/{what}?{urllib.parse.urlencode(asked)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return result
