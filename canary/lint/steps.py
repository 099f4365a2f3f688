"""Rules about the steps: the shares that pods can give, and where nothing judges."""

from collections.abc import Iterator
from itertools import pairwise

from canary.argo.gates import Strategy
from canary.argo.model import Pause, SetWeight
from canary.argo.replicas import split
from canary.lint.pods import pod_of
from canary.lint.rule import Context, Family, Hit, percent
from canary.yamls import listed, mapping, scalar

# A share this far from its weight, relative to it, is another step than the one written down.
# 3 of 11 pods for 25 % (9 % off) is the best that pods can do; 1 of 5 for 10 % is twice it.
SHARE_TOLERANCE = 0.15


rule = Family()


@rule("no-analysis", needs=Strategy.CANARY)
def _no_analysis(context: Context) -> Iterator[Hit]:
    release = context.release
    others = release.unfollowed or Pause(None) in release.resolved.steps
    if not release.analyses and not others:
        yield release.rollout, "spec.strategy.canary", "there is no analysis at any step"


@rule("share-not-weight", needs=Strategy.CANARY)
def _share_not_weight(context: Context) -> Iterator[Hit]:
    release = context.release
    replicas = f"{release.replicas} replicas"
    if release.scaler:
        replicas += f", the fewest of {release.scaler},"
    for stage in () if release.routed else release.stages:
        if abs(stage.share * 100 - stage.weight) > SHARE_TOLERANCE * stage.weight:
            pods = f"{stage.canary} of {stage.canary + stage.stable} pods"
            message = f"setWeight {stage.weight} with {replicas} is {pods}, {percent(stage.share)}"
            yield release.rollout, "spec.replicas", message


@rule("step-adds-no-pod", needs=Strategy.CANARY)
def _step_adds_no_pod(context: Context) -> Iterator[Hit]:
    release = context.release
    for before, after in () if release.routed else pairwise(release.stages):
        if after.weight > before.weight and after.canary == before.canary:
            stays = f"the canary stays at {after.canary} pod(s)"
            message = f"from {before.weight} to {after.weight} {stays}"
            yield release.rollout, "spec.strategy.canary.steps", message


@rule("unguarded-end", needs=Strategy.CANARY)
def _unguarded_end(context: Context) -> Iterator[Hit]:
    release = context.release
    last = release.stages[-1].share if release.stages else 0.0
    weights = [i for i, step in enumerate(release.resolved.steps) if isinstance(step, SetWeight)]
    whole = max(weights, default=0) if last >= 1 else len(release.resolved.steps)
    guarded = any(a.moment.background or a.moment.step > whole for a in release.analyses)
    if release.analyses and not guarded:
        where = "at 100 %" if last >= 1 else f"from {percent(last)} to 100 %"
        yield release.rollout, "spec.strategy.canary", f"{where} no gate measures"


@rule("autoscaler-rounds-again", needs=Strategy.CANARY)
def _autoscaler_rounds_again(context: Context) -> Iterator[Hit]:
    release = context.release
    for document in context.autoscalers:
        target = mapping(document.spec.get("scaleTargetRef")).get("name")
        own = document.namespace == release.rollout.namespace
        if target != release.rollout.name or not own:
            continue
        fewest = document.spec.get("minReplicas", 1)
        # Where the Rollout names no replicas, share-not-weight says it of these.
        if release.routed or release.scaler is document or not isinstance(fewest, int):
            continue
        for stage in release.stages:
            canary, stable = split(fewest, stage.weight, release.max_surge, release.max_unavailable)
            share = canary / max(canary + stable, 1)
            if abs(share * 100 - stage.weight) > SHARE_TOLERANCE * stage.weight:
                message = f"at {fewest} replicas setWeight {stage.weight} is {percent(share)}"
                yield document, "spec.minReplicas", message


@rule("rollback-beyond-history", needs=Strategy.CANARY)
def _rollback_beyond_history(context: Context) -> Iterator[Hit]:
    spec = context.release.rollout.spec
    window = mapping(spec.get("rollbackWindow")).get("revisions")
    kept = spec.get("revisionHistoryLimit", 10)
    if isinstance(window, int) and isinstance(kept, int) and window > kept:
        message = f"{window} revisions, and {kept} are kept"
        yield context.release.rollout, "spec.rollbackWindow.revisions", message


@rule("rollback-never-ends", needs=Strategy.BLUE_GREEN)
def _rollback_never_ends(context: Context) -> Iterator[Hit]:
    spec = context.release.rollout.spec
    revisions = mapping(spec.get("rollbackWindow")).get("revisions")
    blue_green = mapping(mapping(spec.get("strategy")).get("blueGreen"))
    if isinstance(revisions, int) and revisions > 0 and blue_green.get("prePromotionAnalysis"):
        message = f"{revisions} revisions, and prePromotionAnalysis comes before the switch"
        yield context.release.rollout, "spec.rollbackWindow.revisions", message


@rule("ready-as-soon-as-alive", needs=Strategy.CANARY)
def _ready_as_soon_as_alive(context: Context) -> Iterator[Hit]:
    rollout = context.release.rollout
    for container in map(mapping, listed(pod_of(rollout).get("containers"))):
        probes = {"livenessProbe", "startupProbe"} & set(container)
        if container.get("ports") and probes and "readinessProbe" not in container:
            where = f"spec.template.spec.containers[{scalar(container.get('name'))}]"
            yield rollout, where, f"it has only a {' and a '.join(sorted(probes))}"


@rule("surge-is-per-cent", needs=Strategy.CANARY)
def _surge_is_per_cent(context: Context) -> Iterator[Hit]:
    canary = mapping(mapping(context.release.rollout.spec.get("strategy")).get("canary"))
    for key in ("maxSurge", "maxUnavailable"):
        value = canary.get(key)
        if isinstance(value, str) and value.isdigit():
            path = f"spec.strategy.canary.{key}"
            yield context.release.rollout, path, f'"{value}" is read as {value} %'
