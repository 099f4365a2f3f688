"""Manifests → releases: which gate looks when, at what share of canary, with which query.

Lenient where `canary.argo.resolve` is strict: a linter meets manifests that Argo would refuse and
must say so instead of stopping. Arguments are merged as `MergeArgs`, utils/analysis/helpers.go
@9f8d111 does it; replica counts come from the rehearsal's port of utils/replicaset/canary.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary import durations
from canary.argo import model
from canary.argo.gates import Analysis, Document, Gate, Look, Release, Stage, listed, mapping, text
from canary.argo.model import Metric
from canary.argo.replicas import split

# What the pod-template hashes read as before they are known; no query holds these by chance.
LATEST, STABLE = "latest0hash", "stable0hash"

_PLACEHOLDER = re.compile(r"\{\{\s*args\.([\w.-]+)\s*\}\}")
_TEMPLATE_KINDS = ("AnalysisTemplate", "ClusterAnalysisTemplate")


def find(documents: Sequence[Document]) -> tuple[Release, ...]:
    """Every canary Rollout among the objects."""
    templates = {d.name: d for d in documents if d.kind in _TEMPLATE_KINDS}
    rollouts = [d for d in documents if d.kind == "Rollout" and "canary" in _strategy(d)]
    return tuple(_release(rollout, templates) for rollout in rollouts)


def walk(
    steps: Sequence[Any], replicas: int, surge: int | str, unavailable: int | str, *, routed: bool
) -> tuple[Stage, ...]:
    """The stages that the steps walk through, up to the implicit 100 % after the last one.

    With a traffic router the share is the weight; without one it is a count of pods. A pause
    without an end counts as none: nothing can be said of how long a person waits.
    """
    stages: list[Stage] = []
    now = 0.0
    for step in steps:
        weight = mapping(step).get("setWeight")
        if isinstance(weight, int) and not isinstance(weight, bool):
            stages.append(_stage(weight, replicas, surge, unavailable, now, routed=routed))
        now += pause_s(step) if stages else 0.0
        if stages:
            stages[-1] = _lasting(stages[-1], now - stages[-1].start_s)
    return tuple(stage for stage in stages if stage.weight > 0)


def pause_s(step: object) -> float:
    """How long a step waits; 0 for steps that do not, and for a wait without end."""
    return seconds(mapping(mapping(step).get("pause")).get("duration")) or 0.0


def seconds(value: object) -> float | None:
    """A duration as Argo reads it; None if it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    words = text(value)
    try:
        return float(words) if words.isdigit() else durations.parse(words)
    except ValueError:
        return None


def resolve(value: str, arguments: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """A text with its arguments filled in, and the names that have no value."""
    unknown = tuple(name for name in _PLACEHOLDER.findall(value) if name not in arguments)
    return _PLACEHOLDER.sub(lambda found: arguments.get(found[1], found[0]), value), unknown


def walkable(release: Release) -> model.Rollout:
    """The release as the step machine walks it, its gates resolved with the stand-in hashes.

    Shares of a traffic router are those of a hundred pods. Steps that change no share, and metrics
    of other providers, are walked past.
    """
    spec = release.rollout.spec
    canary = mapping(mapping(spec.get("strategy")).get("canary"))
    inline = {a.look.step: a for a in release.analyses if not a.look.background}
    background = next((a for a in release.analyses if a.look.background), None)
    steps = listed(canary.get("steps"))
    return model.Rollout(
        name=release.rollout.name or "rollout",
        namespace=text(mapping(release.rollout.body.get("metadata")).get("namespace")) or "default",
        replicas=100 if release.routed else release.replicas,
        steps=tuple(_step(raw, inline.get(index)) for index, raw in enumerate(steps)),
        background=_walked(background) if background else None,
        max_surge=0 if release.routed else release.max_surge,
        max_unavailable=1 if release.routed else release.max_unavailable,
        min_ready_s=seconds(spec.get("minReadySeconds")) or 0.0,
        progress_deadline_s=seconds(spec.get("progressDeadlineSeconds")) or 600.0,
        progress_deadline_abort=spec.get("progressDeadlineAbort") is True,
    )


# ------------------------------------------------------------------------------------- details


def _step(raw: object, analysis: Analysis | None) -> model.Step:
    weight = mapping(raw).get("setWeight")
    if isinstance(weight, int) and not isinstance(weight, bool):
        return model.SetWeight(weight)
    if analysis is not None and (walked := _walked(analysis)).metrics:
        return walked
    return model.Pause(pause_s(raw))


def _walked(analysis: Analysis) -> model.Analysis:
    metrics = tuple(gate.metric for gate in analysis.gates if gate.metric is not None)
    templates = tuple(dict.fromkeys(gate.template.name for gate in analysis.gates))
    return model.Analysis(templates, metrics, {}, analysis.look.step)


def _strategy(rollout: Document) -> Mapping[str, Any]:
    return mapping(rollout.spec.get("strategy"))


def _stage(
    weight: int,
    replicas: int,
    surge: int | str,
    unavailable: int | str,
    now: float,
    *,
    routed: bool,
) -> Stage:
    canary, stable = split(replicas, weight, surge, unavailable)
    share = weight / 100 if routed else canary / max(canary + stable, 1)
    return Stage(weight, canary, stable, now, 0.0, share)


def _lasting(stage: Stage, duration_s: float) -> Stage:
    return Stage(stage.weight, stage.canary, stage.stable, stage.start_s, duration_s, stage.share)


def _release(rollout: Document, templates: Mapping[str, Document]) -> Release:
    canary = mapping(_strategy(rollout).get("canary"))
    replicas = _whole(rollout.spec.get("replicas"), 1)
    surge, unavailable = (_fence(canary.get(k)) for k in ("maxSurge", "maxUnavailable"))
    routed = bool(mapping(canary.get("trafficRouting")))
    steps = listed(canary.get("steps"))
    stages = walk(steps, replicas, surge, unavailable, routed=routed)
    services = (text(canary.get("canaryService")),)
    return Release(
        rollout=rollout,
        replicas=replicas,
        max_surge=surge,
        max_unavailable=unavailable,
        routed=routed,
        steps=len(steps),
        stages=stages,
        analyses=tuple(_analyses(rollout, canary, steps, stages, templates)),
        canary_tokens=(LATEST, *(name for name in services if name)),
    )


def _analyses(
    rollout: Document,
    canary: Mapping[str, Any],
    steps: Sequence[Any],
    stages: tuple[Stage, ...],
    templates: Mapping[str, Document],
) -> Iterator[Analysis]:
    ends = _ends(steps)
    for index, step in enumerate(steps):
        if reference := mapping(mapping(step).get("analysis")):
            look = Look(False, index, ends[index], _until(stages, ends[index]))
            yield _analysis(rollout, reference, look, templates)
    if background := mapping(canary.get("analysis")):
        first = _whole(background.get("startingStep"), 0)
        at = ends[min(first, len(ends) - 1)] if ends else 0.0
        yield _analysis(rollout, background, Look(True, first, at, _until(stages, at)), templates)


def _ends(steps: Sequence[Any]) -> list[float]:
    """When each step is reached, counted from the first pod of the canary."""
    ends, now, started = [], 0.0, False
    for step in steps:
        ends.append(now)
        started = started or bool(mapping(step).get("setWeight"))
        now += pause_s(step) if started else 0.0
    return ends


def _until(stages: tuple[Stage, ...], at_s: float) -> tuple[Stage, ...]:
    return tuple(stage for stage in stages if stage.start_s < at_s)


def _analysis(
    rollout: Document, reference: Mapping[str, Any], look: Look, templates: Mapping[str, Document]
) -> Analysis:
    names = [text(mapping(t).get("templateName")) for t in listed(reference.get("templates"))]
    used = list(_flatten(names, templates, set()))
    given = [mapping(a) for a in listed(reference.get("args"))]
    declared = [mapping(a) for t in used for a in listed(t.spec.get("args"))]
    arguments = _merge(rollout, declared, given)
    known = {text(a.get("name")) for a in declared}
    patterns = [
        text(mapping(entry).get("metricName"))
        for holder in (*(t.spec for t in used), reference)
        for entry in listed(holder.get("dryRun"))
    ]
    return Analysis(
        look=look,
        gates=tuple(
            _gate(template, index, mapping(raw), arguments, look, patterns)
            for template in used
            for index, raw in enumerate(listed(template.spec.get("metrics")))
        ),
        missing=tuple(name for name in names if name not in templates),
        dropped=tuple(n for a in given if (n := text(a.get("name"))) not in known),
        dry_run=tuple(pattern for pattern in patterns if pattern),
    )


def _flatten(
    names: Iterable[str], templates: Mapping[str, Document], seen: set[str]
) -> Iterator[Document]:
    """Templates may list other templates; each is taken once."""
    for name in names:
        if name not in templates or name in seen:
            continue
        seen.add(name)
        yield templates[name]
        inner = [
            text(mapping(t).get("templateName"))
            for t in listed(templates[name].spec.get("templates"))
        ]
        yield from _flatten(inner, templates, seen)


def _merge(
    rollout: Document, declared: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    overrides = {text(a.get("name")): a for a in given}
    chosen = {text(a.get("name")): overrides.get(text(a.get("name")), a) for a in declared}
    values = {name: _argument(rollout, argument) for name, argument in chosen.items()}
    return {name: value for name, value in values.items() if value is not None}


def _argument(rollout: Document, argument: Mapping[str, Any]) -> str | None:
    source = mapping(argument.get("valueFrom"))
    if which := text(source.get("podTemplateHashValue")):
        return LATEST if which == "Latest" else STABLE
    if path := text(mapping(source.get("fieldRef")).get("fieldPath")):
        return _field(rollout, path)
    if mapping(source.get("secretKeyRef")):
        return "secret"
    return text(argument.get("value")) if "value" in argument else None


def _field(rollout: Document, path: str) -> str:
    """The Rollout's own field; one that only the cluster knows stays as its path."""
    value: Any = rollout.body
    for part in re.findall(r"[^.\[\]'\"]+|(?<=\[')[^']+", path):
        value = mapping(value).get(part)
    return text(value) or path


def _gate(
    template: Document,
    index: int,
    raw: Mapping[str, Any],
    arguments: Mapping[str, str],
    look: Look,
    patterns: Sequence[str],
) -> Gate:
    provider = mapping(raw.get("provider"))
    kind = next(iter(provider), "")
    fields = _Fields(raw, arguments)
    name = fields.text("name") or f"metrics[{index}]"
    metric = None
    if kind == "prometheus":
        query, unknown = resolve(text(mapping(provider[kind]).get("query")), arguments)
        fields.unresolved.extend(unknown)
        metric = _metric(name, query.strip(), fields, patterns)
    return Gate(
        template=template,
        index=index,
        name=name,
        provider=kind,
        look=look,
        raw=raw,
        metric=metric,
        unresolved=tuple(dict.fromkeys(fields.unresolved)),
        broken=fields.broken,
    )


@dataclass
class _Fields:
    """Reads a metric's fields with their arguments filled in, noting what cannot be read."""

    raw: Mapping[str, Any]
    arguments: Mapping[str, str]

    def __post_init__(self) -> None:
        self.unresolved: list[str] = []
        self.broken = ""

    def text(self, key: str) -> str:
        filled, unknown = resolve(text(self.raw.get(key)), self.arguments)
        self.unresolved.extend(unknown)
        return filled.strip()

    def whole(self, key: str, default: int) -> int:
        words = self.text(key)
        if not words or _PLACEHOLDER.search(words):
            return default
        try:
            return int(words)
        except ValueError:
            self.broken = f"{key} {words!r} is not a whole number"
            return default

    def seconds(self, key: str) -> float | None:
        words = self.text(key)
        found = seconds(words) if words else None
        if words and found is None and not _PLACEHOLDER.search(words):
            self.broken = f"{key} {words!r} is not a duration"
        return found


def _metric(name: str, query: str, fields: _Fields, patterns: Sequence[str]) -> Metric:
    return Metric(
        name=name,
        query=query,
        success_condition=fields.text("successCondition"),
        failure_condition=fields.text("failureCondition"),
        count=fields.whole("count", 0),
        interval_s=fields.seconds("interval"),
        initial_delay_s=fields.seconds("initialDelay") or 0.0,
        failure_limit=fields.whole("failureLimit", 0),
        inconclusive_limit=fields.whole("inconclusiveLimit", 0),
        consecutive_error_limit=fields.whole("consecutiveErrorLimit", 4),
        consecutive_success_limit=fields.whole("consecutiveSuccessLimit", 0),
        dry_run=any(matches(pattern, name) for pattern in patterns if pattern),
    )


def matches(pattern: str, name: str) -> bool:
    """Argo matches dry-run names as unanchored regular expressions (`GetDryRunMetrics`)."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def _whole(value: object, default: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return int(value) if isinstance(value, str) and value.isdigit() else default
    return max(value, 0)


def _fence(value: object) -> int | str:
    """MaxSurge or maxUnavailable; what is no number or percentage is Argo's default."""
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, 0)
    words = text(value)
    return words if re.fullmatch(r"\d{1,4}%?", words) else "25%"
