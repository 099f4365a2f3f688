"""Objects against their schemas: Kubernetes' own, and those of the CRDs beside us.

Kubernetes' come with the package `kubernetes-validate`, strict: an unknown field is an error. The
CRDs' were made by `schemas/extract.py`.
"""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

from policies.objects import Object, called

FOLDER = Path(__file__).parent / "schemas"
VERSIONS = ("1.34", "1.35", "1.36")


def check(objects: Sequence[Object], version: str) -> list[str]:
    """What the schemas of a Kubernetes version have against the objects."""
    return [f"{called(thing)}: {text}" for thing in objects for text in _refusals(thing, version)]


def _refusals(thing: Object, version: str) -> Iterator[str]:
    if own := _schema(thing):
        for error in jsonschema.Draft7Validator(own).iter_errors(thing):
            yield f"{error.json_path}: {error.message[:200]}"
        if thing["kind"] == "Rollout":
            # Its own schema lets anything be a pod.
            yield from _refusals(_pod(thing), version)
        return
    try:
        kubernetes_validate.validate(dict(thing), version, strict=True)
    except kubernetes_validate.ValidationError as wrong:
        yield f"{'.'.join(map(str, wrong.path))}: {wrong.message[:200]}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"{thing['apiVersion']} is not an API that we have a schema of"


def _pod(rollout: Object) -> Object:
    template: Any = rollout.get("spec")
    template = template.get("template") if isinstance(template, dict) else None
    made = template if isinstance(template, dict) else {}
    metadata = made.get("metadata", {})
    named = {"name": "pod", **metadata} if isinstance(metadata, dict) else metadata
    return {"apiVersion": "v1", "kind": "Pod", "spec": {}, **made, "metadata": named}


def _schema(thing: Object) -> Any:
    group, _, version = thing["apiVersion"].rpartition("/")
    return _load(f"{group}_{version}_{thing['kind']}.json".lower())


@lru_cache
def _load(name: str) -> Any:
    file = FOLDER / name
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
