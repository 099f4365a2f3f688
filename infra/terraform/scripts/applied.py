"""The state that an apply would leave, made from plans: nothing is applied, nobody is asked.

A plan says of each resource what it will be, and which values only Azure can tell. Those that
others refer to are made up in Azure's shape, and the configuration is planned again on top until
the plan is empty. What Azure then does by itself can be written into the state, to see what a plan
makes of it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import workspace

PROVIDER = 'provider["registry.terraform.io/hashicorp/azurerm"]'
STATE = "terraform.tfstate"
# Values pass from one resource to the next; three plans are enough for this configuration.
MAX_ROUNDS = 5

UUID = "00000000-0000-4000-8000-0000000000f0"
# What is referred to and only Azure can tell, besides `id`.
STRINGS = {
    "client_id": UUID,
    "principal_id": UUID,
    "fqdn": "psql.postgres.database.azure.com",
    "ip_address": "192.0.2.1",
    "login_server": "cr.azurecr.io",
    "name": "made-up",
    "oidc_issuer_url": "https://oidc.example.com/",
    "role_definition_name": "made-up",
    "vault_uri": "https://kv.vault.azure.net/",
    "versionless_secret_id": "https://kv.vault.azure.net/secrets/gridos-tls",
}


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
    made = workspace.plan(root, variables)
    for _ in range(MAX_ROUNDS):
        changed = list(changes(made))
        if not changed:
            return
        write(root, state(made))
        made = workspace.plan(root, variables)
    raise UnsettledError("; ".join(map(str, changed)))


def changes(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a plan would do: address and acts, such as `delete, create`."""
    for change in plan["resource_changes"]:
        acts = change["change"]["actions"]
        if change["mode"] == "managed" and acts != ["no-op"]:
            yield change["address"], ", ".join(acts)


def state(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The state after a plan was applied, with made-up values where only Azure could tell."""
    resources: dict[str, dict[str, Any]] = {}
    for change in plan["resource_changes"]:
        if change["mode"] != "managed" or change["change"]["after"] is None:
            continue
        at = change["address"].partition("[")[0]
        resource = resources.setdefault(at, _resource(change))
        instance: dict[str, Any] = {"schema_version": 0, "attributes": _attributes(change)}
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


def _attributes(change: Mapping[str, Any]) -> dict[str, Any]:
    told, untold = dict(change["change"]["after"]), change["change"]["after_unknown"]
    for name, unknown in untold.items():
        if unknown is True:
            told[name] = STRINGS.get(name)
    told["id"] = told.get("id") or _id(change["address"])
    if change["type"] == "azurerm_kubernetes_cluster":
        # AKS makes this identity itself.
        agic = {"client_id": UUID, "object_id": UUID, "user_assigned_identity_id": "/agic"}
        told["ingress_application_gateway"][0]["ingress_application_gateway_identity"] = [agic]
    return told


def _id(address: str) -> str:
    group = f"/subscriptions/{UUID}/resourceGroups/rg"
    return SHAPES.get(address.partition(".")[0], "{group}/{name}").format(
        group=group, name="".join(filter(str.isalnum, address))
    )


# Where the provider insists on the shape of an id that it is given.
_P = "{group}/providers/Microsoft."
SHAPES = {
    "azurerm_application_gateway": _P + "Network/applicationGateways/{name}",
    "azurerm_container_app_environment": _P + "App/managedEnvironments/{name}",
    "azurerm_key_vault": _P + "KeyVault/vaults/{name}",
    "azurerm_kubernetes_cluster": _P + "ContainerService/managedClusters/{name}",
    "azurerm_log_analytics_workspace": _P + "OperationalInsights/workspaces/{name}",
    "azurerm_monitor_action_group": _P + "Insights/actionGroups/{name}",
    "azurerm_monitor_data_collection_rule": _P + "Insights/dataCollectionRules/{name}",
    "azurerm_nat_gateway": _P + "Network/natGateways/{name}",
    "azurerm_network_security_group": _P + "Network/networkSecurityGroups/{name}",
    "azurerm_postgresql_flexible_server": _P + "DBforPostgreSQL/flexibleServers/{name}",
    "azurerm_private_dns_zone": _P
    + "Network/privateDnsZones/{name}.private.postgres.database.azure.com",
    "azurerm_public_ip": _P + "Network/publicIPAddresses/{name}",
    "azurerm_storage_account": _P + "Storage/storageAccounts/{name}",
    "azurerm_subnet": _P + "Network/virtualNetworks/vnet/subnets/{name}",
    "azurerm_user_assigned_identity": _P + "ManagedIdentity/userAssignedIdentities/{name}",
    "azurerm_virtual_network": _P + "Network/virtualNetworks/{name}",
    "azurerm_web_application_firewall_policy": _P
    + "Network/applicationGatewayWebApplicationFirewallPolicies/{name}",
}


def read(root: Path) -> dict[str, Any]:
    """The state file of a root."""
    found: dict[str, Any] = json.loads((root / STATE).read_text())
    return found


def write(root: Path, content: Mapping[str, Any]) -> None:
    """Write the state file of a root."""
    (root / STATE).write_text(json.dumps(content))


def attributes(content: Mapping[str, Any], address: str) -> dict[str, Any]:
    """The attributes of a resource's one instance in a state, to be read or changed in place."""
    kind, _, name = address.partition(".")
    (found,) = (r for r in content["resources"] if (r["type"], r["name"]) == (kind, name))
    attributes: dict[str, Any] = found["instances"][0]["attributes"]
    return attributes


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


def adopt(content: dict[str, Any], address: str, attributes: Mapping[str, Any]) -> None:
    """Put a resource's one instance into a state, as `terraform import` does."""
    kind, _, name = address.partition(".")
    instance = {"schema_version": 0, "attributes": dict(attributes)}
    content["resources"].append(
        {"mode": "managed", "type": kind, "name": name, "provider": PROVIDER}
        | {"instances": [instance]}
    )
