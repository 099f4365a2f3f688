"""How one set of rendered objects differs from another, for the reader of a pull request."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

import yaml

from policies.objects import Object, called

# A generated ConfigMap's content is its name: what differs is shown where the content is.
_HASH = re.compile(r"\b((?:gridos-config|platform|gateway|prometheus)-)[a-z0-9]{10}\b")


def between(before: Sequence[Object], after: Sequence[Object]) -> Iterator[str]:
    """Unified differences, object by object; a new or missing object is shown whole."""
    old, new = _by_name(before), _by_name(after)
    for name in sorted(old.keys() | new.keys()):
        a, b = (side.get(name, "").splitlines() for side in (old, new))
        yield from difflib.unified_diff(a, b, f"base/{name}", f"overlay/{name}", lineterm="", n=1)


def _by_name(objects: Sequence[Object]) -> Mapping[str, str]:
    return {
        _HASH.sub(r"\1HASH", called(body)): _HASH.sub(r"\1HASH", yaml.safe_dump(dict(body)))
        for body in objects
    }
