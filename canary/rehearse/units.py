"""A measured number as a person reads it, in the unit that its metric's name says."""

from __future__ import annotations

_UNITS = {"-seconds": "s", "-ratio": "ratio", "-requests": "requests", "-restarts": "restarts"}


def of(metric: str) -> str:
    """The unit of a metric, or nothing where its name does not say."""
    return next((unit for suffix, unit in _UNITS.items() if metric.endswith(suffix)), "")


def shown(value: float, metric: str) -> str:
    """A value of this metric with its unit.

    >>> shown(0.02661, "error-ratio"), shown(0.484, "p95-latency-seconds"), shown(4, "restarts")
    ('2.7 %', '484 ms', '4')
    """
    unit = of(metric)
    if unit == "ratio":
        return f"{_short(100 * value)} %"
    if unit == "s":
        return f"{_short(1000 * value)} ms" if abs(value) < 1 else f"{_short(value)} s"
    return f"{value:.4g}"


def _short(value: float) -> str:
    """Whole above a hundred, one decimal above one, two digits below; no zeros at the end."""
    if abs(value) >= 100:  # noqa: PLR2004 — digits of a number
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0") if abs(value) >= 1 else f"{value:.2g}"
