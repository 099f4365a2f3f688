"""The gates' numbers and the objective, as series: what alerts and panels compare with.

The AnalysisTemplates own the gates' numbers and `rehearsal.yaml` the objective; nothing here or in
the rules states them again.
"""

from collections.abc import Iterable
from decimal import Decimal

from canary.argo.objects import AnalysisTemplate
from canary.errors import UsageError
from canary.rehearse.config import Slo
from observe.rules import Rule

# Argument of a template → series.
SERIES = {
    "max-error-ratio": "gridos:gate_error_ratio:max",
    "max-p95-seconds": "gridos:gate_p95_latency_seconds:max",
    "max-cpu-saturation": "gridos:gate_cpu_saturation_ratio:max",
    "max-restarts": "gridos:gate_container_restarts:max",
    "min-requests": "gridos:gate_requests:min",
}


def of_gates(templates: Iterable[AnalysisTemplate]) -> list[Rule]:
    """A series for each threshold, with the text it has in the one template that states it.

    Raises:
        UsageError: if none does.
    """
    values = {name: value for t in templates for name, value in t.literals.items()}
    missing = [name for name in SERIES if not values.get(name)]
    if missing:
        raise UsageError(
            f"no AnalysisTemplate has an argument {missing[0]}",
            "declare it with a value, or change observe/thresholds.py",
        )
    return [Rule(series, f"vector({values[name]})") for name, series in SERIES.items()]


def of_objective(slo: Slo) -> list[Rule]:
    """The objective, its budget as a ratio, and the budget in minutes of its window."""
    objective = Decimal(str(slo.objective))
    budget = 1 - objective
    minutes = budget * Decimal(str(slo.window)) / 60
    return [
        Rule("gridos:slo_objective:ratio", f"vector({objective})"),
        Rule("gridos:slo_error_budget:ratio", f"vector({budget})"),
        Rule("gridos:slo_error_budget:minutes", f"vector({minutes.normalize():f})"),
    ]
