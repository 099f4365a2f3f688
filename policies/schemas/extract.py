#!/usr/bin/env python3
"""Make the schemas beside this file from the upstream projects' CustomResourceDefinitions.

`policies/schemas/extract.py FILE…` writes one `<group>_<version>_<kind>.json` for each served
version. Descriptions go, and an object that lists its fields takes no others, as the API server
prunes them: a misspelt field is a field that does nothing.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent

# As `oneOf` in the CRDs' own words, which JSON Schema does not know.
INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}]}


def strict(schema: Any) -> Any:
    """A structural schema as JSON Schema, closed where it lists fields."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    kept = {
        key: {name: strict(field) for name, field in value.items()}
        if key == "properties"
        else strict(value)
        for key, value in schema.items()
        if key not in ("description", "default", "example", "nullable") and not key.startswith("x-")
    }
    if "properties" in kept and not schema.get("x-kubernetes-preserve-unknown-fields"):
        kept.setdefault("additionalProperties", False)
    return kept


def main(files: list[str]) -> int:
    """Write the schemas; exit 0 when there was something to write, 2 when not."""
    written = 0
    for file in files:
        for document in yaml.safe_load_all(Path(file).read_text(encoding="utf-8")):
            if (document or {}).get("kind") == "CustomResourceDefinition":
                written += _write(document["spec"])
    if not written:
        sys.stderr.write("no CustomResourceDefinition in the files named\n")
    return 0 if written else 2


def _write(spec: dict[str, Any]) -> int:
    served = [version for version in spec["versions"] if version["served"]]
    for version in served:
        schema = strict(version["schema"]["openAPIV3Schema"])
        # The API server knows these itself; a CRD only names them.
        schema["properties"] |= {"metadata": {"type": "object"}}
        name = f"{spec['group']}_{version['name']}_{spec['names']['kind']}.json".lower()
        text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
        (HERE / name).write_text(text + "\n", encoding="utf-8")
    return len(served)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
