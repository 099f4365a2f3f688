"""Broken copies of somebody's gates, made from the manifests' own structure.

Each mutant is one mistake that people make: a matcher, a window, a limit, a condition, a step. What
an object is called plays no part, but for the names by which its own text refers to it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary.argo import promql, releases, threshold
from canary.argo.gates import Gate, Release
from canary.argo.promql import PromqlError
from canary.power.edits import Edit
from canary.yamls import Document, listed, mapping, scalar

_ARGUMENT = re.compile(r"\{\{\s*args\.([\w-]+)\s*\}\}")
_COMPARISON = re.compile(r"(result\[0\]\s*)(<=|>=|<|>)(\s*)")
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_RANGE = re.compile(r"\[(\d+)([smh])\]")
_CONTAINER = re.compile(r',?\s*container="[^"]*"')
_BY = re.compile(r"\bby \((?!le\b)[^)]+\)")
_CANARY = ("spec", "strategy", "canary")
# So few replicas give other shares than the weights.
FEW = 4
# A label of outcomes, where failures or all but them are selected by an expression.
_OUTCOME = re.compile(r'\b(\w+)(=~|!~)"((?:5|\[4-?5\])[^"]*)"')


@dataclass(frozen=True)
class Mutant:
    """One broken copy: what is wrong with it, the edits, and the gates that they are about."""

    name: str
    edits: tuple[Edit, ...]
    gates: tuple[str, ...] = ()


def generate(documents: Sequence[Document]) -> tuple[Mutant, ...]:
    """The mutants of the one release among the objects, each of another name."""
    (release,) = releases.find(documents)
    found = [*_of_gates(release), *_of_arguments(release), *_of_rollout(release)]
    return tuple({mutant.name: mutant for mutant in found}.values())


def _of_gates(release: Release) -> Iterator[Mutant]:
    for gate in {(g.template.name, g.name): g for g in release.gates if g.metric}.values():
        yield from _of_query(gate, gate.query, release)
        yield from _of_conditions(gate)
        yield _mutant(gate, "taken out", _edit(gate, delete=True))
        yield _mutant(gate, "a thousand failures allowed", _edit(gate, "failureLimit", value=1000))


def _of_query(gate: Gate, query: str, release: Release) -> Iterator[Mutant]:
    def asking(what: str, text: str) -> Iterator[Mutant]:
        if text != query and _is_promql(text):
            path = ("provider", "prometheus", "query")
            yield _mutant(gate, what, _edit(gate, *path, value=text))

    for name in _of_the_canary(release):
        reference = rf"\{{\{{\s*args\.{re.escape(name)}\s*\}}\}}"
        plain = re.sub(rf',?\s*\w+=~?"{reference}(?:\.\*)?"', "", query)
        plain = re.sub(r"\{\s*,\s*", "{", plain)
        yield from asking("not scoped", re.sub(rf"{reference}-", "", plain))
    for what, other in _MISREAD.items():
        yield from asking(what, _OUTCOME.sub(other, query))
    yield from asking("failures not filled with 0", query.replace(" or vector(0)", ""))
    yield from asking("windows ten times as long", _RANGE.sub(r"[\g<1>0\2]", query))
    yield from asking("all containers", _CONTAINER.sub("", query))
    # That some count is above 0 says the same of their sum and of the largest of them.
    counts = gate.metric is not None and not set(threshold.numbers(gate.metric)) - {0.0}
    if not counts or "/" in query:
        yield from asking("not told apart", _BY.sub("by (namespace)", query))
    yield from asking("the median", query.replace("0.95", "0.5", 1))
    for metric in sorted(set(re.findall(r"\b([a-z_]+)\{", query)))[:1]:
        yield from asking("a metric that is not there", query.replace(metric, f"my_{metric}"))
        if metric == "kube_pod_container_status_restarts_total":
            selector = rf"({metric}\{{(?:[^{{}}]|{_ARGUMENT.pattern})*\}})"
            yield from asking("by increase()", re.sub(selector, r"increase(\1[1m])", query))


def _of_conditions(gate: Gate) -> Iterator[Mutant]:
    keys = ("successCondition", "failureCondition")
    given = {key: scalar(gate.raw.get(key)) for key in keys if gate.raw.get(key)}
    if not given:
        return
    whatever = {"successCondition": "true", "failureCondition": "false"}
    unasked = "len(result) > 0 && !isNaN(result[0]) && "
    for what, other in (
        ("compared the other way", {k: _COMPARISON.sub(_turned, t) for k, t in given.items()}),
        ("passes whatever it finds", {k: whatever[k] for k in given}),
        ("no data not asked for", {k: t.replace(unasked, "") for k, t in given.items()}),
    ):
        edits = [_edit(gate, k, value=text) for k, text in other.items() if text != given[k]]
        if edits:
            yield _mutant(gate, what, *edits)


def _of_arguments(release: Release) -> Iterator[Mutant]:
    """Limits, windows and addresses that stand in the templates' arguments.

    Templates of one analysis share what they both declare: two values would be refused.
    """
    seen: set[tuple[Edit, ...]] = set()
    for template in release.templates:
        for name, value in _values(template).items():
            holders = [t for t in _beside(release, template) if _values(t).get(name) == value]
            users = [
                gate.name
                for gate in release.gates
                if gate.template in holders and name in _ARGUMENT.findall(str(gate.raw))
            ]
            for what, other in _other_values(value):
                path = ("spec", "args", f"name={name}", "value")
                edits = tuple(Edit(t.kind, path, other, name=t.name) for t in holders)
                if edits not in seen:
                    said = f"{template.name} {name}: {what}"
                    yield Mutant(said, edits, tuple(dict.fromkeys(users)))
                seen.add(edits)


def _values(template: Document) -> dict[str, str]:
    declared = (mapping(argument) for argument in listed(template.spec.get("args")))
    return {scalar(a.get("name")): scalar(a.get("value")) for a in declared if "value" in a}


def _beside(release: Release, template: Document) -> list[Document]:
    """The templates that some analysis refers to together with this one, and itself."""
    asked = [{id(gate.template) for gate in analysis.gates} for analysis in release.analyses]
    together = {id(template)}.union(*(ids for ids in asked if id(template) in ids))
    return [other for other in release.templates if id(other) in together]


def _other_values(value: str) -> Iterator[tuple[str, str]]:
    """What a value is mistaken for: a number ten times too large or small, another port."""
    try:
        number = float(value)
    except ValueError:
        port = re.fullmatch(r"(https?://.+:)(\d+)", value)
        if port:
            yield "another port", f"{port[1]}{int(port[2]) + 1}"
        return
    if number:
        yield "ten times", f"{number * 10:g}"
        yield "a tenth", f"{number / 10:g}"
    else:
        yield "10 for 0", "10"


def _of_rollout(release: Release) -> Iterator[Mutant]:
    """The steps, the pods, and what ends a release that hangs."""
    rollout = release.rollout
    canary = mapping(mapping(rollout.spec.get("strategy")).get("canary"))
    steps = [mapping(step) for step in listed(canary.get("steps"))]
    yield from _of_steps(release, steps)
    if canary.get("analysis"):
        yield _changed(rollout, "the background analysis taken out", *_CANARY, "analysis")
        late = (*_CANARY, "analysis", "startingStep")
        what = "the background analysis from the last step on"
        yield _changed(rollout, what, *late, to=max(len(steps) - 1, 0))
    yield from _of_references(rollout, canary, steps)
    if not release.routed and release.replicas > FEW:
        yield _changed(rollout, f"{FEW} replicas", "spec", "replicas", to=FEW)
    if rollout.spec.get("progressDeadlineAbort") is True:
        what = "no abort at the progress deadline"
        yield _changed(rollout, what, "spec", "progressDeadlineAbort", to=False)
    if rollout.spec.get("rollbackWindow"):
        what = "back to a hundred revisions without gates"
        yield _changed(rollout, what, "spec", "rollbackWindow", "revisions", to=100)
    pod = mapping(mapping(rollout.spec.get("template")).get("spec"))
    for index, container in enumerate(listed(pod.get("containers"))):
        if mapping(container).get("readinessProbe"):
            probe = ("spec", "template", "spec", "containers", str(index), "readinessProbe")
            yield _changed(rollout, "no readiness probe", *probe)
    for template in release.templates:
        every = [{"metricName": ".*"}]
        yield _changed(template, f"{template.name} as a dry run", "spec", "dryRun", to=every)


def _of_steps(release: Release, steps: Sequence[Mapping[str, Any]]) -> Iterator[Mutant]:
    rollout = release.rollout
    for index, step in enumerate(steps):
        where = (*_CANARY, "steps", str(index))
        if "analysis" in step:
            yield _changed(rollout, f"the analysis of step {index} taken out", *where)
        if pause := releases.pause_s(step):
            what = f"a tenth of the pause of step {index}"
            tenth = f"{max(int(pause / 10), 1)}s"
            yield _changed(rollout, what, *where, "pause", "duration", to=tenth)
    weights = [index for index, step in enumerate(steps) if "setWeight" in step]
    if weights:
        first = (*_CANARY, "steps", str(weights[0]), "setWeight")
        yield _changed(rollout, "half of the users at the first step", *first, to=50)


def _of_references(
    rollout: Document, canary: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]
) -> Iterator[Mutant]:
    """The Rollout's own arguments: whose hash, and how long a window."""
    holders: dict[tuple[str, ...], Any] = {(*_CANARY, "analysis"): canary.get("analysis")}
    for index, step in enumerate(steps):
        holders[(*_CANARY, "steps", str(index), "analysis")] = step.get("analysis")
    swapped: list[Edit] = []
    longer: list[Edit] = []
    for place, holder in holders.items():
        for argument in map(mapping, listed(mapping(holder).get("args"))):
            path = (*place, "args", f"name={scalar(argument.get('name'))}")
            source = mapping(argument.get("valueFrom"))
            value = scalar(argument.get("value"))
            if source.get("podTemplateHashValue") == "Latest":
                whose = (*path, "valueFrom", "podTemplateHashValue")
                swapped.append(Edit(rollout.kind, whose, "Stable", name=rollout.name))
            elif not value.isdigit() and releases.seconds(value):
                longer.append(Edit(rollout.kind, (*path, "value"), "30m", name=rollout.name))
    if swapped:
        yield Mutant("stable judged in place of the canary", tuple(swapped))
    if longer:
        yield Mutant("windows of half an hour", tuple(longer))


# ------------------------------------------------------------------------------------- details


def _changed(document: Document, what: str, *path: str, to: Any = None) -> Mutant:
    """A mutant by one change of an object: another value, or none."""
    edit = Edit(document.kind, path, to, to is None, name=document.name)
    return Mutant(what, (edit,))


def _mutant(gate: Gate, what: str, *edits: Edit) -> Mutant:
    return Mutant(f"{gate.name}: {what}", edits, (gate.name,))


def _edit(gate: Gate, *path: str, value: Any = None, delete: bool = False) -> Edit:
    whole = ("spec", "metrics", f"name={gate.name}", *path)
    return Edit(gate.template.kind, whole, value, delete, name=gate.template.name)


def _of_the_canary(release: Release) -> set[str]:
    """The arguments that name the canary: by its hash, or by its Service."""
    canary = mapping(mapping(release.rollout.spec.get("strategy")).get("canary"))
    steps = (mapping(step) for step in listed(canary.get("steps")))
    holders = [canary.get("analysis"), *(step.get("analysis") for step in steps)]
    given = [mapping(a) for holder in holders for a in listed(mapping(holder).get("args"))]
    return {
        scalar(argument.get("name"))
        for argument in given
        if mapping(argument.get("valueFrom")).get("podTemplateHashValue") == "Latest"
        or scalar(argument.get("value")) in release.canary_tokens
    }


def _is_promql(query: str) -> bool:
    filled = re.sub(r"\[\s*\{\{.*?\}\}", "[1m", query)
    try:
        promql.parse(_ARGUMENT.sub("1", filled))
    except PromqlError:
        return False
    return True


def _turned(found: re.Match[str]) -> str:
    return f"{found[1]}{_OPPOSITE[found[2]]}{found[3]}"


_EXACT = {"=~": "=", "!~": "!="}


def _one(value: str) -> Callable[[re.Match[str]], str]:
    """One value in place of an expression."""
    return lambda found: f'{found[1]}{_EXACT[found[2]]}"{value}"'


def _only(matcher: str) -> Callable[[re.Match[str]], str]:
    """A matcher more, where failures are counted."""
    return lambda found: f"{matcher}, {found[0]}" if found[2] == "=~" else found[0]


# In how many ways a label of outcomes is misread.
_MISREAD: Mapping[str, Callable[[re.Match[str]], str]] = {
    "5xx as a word": _one("5xx"),
    "one status of the failures": _one("500"),
    "4.. for 5..": lambda found: f'{found[1]}{found[2]}"4.."',
    "POST left out": _only('method="GET"'),
    "one route": _only('route="/v1/0"'),
}
