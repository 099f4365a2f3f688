"""Rendered manifests, and the pods that they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal import documents

Object = Mapping[str, Any]

# Where each kind keeps its pod template.
TEMPLATES = {
    "Rollout": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


@dataclass(frozen=True)
class Pods:
    """The pods of one object: labels and spec, and the object that makes them."""

    owner: Object
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        """Where they run."""
        return namespace(self.owner)

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """All of them, those that run first included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def read(path: Path) -> tuple[Object, ...]:
    """The objects of a kustomization, folder or file, rendered.

    Raises:
        UsageError: if they cannot be read.
    """
    return tuple(body for _, body in documents.read(path))


def called(thing: Object) -> str:
    """An object as a person names it."""
    return f"{thing['kind']} {thing['metadata']['name']}"


def namespace(thing: Object) -> str:
    """An object's namespace."""
    return str(thing["metadata"].get("namespace", "default"))


def of(objects: Sequence[Object], *kinds: str) -> Iterator[Object]:
    """The objects of some kinds."""
    return (thing for thing in objects if thing["kind"] in kinds)


def pods(objects: Sequence[Object]) -> Iterator[Pods]:
    """What makes pods."""
    for thing in of(objects, *TEMPLATES):
        template: Any = thing
        for key in TEMPLATES[thing["kind"]]:
            template = template[key]
        yield Pods(thing, template.get("metadata", {}).get("labels", {}), template["spec"])


def platform(objects: Sequence[Object]) -> Mapping[str, str]:
    """The platform's names (platform.env), empty where an overlay has no platform."""
    found = (t for t in of(objects, "ConfigMap") if t["metadata"]["name"].startswith("platform"))
    return next((thing["data"] for thing in found), {})
