"""Rendered manifests, and the pods that they make."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary.errors import UsageError
from canary.runtime import documents

Object = Mapping[str, Any]
# By these its schema is found: the name of a file.
_API, _KIND = re.compile(r"([a-z0-9.-]{1,253}/)?v[a-z0-9]{1,60}"), re.compile(r"[A-Za-z0-9]{1,63}")

# Where each kind keeps its pod template.
_TEMPLATED = ("Rollout", "Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet")
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_TEMPLATED, ("spec", "template")),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "PodTemplate": ("template",),
    "Pod": (),
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
        UsageError: if they cannot be read, or one has no kind or name.
    """
    return tuple(_object(found.file, found.body) for found in documents.read(path))


def _object(file: str, body: Object) -> Object:
    # To the API server a field that is null is one that is not there.
    told: Object = _without_nulls(body)
    metadata = told.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    known = (told.get("apiVersion"), _API), (told.get("kind"), _KIND)
    if not isinstance(name, str) or not all(
        isinstance(word, str) and form.fullmatch(word) for word, form in known
    ):
        raise UsageError(f"{file}: an object without apiVersion, kind and metadata.name", "name it")
    return told


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value if inner is not None]
    return value


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
