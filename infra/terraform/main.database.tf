# PostgreSQL, inside the network, for Entra identities only. There is no password to leak: Azure
# issues tokens that live an hour. The service's own role needs SQL: scripts/create_role.

locals {
  database_parameters = {
    require_secure_transport = "ON"
    ssl_min_protocol_version = "TLSv1.2"
    # What `CREATE EXTENSION` may name; the service's migrations need none beyond this.
    "azure.extensions" = "PG_STAT_STATEMENTS"
    # Milliseconds. A session that stopped in mid-transaction holds its locks and stops vacuum.
    idle_in_transaction_session_timeout = "60000"
    log_lock_waits                      = "ON"
    log_checkpoints                     = "ON"
    log_connections                     = "ON"
    log_disconnections                  = "ON"
    # Milliseconds. The service's own limit is 250 ms at p95; a statement that took twice that alone
    # belongs in the log.
    log_min_duration_statement = "500"
  }
}

resource "azurerm_postgresql_flexible_server" "this" {
  #checkov:skip=CKV2_AZURE_57:inside the network already; a server has a subnet or an endpoint, not both

  name                = coalesce(var.database.server_name, "psql-${local.stem}-${var.name_suffix}")
  resource_group_name = local.resource_group
  location            = var.location
  version             = var.database.version
  sku_name            = var.database.sku_name
  # What the disc begins with; from then on Azure grows it. See the lifecycle below.
  storage_mb = var.database.storage_mb
  # A full disc makes the server read-only; growing costs cents.
  auto_grow_enabled = true
  tags              = local.tags

  public_network_access_enabled = false
  delegated_subnet_id           = azurerm_subnet.this["database"].id
  private_dns_zone_id           = azurerm_private_dns_zone.this["database"].id

  backup_retention_days        = var.database.backup_retention_days
  geo_redundant_backup_enabled = var.database.geo_redundant_backup

  authentication {
    active_directory_auth_enabled = true
    password_auth_enabled         = false
    tenant_id                     = local.tenant_id
  }

  dynamic "high_availability" {
    for_each = var.database.zone_redundant ? ["ZoneRedundant"] : []

    content {
      mode = high_availability.value
    }
  }

  # Sunday 03:00 UTC; 0 is Sunday.
  maintenance_window {
    day_of_week  = 0
    start_hour   = 3
    start_minute = 0
  }

  lifecycle {
    prevent_destroy = true

    ignore_changes = [
      # Azure grows the disc. A disc cannot shrink, so azurerm would *replace* the server to bring it
      # back to storage_mb (ForceNew in postgresql_flexible_server_resource.go, 5.2.0).
      storage_mb,
      # A bigger disc has a faster tier.
      storage_tier,
      # A failover swaps the two zones; that is no reason to move them back.
      zone,
      high_availability[0].standby_availability_zone,
    ]
  }

  depends_on = [
    # Without the link the server's name leads nowhere.
    azurerm_private_dns_zone_virtual_network_link.this,
    # Azure refuses to change a delegated subnet while a server is being made in it.
    azurerm_subnet_network_security_group_association.this,
  ]
}

resource "azurerm_postgresql_flexible_server_active_directory_administrator" "this" {
  server_name         = azurerm_postgresql_flexible_server.this.name
  resource_group_name = local.resource_group
  tenant_id           = local.tenant_id
  object_id           = var.database_admin_group.object_id
  principal_name      = var.database_admin_group.name
  principal_type      = "Group"
}

resource "azurerm_postgresql_flexible_server_configuration" "this" {
  for_each = local.database_parameters

  name      = each.key
  server_id = azurerm_postgresql_flexible_server.this.id
  value     = each.value
}

resource "azurerm_postgresql_flexible_server_database" "gridos" {
  name      = "gridos"
  server_id = azurerm_postgresql_flexible_server.this.id
  charset   = "UTF8"
  # Byte order: the same on every machine, so an index survives a restore elsewhere.
  collation = "C"

  lifecycle {
    # Deleting the database deletes its rows; the lock is on the server only.
    prevent_destroy = true
  }
}
