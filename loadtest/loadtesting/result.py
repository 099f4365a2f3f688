"""A run as a document: everything the reports, `compare` and a later reader need."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from canary.errors import UsageError
from canary.power import stats
from loadtesting import histograms
from loadtesting.model import Limits, Profile, Verdict
from loadtesting.request_metrics import Group, RequestMetrics, Slice

SCHEMA = 1
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
# What is kept of a profile.
PROFILE = ("name", "purpose", "needed", "fault", "expected", "gate")
# Of the percentile curve: denser towards the end, where it bends.
CURVE = tuple(1 - 10 ** (-step / 8) for step in range(33))

REMEDY = "name a result.json of a run"

Document = dict[str, Any]


def build(
    head: Mapping[str, Any],
    profile: Profile,
    limits: Limits,
    measured: RequestMetrics,
    verdict: Verdict,
) -> Document:
    """The document; `head` holds what is known of the run beside its measurements."""
    return {
        "schema": SCHEMA,
        **head,
        "profile": {name: value for name, value in asdict(profile).items() if name in PROFILE},
        "limits": asdict(limits),
        "verdict": {
            "result": verdict.result,
            "exit_code": verdict.result.exit_code,
            "headline": verdict.headline,
            "notes": list(verdict.notes),
        },
        "checks": [asdict(check) for check in verdict.checks],
        "counts": {**asdict(measured.counts), "open": measured.counts.open},
        "overall": group(measured.overall),
        "routes": {name: group(g) for name, g in sorted(measured.routes.items())},
        "slice_s": measured.slice_s,
        "slices": [_slice(index, measured.slices[index]) for index in sorted(measured.slices)],
        "curve": [(q, histograms.quantile_s(measured.overall.histogram, q)) for q in CURVE],
    }


def group(measured: Group) -> Document:
    """Counts, ratios and quantiles of requests that belong together; times in seconds."""
    return {
        "requests": measured.requests,
        "answered": measured.answered,
        "unseen": measured.unseen,
        "slow": measured.slow,
        "outcomes": {str(outcome): count for outcome, count in measured.outcomes.items()},
        "reasons": dict(measured.reasons.most_common(10)),
        "quantiles": [_quantile(measured, q) for q in QUANTILES] if measured.requests else [],
        "mean_s": measured.histogram.get_mean_value() / 1e6 if measured.requests else None,
        "max_s": measured.histogram.get_max_value() / 1e6 if measured.requests else None,
        "histogram": histograms.to_text(measured.histogram),
    }


def _quantile(measured: Group, quantile: float) -> Document:
    low, high = stats.ranks(quantile, measured.requests)
    return {
        "quantile": quantile,
        "value_s": histograms.quantile_s(measured.histogram, quantile),
        "low_s": histograms.at_rank_s(measured.histogram, low),
        "high_s": histograms.at_rank_s(measured.histogram, high),
    }


def _slice(index: int, measured: Slice) -> Document:
    due = measured.due
    return {
        "index": index,
        "requests": due.requests,
        "finished": measured.finished,
        "dropped": measured.dropped,
        "outcomes": {str(outcome): count for outcome, count in due.outcomes.items()},
        "p50_s": histograms.quantile_s(due.histogram, 0.5),
        "p95_s": histograms.quantile_s(due.histogram, 0.95),
        "p99_s": histograms.quantile_s(due.histogram, 0.99),
        "histogram": histograms.to_text(due.histogram),
    }


def write(document: Document, folder: Path) -> Path:
    """Writes result.json; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "result.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Document:
    """Reads a result.json, or the one in a run's folder.

    Raises:
        UsageError: if it cannot be read, or is no result of this program.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        content: Document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as missing:
        raise UsageError(f"{file}: {missing.strerror}", REMEDY) from None
    except (ValueError, RecursionError) as broken:
        raise UsageError(f"{file} is not JSON: {broken}", REMEDY) from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UsageError(f"{file} is not a result of `loadtest run`", REMEDY)
    return content


def slug(text: str) -> str:
    """Fit for a file name."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-").lower()
