"""Terraform's own files, read as data."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2

SOURCE = Path(__file__).resolve().parent.parent

_PLAIN = hcl2.SerializationOptions(
    strip_string_quotes=True, explicit_blocks=False, with_comments=False
)


def load(path: Path) -> Mapping[str, Any]:
    """One `.tf` or `.tfvars` file: arguments by name, blocks as lists; expressions stay text."""
    return _parsed(path.read_text())


@functools.cache
def _parsed(text: str) -> Mapping[str, Any]:
    # The parser takes a tenth of a second for a page, and some files are asked for again and again.
    loaded: Mapping[str, Any] = hcl2.loads(text, serialization_options=_PLAIN)
    return loaded


def local_values(path: Path) -> Mapping[str, Any]:
    """What a file's `locals` blocks state."""
    return {name: value for block in load(path).get("locals", []) for name, value in block.items()}
