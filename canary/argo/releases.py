"""Manifests → releases: which gate measures when, at what share of canary, with which query.

Whatever it meets it reads: a linter meets manifests that Argo would refuse, and must say so instead
of stopping. `rollout` is for who would rehearse them: it refuses what could not be resolved.
Replica counts come from the rehearsal's port of utils/replicaset/canary.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from canary import durations
from canary.argo import model, resolve, scalers
from canary.argo.gates import ANYWHERE, Analysis, Gate, Moment, Release, Stage, Strategy
from canary.argo.replicas import split
from canary.argo.templates import KINDS, Templates, is_argo, itself, references
from canary.errors import UsageError
from canary.yamls import Document, listed, mapping, scalar

# What the pod-template hashes read as where no release is made; no query holds these by chance.
LATEST, STABLE = "latest0hash", "stable0hash"
HASHES = model.Hashes(LATEST, STABLE)

# How long a person is taken to wait, where it matters and nobody knows.
PERSON_S = 600.0

NOTHING_GIVEN: Mapping[str, str] = MappingProxyType({})


def find(documents: Iterable[Document]) -> tuple[Release, ...]:
    """Every canary Rollout among the objects."""
    return _of(documents, lambda strategy: "canary" in strategy)


def blue_green(documents: Iterable[Document]) -> tuple[Release, ...]:
    """Every blue-green Rollout, whose analyses stand before and after the switch."""
    return _of(documents, lambda given: "blueGreen" in given and "canary" not in given)


def _of(
    documents: Iterable[Document], wanted: Callable[[Mapping[str, Any]], bool]
) -> tuple[Release, ...]:
    found = tuple(documents)
    templates = Templates(found)
    return tuple(
        read(document, templates, among=found)
        for document in found
        if document.kind == "Rollout"
        and is_argo(document)
        and wanted(mapping(document.spec.get("strategy")))
    )


def unreferenced(documents: Iterable[Document], others: Iterable[Release]) -> tuple[Release, ...]:
    """The templates that judge none of the releases, each as a release without a strategy."""
    found = tuple(documents)
    templates = Templates(found)
    used = {id(gate.template) for release in others for gate in release.gates}
    moment = Moment(False, 0, 0.0, (), ANYWHERE)
    return tuple(
        replace(
            read(document, templates),
            strategy=Strategy.NONE,
            analyses=(_analysis(document, itself(document), moment, templates, {}),),
        )
        for document in found
        if document.kind in KINDS and is_argo(document) and id(document) not in used
    )


def none_in(paths: Iterable[str]) -> UsageError:
    """What to raise where there is nothing to judge."""
    return UsageError(f"{', '.join(paths)} contains no canary Rollout", "name manifests with one")


def in_virtual_time(release: Release) -> model.Rollout:
    """The release as the step machine takes it in virtual time, with the hashes of nobody.

    A person who is waited for promotes after `PERSON_S`; what a web service or a Job is asked takes
    no time. A weight is per cent, whatever is all of a router's traffic.
    """
    canary = mapping(mapping(release.rollout.spec.get("strategy")).get("canary"))
    most = _most_weight(canary)

    def known(analysis: model.Analysis) -> model.Analysis | None:
        metrics = resolve.with_hashes(analysis, HASHES)
        asked = tuple(metric for metric in metrics if not (metric.json_path or metric.job))
        return replace(analysis, metrics=asked, arguments={}) if asked else None

    def step(given: model.Step) -> model.Step:
        if isinstance(given, model.Analysis):
            return known(given) or model.Pause(0.0)
        if isinstance(given, model.SetWeight):
            return model.SetWeight(round(given.weight * 100 / most))
        return model.Pause(PERSON_S) if given == model.Pause(None) else given

    resolved = release.resolved
    return replace(
        resolved,
        steps=tuple(step(given) for given in resolved.steps),
        background=known(resolved.background) if resolved.background else None,
    )


def read(
    document: Document,
    templates: Templates,
    given: Mapping[str, str] = NOTHING_GIVEN,
    among: Iterable[Document] = (),
) -> Release:
    """One Rollout with those of the templates that it refers to, and its autoscaler `among` others.

    With a traffic router the share is the weight, as of a hundred pods; without one it is a count
    of pods. Steps that change no share, and metrics of other providers, are passed over.
    """
    spec = document.spec
    scaled = scalers.fewest(document, among)
    replicas = scaled[0] if scaled else _whole(spec.get("replicas"), 1)
    canary = mapping(mapping(spec.get("strategy")).get("canary"))
    steps = tuple(_step(raw) for raw in listed(canary.get("steps")))
    routed = bool(mapping(canary.get("trafficRouting")))
    resolved = model.Rollout(
        name=document.name or "rollout",
        namespace=document.namespace or "default",
        replicas=100 if routed else replicas,
        steps=steps,
        max_surge=0 if routed else _fence(canary.get("maxSurge")),
        max_unavailable=1 if routed else _fence(canary.get("maxUnavailable")),
        min_ready_s=seconds(spec.get("minReadySeconds")) or 0.0,
        progress_deadline_s=seconds(spec.get("progressDeadlineSeconds")) or 600.0,
        progress_deadline_abort=spec.get("progressDeadlineAbort") is True,
    )
    stages, reached = _stages(resolved, routed=routed, most=_most_weight(canary))
    analyses = [
        _analysis(document, reference, moment, templates, given)
        for reference, moment in _references(canary, stages, reached)
    ]
    inline = {
        a.moment.step: a.resolved
        for a in analyses
        if not a.moment.background and a.resolved.metrics
    }
    release = Release(
        rollout=document,
        replicas=replicas,
        max_surge=_fence(canary.get("maxSurge")),
        max_unavailable=_fence(canary.get("maxUnavailable")),
        routed=routed,
        steps=len(steps),
        stages=stages,
        scaler=scaled[1] if scaled else None,
        analyses=tuple(analyses),
        canary_tokens=(LATEST, *filter(None, [scalar(canary.get("canaryService"))])),
        stable_tokens=(STABLE, *filter(None, [scalar(canary.get("stableService"))])),
        resolved=replace(
            resolved,
            steps=tuple(inline.get(index, step) for index, step in enumerate(steps)),
            background=next(
                (a.resolved for a in analyses if a.moment.background and a.resolved.metrics), None
            ),
        ),
    )
    strategy = mapping(spec.get("strategy"))
    switched = mapping(strategy.get("blueGreen")) if "canary" not in strategy else {}
    return _blue_green(release, switched, templates, given) if switched else release


def _blue_green(
    release: Release, raw: Mapping[str, Any], templates: Templates, given: Mapping[str, str]
) -> Release:
    """The same with what stands before and after the switch of all users, as steps.

    Source: rollout/bluegreen.go of v1.9.1. The pause begins once the analysis before it has passed.
    """
    analyses = {
        place: _analysis(
            release.rollout, reference, Moment(False, 0, 0.0, (), place), templates, given
        )
        for place in (model.PRE_PROMOTION, model.POST_PROMOTION)
        if (reference := mapping(raw.get(place)))
    }
    judged = {
        place: (replace(found.resolved, place=place),) if found.resolved.metrics else ()
        for place, found in analyses.items()
    }
    count, s = raw.get("previewReplicaCount"), _whole(raw.get("autoPromotionSeconds"), 0)
    by_hand = raw.get("autoPromotionEnabled") is False
    pause = (model.Pause(None if by_hand else float(s)),) if by_hand or s else ()
    everything = model.Preview(weight=100)
    steps = (
        everything if count is None else model.Preview(_whole(count, 0)),
        *judged.get(model.PRE_PROMOTION, ()),
        *pause,
        *(() if count is None else (everything,)),
        model.Switch(),
        *judged.get(model.POST_PROMOTION, ()),
    )
    services = (scalar(raw.get("previewService")), scalar(raw.get("activeService")))
    routing = model.Routing("blueGreen", services, blue_green=True, **_delays(raw))
    return replace(
        release,
        strategy=Strategy.BLUE_GREEN,
        analyses=tuple(analyses.values()),
        resolved=replace(
            release.resolved,
            steps=steps,
            routing=routing,
            canary_metadata=_metadata(raw.get("previewMetadata")),
            stable_metadata=_metadata(raw.get("activeMetadata")),
        ),
    )


def _metadata(raw: object) -> model.PodMetadata:
    """What the controller adds to pods (rollout/ephemeralmetadata.go)."""
    labels, annotations = (mapping(mapping(raw).get(key)) for key in ("labels", "annotations"))
    return model.PodMetadata(labels, annotations)


def _delays(raw: Mapping[str, Any]) -> dict[str, Any]:
    """How long pods stay that have no users any more (`scaleDownDelayHelper`, `addScaleDownDelay`).

    No delay sets no deadline, so that the old release stays for ever; a limit of no old ReplicaSets
    takes it at once.
    """
    promoted = _whole(raw.get("scaleDownDelaySeconds"), 30)
    aborted = raw.get("abortScaleDownDelaySeconds")
    at_once = raw.get("scaleDownDelayRevisionLimit") == 0
    return {
        "scale_down_delay_s": 0.0 if at_once else float(promoted) or None,
        "abort_scale_down_delay_s": float(_whole(aborted, 30)) or None,
        "abort_delay_given": aborted is not None,
    }


def rehearsed(release: Release) -> model.Rollout:
    """The release as the controller takes it: behind a router, with its real pods and all steps."""
    if release.strategy is Strategy.BLUE_GREEN:
        return release.resolved
    spec = release.rollout.spec
    canary = mapping(mapping(spec.get("strategy")).get("canary"))
    threshold = mapping(canary.get("replicaProgressThreshold"))
    enough = threshold.get("value")
    if threshold.get("type") == "Percent":
        enough = f"{enough}%"
    raw = listed(canary.get("steps"))
    return replace(
        release.resolved,
        replicas=release.replicas,
        max_surge=release.max_surge,
        max_unavailable=release.max_unavailable,
        steps=tuple(
            step if isinstance(step, model.Analysis) else _routed_step(given) or step
            for given, step in zip(raw, release.resolved.steps, strict=True)
        ),
        routing=_routing(canary) if release.routed else None,
        progress_threshold=enough,
        canary_metadata=_metadata(canary.get("canaryMetadata")),
        stable_metadata=_metadata(canary.get("stableMetadata")),
    )


def _routing(canary: Mapping[str, Any]) -> model.Routing:
    routing = mapping(canary["trafficRouting"])
    nginx = mapping(mapping(routing.get("nginx")).get("additionalIngressAnnotations"))
    routers = [name for name in routing if name not in ("managedRoutes", "maxTrafficWeight")]
    return model.Routing(
        router=", ".join(routers),
        services=(scalar(canary.get("canaryService")), scalar(canary.get("stableService"))),
        max_weight=_most_weight(canary),
        dynamic_stable_scale=canary.get("dynamicStableScale") is True,
        **_delays(canary),
        min_pods=_whole(canary.get("minPodsPerReplicaSet"), 0),
        routes=tuple(scalar(mapping(r).get("name")) for r in listed(routing.get("managedRoutes"))),
        always=tuple(_nginx_header(nginx)),
    )


def _most_weight(canary: Mapping[str, Any]) -> int:
    """The weight that is all of the traffic."""
    return _whole(mapping(canary.get("trafficRouting")).get("maxTrafficWeight"), 100) or 100


def _nginx_header(annotations: Mapping[str, Any]) -> Iterator[model.SetRoute]:
    """ingress-nginx's own header route: a value that is given, or the word `always`."""
    given = {name.rpartition("/")[2]: scalar(value) for name, value in annotations.items()}
    if header := given.get("canary-by-header"):
        pattern = given.get("canary-by-header-pattern")
        wanted = (
            model.TextMatch("regex", pattern)
            if pattern
            else model.TextMatch("exact", given.get("canary-by-header-value", "always"))
        )
        yield model.SetRoute(header, (model.RequestMatch({header.lower(): wanted}),))


def _routed_step(raw: object) -> model.Step | None:
    """A step that only a router knows; None for any other."""
    step = mapping(raw)
    if "setCanaryScale" not in step:
        return next(_set_routes(step), None)
    scale, routes = mapping(step["setCanaryScale"]), tuple(_set_routes(step))
    if scale.get("matchTrafficWeight") is True:
        return model.SetCanaryScale(routes=routes)
    replicas, weight = scale.get("replicas"), scale.get("weight")
    return model.SetCanaryScale(replicas, None if replicas is not None else weight, routes)


def _set_routes(step: Mapping[str, Any]) -> Iterator[model.SetRoute]:
    if header := mapping(step.get("setHeaderRoute")):
        matched = (mapping(match) for match in listed(header.get("match")))
        headers = ({scalar(m.get("headerName")): m.get("headerValue")} for m in matched)
        matches = tuple(_request_match({"headers": header}) for header in headers)
        yield model.SetRoute(scalar(header.get("name")), matches)
    if mirror := mapping(step.get("setMirrorRoute")):
        share = mirror.get("percentage")
        yield model.SetRoute(
            scalar(mirror.get("name")),
            tuple(_request_match(mapping(match)) for match in listed(mirror.get("match"))),
            100 if share is None else _whole(share, 100),
        )


def _request_match(raw: Mapping[str, Any]) -> model.RequestMatch:
    headers = ((name.lower(), _text_match(v)) for name, v in mapping(raw.get("headers")).items())
    return model.RequestMatch(
        {name: wanted for name, wanted in headers if wanted is not None},
        _text_match(raw.get("path")),
        _text_match(raw.get("method")),
    )


def _text_match(raw: object) -> model.TextMatch | None:
    kinds = mapping(raw)
    given = (kind for kind in ("exact", "prefix", "regex") if kinds.get(kind))
    return next((model.TextMatch(kind, scalar(kinds[kind])) for kind in given), None)


def _step(raw: object) -> model.SetWeight | model.Pause:
    """A step that changes the share or waits; any other is a wait of no length."""
    weight = mapping(raw).get("setWeight")
    if isinstance(weight, int) and not isinstance(weight, bool):
        return model.SetWeight(weight)
    if "pause" not in mapping(raw):
        return model.Pause(0.0)
    duration = mapping(mapping(raw)["pause"]).get("duration")
    return model.Pause(None if duration is None else seconds(duration) or 0.0)


def _stages(
    resolved: model.Rollout, *, routed: bool, most: int
) -> tuple[tuple[Stage, ...], tuple[float, ...]]:
    """The stages up to the implicit 100 % after the last step, and when each step is reached.

    `most` is the weight that is all of a router's traffic.
    """
    stages: list[Stage] = []
    reached: list[float] = []
    now = 0.0
    for step in resolved.steps:
        reached.append(now)
        if isinstance(step, model.SetWeight) and (stages or step.weight > 0):
            surge, unavailable = resolved.max_surge, resolved.max_unavailable
            canary, stable = split(resolved.replicas, step.weight, surge, unavailable)
            share = step.weight / most if routed else canary / max(canary + stable, 1)
            stages.append(Stage(step.weight, canary, stable, now, 0.0, share))
        elif isinstance(step, model.Pause) and stages:
            now += step.duration_s or 0.0
            stages[-1] = replace(stages[-1], duration_s=now - stages[-1].start_s)
    return tuple(stage for stage in stages if stage.weight > 0), tuple(reached)


def _references(
    canary: Mapping[str, Any], stages: tuple[Stage, ...], reached: Sequence[float]
) -> Iterator[tuple[Mapping[str, Any], Moment]]:
    """Each reference to templates, and where its analysis stands: steps first, then beside them."""

    def moment(step: int, at_s: float, *, background: bool) -> Moment:
        return Moment(background, step, at_s, tuple(s for s in stages if s.start_s < at_s))

    for index, step in enumerate(listed(canary.get("steps"))):
        if reference := mapping(mapping(step).get("analysis")):
            yield reference, moment(index, reached[index], background=False)
    if background := mapping(canary.get("analysis")):
        first = _whole(background.get("startingStep"), 0)
        at_s = reached[min(first, len(reached) - 1)] if reached else 0.0
        yield background, moment(first, at_s, background=True)


def _analysis(
    rollout: Document,
    reference: Mapping[str, Any],
    moment: Moment,
    templates: Templates,
    given: Mapping[str, str],
) -> Analysis:
    wanted = references(reference, rollout.namespace)
    used = list(templates.find(wanted, rollout))
    referred = [mapping(a) for a in listed(reference.get("args"))]
    declared = [mapping(a) for t in used for a in listed(t.spec.get("args"))]
    known = {scalar(a.get("name")) for a in declared}
    arguments = resolve.merge(rollout.body, declared, referred, given)
    patterns = resolve.dry_runs(*(t.spec for t in used), reference)
    read = [
        _gate(template, index, mapping(raw), arguments, moment, patterns)
        for template in used
        for index, raw in enumerate(listed(template.spec.get("metrics")))
    ]
    if refused := resolve.conflict(declared):
        read = [(replace(gate, broken=refused), metric) for gate, metric in read]
    hashes = {n: v for n, v in arguments.items() if isinstance(v, model.ReplicaSetName)}
    metrics = tuple(metric for _, metric in read if metric is not None)
    return Analysis(
        moment=moment,
        gates=tuple(gate for gate, _ in read),
        resolved=model.Analysis(
            tuple(t.name for t in wanted), metrics, hashes, moment.step if moment.background else 0
        ),
        missing=tuple(dict.fromkeys(t for t in wanted if t not in templates)),
        dropped=tuple(n for a in referred if (n := scalar(a.get("name"))) not in known),
        dry_run=patterns,
    )


def _gate(
    template: Document,
    index: int,
    raw: Mapping[str, Any],
    arguments: resolve.Arguments,
    moment: Moment,
    patterns: Sequence[str],
) -> tuple[Gate, model.Metric | None]:
    """A metric as a gate, and as the controller gets it: with the names of hashes, or nothing."""
    provider = next(iter(mapping(raw.get("provider"))), "")
    fields = resolve.Fields(raw, arguments)
    name = fields.text(raw.get("name")) or f"metrics[{index}]"
    metric = fields.metric(name, patterns) if provider in ("prometheus", "web", "job") else None
    known = {
        argument: LATEST if value is model.ReplicaSetName.LATEST else STABLE
        for argument, value in arguments.items()
        if isinstance(value, model.ReplicaSetName)
    }
    gate = Gate(
        template=template,
        index=index,
        name=name,
        provider=provider,
        moment=moment,
        raw=raw,
        # What a web service says is not known from its address, nor a Job's end from its pod.
        metric=None
        if metric is None or metric.json_path or metric.job
        else replace(
            metric,
            query=resolve.fill(metric.query, known)[0],
            success_condition=resolve.fill(metric.success_condition, known)[0],
            failure_condition=resolve.fill(metric.failure_condition, known)[0],
        ),
        unresolved=tuple(fields.unresolved),
        broken=fields.broken,
    )
    return gate, metric


def pause_s(step: object) -> float:
    """How long a step waits; 0 for steps that do not, and for a wait without end."""
    return seconds(mapping(mapping(step).get("pause")).get("duration")) or 0.0


def seconds(value: object) -> float | None:
    """A duration of a Rollout as Argo reads it, where a bare number is seconds; None if none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    words = scalar(value)
    try:
        return float(words) if words.isdigit() else durations.parse(words)
    except ValueError:
        return None


def _whole(value: object, default: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return int(value) if isinstance(value, str) and value.isdigit() else default
    return max(value, 0)


def _fence(value: object) -> int | str:
    """MaxSurge or maxUnavailable; what is no number or percentage is Argo's default."""
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, 0)
    words = scalar(value)
    return words if re.fullmatch(r"\d{1,4}%?", words) else "25%"
