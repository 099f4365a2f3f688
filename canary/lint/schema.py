"""Rules for what the API server refuses: a value that is not of its field's type.

The schemas are those of the CustomResourceDefinitions of v1.9.1 (`policies/schemas/extract.py`).
A field that they do not name is pruned and nothing is refused. A field that is missing is not asked
for here: what is linted may be a part, which a patch completes.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import jsonschema_rs

from canary.argo.templates import is_argo
from canary.lint.rule import Context, Family, Hit
from canary.yamls import Document, path_of, without_null

rule = Family()

FOLDER = Path(__file__).parent / "schemas"
FILES = {
    "Rollout": "rollout.json",
    "AnalysisTemplate": "analysistemplate.json",
    "ClusterAnalysisTemplate": "analysistemplate.json",
}


@rule("api-refused")
def _api_refused(context: Context) -> Iterator[Hit]:
    templates = (gate.template for gate in context.release.gates)
    for document in dict.fromkeys((context.release.rollout, *templates)):
        for path, message in refusals(document):
            yield document, path, message


def refusals(document: Document) -> Iterator[tuple[str, str]]:
    """The fields whose values are of another type, and what the schema says of each."""
    if document.kind not in FILES or not is_argo(document):
        return
    for error in _validator(FILES[document.kind]).iter_errors(without_null(document.body)):
        if error.schema_path[-1] not in ("additionalProperties", "required"):
            yield path_of(error.instance_path), _said(error)


@lru_cache
def _validator(file: str) -> jsonschema_rs.Validator:
    schema = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    return jsonschema_rs.validator_for(schema)


def _said(error: jsonschema_rs.ValidationError) -> str:
    if error.schema_path[-1] == "anyOf":
        return f"{json.dumps(error.instance)} is neither a whole number nor a text"
    return error.message
