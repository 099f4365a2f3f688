"""A measured number as a person says it, in the unit that its metric's name says."""

_UNITS = {
    "-seconds": "s",
    "-ratio": "ratio",
    "-share": "ratio",
    "-requests": "requests",
    "-restarts": "restarts",
}
_COUNTED = ("requests", "restarts")
# Below it digits say nothing, and a person reads no powers of ten.
SMALLEST = 0.001
MANY = 1_000_000
# What a ratio of failed requests is called, and words that people write otherwise.
FAILING = frozenset({"error", "errors", "failed", "failure", "failures"})
_SPELT = {"cpu": "CPU", "sli": "SLI"}


def of(metric: str) -> str:
    """The unit of a metric, or nothing where its name does not say."""
    return next((unit for suffix, unit in _UNITS.items() if metric.endswith(suffix)), "")


def scale(metric: str) -> tuple[float, str]:
    """By what a value of this metric is multiplied in people's unit, and that unit.

    >>> scale("error-ratio"), scale("p95-latency-seconds"), scale("restarts")
    ((100.0, '%'), (1000.0, 'ms'), (1.0, ''))
    """
    return {"ratio": (100.0, "%"), "s": (1000.0, "ms")}.get(of(metric), (1.0, ""))


def shown(value: float | None, metric: str, nothing: str = "–") -> str:
    """A value of this metric with its unit, or what stands for none.

    >>> shown(0.02661, "error-ratio"), shown(0.484, "p95-latency-seconds"), shown(4, "restarts")
    ('2.7 %', '484 ms', '4')
    """
    if value is None:
        return nothing
    unit = of(metric)
    if unit == "ratio":
        return percent(value)
    if unit == "s":
        return f"{_short(1000 * value)} ms" if abs(value) < 1 else f"{_short(value)} s"
    if not unit and abs(value) >= MANY:
        return "over a million"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.4g}"  # noqa: PLR2004 — digits


def milliseconds(value: float | None) -> str:
    """A time with its unit.

    >>> milliseconds(484), milliseconds(None)
    ('484 ms', '–')
    """
    return "–" if value is None else shown(value / 1000, "-seconds")


def _short(value: float) -> str:
    """Whole above a hundred, one decimal above one, two digits below; no zeros at the end."""
    if abs(value) >= 100:  # noqa: PLR2004 — digits of a number
        return f"{value:.0f}"
    if abs(value) >= 1:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2g}" if abs(value) >= SMALLEST or not value else f"under {SMALLEST:g}"


def percent(share: float) -> str:
    """A share in per cent.

    >>> percent(0.1616), percent(0.00037), percent(0.0)
    ('16.2 %', '0.037 %', '0 %')
    """
    return f"{_short(100 * share)} %"


def said(value: float, metric: str, *, at_least: bool = False) -> str:
    """What the canary did, as the main clause of a sentence.

    >>> said(0.02661, "error-ratio"), said(0.484, "p95-latency-seconds")
    ('2.7 % of canary requests failed', "the canary's p95 latency was 484 ms")
    >>> said(1, "container-restarts"), said(0.016, "error-ratio", at_least=True)
    ('the canary had 1 container restart', 'at least 1.6 % of canary requests failed')
    """
    number, unit = f"{'at least ' * at_least}{shown(value, metric)}", of(metric)
    words = [_SPELT.get(word, word) for word in metric.removeprefix("canary-").split("-")]
    if unit in _COUNTED:
        counted = " ".join(words)
        return f"the canary had {number} {counted.removesuffix('s') if value == 1 else counted}"
    if not unit:
        return f"the canary's {metric} was {number}"
    words = words[:-1]
    if unit == "ratio" and words[-1] in FAILING:
        return f"{number} of canary requests failed"
    return f"the canary's {' '.join(words)} was {number}"
