# The way out, for nodes and runners; see `outbound_type` for the choice and what it costs.

locals {
  nat_enabled      = var.outbound_type == "userAssignedNATGateway"
  firewall_enabled = var.outbound_type == "userDefinedRouting"
  egress_subnets   = toset(["nodes", "runners"])
}

resource "azurerm_public_ip" "nat" {
  count = local.nat_enabled ? 1 : 0

  name                = "pip-ng-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = var.zones
  tags                = local.tags
}

# Without a zone of its own Azure puts it into one. Losing that zone loses egress, and no request
# depends on egress: database, vault and registry are inside.
resource "azurerm_nat_gateway" "this" {
  count = local.nat_enabled ? 1 : 0

  name                = "ng-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  sku_name            = "Standard"
  # Minutes, the least there is: a longer one keeps ports of dead connections.
  idle_timeout_in_minutes = 4
  tags                    = local.tags
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  count = local.nat_enabled ? 1 : 0

  nat_gateway_id       = azurerm_nat_gateway.this[0].id
  public_ip_address_id = azurerm_public_ip.nat[0].id
}

resource "azurerm_subnet_nat_gateway_association" "this" {
  for_each = local.nat_enabled ? local.egress_subnets : []

  subnet_id      = azurerm_subnet.this[each.key].id
  nat_gateway_id = azurerm_nat_gateway.this[0].id
}

resource "azurerm_route_table" "this" {
  count = local.firewall_enabled ? 1 : 0

  name                = "rt-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  tags                = local.tags

  route {
    name                   = "through-the-firewall"
    address_prefix         = "0.0.0.0/0"
    next_hop_type          = "VirtualAppliance"
    next_hop_in_ip_address = var.firewall_private_ip
  }
}

resource "azurerm_subnet_route_table_association" "this" {
  for_each = local.firewall_enabled ? local.egress_subnets : []

  subnet_id      = azurerm_subnet.this[each.key].id
  route_table_id = azurerm_route_table.this[0].id
}
