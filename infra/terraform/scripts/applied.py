"""The state that an apply would leave, made from plans: nothing is applied, nobody is asked.

A plan says of each resource what it will be, and which values only Azure can tell. Those that
others refer to are made up in Azure's shape, and the configuration is planned again on top until
the plan is empty. What Azure then does by itself can be written into the state, to see what a plan
makes of it. Or azurerm makes some of it in a stand-in for Azure (arm.py), and reads it there.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import workspace

PROVIDER = 'provider["registry.terraform.io/hashicorp/azurerm"]'
STATE = "terraform.tfstate"
# Values pass from one resource to the next; three plans are enough for this configuration.
MAX_ROUNDS = 5

UUID = "00000000-0000-4000-8000-0000000000f0"
MADE_UP = tomllib.loads(Path(__file__).with_name("applied.toml").read_text())


class UnsettledError(RuntimeError):
    """Planning again and again does not end in an empty plan."""


def settle(root: Path, variables: Path) -> None:
    """Leave a state file in a root whose plan is empty.

    Args:
        root: An uninitialised root of a copy.
        variables: A `.tfvars` file.

    Raises:
        UnavailableError: Terraform or a provider is not to be had.
        UnsettledError: The plan does not become empty.
        ValueError: A plan failed; the message is Terraform's.
    """
    shipped = {file: file.read_text() for file in root.glob("main.*.tf")}
    for file, text in shipped.items():
        # What was made up is replaced by what is known a round later.
        file.write_text(text.replace("prevent_destroy = true", "prevent_destroy = false"))
    try:
        _settle(root, variables)
    finally:
        for file, text in shipped.items():
            file.write_text(text)


def _settle(root: Path, variables: Path) -> None:
    made = plan(root, variables)
    schemas = _schemas(root)
    for _ in range(MAX_ROUNDS):
        changed = list(changes(made))
        if not changed:
            return
        write(root, state(made, schemas))
        made = plan(root, variables)
    raise UnsettledError("; ".join(map(str, changed)))


def plan(root: Path, variables: Path) -> Mapping[str, Any]:
    """A plan on the state as it stands: of most of it Azure, or its stand-in, was never told."""
    return workspace.plan(root, variables, ["-refresh=false"])


def make(root: Path, variables: Path, addresses: Sequence[str]) -> None:
    """Let the provider itself make some resources of a settled root, and read them back.

    Raises:
        ValueError: It cannot; the message is Terraform's.
    """
    content = read(root)
    made_up = {address: attributes(content, address)["id"] for address in addresses}
    for address in addresses:
        forget(content, address)
    write(root, content)
    targets = [f"-target={address}" for address in addresses]
    _apply(root, "-refresh=false", f"-var-file={variables}", *targets)
    content = read(root)
    text = json.dumps(content)
    for address, identifier in made_up.items():
        text = text.replace(identifier, attributes(content, address)["id"])
    write(root, json.loads(text))


def reread(root: Path, aside: Path, addresses: Sequence[str]) -> None:
    """Let the provider read some resources anew, and those alone; the rest of the state stays.

    Args:
        root: A settled root.
        aside: A folder to read in: beside no other resource, none of which is there to be read.
        addresses: Resources of one instance each.

    Raises:
        ValueError: It cannot; the message is Terraform's.
    """
    content = read(root)
    aside.mkdir()
    (aside / "main.tf").write_text('provider "azurerm" {\n  features {}\n}\n')
    (aside / "terraform.tf").write_text((root / "terraform.tf").read_text())
    workspace.initialise_locally(aside)
    alone = [r for r in content["resources"] if f"{r['type']}.{r['name']}" in addresses]
    bare = [r | {"instances": [i | {"dependencies": []} for i in r["instances"]]} for r in alone]
    write(aside, content | {"resources": bare, "outputs": {}})
    _apply(aside, "-refresh-only")
    seen = read(aside)
    for address in addresses:
        attributes(content, address).update(attributes(seen, address))
    write(root, content)


def _apply(root: Path, *arguments: str) -> None:
    done = workspace.terraform(
        root, "apply", "-input=false", "-no-color", "-auto-approve", *arguments
    )
    if done.returncode != 0:
        raise ValueError(done.stderr)


def _schemas(root: Path) -> Mapping[str, Any]:
    """The schema of each kind of resource."""
    shown = json.loads(workspace.terraform(root, "providers", "schema", "-json").stdout)
    (found,) = (s for name, s in shown["provider_schemas"].items() if name.endswith("/azurerm"))
    schemas: Mapping[str, Any] = found["resource_schemas"]
    return schemas


def changes(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a plan would do: address and acts, such as `delete, create`."""
    for change in plan["resource_changes"]:
        acts = change["change"]["actions"]
        if change["mode"] == "managed" and acts != ["no-op"]:
            yield change["address"], ", ".join(acts)


def state(plan: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The state after a plan was applied, with made-up values where only Azure could tell."""
    resources: dict[str, dict[str, Any]] = {}
    for change in plan["resource_changes"]:
        if change["mode"] != "managed" or change["change"]["after"] is None:
            continue
        at = change["address"].partition("[")[0]
        resource = resources.setdefault(at, _resource(change))
        schema = schemas[change["type"]]
        instance = {
            "schema_version": schema["version"],
            "attributes": _attributes(change, schema["block"]),
            "sensitive_attributes": list(_paths(change["change"]["after_sensitive"])),
        }
        if "index" in change:
            instance["index_key"] = change["index"]
        resource["instances"].append(instance)
    return {
        "version": 4,
        "terraform_version": plan["terraform_version"],
        "serial": 1,
        "lineage": UUID,
        "outputs": {},
        "resources": list(resources.values()),
    }


def _resource(change: Mapping[str, Any]) -> dict[str, Any]:
    resource = {key: change[key] for key in ("mode", "type", "name")}
    # A list holds one resource or many; Terraform tells by the mode.
    return resource | {"provider": PROVIDER, "instances": []}


def _attributes(change: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    told, untold = dict(change["change"]["after"]), change["change"]["after_unknown"]
    for name, unknown in untold.items():
        if unknown is True:
            # A type is a word, or a collection's word and what it holds.
            kind = schema["attributes"].get(name, {}).get("type", ["list"])
            empty: object = None if isinstance(kind, str) else {} if kind[0] == "map" else []
            told[name] = MADE_UP["strings"].get(name, empty)
    told["id"] = told.get("id") or _id(change["address"])
    if change["type"] == "azurerm_kubernetes_cluster":
        # AKS makes this identity itself.
        agic = {"client_id": UUID, "object_id": UUID, "user_assigned_identity_id": "/agic"}
        told["ingress_application_gateway"][0]["ingress_application_gateway_identity"] = [agic]
    return told


def _paths(sensitive: Any) -> Iterator[list[Mapping[str, Any]]]:
    """What is not to be shown, as a state names it; otherwise Terraform sees a change."""
    if sensitive is True:
        yield []
    if isinstance(sensitive, dict):
        for name, inner in sensitive.items():
            yield from ([{"type": "get_attr", "value": name}, *rest] for rest in _paths(inner))
    if isinstance(sensitive, list):
        for number, inner in enumerate(sensitive):
            at = {"type": "index", "value": {"value": number, "type": "number"}}
            yield from ([at, *rest] for rest in _paths(inner))


def _id(address: str) -> str:
    kind = MADE_UP["ids"].get(address.partition(".")[0], "Resources/things/{name}")
    provider = f"/subscriptions/{UUID}/resourceGroups/rg/providers/Microsoft."
    return provider + kind.format(name="".join(filter(str.isalnum, address)))


def read(root: Path) -> dict[str, Any]:
    """The state file of a root."""
    found: dict[str, Any] = json.loads((root / STATE).read_text())
    return found


def write(root: Path, content: Mapping[str, Any]) -> None:
    """Write the state file of a root."""
    (root / STATE).write_text(json.dumps(content))


def instance(content: Mapping[str, Any], address: str) -> dict[str, Any]:
    """A resource's one instance in a state."""
    kind, _, name = address.partition(".")
    (found,) = (r for r in content["resources"] if (r["type"], r["name"]) == (kind, name))
    alone: dict[str, Any] = found["instances"][0]
    return alone


def attributes(content: Mapping[str, Any], address: str) -> dict[str, Any]:
    """The attributes of a resource's one instance in a state, to be read or changed in place."""
    found: dict[str, Any] = instance(content, address)["attributes"]
    return found


def forget(content: dict[str, Any], address: str) -> None:
    """Take a resource, or one instance of it, out of a state, as `terraform state rm` does."""
    resource, _, index = address.partition("[")
    key = index.strip('"]') or None
    kept = []
    for found in content["resources"]:
        if f"{found['type']}.{found['name']}" == resource:
            found["instances"] = [
                instance
                for instance in found["instances"]
                if key is not None and instance.get("index_key") != key
            ]
        if found["instances"]:
            kept.append(found)
    content["resources"] = kept


def adopt(
    content: dict[str, Any], address: str, like: Mapping[str, Any], **changed: object
) -> None:
    """Put a resource into a state, as `terraform import` does: like another, with some changed."""
    kind, _, name = address.partition(".")
    new = {**like, "attributes": like["attributes"] | changed}
    content["resources"].append(
        {"mode": "managed", "type": kind, "name": name, "provider": PROVIDER, "instances": [new]}
    )
