"""Manifests → the Rollout that will be walked: steps, and gates with their literal arguments.

Arguments are merged as Argo does it (`MergeArgs`, utils/analysis/helpers.go @9f8d111): the
reference's values win over the template's, and a value for a name that the template does not
declare is dropped in silence. The two pod-template hashes are not known yet; they stay
`{{args.…}}` and are filled in by `analysis.resolve` when a run is created.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from canary import durations
from canary.argo import manifests
from canary.argo.model import (
    Analysis,
    Argument,
    Metric,
    Pause,
    ReplicaSetName,
    Rollout,
    SetWeight,
    Step,
)
from canary.errors import UsageError

NOTHING_GIVEN: Mapping[str, str] = MappingProxyType({})

_PLACEHOLDER = re.compile(r"\{\{\s*args\.([\w.-]+)\s*\}\}")


def rollout(bundle: manifests.Bundle, given: Mapping[str, str] = NOTHING_GIVEN) -> Rollout:
    """Builds the Rollout to walk, at its real durations.

    Args:
        bundle: The manifests.
        given: Arguments of the analyses that win over what the manifests say, wherever declared.

    Raises:
        UsageError: if a template is missing, an argument has no value, or a number is none.
    """
    spec = bundle.rollout.spec
    canary = spec.strategy.canary
    background = canary.analysis
    declared = {a.name for t in bundle.templates.values() for a in t.spec.args}
    for name in given:
        if name not in declared:
            raise UsageError(
                f"no AnalysisTemplate declares the argument {name!r}",
                f"there are {', '.join(sorted(declared))}",
            )
    return Rollout(
        name=bundle.rollout.metadata.name,
        namespace=bundle.namespace,
        replicas=spec.replicas,
        steps=tuple(_step(bundle, i, step, given) for i, step in enumerate(canary.steps)),
        background=_analysis(bundle, background, given, background.starting_step)
        if background
        else None,
        max_surge=canary.max_surge,
        max_unavailable=canary.max_unavailable,
        min_ready_s=spec.min_ready_seconds,
        progress_deadline_s=spec.progress_deadline_seconds,
        progress_deadline_abort=spec.progress_deadline_abort,
    )


def _step(
    bundle: manifests.Bundle, index: int, step: manifests.CanaryStep, given: Mapping[str, str]
) -> Step:
    if len(step.model_fields_set) != 1:
        raise UsageError(
            f"{bundle.source}: step {index} has {len(step.model_fields_set)} actions",
            "give each step exactly one of setWeight, pause and analysis",
        )
    if step.set_weight is not None:
        return SetWeight(step.set_weight)
    if step.analysis is not None:
        return _analysis(bundle, step.analysis, given)
    return Pause(step.pause.duration if step.pause else None)


def _analysis(
    bundle: manifests.Bundle,
    reference: manifests.AnalysisRef,
    given: Mapping[str, str],
    starting_step: int = 0,
) -> Analysis:
    names = tuple(template.template_name for template in reference.templates)
    templates = [_template(bundle, name) for name in names]
    arguments = _merge(templates, reference.args, given)
    literals = {
        name: value for name, value in arguments.items() if not isinstance(value, ReplicaSetName)
    }
    dry_runs = [run.metric_name for t in templates for run in t.spec.dry_run]
    dry_runs += [run.metric_name for run in reference.dry_run]
    metrics = tuple(
        _metric(template.metadata.name, metric, literals, arguments, dry_runs)
        for template in templates
        for metric in template.spec.metrics
    )
    hashes = {n: v for n, v in arguments.items() if isinstance(v, ReplicaSetName)}
    return Analysis(names, metrics, hashes, starting_step)


def _template(bundle: manifests.Bundle, name: str) -> manifests.AnalysisTemplate:
    try:
        return bundle.templates[name]
    except KeyError:
        known = ", ".join(sorted(bundle.templates)) or "none"
        raise UsageError(
            f"AnalysisTemplate {name!r} is referenced and missing from {bundle.source}",
            f"add it, or reference one that is there ({known})",
        ) from None


def _merge(
    templates: Sequence[manifests.AnalysisTemplate],
    referred: Sequence[manifests.Argument],
    given: Mapping[str, str],
) -> Mapping[str, Argument]:
    """The arguments that the templates declare, each with its value if it has one."""
    overrides = {argument.name: argument for argument in referred}
    overrides |= {name: manifests.Argument(name=name, value=text) for name, text in given.items()}
    declared = [argument for template in templates for argument in template.spec.args]
    chosen = {argument.name: overrides.get(argument.name, argument) for argument in declared}
    return {name: value for name, a in chosen.items() if (value := _value(a)) is not None}


def _value(argument: manifests.Argument) -> Argument | None:
    if argument.value_from is not None:
        return ReplicaSetName(argument.value_from.pod_template_hash_value)
    return argument.value


@dataclass(frozen=True)
class _Filling:
    """The fields of one metric, with their placeholders filled in; errors name its place."""

    place: str
    literals: Mapping[str, Argument]
    arguments: Mapping[str, Argument]

    def text(self, text: str) -> str:
        unknown = [name for name in _PLACEHOLDER.findall(text) if name not in self.arguments]
        if unknown:
            raise UsageError(
                f"{self.place}: argument {unknown[0]!r} has no value",
                "declare it in the template's args and give it a value there or in the Rollout",
            )
        return _PLACEHOLDER.sub(lambda found: str(self.literals.get(found[1], found[0])), text)

    def query(self, text: str) -> str:
        query = self.text(text).strip()
        try:
            durations.scale_query(query, 1)  # as it will be, at the rehearsal's scale
        except ValueError as wrong:
            raise UsageError(f"{self.place}: {wrong}", "correct it") from None
        return query

    def number(self, value: str | int | None, default: int) -> int:
        text = self.text(str(value)) if value is not None else str(default)
        try:
            return int(text)
        except ValueError:
            raise UsageError(
                f"{self.place}: {text!r} is not a whole number", "correct it"
            ) from None

    def seconds(self, value: str | int | None) -> float | None:
        if value is None or not (text := self.text(str(value))):
            return None
        try:
            return durations.parse(text)
        except ValueError as wrong:
            raise UsageError(f"{self.place}: {wrong}", "correct it") from None


def _metric(
    template: str,
    spec: manifests.MetricSpec,
    literals: Mapping[str, Argument],
    arguments: Mapping[str, Argument],
    dry_runs: Sequence[str],
) -> Metric:
    fill = _Filling(f"AnalysisTemplate {template}, metric {spec.name}", literals, arguments)
    name = fill.text(spec.name)
    return Metric(
        name=name,
        query=fill.query(spec.provider.prometheus.query),
        success_condition=fill.text(spec.success_condition).strip(),
        failure_condition=fill.text(spec.failure_condition).strip(),
        count=fill.number(spec.count, 0),
        interval_s=fill.seconds(spec.interval),
        initial_delay_s=fill.seconds(spec.initial_delay) or 0.0,
        failure_limit=fill.number(spec.failure_limit, 0),
        inconclusive_limit=fill.number(spec.inconclusive_limit, 0),
        consecutive_error_limit=fill.number(spec.consecutive_error_limit, 4),
        consecutive_success_limit=fill.number(spec.consecutive_success_limit, 0),
        # Argo matches dry-run names as unanchored regular expressions (GetDryRunMetrics).
        dry_run=any(re.search(pattern, name) for pattern in dry_runs),
        timeout_s=float(spec.provider.prometheus.timeout),
    )
