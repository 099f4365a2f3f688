"""Kubernetes' objects, made."""

import json
from collections.abc import Mapping, Sequence
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


def listed(items: Sequence[Mapping[str, Any]]) -> str:
    """Objects as one, for kubectl."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
