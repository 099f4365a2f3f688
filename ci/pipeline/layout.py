"""An image as a folder in OCI's image layout: its one digest, checked down to every layer.

The layout is that of https://github.com/opencontainers/image-spec, `image-layout.md`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, RefusedError


def check(folder: Path, digest: str) -> int:
    """Checks that a layout is this image, whole; returns the bytes of its layers.

    Raises:
        PipelineError: It is no layout of one image.
        RefusedError: It is another image, or a blob is not what its name says.
    """
    named = _digest(folder)
    if named != digest:
        raise RefusedError(f"{folder} holds {named}, not {digest}")
    manifest = json.loads(_blob(folder, digest))
    parts = [manifest["config"], *manifest["layers"]]
    for part in parts:
        _blob(folder, part["digest"])
    return sum(int(part["size"]) for part in parts)


def _digest(folder: Path) -> str:
    try:
        index: Mapping[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        manifests = index["manifests"]
    except (OSError, ValueError, KeyError) as cause:
        raise PipelineError(f"{folder} is not an OCI image layout: {cause}") from None
    if len(manifests) != 1:
        raise PipelineError(f"{folder} holds {len(manifests)} images; it needs one")
    return str(manifests[0]["digest"])


def _blob(folder: Path, digest: str) -> bytes:
    algorithm, _, name = digest.partition(":")
    file = folder / "blobs" / algorithm / name
    if not file.is_file():
        raise RefusedError(f"{folder} lacks {digest}")
    hashed = hashlib.sha256()
    read = bytearray()
    for chunk in _chunks(file):
        hashed.update(chunk)
        read += chunk
    if hashed.hexdigest() != name:
        raise RefusedError(f"{file} is not what its name says")
    return bytes(read)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            yield chunk
