"""A gate's text → its query, conditions and numbers: the one place where `{{args.…}}` is filled in.

Arguments are merged as `MergeArgs`, utils/analysis/helpers.go @9f8d111 does it: what refers to a
template wins over the template, and a value for a name that it does not declare is dropped. What
names a pod-template hash stays as it is written until a run is created, which knows the hashes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from canary import durations
from canary.argo.model import Analysis, Argument, Hashes, Metric, ReplicaSetName, WebRequest
from canary.yamls import listed, mapping, scalar

PLACEHOLDER = re.compile(r"\{\{\s*args\.([\w.-]+)\s*\}\}")

# The JSON path of a web metric that gives none.
WHOLE = "{$}"

Arguments = Mapping[str, Argument]
_Value = TypeVar("_Value")


def fill(text: str, arguments: Arguments) -> tuple[str, tuple[str, ...]]:
    """A text with its literal arguments filled in, and the names that have no value."""

    def value(found: re.Match[str]) -> str:
        known = arguments.get(found[1], found[0])
        return found[0] if isinstance(known, ReplicaSetName) else known

    unknown = tuple(name for name in PLACEHOLDER.findall(text) if name not in arguments)
    return PLACEHOLDER.sub(value, text), unknown


def filled(metric: Metric, arguments: Mapping[str, str]) -> Metric:
    """A metric with the arguments of its query and conditions filled in.

    Raises:
        ValueError: if an argument has no value.
    """

    def told(text: str) -> str:
        whole, unknown = fill(text, arguments)
        for name in unknown:
            raise ValueError(f"metric {metric.name}: argument '{name}' has no value")
        return whole

    sent = metric.request
    return replace(
        metric,
        query=told(metric.query),
        success_condition=told(metric.success_condition),
        failure_condition=told(metric.failure_condition),
        request=replace(
            sent,
            headers=tuple((key, told(value)) for key, value in sent.headers),
            body=told(sent.body),
        ),
    )


def with_hashes(analysis: Analysis, hashes: Hashes) -> tuple[Metric, ...]:
    """The metrics of an analysis of the release with these hashes.

    Raises:
        ValueError: if an argument has no value.
    """
    known = {ReplicaSetName.LATEST: hashes.latest, ReplicaSetName.STABLE: hashes.stable}
    values = {
        name: known[value] if isinstance(value, ReplicaSetName) else value
        for name, value in analysis.arguments.items()
    }
    return tuple(filled(metric, values) for metric in analysis.metrics)


def merge(
    rollout: Mapping[str, Any],
    declared: Sequence[Mapping[str, Any]],
    referred: Sequence[Mapping[str, Any]],
    given: Mapping[str, str],
) -> dict[str, Argument]:
    """The declared arguments that have a value.

    Args:
        rollout: The Rollout that a `fieldRef` asks.
        declared: The arguments of the templates.
        referred: Those of the Rollout's reference to them, which win.
        given: The caller's own, which win over both.
    """
    overrides = {scalar(argument.get("name")): argument for argument in referred}
    overrides |= {name: {"name": name, "value": value} for name, value in given.items()}
    names = dict.fromkeys(scalar(argument.get("name")) for argument in declared)
    # A value that one template leaves open is another's (`flattenArgs`, utils/analysis/helpers.go).
    chosen = {scalar(a.get("name")): a for a in (*declared, *filter(_valued, declared))} | {
        name: overrides[name] for name in names if name in overrides
    }
    values = {name: _value(rollout, argument) for name, argument in chosen.items()}
    return {name: value for name, value in values.items() if value is not None}


def literals(arguments: object) -> dict[str, str]:
    """The values that a list of arguments gives, by their names, as they are written."""
    given = map(mapping, listed(arguments))
    return {scalar(a.get("name")): scalar(a.get("value")) for a in given if "value" in a}


def conflict(declared: Sequence[Mapping[str, Any]]) -> str:
    """Which argument two templates of one analysis give different values; Argo refuses that."""
    values: dict[str, str] = {}
    for argument in filter(_valued, declared):
        name, value = scalar(argument.get("name")), scalar(argument.get("value"))
        if values.setdefault(name, value) != value:
            return f"argument {name!r} has two values, {values[name]!r} and {value!r}"
    return ""


def _valued(argument: Mapping[str, Any]) -> bool:
    return argument.get("value") is not None


def _value(rollout: Mapping[str, Any], argument: Mapping[str, Any]) -> Argument | None:
    source = mapping(argument.get("valueFrom"))
    if which := scalar(source.get("podTemplateHashValue")):
        return ReplicaSetName.LATEST if which == "Latest" else ReplicaSetName.STABLE
    if path := scalar(mapping(source.get("fieldRef")).get("fieldPath")):
        value: Any = rollout
        for key, part in re.findall(r"\['([^']+)'\]|([^.\[\]'\"]+)", path):
            value = mapping(value).get(key or part)
        if path.startswith(("metadata.annotations[", "metadata.labels[")):
            return scalar(value)  # an absent one is empty (ExtractFieldPathAsString)
        return scalar(value) or path  # what only the cluster knows stays as its path
    if mapping(source.get("secretKeyRef")):
        return "secret"
    return scalar(argument.get("value")) if "value" in argument else None


@dataclass
class Fields:
    """Reads a metric's fields with their arguments filled in, noting what cannot be read."""

    raw: Mapping[str, Any]
    arguments: Arguments
    unresolved: list[str] = field(default_factory=list)
    broken: str = ""

    def text(self, value: object) -> str:
        """A text, without the space around it."""
        text, unknown = fill(scalar(value), self.arguments)
        self.unresolved += [name for name in unknown if name not in self.unresolved]
        return text.strip()

    def metric(self, name: str, dry_runs: Sequence[str] = ()) -> Metric:
        """The metric, its fields with Argo's defaults."""
        provider = mapping(self.raw.get("provider"))
        prometheus, web = mapping(provider.get("prometheus")), mapping(provider.get("web"))
        timeout = web.get("timeoutSeconds", 10) if web else prometheus.get("timeout")
        return Metric(
            name=name,
            query=self.text(web.get("url") if web else prometheus.get("query")),
            address=self.text(prometheus.get("address")),
            job="job" in provider,
            json_path=(self.text(web.get("jsonPath")) or WHOLE) if web else "",
            request=self._request(web),
            success_condition=self.text(self.raw.get("successCondition")),
            failure_condition=self.text(self.raw.get("failureCondition")),
            count=self._whole("count", 0),
            interval_s=self._seconds("interval"),
            initial_delay_s=self._seconds("initialDelay") or 0.0,
            failure_limit=self._whole("failureLimit", 0),
            inconclusive_limit=self._whole("inconclusiveLimit", 0),
            consecutive_error_limit=self._whole("consecutiveErrorLimit", 4),
            consecutive_success_limit=self._whole("consecutiveSuccessLimit", 0),
            dry_run=any(matches(pattern, name) for pattern in dry_runs if pattern),
            timeout_s=float(timeout) if isinstance(timeout, int) and timeout > 0 else 30.0,
        )

    def _request(self, web: Mapping[str, Any]) -> WebRequest:
        """What a web metric sends; of a JSON body the controller says that it is one."""
        given = (
            (scalar(h.get("key")), h.get("value")) for h in map(mapping, listed(web.get("headers")))
        )
        headers = {key: self.text(value) for key, value in given}
        body = self.text(web.get("body"))
        if web.get("jsonBody") is not None:
            headers = {**headers, "Content-Type": "application/json"}
            body = self.text(json.dumps(web["jsonBody"]))
        return WebRequest(scalar(web.get("method")) or "GET", tuple(headers.items()), body)

    def _whole(self, key: str, default: int) -> int:
        return self._read(key, default, int, "a whole number")

    def _seconds(self, key: str) -> float | None:
        return self._read(key, None, durations.parse, "a duration")

    def _read(self, key: str, default: _Value, parse: Callable[[str], _Value], what: str) -> _Value:
        words = self.text(self.raw.get(key))
        if not words or PLACEHOLDER.search(words):
            return default
        try:
            return parse(words)
        except ValueError:
            self.broken = f"{key} {words!r} is not {what}"
            return default


def matches(pattern: str, name: str) -> bool:
    """Argo matches dry-run names as unanchored regular expressions (`GetDryRunMetrics`)."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def dry_runs(*holders: Mapping[str, Any]) -> tuple[str, ...]:
    """The patterns of the metrics that are measured and not judged."""
    entries = (mapping(entry) for holder in holders for entry in listed(holder.get("dryRun")))
    return tuple(pattern for entry in entries if (pattern := scalar(entry.get("metricName"))))
