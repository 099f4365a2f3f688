"""Small changes to manifests, written as data: the examples of the rules, and the mutants.

An edit names an object by kind (and name), a path inside it, and what to do there: `set` a value,
`delete` what is there, or `replace` one text by another. Paths are dotted; list items are chosen by
index, by `name=…`, or all by `*`.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from canary.errors import UsageError
from canary.yamls import Document


@dataclass(frozen=True)
class Edit:
    """One change; exactly one of `set_to`, `delete` and `swap` (a pair of texts) is meant."""

    kind: str
    path: tuple[str, ...]
    set_to: Any = None
    delete: bool = False
    swap: tuple[str, str] | None = None
    name: str = ""


def read(raw: Mapping[str, Any]) -> Edit:
    """An edit from YAML: {kind, path, set | delete | replace: [old, new]}."""
    path = tuple(part for part in re.split(r"[.\[\]]+", raw["path"]) if part)
    swap = tuple(raw["replace"]) if "replace" in raw else None
    return Edit(raw["kind"], path, raw.get("set"), bool(raw.get("delete")), swap)


def apply(documents: Sequence[Document], edits: Sequence[Edit]) -> tuple[Document, ...]:
    """The objects with the edits made in them; the given ones stay as they are.

    Raises:
        UsageError: if an edit changes nothing, so that none can rot unnoticed.
    """
    changed = [replace(d, body=copy.deepcopy(d.body)) for d in documents]
    for edit in edits:
        meant = [d for d in changed if d.kind == edit.kind and edit.name in ("", d.name)]
        holders = [document.body for document in meant]
        if not sum(_edit(holder, edit.path, edit) for holder in holders):
            path = ".".join(edit.path)
            raise UsageError(f"the edit of {edit.kind} {path} changes nothing", "correct its path")
    return tuple(changed)


def _edit(holder: Any, path: tuple[str, ...], edit: Edit) -> int:
    """Makes the edit below a node; says how many places it changed."""
    here, rest = path[0], path[1:]
    if rest:
        return sum(
            _edit(child, rest, edit) for child in _children(holder, here, make=not edit.swap)
        )
    return sum(_change(holder, key, edit) for key in _keys(holder, here))


def _children(holder: Any, part: str, *, make: bool) -> Iterator[Any]:
    for key in _keys(holder, part):
        if isinstance(holder, dict) and key not in holder and make:
            holder[key] = {}
        if not isinstance(holder, dict) or key in holder:
            yield holder[key]


def _keys(holder: Any, part: str) -> list[Any]:
    if isinstance(holder, list):
        if part.startswith("name="):
            return [i for i, item in enumerate(holder) if item.get("name") == part[5:]]
        return list(range(len(holder))) if part == "*" else [int(part)]
    return list(holder) if part == "*" else [part]


def _change(holder: Any, key: Any, edit: Edit) -> int:
    present = isinstance(holder, list) or key in holder
    if edit.delete:
        if present:
            del holder[key]
        return int(present)
    if edit.swap is None:
        before = holder[key] if present else None
        holder[key] = copy.deepcopy(edit.set_to)
        return int(before != edit.set_to)
    if not present or not isinstance(holder[key], str):
        return 0
    after = holder[key].replace(*edit.swap)
    changed = after != holder[key]
    holder[key] = after
    return int(changed)
