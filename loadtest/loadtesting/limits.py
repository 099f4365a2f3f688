"""The thresholds, read from the AnalysisTemplates and the SLO: they stand nowhere here."""

import re
from pathlib import Path

from canary.argo import manifests
from canary.errors import UsageError
from canary.rehearse import config
from canary.runtime import documents
from loadtesting.model import Limits

CPU_GATE = "max-cpu-saturation"
# The gate may take a confidence margin off it: scalar(0.95 - …).
_QUANTILE = re.compile(r"histogram_quantile\(\s*(?:scalar\(\s*)?([\d.]+)")


def read(manifests_path: Path, rehearsal_path: Path) -> Limits:
    """Reads the limits, each of the AnalysisTemplate that states it.

    Raises:
        UsageError: if a file cannot be read, or states no limit of some kind.
    """
    bundle = manifests.read(documents.read(manifests_path), str(manifests_path))
    texts = {name: v for t in bundle.templates.values() for name, v in t.literals.items()}
    conditions = {
        asked.query: m.success_condition
        for t in bundle.templates.values()
        for m in t.spec.metrics
        if (asked := m.provider.prometheus)
    }
    queries = list(conditions)
    return Limits(
        max_error_ratio=_number(texts, "max-error-ratio", bundle.source),
        quantile=_quantile(queries, bundle.source),
        max_latency_s=_number(texts, "max-p95-seconds", bundle.source),
        max_cpu_saturation=_number(texts, CPU_GATE, bundle.source),
        min_requests=int(_number(texts, "min-requests", bundle.source)),
        objective=config.read(rehearsal_path).slo.objective,
        cpu_query=next((q for q, c in conditions.items() if f"args.{CPU_GATE}" in c), ""),
        memory_limit_bytes=bundle.rollout.spec.template.spec.container.resources.memory_limit_bytes,
        source=bundle.source,
    )


def _number(texts: dict[str, str], name: str, source: str) -> float:
    try:
        return float(texts[name])
    except KeyError:
        raise UsageError(
            f"no AnalysisTemplate in {source} has an argument {name}", "name others: --manifests"
        ) from None
    except ValueError:
        raise UsageError(f"{source}: {name} is {texts[name]!r}", "give a number") from None


def _quantile(queries: list[str], source: str) -> float:
    found = [match for query in queries for match in _QUANTILE.findall(query)]
    if not found:
        raise UsageError(f"no gate in {source} asks for a histogram_quantile", "add a latency gate")
    return float(found[0])
