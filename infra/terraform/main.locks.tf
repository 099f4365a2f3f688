# Locks on what cannot be made again from code: data, secrets, and the images that production runs.
# Not on the resource group: a group lock also stops AGIC, AKS and autoscaling from deleting their
# own parts.

locals {
  locked = var.locks_enabled ? {
    database = azurerm_postgresql_flexible_server.this.id
    registry = azurerm_container_registry.this.id
    vault    = azurerm_key_vault.this.id
  } : {}
}

resource "azurerm_management_lock" "this" {
  for_each = local.locked

  name       = "keep-${each.key}"
  scope      = each.value
  lock_level = "CanNotDelete"
  notes      = "Holds what code cannot make again. To remove it, see \"Destroy\" in docs/azure.md."
}
