# The address plan. Overlay pods live outside it, so a /22 of nodes is 1,000 nodes, not 1,000 pods.

locals {
  pod_cidr     = "10.244.0.0/16"
  service_cidr = "10.245.0.0/16"

  subnets = {
    nodes = {
      cidr       = cidrsubnet(var.vnet_cidr, 6, 0) # /22
      delegation = null
    }
    # A /24 and a delegation: what AGIC needs to reach overlay pods.
    gateway = {
      cidr       = cidrsubnet(var.vnet_cidr, 8, 4)
      delegation = "Microsoft.Network/applicationGateways"
    }
    # /28 is the least PostgreSQL takes, and holds a primary and its standby with room to restore.
    database = {
      cidr       = cidrsubnet(var.vnet_cidr, 12, 80)
      delegation = "Microsoft.DBforPostgreSQL/flexibleServers"
    }
    # The API server's own addresses: /28 is the least, and it takes nothing else.
    api-server = {
      cidr       = cidrsubnet(var.vnet_cidr, 12, 81)
      delegation = "Microsoft.ContainerService/managedClusters"
    }
    endpoints = {
      cidr       = cidrsubnet(var.vnet_cidr, 11, 41) # /27
      delegation = null
    }
    # /27 is the least a Container Apps environment takes.
    runners = {
      cidr       = cidrsubnet(var.vnet_cidr, 11, 42)
      delegation = "Microsoft.App/environments"
    }
  }
}

resource "azurerm_virtual_network" "this" {
  name                = "vnet-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  address_space       = [var.vnet_cidr]
  tags                = local.tags
}

resource "azurerm_subnet" "this" {
  for_each = local.subnets

  name                 = "snet-${each.key}"
  resource_group_name  = local.resource_group
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [each.value.cidr]

  # Without this Azure gives a subnet an outbound address nobody asked for and nobody logs.
  default_outbound_access_enabled = false

  # By default a private endpoint ignores the subnet's security group.
  private_endpoint_network_policies = "NetworkSecurityGroupEnabled"

  dynamic "delegation" {
    for_each = each.value.delegation[*]

    content {
      name = "delegation"

      service_delegation {
        name = delegation.value
        # Fixed by each service; it reports no other, and writing one that differs is a diff for ever.
        actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
      }
    }
  }

  dynamic "service_endpoint" {
    # The runners reach the state: a storage firewall cannot admit an address of its own region, only
    # a subnet.
    for_each = each.key == "runners" ? ["Microsoft.Storage"] : []

    content {
      service = service_endpoint.value
    }
  }
}
