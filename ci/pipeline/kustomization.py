"""The pinned image of an overlay: the `images:` entry named `gridos`. Pure: text in, text out.

Everything else in the file stays as its owner wrote it, comments included.
"""

from dataclasses import dataclass
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
    entry = _entry(text)
    return Pin(str(entry.get("digest", "")), str(entry.get("newTag", "")))


def write(text: str, release: Release) -> str:
    """Pins the release, changing the entry's digest and tag and nothing else; raises as `read`."""
    entry, lines = _entry(text), text.splitlines(keepends=True)
    last, indent = max(entry.lc.value(key)[0] for key in entry), " " * entry.lc.col
    for key, value in (("newTag", release.tag), ("digest", release.digest)):
        line = f"{indent}{key}: {value}\n"
        if key in entry:
            lines[entry.lc.value(key)[0]] = line
        else:
            lines.insert(last + 1, line)
    written = "".join(lines)
    if read(written) != Pin(release.digest, release.tag):
        raise PipelineError(f"the entry named {IMAGE} has not a line for each key: write it so")
    return written


def _entry(text: str) -> Any:
    try:
        document = YAML().load(text)
    except YAMLError as cause:
        raise PipelineError(f"the kustomization is not YAML: {cause}") from None
    images = (document.get("images") if isinstance(document, dict) else None) or []
    found = [image for image in images if isinstance(image, dict) and image.get("name") == IMAGE]
    if len(found) != 1:
        raise PipelineError(
            f"the kustomization has {len(found)} images: entries named {IMAGE}; it needs one"
        )
    return found[0]
