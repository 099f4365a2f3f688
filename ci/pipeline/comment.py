"""The comment that a rehearsal leaves on a pull request: verdict, gates and a plot. Pure.

The result comes from a job that ran the pull request's own code, so nothing in it is trusted: only
known fields are read, numbers are made numbers, and every word stands inside a code span, where it
can neither mention anybody nor link anywhere.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import PipelineError

# By this the comment finds itself again.
MARKER = "<!-- gridos-rehearsal -->"
SCHEMA = "canary.rehearsal/"
_MAX_WORD, _MAX_SENTENCE = 160, 400
_CAUSES = 5
_LARGEST_RESULT = 20_000_000
_POINTS = 30
_SIGNS = {
    "promoted": "✅ Promoted",
    "rolled-back": "❌ Rolled back",
    "not-released": "❌ Not released",
    "unusable": "⚠️ The input cannot be used",
    "not-measured": "⚠️ Could not be measured",
    "inconclusive": "⏸️ Inconclusive",
    "unjudged": "⏸️ Not judged by a gate: a person ended it, or has to",
    "interrupted": "⚠️ Interrupted",
    "fault": "⚠️ The harness or the machine was at fault",
}


def render(result: str, run_url: str) -> str:
    """Makes the comment's Markdown.

    Args:
        result: The text of a `result.json`.
        run_url: The workflow run, where the whole report is kept.

    Raises:
        PipelineError: It is no result of a rehearsal.
    """
    document = _read(result)
    verdict = _mapping(document.get("verdict"))
    outcome = str(verdict.get("outcome"))
    parts = [
        MARKER,
        f"### Rehearsal: {_SIGNS.get(outcome, f'⚠️ {code(outcome)}')}",
        code(verdict.get("headline"), _MAX_SENTENCE),
        _cause(document),
        _gates(document),
        _plot(_mapping(document.get("series"))),
        _traffic(document),
        f"[The whole report]({run_url}), as an artifact of the run.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def missing(run_url: str) -> str:
    """Makes the comment of a run that left no result."""
    return (
        f"{MARKER}\n\n### Rehearsal: ⚠️ no result\n\n"
        f"The rehearsal ended before it had a verdict. [Its log]({run_url}) says why.\n"
    )


def untrusted(run_url: str) -> str:
    """Makes the comment of a run of another workflow than main's."""
    return (
        f"{MARKER}\n\n### Rehearsal: ⚠️ no verdict\n\n"
        "This branch has another `rehearse.yaml` than main, so what [its run]"
        f"({run_url}) says is not repeated here. If the change is not meant, update the branch.\n"
    )


def code(word: Any, longest: int = _MAX_WORD) -> str:
    """Makes a code span of an untrusted word, whatever is in it."""
    text = "".join(c if c.isprintable() else " " for c in str(word))
    text = re.sub(r"[`|]", "'", text).strip()[:longest]
    return f"`{text or ' '}`"


def _read(result: str) -> Mapping[str, Any]:
    if len(result) > _LARGEST_RESULT:
        raise PipelineError("the result is too large to be one")
    try:
        document = json.loads(result)
    except (ValueError, RecursionError) as cause:
        raise PipelineError(f"the result is not JSON: {cause}") from None
    if not isinstance(document, dict) or not str(document.get("schema")).startswith(SCHEMA):
        raise PipelineError(f"the result is not of schema {SCHEMA}…")
    return document


def _cause(document: Mapping[str, Any]) -> str:
    """Where the canary was worse than stable, a line each."""
    causes = _list(_mapping(document.get("evidence")).get("cause"))[:_CAUSES]
    return "\n".join(f"- {code(cause, _MAX_SENTENCE)}" for cause in causes)


def _gates(document: Mapping[str, Any]) -> str:
    last = _last_measurements(document)
    rows = [
        _row(gate, last.get(str(gate.get("name")), {}))
        for gate in map(_mapping, _list(document.get("gates")))
    ]
    if not rows:
        return ""
    return "\n".join(["| gate | canary | stable | limit | |", "|---|--:|--:|--:|---|", *rows])


def _row(gate: Mapping[str, Any], seen: Mapping[str, Any]) -> str:
    unit = str(gate.get("unit"))
    limit = f"{code(gate.get('comparison') or '')} {_measured(gate.get('threshold'), unit)}"
    numbers = f"{_measured(seen.get('number'), unit)} | {_measured(seen.get('control'), unit)}"
    return f"| {code(gate.get('name'))} | {numbers} | {limit} | {_phase(seen)} |"


def _last_measurements(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Each gate's last measurement; a failed one stays, whatever was measured after it."""
    last: dict[str, Mapping[str, Any]] = {}
    for run in map(_mapping, _list(document.get("analysis_runs"))):
        for metric in map(_mapping, _list(run.get("metrics"))):
            for seen in map(_mapping, _list(metric.get("measurements"))):
                name = str(metric.get("name"))
                if last.get(name, {}).get("phase") != "Failed":
                    last[name] = seen
    return last


def _phase(seen: Mapping[str, Any]) -> str:
    signs = {"Successful": "✅", "Failed": "❌", "Inconclusive": "⏸️", "Error": "⚠️"}
    return signs.get(str(seen.get("phase")), "not asked")


def _plot(series: Mapping[str, Any]) -> str:
    """The share of failed responses over time, stable and canary, as a Mermaid chart."""
    at = [_float(v) for v in _list(series.get("at_s"))]
    canary = _shares(series, "canary")
    stable = _shares(series, "stable")
    if len(at) < 2 or not len(at) == len(canary) == len(stable):  # noqa: PLR2004 — a line
        return ""
    every = max(1, len(at) // _POINTS)
    top = max(1.0, *canary, *stable)
    return "\n".join(
        (
            "```mermaid",
            "xychart-beta",
            '  title "Failed responses, % (first line the canary, second the stable release)"',
            f'  x-axis "s" 0 --> {at[-1]:.0f}',
            f'  y-axis "%" 0 --> {top:.1f}',
            f"  line [{_points(canary, every)}]",
            f"  line [{_points(stable, every)}]",
            "```",
        )
    )


def _shares(series: Mapping[str, Any], track: str) -> list[float]:
    pairs = zip(
        _list(series.get(f"{track}_failed")), _list(series.get(f"{track}_requests")), strict=False
    )
    return [100 * _float(f) / _float(n) if _float(n) else 0.0 for f, n in pairs]


def _points(values: Sequence[float], every: int) -> str:
    """The worst of each stretch: a mean would hide a spike."""
    return ", ".join(f"{max(values[i : i + every]):.2f}" for i in range(0, len(values), every))


def _traffic(document: Mapping[str, Any]) -> str:
    traffic = _mapping(document.get("traffic"))
    if not traffic:
        return ""
    return (
        f"{_number(traffic.get('requests'))} requests, of which the canary answered "
        f"{_number(traffic.get('canary_requests'))}; "
        f"{code(_mapping(document.get('budget')).get('note'))}"
    )


def _measured(value: Any, unit: str) -> str:
    """A gate's number as people say it: shares in per cent, times below a second in ms."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    if unit == "ratio":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    return _number(value)


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:20]


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
