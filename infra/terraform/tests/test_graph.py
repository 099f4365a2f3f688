"""What must be there before something else is made. Azure refuses, or makes it broken, otherwise.

Terraform makes in parallel whatever does not depend on one another; its own graph says what does. A
first apply that went well by luck of the order would not show the difference.
"""

import re

import pytest
import workspace

EDGE = re.compile(r'^\s+"([^"]+)" -> "([^"]+)";$', re.MULTILINE)

NSG = "azurerm_subnet_network_security_group_association.this"
NAT = "azurerm_subnet_nat_gateway_association.this"
NAT_ADDRESS = "azurerm_nat_gateway_public_ip_association.this"
ROUTES = "azurerm_subnet_route_table_association.this"
LINKS = "azurerm_private_dns_zone_virtual_network_link.this"
ENDPOINTS = "azurerm_private_endpoint.this"
ROLES = "azurerm_role_assignment.this"

WAITS_FOR = {
    # Nodes pull images and join their cluster while it is made: through a NAT gateway with an address.
    "azurerm_kubernetes_cluster.this": {NSG, NAT, NAT_ADDRESS, ROUTES, ROLES},
    # Azure refuses to change a subnet in which something is being made.
    "azurerm_postgresql_flexible_server.this": {NSG, LINKS},
    # It fetches its certificate as soon as it starts.
    "azurerm_application_gateway.this": {NSG, ROLES, "azurerm_key_vault_certificate.gateway"},
    ENDPOINTS: {NSG, LINKS},
    "azurerm_container_app_environment.runners": {NSG, NAT, NAT_ADDRESS, ROUTES},
    # Azure reads the key in the vault when the job is made.
    "azurerm_container_app_job.runners": {ENDPOINTS, ROLES},
    "azurerm_container_app_job.certificate": {ENDPOINTS, ROLES},
    # From inside, the vault's name leads to its endpoint, or nowhere yet.
    "azurerm_key_vault_certificate.gateway": {ENDPOINTS},
    # An alert names whom it tells, a lock what it keeps.
    "azurerm_management_lock.this": {
        "azurerm_container_registry.this",
        "azurerm_key_vault.this",
        "azurerm_postgresql_flexible_server.this",
    },
}


@pytest.fixture(scope="session")
def before(code, tmp_path_factory):
    """By resource, everything that Terraform makes before it."""
    root = workspace.copy(tmp_path_factory.mktemp("graph"))
    workspace.initialise_locally(root)
    drawn = workspace.terraform(root, "graph")
    assert drawn.returncode == 0, drawn.stderr
    direct: dict[str, set[str]] = {}
    for later, earlier in EDGE.findall(drawn.stdout):
        direct.setdefault(later, set()).add(earlier)
    return {resource: everything_before(resource, direct) for resource in direct}


def everything_before(resource, direct):
    found, ask = set(), [resource]
    while ask:
        for earlier in direct.get(ask.pop(), set()) - found:
            found.add(earlier)
            ask.append(earlier)
    return found


@pytest.mark.parametrize("resource", WAITS_FOR)
def test_what_must_be_there_first_is(before, resource):
    assert WAITS_FOR[resource] - before[resource] == set()


def test_nothing_that_is_in_a_subnet_is_made_before_the_subnet_has_its_rules(before):
    """The next thing that somebody adds, too."""
    others = ("azurerm_subnet_", "azurerm_role_assignment", "azurerm_network")
    in_subnets = {
        resource
        for resource, earlier in before.items()
        if "azurerm_subnet.this" in earlier and not resource.startswith(others)
    }

    assert {resource for resource in in_subnets if NSG not in before[resource]} == set()
    assert "azurerm_kubernetes_cluster.this" in in_subnets
