"""What an environment costs a month, from its variables and a list of prices."""

import math
import tomllib
from collections.abc import Mapping
from typing import Any

import configuration

ENVIRONMENTS = ("dev", "staging", "production")
PRICES = configuration.SOURCE / "prices.toml"
# The gateway's and the NAT gateway's addresses; those of registry, vault and logs.
ADDRESSES, ENDPOINTS = 2, 3


def read_prices() -> Mapping[str, Any]:
    """The list of prices."""
    return tomllib.loads(PRICES.read_text())


def estimate(environment: str, prices: Mapping[str, Any]) -> dict[str, float]:
    """USD a month by what is paid for, with pools and gateway at their least.

    Args:
        environment: Such as `dev`.
        prices: What `read_prices` gave.
    """
    variables = configuration.load(configuration.SOURCE / "environments" / f"{environment}.tfvars")
    each, traffic = prices["each"], prices["traffic"][environment]
    pools = (variables["system_pool"], variables["user_pool"])
    vcpus = sum(pool["min_count"] * prices["vcpu"][pool["vm_size"]] for pool in pools)
    units = variables["gateway_capacity"]["min"] + traffic["busy_units"]
    sla = variables.get("cluster_sku_tier", "Standard") == "Standard"
    return {
        "Nodes": sum(pool["min_count"] * prices["node"][pool["vm_size"]] for pool in pools),
        "Control plane with an SLA": each["cluster_sla"] if sla else 0,
        "Defender for the nodes": vcpus * each["defender_vcpu"],
        "Gateway and firewall": each["gateway"] + units * each["gateway_unit"],
        "PostgreSQL": database(variables["database"], prices),
        "Registry": each["registry"],
        "Way out, addresses, endpoints": (
            each["nat_gateway"]
            + ADDRESSES * each["public_address"]
            + ENDPOINTS * each["private_endpoint"]
        ),
        "Logs": traffic["log_gib"] * each["log_gib"],
        "Traffic out": traffic["egress_gib"] * each["egress_gib"],
    }


def database(settings: Mapping[str, Any], prices: Mapping[str, Any]) -> float:
    """The server, its standby, its disc, and the copy of its backups in another region."""
    servers = 2 if settings["zone_redundant"] else 1
    gib = settings["storage_mb"] / 1024
    backups = gib * prices["each"]["backup_gib"] if settings["geo_redundant_backup"] else 0
    disc = gib * prices["each"]["database_gib"]
    return float(servers * (prices["database"][settings["sku_name"]] + disc) + backups)


def total(environment: str) -> int:
    """USD a month, rounded up to ten."""
    return math.ceil(sum(estimate(environment, read_prices()).values()) / 10) * 10


def table() -> list[tuple[str, ...]]:
    """A row for each thing that is paid for, and one for their sums."""
    prices = read_prices()
    columns = [estimate(environment, prices) for environment in ENVIRONMENTS]
    rows = [(what, *(f"{column[what]:.0f}" for column in columns)) for what in columns[0]]
    return [*rows, ("**Together**", *(f"**{total(name)}**" for name in ENVIRONMENTS))]
