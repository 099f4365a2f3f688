"""Rules for what the controller refuses, or quietly does not do.

Source: `pkg/apis/rollouts/validation/validation.go` and `utils/analysis/factory.go` of v1.9.1. A
refused Rollout is `InvalidSpec` and stays as it is; a refused analysis ends in Error and aborts the
release.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from canary.argo import analysis, objects, resolve, threshold
from canary.argo.gates import Gate, Severity, Strategy
from canary.lint.rule import Context, Hit, Rule, at, into, metrics
from canary.lint.values import lasts_s
from canary.yamls import listed, mapping, scalar

RULES: list[Rule] = []
rule = into(RULES)

_ACTIONS = (
    "setWeight", "pause", "setCanaryScale", "setHeaderRoute", "setMirrorRoute", "analysis",
    "experiment", "plugin", "replicaProgressThreshold",
)  # fmt: skip


@rule(
    "analysis-refused",
    Severity.ERROR,
    "the controller refuses an analysis",
    reason="Its run ends in Error as soon as it begins, and the release is aborted.",
    remedy="correct the metric as the message says",
)
def _analysis_refused(context: Context) -> Iterator[Hit]:
    for found in context.release.analyses:
        if found.missing or any(gate.unresolved or gate.broken for gate in found.gates):
            continue
        where = found.moment.path
        if not found.gates:
            yield context.release.rollout, where, "it names no template with a metric"
            continue
        names = [gate.name for gate in found.gates]
        for name in (name for name, number in Counter(names).items() if number > 1):
            yield context.release.rollout, where, f"two metrics are called {name!r}"
        for pattern in found.unmatched:
            yield context.release.rollout, where, f"dryRun {pattern!r} matches no metric"
        for template in dict.fromkeys(gate.template for gate in found.gates):
            for entry in map(mapping, listed(template.spec.get("measurementRetention"))):
                pattern = scalar(entry.get("metricName"))
                if not any(resolve.matches(pattern, name) for name in names):
                    message = f"measurementRetention {pattern!r} matches no metric"
                    yield template, "spec.measurementRetention", message
        for gate in found.gates:
            yield from (at(gate, wrong) for wrong in _metric(gate))


@rule(
    "rollout-refused",
    Severity.ERROR,
    "the controller refuses the Rollout",
    reason="It is InvalidSpec: nothing is released until that is corrected.",
    remedy="correct the field as the message says",
    needs=Strategy.BLUE_GREEN,
)
def _rollout_refused(context: Context) -> Iterator[Hit]:
    rollout = context.release.rollout
    for path, message in (*_spec(rollout.spec), *_canary(rollout.spec)):
        yield rollout, path, message
    for found in context.release.analyses:
        for gate in found.endless:
            message = f"{gate.name}: count {gate.count} has no value in the template"
            yield rollout, found.moment.path, message


@rule(
    "background-never-starts",
    Severity.ERROR,
    "the background analysis never starts",
    reason="It begins at its startingStep, and measures after its initialDelay; the release has no "
    "such step, or is over by then.",
    remedy="name a step that there is, counted from 0, and a shorter initialDelay",
    needs=Strategy.CANARY,
)
def _background_never_starts(context: Context) -> Iterator[Hit]:
    release = context.release
    for found in release.analyses:
        if found.moment.background and found.moment.step >= max(release.steps, 1):
            message = f"startingStep {found.moment.step}, and the last step is {release.steps - 1}"
            yield release.rollout, "spec.strategy.canary.analysis.startingStep", message
        ends_s = lasts_s(release)
        for gate in found.gates if found.moment.background else ():
            waits_s = found.moment.at_s + (gate.metric.initial_delay_s if gate.metric else 0.0)
            if release.stages and gate.metric and gate.metric.initial_delay_s and waits_s > ends_s:
                message = (
                    f"its initialDelay ends {waits_s:g} s after the start, the steps {ends_s:g} s"
                )
                yield at(gate, message)


@rule(
    "limit-overridden",
    Severity.WARNING,
    "an argument replaces a limit of the template",
    reason="A review of the template does not show it: the gate judges by the Rollout's number.",
    remedy="state the limit in the template, and nowhere else",
    needs=Strategy.CANARY,
)
def _limit_overridden(context: Context) -> Iterator[Hit]:
    canary = mapping(mapping(context.release.rollout.spec.get("strategy")).get("canary"))
    given = {
        scalar(mapping(a).get("name")): scalar(mapping(a).get("value"))
        for holder in (canary.get("analysis"), *map(_analysis_of, listed(canary.get("steps"))))
        for a in listed(mapping(holder).get("args"))
        if "value" in mapping(a)
    }
    for gate, _ in metrics(context):
        defaults = {
            scalar(mapping(a).get("name")): scalar(mapping(a).get("value"))
            for a in listed(gate.template.spec.get("args"))
            if "value" in mapping(a)
        }
        for key in ("successCondition", "failureCondition"):
            for name in threshold.arguments(scalar(gate.raw.get(key))):
                if name in given and defaults.get(name, given[name]) != given[name]:
                    yield (
                        context.release.rollout,
                        "spec.strategy.canary",
                        f"{gate.name}: {name} is {given[name]} here and {defaults[name]} in the"
                        " template",
                    )


# ------------------------------------------------------------------------------------- details


def _metric(gate: Gate) -> Iterator[str]:
    if len(mapping(gate.raw.get("provider"))) != 1:
        yield "a metric has exactly one provider"
    if gate.metric is not None and (wrong := analysis.refusal((gate.metric,))):
        yield wrong.removeprefix("metrics[0]: ")
    for key in ("interval", "initialDelay"):
        words = scalar(gate.raw.get(key))
        if words and "{{" not in words and not _GO_DURATION.fullmatch(words):
            yield f"{key} {words!r} is not a duration: hours, minutes and seconds, such as 90s"


def _analysis_of(step: object) -> object:
    return mapping(step).get("analysis")


# What Go's time.ParseDuration reads; a pause may be a bare number of seconds too.
_GO_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")


def _is_duration(value: object) -> bool:
    words = scalar(value)
    return words.isdigit() or _GO_DURATION.fullmatch(words) is not None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _spec(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        if (_number(spec.get(key)) or 0) < 0:
            yield f"spec.{key}", f"{key} is below 0"
    ready, deadline = (_number(spec.get(k)) for k in ("minReadySeconds", "progressDeadlineSeconds"))
    if (ready or 0) >= (600 if deadline is None else deadline):
        yield "spec.minReadySeconds", "minReadySeconds is not below progressDeadlineSeconds"
    yield from _strategies(mapping(spec.get("strategy")))
    yield from _blue_green(spec)
    template = mapping(spec.get("template"))
    labels = mapping(mapping(template.get("metadata")).get("labels"))
    wanted = mapping(mapping(spec.get("selector")).get("matchLabels"))
    # Without one it is that of the workload that `workloadRef` names, with labels of its own.
    if template and any(labels.get(name) != value for name, value in wanted.items()):
        yield "spec.selector", "the selector does not match the template's labels"
    pod = mapping(template.get("spec"))
    for container in listed(pod.get("containers")):
        where = f"spec.template.spec.containers[{scalar(mapping(container).get('name'))}]"
        for message in _container(mapping(container), _number(pod.get(_GRACE))):
            yield where, message
        resources = mapping(mapping(container).get("resources"))
        limits, requests = (mapping(resources.get(key)) for key in ("limits", "requests"))
        for name in set(limits) & set(requests):
            most, least = _quantity(limits[name]), _quantity(requests[name])
            if most is not None and least is not None and least > most:
                yield where, f"requests {name} {requests[name]} are above limits {limits[name]}"


def _container(container: Mapping[str, Any], grace_s: float | None) -> Iterator[str]:
    hook = mapping(mapping(container.get("lifecycle")).get("preStop"))
    sleep_s = _number(mapping(hook.get("sleep")).get("seconds"))
    grace_s = 30.0 if grace_s is None else grace_s
    if sleep_s is not None and not 0 <= sleep_s <= grace_s:
        yield f"preStop sleeps {sleep_s:g} s, and {_GRACE} is {grace_s:g}"
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = mapping(container.get(name))
        below = [key for key, value in probe.items() if (_number(value) or 0) < 0]
        yield from (f"{name}: {key} is below 0" for key in below)
        if name != "readinessProbe" and (_number(probe.get("successThreshold")) or 1) != 1:
            yield f"{name}: successThreshold is not 1"


_GRACE = "terminationGracePeriodSeconds"


def _strategies(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if {"canary", "blueGreen"} <= set(given):
        yield "spec.strategy", "both canary and blueGreen are given"
    for name, strategy in given.items():
        apart = mapping(strategy).get("antiAffinity")
        if apart is not None and len(_AFFINITIES & set(mapping(apart))) != 1:
            yield f"spec.strategy.{name}.antiAffinity", "antiAffinity names exactly one way"


def _blue_green(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    path = "spec.strategy.blueGreen"
    given = mapping(mapping(spec.get("strategy")).get("blueGreen"))
    if given and given.get("activeService") == given.get("previewService"):
        yield f"{path}.previewService", "activeService and previewService are the same"
    delayed, kept = given.get("scaleDownDelayRevisionLimit"), spec.get("revisionHistoryLimit", 10)
    if (_number(delayed) or 0) > max(_number(kept) or 0, 0):
        message = f"scaleDownDelayRevisionLimit {delayed} is above revisionHistoryLimit {kept}"
        yield f"{path}.scaleDownDelayRevisionLimit", message


def _canary(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    path = "spec.strategy.canary"
    canary = mapping(mapping(spec.get("strategy")).get("canary"))
    services = [scalar(canary.get(key)) for key in ("canaryService", "stableService")]
    routing = mapping(canary.get("trafficRouting"))
    if services[0] and services[0] == services[1]:
        yield f"{path}.canaryService", "canaryService and stableService are the same"
    # Istio may tell pods apart by subset, and services that take turns have other names.
    subsets = mapping(mapping(routing.get("istio")).get("destinationRule"))
    if routing and not all(services) and not subsets and not canary.get("pingPong"):
        yield path, "a traffic router needs canaryService and stableService"
    surge, unavailable = (canary.get(key, default) for key, default in _FENCES)
    if scalar(surge).rstrip("%") == "0" and scalar(unavailable).rstrip("%") == "0":
        yield path, "maxSurge and maxUnavailable are both 0"
    for index, step in enumerate(listed(canary.get("steps"))):
        for message in _step(mapping(step), routing):
            yield f"{path}.steps[{index}]", message


_AFFINITIES = {
    "preferredDuringSchedulingIgnoredDuringExecution",
    "requiredDuringSchedulingIgnoredDuringExecution",
}
_FENCES = (("maxSurge", "25%"), ("maxUnavailable", "25%"))


def _step(step: Mapping[str, Any], routing: Mapping[str, Any]) -> Iterator[str]:
    actions = [name for name in step if name in _ACTIONS]
    if len(actions) != 1:
        told = " and ".join(actions) or "nothing"
        yield f"a step does one thing; this one does {told}"
    weight = _number(step.get("setWeight"))
    most = _number(routing.get("maxTrafficWeight")) or 100.0
    if weight is not None and not 0 <= weight <= most:
        yield f"setWeight {weight:g} is not between 0 and {most:g}"
    duration = mapping(step.get("pause")).get("duration")
    if duration is not None and not _is_duration(duration):
        yield f"pause {duration!r} is not a duration: hours, minutes and seconds, such as 1h30m"
    if "setCanaryScale" in step and not routing:
        yield "setCanaryScale needs a traffic router"


def _quantity(value: object) -> Fraction | None:
    """A Kubernetes quantity; None if it is none."""
    try:
        return objects.quantity(scalar(value))
    except ValueError:
        return None
