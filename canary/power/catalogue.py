"""The rules' examples, and the page that documents each rule with them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from canary.errors import UsageError
from canary.lint.rule import Rule
from canary.lint.rules import RULES
from canary.power import edits
from canary.yamls import Document

EXAMPLES = Path(__file__).with_name("examples.yaml")

HEAD = """\
# The rules of `canary lint`

Written by `canary lint --list-rules`; a test holds this page equal to it. Each rule's example is a
change of one small release (`good` in [examples.yaml](../../canary/power/examples.yaml)), and the
tests run it.
An error blinds a gate or rolls back healthy releases; a warning weakens one; a note does not count.
"""


@dataclass(frozen=True)
class Example:
    """A release on either side of a rule."""

    rule: str
    failing: tuple[Document, ...]
    passing: tuple[Document, ...]
    shown: tuple[Mapping[str, Any], ...]


def examples() -> Iterator[Example]:
    """Every rule's example."""
    raw = _raw()
    good = good_release()
    for rule, example in raw["rules"].items():
        base = (*good, Document("example", example["adds"])) if "adds" in example else good
        yield Example(
            rule,
            edits.apply(base, [edits.read(edit) for edit in example["fails"]]),
            edits.apply(base, [edits.read(edit) for edit in example.get("passes", [])]),
            tuple(example["fails"]),
        )


def good_release() -> tuple[Document, ...]:
    """The release that passes every rule."""
    return tuple(Document("example", body) for body in _raw()["good"])


def scrape() -> str:
    """What the example's service exports."""
    return str(_raw()["contract"])


def render() -> str:
    """The page of all rules, as Markdown."""
    shown = {example.rule: example.shown for example in examples()}
    return "\n".join([HEAD, *(_section(rule, shown[rule.id]) for rule in RULES.values())]).rstrip()


def explain(name: str) -> str:
    """One rule's section of that page.

    Raises:
        UsageError: if there is no such rule.
    """
    if name not in RULES:
        close = get_close_matches(name, RULES, n=1)
        remedy = f"did you mean {close[0]}?" if close else "see canary lint --list-rules"
        raise UsageError(f"{name!r} is not a rule", remedy)
    return _section(RULES[name], _raw()["rules"][name]["fails"]).rstrip()


@lru_cache(maxsize=1)
def _raw() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    return content


def _section(rule: Rule, shown: tuple[Mapping[str, Any], ...]) -> str:
    example = "\n".join(_line(edit) for edit in shown)
    return (
        f"## `{rule.id}`\n\n{rule.severity.capitalize()}: {rule.title}. {rule.reason}\n\n"
        f"Remedy: {rule.remedy}.\n\n```text\n{example}\n```\n"
    )


def _line(edit: Mapping[str, Any]) -> str:
    place = f"{edit['kind']} {edit['path']}"
    if "set" in edit:
        return f"{place}: {edit['set']}"
    if "replace" in edit:
        return f"{place}: {edit['replace'][0]}  →  {edit['replace'][1] or '(nothing)'}"
    return f"{place}: (taken out)"
