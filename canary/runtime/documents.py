"""Files, folders, kustomizations and charts → the Kubernetes objects in them, each with its place.

Kustomizations that only list resources, set a namespace and generate ConfigMaps of literals are
read here, so that a bare machine can rehearse; anything richer is handed to `kustomize` or
`kubectl kustomize`.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from canary import yamls
from canary.errors import UsageError
from canary.runtime import helm, kustomize
from canary.yamls import Document

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

# What Kustomize fetches: an address, or a repository of git.
_REMOTE = re.compile(r"://|\?ref=|^git@|^[\w-]+(\.[\w-]+)+/")

KUSTOMIZATION_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def read_all(paths: Iterable[str]) -> tuple[Document, ...]:
    """Every object in the paths, folders with all that is below them; "-" is standard input.

    Raises:
        UsageError: if a path is missing or holds no YAML objects.
    """
    return tuple(document for path in paths for document in _everything(path))


def _everything(path: str) -> Iterable[Document]:
    if path == "-":
        # Kubernetes' files are UTF-8, whatever this terminal speaks.
        content = sys.stdin.buffer.read(yamls.LARGEST_BYTES)
        return yamls.objects("standard input", yamls.decode("standard input", content))
    folder = Path(path)
    if not folder.is_dir() or kustomization_in(folder) or helm.is_chart(folder):
        return read(folder)
    files = sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")])
    if not files:
        raise UsageError(f"{path} contains no .yaml files", "name a folder or file with manifests")
    return (document for file in files for document in read(file))


def read(path: Path, release: helm.Release = helm.DEFAULT) -> Iterator[Document]:
    """The objects of a kustomization, a chart (as the release), a folder of manifests or one file.

    Raises:
        UsageError: if there is nothing there, or it is not YAML, or cannot be rendered.
        MachineError: if what renders it is not installed.
    """
    return iter(helm.template(path, release)) if helm.is_chart(path) else _read(path, ())


def _read(path: Path, within: tuple[Path, ...]) -> Iterator[Document]:
    """`within` are the kustomizations that list it."""
    if not path.exists():
        raise UsageError(
            f"{path} does not exist", "name a folder with manifests, such as deploy/base"
        )
    if not path.is_dir():
        yield from yamls.objects(str(path), yamls.text(path))
        return
    kustomization = kustomization_in(path)
    if kustomization is None:
        for file in sorted([*path.glob("*.yaml"), *path.glob("*.yml")]):
            yield from yamls.objects(str(file), yamls.text(file))
        return
    if path.resolve() in within:
        raise UsageError(f"{kustomization} includes itself", "take it out of its resources")
    yield from _kustomization(kustomization, (*within, path.resolve()))


def kustomization_in(folder: Path) -> Path | None:
    """The file by which Kustomize knows a folder, if there is one."""
    return next((folder / n for n in KUSTOMIZATION_NAMES if (folder / n).is_file()), None)


def _kustomization(file: Path, within: tuple[Path, ...]) -> Iterator[Document]:
    content: dict[str, Any] = next(
        (found.body for found in yamls.objects(str(file), yamls.text(file))), {}
    )
    resources = _of_texts(file, "resources", content.get("resources"))
    generators = content.get("configMapGenerator") or []
    elsewhere = any(_REMOTE.search(r) and not (file.parent / r).exists() for r in resources)
    if set(content) - UNDERSTOOD or not _are_simple(generators) or elsewhere:
        yield from yamls.objects(f"{file.parent} (rendered)", kustomize.build(file.parent))
        return
    (namespace,) = _of_texts(file, "namespace", [content.get("namespace") or ""])
    listed = (found for resource in resources for found in _read(file.parent / resource, within))
    generated = (Document(str(file), _config_map(generator)) for generator in generators)
    for document in chain(listed, generated):
        if namespace and document.kind != "Namespace":
            metadata = document.body.get("metadata") or {}
            if not isinstance(metadata, dict):
                raise UsageError(
                    f"{document.file}: metadata is not a mapping", "correct the manifest"
                )
            document.body["metadata"] = {**metadata, "namespace": namespace}
        yield document


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
