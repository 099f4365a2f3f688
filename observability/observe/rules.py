"""Rule files → frozen types, and back into the forms in which others want them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from canary import durations
from canary.errors import UsageError

# A recorded series in an expression: names of ours have colons, an exporter's have none.
_SERIES = re.compile(r"\b\w+(?::\w+)+")


@dataclass(frozen=True)
class Rule:
    """A recorded series, or an alert; `hold_s` is an alert's `for`."""

    name: str
    expression: str
    alert: bool = False
    hold_s: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after another; `interval_s` is None for the server's own."""

    name: str
    file: Path
    interval_s: float | None
    rules: tuple[Rule, ...]


def files(folder: Path) -> list[Path]:
    """Every rule file below a folder, the generated one included, in a fixed order."""
    return sorted(folder.rglob("*.yaml"))


def read(folder: Path) -> tuple[Group, ...]:
    """Every group of every rule file below a folder.

    Raises:
        UsageError: if there are none, or a file is not one of rules.
    """
    groups = tuple(group for file in files(folder) for group in _groups(file))
    if not groups:
        raise UsageError(f"{folder} contains no rules", "name a folder with rule files")
    return groups


def alerts(groups: Sequence[Group]) -> tuple[Rule, ...]:
    """The alerts among the rules."""
    return tuple(rule for group in groups for rule in group.rules if rule.alert)


def records(groups: Sequence[Group]) -> tuple[Rule, ...]:
    """The recorded series among the rules."""
    return tuple(rule for group in groups for rule in group.rules if not rule.alert)


def ordered(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The groups, each after those that record what it reads.

    A server evaluates groups side by side; where they come one after another, in promtool's tests
    and in a first evaluation, an order by chance would make each see the last round's series.
    """
    by_name = {group.name: group for group in groups}
    return tuple(by_name[name] for name in TopologicalSorter(_reads(groups)).static_order())


def needed(groups: Sequence[Group], alert: str) -> tuple[Group, ...]:
    """The groups of those files, loaded whole, that an alert stands in and that it is made from."""
    reads = _reads(groups)
    found: set[str] = set()
    more = {group.name for group in groups for rule in group.rules if rule.name == alert}
    while more:
        found |= more
        more = set().union(*(reads[name] for name in more)) - found
    files = {group.file for group in groups if group.name in found}
    return tuple(group for group in groups if group.file in files)


def _reads(groups: Sequence[Group]) -> dict[str, set[str]]:
    """The other groups that record what each reads."""
    recorder = {rule.name: group.name for group in groups for rule in group.rules if not rule.alert}
    return {
        group.name: {
            recorder[series]
            for rule in group.rules
            for series in _SERIES.findall(rule.expression)
            if recorder.get(series, group.name) != group.name
        }
        for group in groups
    }


def scaled(groups: Sequence[Group], factor: float, shortest_s: float) -> tuple[Group, ...]:
    """The same rules with every window, `for` and interval divided by `factor`.

    A window never gets shorter than `shortest_s`: below four scrapes a rate says nothing.
    """
    return tuple(_scaled_group(group, factor, shortest_s) for group in groups)


def scaled_expression(expression: str, factor: float, shortest_s: float) -> str:
    """A query with every window divided by `factor`, and none shorter than `shortest_s`."""
    shrunk = durations.scale_query(expression, factor)
    for seconds in set(durations.ranges_s(shrunk)):
        if seconds < shortest_s:
            short = durations.render(seconds)
            shrunk = shrunk.replace(f"[{short}]", f"[{durations.render(shortest_s)}]")
    return shrunk


def document(groups: Sequence[Group]) -> dict[str, Any]:
    """The groups as the content of one rule file."""
    return {"groups": [_group_body(group) for group in groups]}


def _groups(file: Path) -> Iterator[Group]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in content["groups"]:
            rules = tuple(_rule(body) for body in group["rules"])
            interval = group.get("interval")
            seconds = durations.parse(interval) if interval else None
            yield Group(group["name"], file, seconds, rules)
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as wrong:
        raise UsageError(
            f"{file} is not a rule file: {wrong!r}", "run promtool check rules"
        ) from None


def _rule(body: Mapping[str, Any]) -> Rule:
    return Rule(
        name=body.get("alert") or body["record"],
        expression=str(body["expr"]).strip(),
        alert="alert" in body,
        hold_s=durations.parse(body.get("for", "0")),
        labels=body.get("labels", {}),
        annotations=body.get("annotations", {}),
    )


def _scaled_group(group: Group, factor: float, shortest_s: float) -> Group:
    rules = tuple(
        replace(
            rule,
            expression=scaled_expression(rule.expression, factor, shortest_s),
            hold_s=rule.hold_s / factor,
        )
        for rule in group.rules
    )
    interval_s = None if group.interval_s is None else max(1.0, group.interval_s / factor)
    return replace(group, rules=rules, interval_s=interval_s)


def _group_body(group: Group) -> dict[str, Any]:
    body: dict[str, Any] = {"name": group.name}
    if group.interval_s is not None:
        body["interval"] = durations.render(group.interval_s)
    return body | {"rules": [_rule_body(rule) for rule in group.rules]}


def _rule_body(rule: Rule) -> dict[str, Any]:
    body: dict[str, Any] = {"alert" if rule.alert else "record": rule.name, "expr": rule.expression}
    if rule.hold_s:
        body["for"] = durations.render(rule.hold_s)
    said = {"labels": dict(rule.labels), "annotations": dict(rule.annotations)}
    return body | {name: pairs for name, pairs in said.items() if pairs}
