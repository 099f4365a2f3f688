"""Rules for what the controller refuses, or quietly does not do.

Source: `pkg/apis/rollouts/validation/validation.go` and `utils/analysis/factory.go` of v1.9.1. A
refused Rollout is `InvalidSpec` and stays as it is; a refused analysis ends in Error and aborts the
release.
"""

from collections import Counter
from collections.abc import Iterator

from canary.argo import analysis, resolve, threshold, validation
from canary.argo.gates import Gate, Strategy
from canary.lint.rule import Context, Family, Hit, at, metrics
from canary.lint.values import lasts_s
from canary.yamls import listed, mapping, scalar

rule = Family()


@rule("analysis-refused")
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


@rule("rollout-refused", needs=Strategy.BLUE_GREEN)
def _rollout_refused(context: Context) -> Iterator[Hit]:
    rollout = context.release.rollout
    for path, message in validation.refusals(rollout.spec):
        yield rollout, path, message
    for found in context.release.analyses:
        for gate in found.endless:
            message = f"{gate.name}: count {gate.count} has no value in the template"
            yield rollout, found.moment.path, message


@rule("background-never-starts", needs=Strategy.CANARY)
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
                ends = f"ends {waits_s:g} s after the start, the steps {ends_s:g} s"
                yield at(gate, f"its initialDelay {ends}")


@rule("limit-overridden", needs=Strategy.CANARY)
def _limit_overridden(context: Context) -> Iterator[Hit]:
    rollout = context.release.rollout
    canary = mapping(mapping(rollout.spec.get("strategy")).get("canary"))
    inline = (mapping(step).get("analysis") for step in listed(canary.get("steps")))
    given: dict[str, str] = {}
    for holder in map(mapping, (canary.get("analysis"), *inline)):
        given |= resolve.literals(holder.get("args"))
    for gate in (asked.gate for asked in metrics(context)):
        defaults = resolve.literals(gate.template.spec.get("args"))
        for key in ("successCondition", "failureCondition"):
            for name in threshold.arguments(scalar(gate.raw.get(key))):
                if name in given and defaults.get(name, given[name]) != given[name]:
                    words = f"{name} is {given[name]} here and {defaults[name]} in the template"
                    yield rollout, "spec.strategy.canary", f"{gate.name}: {words}"


# ------------------------------------------------------------------------------------- details


def _metric(gate: Gate) -> Iterator[str]:
    if len(mapping(gate.raw.get("provider"))) != 1:
        yield "a metric has exactly one provider"
    if gate.metric is not None and (wrong := analysis.refusal((gate.metric,))):
        yield wrong.removeprefix("metrics[0]: ")
    yield from validation.durations(gate.raw)
