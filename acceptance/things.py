"""Kubernetes' objects, made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def thing(
    version: str,
    kind: str,
    name: str,
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """An object; without a namespace it is a cluster's, or of where it is applied."""
    said = {"name": name, "namespace": namespace, "labels": labels}
    metadata = {key: value for key, value in said.items() if value}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}
