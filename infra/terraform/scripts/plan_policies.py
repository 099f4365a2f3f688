#!/usr/bin/env python3
"""Refuse a Terraform plan that gives too much away or destroys something, whatever the code says.

Reads what `terraform show -json PLAN` writes and prints one line for each violation. It judges the
plan and not the code, so it also sees what a module, a variable or a provider's default brings in.
A value that is unknown until the apply can only come from a resource of the same plan, and every
resource of this one is inside a resource group.

What is deleted, replaced or forgotten is refused too, unless `--allow-destroys` says that somebody
meant it; ci/may-destroy asks the pull request.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXIT_GOOD = 0
EXIT_VIOLATION = 1
EXIT_UNREADABLE = 2

# Who has one of these can give itself everything else.
ROLES_THAT_GIVE_ROLES = {"Owner", "User Access Administrator"}
# This one too, unless its condition says which roles it may give.
ROLE_NEEDS_CONDITION = "Role Based Access Control Administrator"

PUBLIC_ADDRESSES = {"azurerm_public_ip.gateway", "azurerm_public_ip.nat[0]"}

# Public by name and closed by something else, which `test_plans.py` and the Terraform tests assert.
PUBLIC_ON_PURPOSE = {
    "azurerm_storage_account.state",  # network_rules deny all who are not named
}

# What stands beside a secret in a block and says where it is, not what it is.
POINTERS = {"name", "identity", "key_vault_secret_id"}

INSIDE_A_GROUP = re.compile(r"^/subscriptions/[^/]+/resourceGroups/[^/]+")


@dataclass(frozen=True)
class Resource:
    """One resource as it will be after the apply.

    Attributes:
        address: Where it is in the code, such as `azurerm_role_assignment.this["kubelet-pulls"]`.
        kind: Its type, such as `azurerm_role_assignment`.
        before: Its values until now; empty for a new one.
        after: Its known values.
        unknown: True in place of each value that the apply will bring.
        sensitive: True in place of each value that the provider calls secret.
    """

    address: str
    kind: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    unknown: Mapping[str, Any]
    sensitive: Mapping[str, Any]


def resources(plan: Mapping[str, Any]) -> Iterator[Resource]:
    """List what will exist after the apply; what it deletes is not judged."""
    for change in plan["resource_changes"]:
        after = change["change"]["after"]
        if change["mode"] == "managed" and after is not None:
            yield Resource(
                address=change["address"],
                kind=change["type"],
                before=change["change"].get("before") or {},
                after=after,
                unknown=change["change"]["after_unknown"] or {},
                sensitive=change["change"]["after_sensitive"] or {},
            )


def violations(plan: Mapping[str, Any]) -> list[str]:
    """Judge a plan.

    Args:
        plan: The object that `terraform show -json` writes for a plan.

    Returns:
        One line for each violation, naming the resource and what is wrong; empty for a good plan.
    """
    rules = (too_mighty_role, too_wide_scope, public_address, public_access, secret_in_state)
    return [
        f"{resource.address}: {complaint}"
        for resource in resources(plan)
        for rule in rules
        for complaint in rule(resource)
    ]


def destroyed(plan: Mapping[str, Any]) -> list[str]:
    """Name what a plan deletes, replaces or forgets, one line each."""
    return [
        f"{change['address']}: {_act(acts)}; if that is meant, label the pull request "
        "terraform-destroys (on a laptop: ALLOW_DESTROYS=true)"
        for change in plan["resource_changes"]
        if not {"delete", "forget"}.isdisjoint(acts := change["change"].get("actions", []))
    ]


def _act(actions: Sequence[str]) -> str:
    if "create" in actions:
        return "would be replaced"
    return "would be deleted" if "delete" in actions else "would be forgotten"


def too_mighty_role(resource: Resource) -> Iterator[str]:
    """Nobody may give rights beyond a stated list."""
    if resource.kind != "azurerm_role_assignment":
        return
    role = resource.after.get("role_definition_name")
    if role in ROLES_THAT_GIVE_ROLES:
        yield f"{role} can give itself every right; name the role that the work needs"
    if role == ROLE_NEEDS_CONDITION and not resource.after.get("condition"):
        yield f"{role} needs a condition that lists the roles it may give"
    if role is None and not resource.unknown.get("role_definition_name"):
        yield "give the role by name, so that a reader sees which it is"


def too_wide_scope(resource: Resource) -> Iterator[str]:
    """Rights end at a resource group."""
    if resource.kind != "azurerm_role_assignment" or resource.unknown.get("scope"):
        return
    scope = resource.after.get("scope") or ""
    if not INSIDE_A_GROUP.match(scope):
        yield f"scope {scope!r} is wider than a resource group"


def public_address(resource: Resource) -> Iterator[str]:
    """Only the gateway and the way out have addresses on the internet."""
    if resource.kind == "azurerm_public_ip_prefix" or (
        resource.kind == "azurerm_public_ip" and resource.address not in PUBLIC_ADDRESSES
    ):
        yield "a public address besides the gateway's and the NAT gateway's"


def public_access(resource: Resource) -> Iterator[str]:
    """Nothing is reachable from the internet but what is so on purpose."""
    opened = resource.after.get("public_network_access_enabled") is True
    if opened and resource.address not in PUBLIC_ON_PURPOSE:
        yield "reachable from the internet; set public_network_access_enabled = false"


def secret_in_state(resource: Resource) -> Iterator[str]:
    """No value that the provider calls secret is written down.

    What Azure told at an earlier apply is in the state already, and no change of this plan.
    """
    new = {
        key: value
        for key, value in resource.after.items()
        if key not in resource.before or resource.before[key] != value
    }
    for path in known_secrets(new, resource.sensitive):
        yield f"{path} is a secret and would be in the state; use its write-only form (…_wo)"


def known_secrets(value: Any, sensitive: Any, path: str = "") -> Iterator[str]:  # JSON
    """Walk a value and its marks side by side, and name each marked value that is known.

    Terraform marks a set of blocks as a whole when one argument in it is secret; such a set is
    walked too, so that only what is no mere pointer to a secret counts.
    """
    if sensitive is True and not isinstance(value, (dict, list)):
        if value not in (None, ""):
            yield path
        return
    for key, item, mark in pairs(value, sensitive):
        if key not in POINTERS:
            yield from known_secrets(item, mark, f"{path}.{key}".lstrip("."))


def pairs(value: Any, sensitive: Any) -> Iterator[tuple[str, Any, Any]]:  # JSON
    """Pair each part of an object or list with its mark."""
    items = value.items() if isinstance(value, dict) else enumerate(value or [])
    for key, item in items:
        mark = sensitive
        if isinstance(sensitive, dict):
            mark = sensitive.get(key, False)
        elif isinstance(sensitive, list):
            mark = sensitive[key] if key < len(sensitive) else False
        if mark is not False:
            yield str(key), item, mark


def load(path: Path) -> Mapping[str, Any]:
    """Read a plan.

    Raises:
        ValueError: The file is not what `terraform show -json PLAN` writes.
    """
    try:
        plan = json.loads(path.read_text())
    except (OSError, ValueError) as cause:
        raise ValueError(f"{path}: {cause}") from cause
    if not isinstance(plan, dict) or "resource_changes" not in plan:
        raise ValueError(f"{path}: no plan; write one with: terraform show -json PLAN > {path}")
    return plan


def main(arguments: list[str]) -> int:
    """Print what is wrong with a plan; exit 0 for nothing, 1 for something, 2 for no plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path, help="what `terraform show -json PLAN` wrote")
    parser.add_argument(
        "--allow-destroys", action="store_true", help="somebody meant to delete or replace"
    )
    given = parser.parse_args(arguments)
    try:
        plan = load(given.plan)
        found = violations(plan) + ([] if given.allow_destroys else destroyed(plan))
    except ValueError as cause:
        sys.stderr.write(f"{cause}\n")
        return EXIT_UNREADABLE
    sys.stdout.writelines(f"{line}\n" for line in found)
    return EXIT_VIOLATION if found else EXIT_GOOD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
