# Who may speak to whom inside the network. Azure's own last rules let everything inside a network
# pass; `deny-rest` takes that back, so what is not written here does not get through.

locals {
  # From `source` to this subnet on `ports`. Priorities follow the order of writing.
  inbound = {
    nodes = [
      # The gateway speaks to pods directly; 8000 is the service's port for users.
      { name = "gateway-to-pods", source = local.subnets.gateway.cidr, ports = ["8000"], protocol = "Tcp" },
      { name = "nodes-and-pods", source = local.subnets.nodes.cidr, ports = ["*"], protocol = "*" },
      { name = "pods-across-nodes", source = local.pod_cidr, ports = ["*"], protocol = "*" },
      # Webhooks and `kubectl logs` come from the API server.
      { name = "api-server", source = local.subnets.api-server.cidr, ports = ["*"], protocol = "Tcp" },
      { name = "load-balancer-probes", source = "AzureLoadBalancer", ports = ["*"], protocol = "*" },
    ]
    gateway = [
      { name = "clients", source = "Internet", ports = ["80", "443"], protocol = "Tcp" },
      # Without it Azure cannot manage a v2 gateway, and refuses to make one.
      { name = "gateway-manager", source = "GatewayManager", ports = ["65200-65535"], protocol = "Tcp" },
      { name = "load-balancer-probes", source = "AzureLoadBalancer", ports = ["*"], protocol = "*" },
    ]
    database = [
      # Pods leave the overlay with their node's address.
      { name = "nodes", source = local.subnets.nodes.cidr, ports = ["5432"], protocol = "Tcp" },
      # The runners make the service's role: scripts/create_role.
      { name = "runners", source = local.subnets.runners.cidr, ports = ["5432"], protocol = "Tcp" },
      { name = "replication", source = local.subnets.database.cidr, ports = ["5432"], protocol = "Tcp" },
    ]
    api-server = [
      { name = "nodes", source = local.subnets.nodes.cidr, ports = ["443", "4443"], protocol = "Tcp" },
      { name = "runners", source = local.subnets.runners.cidr, ports = ["443"], protocol = "Tcp" },
      { name = "load-balancer-probes", source = "AzureLoadBalancer", ports = ["9988"], protocol = "Tcp" },
    ]
    endpoints = [
      { name = "nodes", source = local.subnets.nodes.cidr, ports = ["443"], protocol = "Tcp" },
      # The gateway fetches its certificate from the vault.
      { name = "gateway", source = local.subnets.gateway.cidr, ports = ["443"], protocol = "Tcp" },
      { name = "runners", source = local.subnets.runners.cidr, ports = ["443"], protocol = "Tcp" },
    ]
    runners = [
      { name = "among-themselves", source = local.subnets.runners.cidr, ports = ["*"], protocol = "*" },
      { name = "load-balancer-probes", source = "AzureLoadBalancer", ports = ["30000-32767"], protocol = "Tcp" },
    ]
  }

  # Azure refuses a gateway behind a rule that denies everything; Azure's own last rule already
  # denies the internet, and nothing in the network listens there.
  closed = setsubtract(keys(local.inbound), ["gateway"])

  inbound_rules = merge([
    for subnet, rules in local.inbound : {
      for index, rule in rules : "${subnet}/${rule.name}" => merge(rule, { subnet = subnet, priority = 100 + 10 * index })
    }
  ]...)
}

resource "azurerm_network_security_group" "this" {
  for_each = local.subnets

  name                = "nsg-${each.key}-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  tags                = local.tags
}

resource "azurerm_network_security_rule" "inbound" {
  for_each = local.inbound_rules

  name                        = "allow-${each.value.name}"
  resource_group_name         = local.resource_group
  network_security_group_name = azurerm_network_security_group.this[each.value.subnet].name
  priority                    = each.value.priority
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = each.value.protocol
  source_address_prefix       = each.value.source
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_ranges     = each.value.ports
}

resource "azurerm_network_security_rule" "deny_rest" {
  for_each = local.closed

  name                        = "deny-rest"
  resource_group_name         = local.resource_group
  network_security_group_name = azurerm_network_security_group.this[each.key].name
  priority                    = 4096 # the last there is
  direction                   = "Inbound"
  access                      = "Deny"
  protocol                    = "*"
  source_address_prefix       = "*"
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "*"
}

resource "azurerm_subnet_network_security_group_association" "this" {
  for_each = local.subnets

  subnet_id                 = azurerm_subnet.this[each.key].id
  network_security_group_id = azurerm_network_security_group.this[each.key].id

  # A group that is attached before its rules would cut off what they allow.
  depends_on = [azurerm_network_security_rule.inbound, azurerm_network_security_rule.deny_rest]
}
