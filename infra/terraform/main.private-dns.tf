# Names that lead to private addresses, inside this network only.

locals {
  private_zones = {
    # The left-most label must not be the server's own name.
    database = "gridos-${var.environment}.private.postgres.database.azure.com"
    logs     = "privatelink.blob.core.windows.net"
    registry = "privatelink.azurecr.io"
    vault    = "privatelink.vaultcore.azure.net"
  }

  # What is reached through an endpoint, and the part of it that is.
  endpoints = {
    logs     = { resource_id = azurerm_storage_account.logs.id, part = "blob" }
    registry = { resource_id = azurerm_container_registry.this.id, part = "registry" }
    vault    = { resource_id = azurerm_key_vault.this.id, part = "vault" }
  }
}

resource "azurerm_private_dns_zone" "this" {
  for_each = local.private_zones

  name                = each.value
  resource_group_name = local.resource_group
  tags                = local.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each = local.private_zones

  name                = "to-vnet"
  private_dns_zone_id = azurerm_private_dns_zone.this[each.key].id
  virtual_network_id  = azurerm_virtual_network.this.id
  tags                = local.tags
}

resource "azurerm_private_endpoint" "this" {
  for_each = local.endpoints

  name                          = "pep-${each.key}-${local.stem}"
  custom_network_interface_name = "nic-pep-${each.key}-${local.stem}"
  resource_group_name           = local.resource_group
  location                      = var.location
  subnet_id                     = azurerm_subnet.this["endpoints"].id
  tags                          = local.tags

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = each.value.resource_id
    subresource_names              = [each.value.part]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = each.key
    private_dns_zone_ids = [azurerm_private_dns_zone.this[each.key].id]
  }

  depends_on = [
    azurerm_private_dns_zone_virtual_network_link.this,
    azurerm_subnet_network_security_group_association.this,
  ]
}
