"""Which images manifests name, and whether each may run: ours, one registry, by digest. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_NO_DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Use:
    """An image as a container of an object names it."""

    object: str
    container: str
    image: str


def uses(manifests: str) -> list[Use]:
    """Returns every image that the objects' pods would run.

    Raises:
        PipelineError: The manifests are no YAML, or run nothing at all.
    """
    try:
        documents = [d for d in YAML(typ="safe").load_all(manifests) if isinstance(d, dict)]
    except (YAMLError, ValueError, RecursionError) as cause:
        raise PipelineError(f"the manifests are not YAML: {cause}") from None
    found = [use for document in documents for use in _uses(document)]
    if not found:
        raise PipelineError("the manifests run no image: was the right overlay rendered?")
    return found


def refused(found: list[Use], registry: str) -> list[str]:
    """Returns a line for each image that may not run."""
    allowed = re.compile(rf"{re.escape(registry)}/gridos(?::[\w.-]+)?@sha256:[0-9a-f]{{64}}")
    return [
        f"{use.object}, container {use.container}: {use.image} — {_why(use.image, registry)}"
        for use in found
        if not allowed.fullmatch(use.image) or use.image.endswith(_NO_DIGEST)
    ]


def _why(image: str, registry: str) -> str:
    if image.endswith(_NO_DIGEST):
        return "nothing was released to this overlay yet"
    if "@sha256:" not in image:
        return "a tag can be moved: name it by digest"
    return f"only {registry}/gridos runs here"


def _uses(document: dict[str, Any]) -> Iterator[Use]:
    name = f"{document.get('kind')} {(document.get('metadata') or {}).get('name')}"
    for container in _containers(document.get("spec")):
        yield Use(name, str(container.get("name")), str(container.get("image")))


def _containers(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _CONTAINERS and isinstance(value, list):
                yield from value
            else:
                yield from _containers(value)
    elif isinstance(node, list):
        for item in node:
            yield from _containers(item)
