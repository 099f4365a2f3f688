"""Where the manifests come from: a file, a folder, a kustomization, or a stream."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from canary.argo.gates import Document, listed
from canary.errors import UsageError
from canary.runtime import documents, yamls


def read(paths: Iterable[str]) -> tuple[Document, ...]:
    """Every object in the paths; "-" is standard input.

    Raises:
        UsageError: if a path is missing or holds no YAML objects.
    """
    found = [Document(file, body) for path in paths for file, body in _bodies(path)]
    return tuple(inner for document in found for inner in _unwrap(document))


def no_rollout(paths: Iterable[str]) -> UsageError:
    """What to raise where there is nothing to judge."""
    return UsageError(f"{', '.join(paths)} holds no canary Rollout", "name manifests that hold one")


def _bodies(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if path == "-":
        # Kubernetes' files are UTF-8, whatever this terminal speaks.
        content = sys.stdin.buffer.read(yamls.LARGEST_BYTES)
        return documents.parse("standard input", yamls.decode("standard input", content))
    folder = Path(path)
    if not folder.is_dir() or any((folder / n).is_file() for n in documents.KUSTOMIZATION_NAMES):
        return documents.read(folder)
    files = sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")])
    if not files:
        raise UsageError(f"{path} holds no .yaml files", "name a folder or file with manifests")
    return (body for file in files for body in documents.read(file))


def _unwrap(document: Document) -> Iterator[Document]:
    """A `List` stands for its items (what `kubectl get -o yaml` prints)."""
    if document.kind != "List":
        yield document
        return
    for item in listed(document.body.get("items")):
        if isinstance(item, dict):
            yield Document(document.file, item)
