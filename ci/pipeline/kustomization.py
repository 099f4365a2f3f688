"""The pinned image of an overlay: the `images:` entry named `gridos`. Pure: text in, text out.

Everything else in the file stays as its owner wrote it, comments included.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError
from pipeline.releases import Release

IMAGE = "gridos"


@dataclass(frozen=True)
class Pin:
    """What an overlay runs; empty where it does not say."""

    digest: str
    tag: str


def read(text: str) -> Pin:
    """Reads the pin.

    Raises:
        PipelineError: The file is no YAML, or has not exactly one entry for the image.
    """
    entry = _entry(_load(text))
    return Pin(str(entry.get("digest", "")), str(entry.get("newTag", "")))


def write(text: str, release: Release) -> str:
    """Pins the release, changing the entry's digest and tag and nothing else.

    Raises:
        PipelineError: As `read`.
    """
    document = _load(text)
    entry = _entry(document)
    entry["newTag"] = release.tag
    entry["digest"] = release.digest
    out = StringIO()
    _yaml(text).dump(document, out)
    return out.getvalue()


def _yaml(text: str = "") -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # no line is folded that its owner did not fold
    yaml.explicit_start = text.startswith("---")
    dash = next((len(line) - len(line.lstrip()) for line in _items(text)), 2)
    yaml.indent(mapping=2, sequence=dash + 2, offset=dash)
    return yaml


def _items(text: str) -> Iterator[str]:
    """The first list item under a top-level key shows how the file indents lists."""
    lines = text.splitlines()
    for before, line in itertools.pairwise(lines):
        if line.lstrip().startswith("- ") and before[:1].isalpha():
            yield line


def _load(text: str) -> Any:
    try:
        return _yaml().load(text)
    except YAMLError as cause:
        raise PipelineError(f"the kustomization is not YAML: {cause}") from None


def _entry(document: Any) -> Any:
    images = document.get("images") if isinstance(document, dict) else None
    found = [image for image in images or [] if image.get("name") == IMAGE]
    if len(found) != 1:
        raise PipelineError(
            f"the kustomization has {len(found)} images: entries named {IMAGE}; it needs one"
        )
    return found[0]
