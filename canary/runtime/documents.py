"""Files, folders and kustomizations → the Kubernetes objects in them, each with its file.

Kustomizations that only list resources, set a namespace and generate ConfigMaps of literals are
read here, so that a bare machine can rehearse; anything richer is handed to `kustomize` or
`kubectl kustomize`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from canary.errors import UsageError
from canary.runtime import kustomize, yamls

# What is read here. `configurations` tells Kustomize where names stand that get a hash; a generated
# ConfigMap gets none here, so nothing that names it must change.
UNDERSTOOD = {
    "apiVersion",
    "kind",
    "resources",
    "namespace",
    "configMapGenerator",
    "configurations",
}

KUSTOMIZATION_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def read(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file, object) of everything in a kustomization, a folder of manifests or one file.

    Raises:
        UsageError: if there is nothing there, or it is not YAML, or cannot be rendered.
    """
    return _read(path, ())


def _read(path: Path, within: tuple[Path, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """`within` are the kustomizations that list it."""
    if not path.exists():
        raise UsageError(
            f"{path} does not exist", "name a folder with manifests, such as deploy/base"
        )
    if not path.is_dir():
        yield from parse(str(path), yamls.text(path))
        return
    kustomization = next((path / n for n in KUSTOMIZATION_NAMES if (path / n).is_file()), None)
    if kustomization is None:
        for file in sorted([*path.glob("*.yaml"), *path.glob("*.yml")]):
            yield from parse(str(file), yamls.text(file))
        return
    if path.resolve() in within:
        raise UsageError(f"{kustomization} includes itself", "take it out of its resources")
    yield from _kustomization(kustomization, (*within, path.resolve()))


def _kustomization(file: Path, within: tuple[Path, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    content = next((body for _, body in parse(str(file), yamls.text(file))), {})
    resources = _of_texts(file, "resources", content.get("resources"))
    generators = content.get("configMapGenerator") or []
    if set(content) - UNDERSTOOD or not _are_simple(generators):
        yield from parse(f"{file.parent} (rendered)", kustomize.build(file.parent))
        return
    (namespace,) = _of_texts(file, "namespace", [content.get("namespace") or ""])
    listed = (found for resource in resources for found in _read(file.parent / resource, within))
    generated = ((str(file), _config_map(generator)) for generator in generators)
    for source, document in chain(listed, generated):
        if namespace and document.get("kind") != "Namespace":
            metadata = document.get("metadata") or {}
            if not isinstance(metadata, dict):
                raise UsageError(f"{source}: metadata is no mapping", "correct the manifest")
            document["metadata"] = {**metadata, "namespace": namespace}
        yield source, document


def _of_texts(file: Path, name: str, values: object) -> list[str]:
    """A list of texts that name files or a namespace."""
    given = [] if values is None else values
    if not isinstance(given, list) or not all(isinstance(v, str) and "\0" not in v for v in given):
        raise UsageError(f"{file}: {name} is not what Kustomize knows by it", "correct it")
    return given


def _are_simple(generators: object) -> bool:
    """Whether ConfigMaps are generated of a name and literals alone."""
    return isinstance(generators, list) and all(
        isinstance(g, dict)
        and set(g) <= {"name", "literals"}
        and isinstance(g.get("name"), str)
        and isinstance(g.get("literals", []), list)
        and all(isinstance(literal, str) for literal in g.get("literals", []))
        for g in generators
    )


def _config_map(generator: dict[str, Any]) -> dict[str, Any]:
    literals = [literal.partition("=") for literal in generator.get("literals", [])]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generator["name"]},
        "data": {key: value for key, _, value in literals},
    }


def parse(file: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file, object) of each document in a text of YAML.

    Raises:
        UsageError: if it is not YAML, or a document is no object.
    """
    for document in yamls.load(file, text):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise UsageError(f"{file} holds {type(document).__name__}, not an object", "correct it")
        yield file, document
