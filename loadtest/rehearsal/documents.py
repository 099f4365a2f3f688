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

import yaml

from rehearsal import kustomize
from rehearsal.errors import UsageError

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
    if not path.exists():
        raise UsageError(
            f"{path} does not exist", "name a folder with manifests, such as deploy/base"
        )
    if path.is_file():
        yield from parse(str(path), path.read_text(encoding="utf-8"))
        return
    kustomization = next((path / n for n in KUSTOMIZATION_NAMES if (path / n).is_file()), None)
    if kustomization is None:
        for file in sorted([*path.glob("*.yaml"), *path.glob("*.yml")]):
            yield from parse(str(file), file.read_text(encoding="utf-8"))
        return
    yield from _kustomization(kustomization)


def _kustomization(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    (_, content), *_ = parse(str(file), file.read_text(encoding="utf-8"))
    generators = content.get("configMapGenerator", [])
    if set(content) - UNDERSTOOD or any(set(g) - {"name", "literals"} for g in generators):
        yield from parse(f"{file.parent} (rendered)", kustomize.build(file.parent))
        return
    listed = (
        found for resource in content.get("resources", []) for found in read(file.parent / resource)
    )
    generated = ((str(file), _config_map(generator)) for generator in generators)
    for source, document in chain(listed, generated):
        if "namespace" in content and document.get("kind") != "Namespace":
            document.setdefault("metadata", {})["namespace"] = content["namespace"]
        yield source, document


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
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as broken:
        where = " ".join(str(broken).split())
        raise UsageError(f"{file} is not YAML: {where}", "correct the file") from None
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise UsageError(f"{file} holds {type(document).__name__}, not an object", "correct it")
        yield file, document
