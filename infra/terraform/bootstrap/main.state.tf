# The state: one container an environment, so that dev's pipeline cannot read production's. Entra
# tokens only; there is no key.

resource "azurerm_resource_group" "state" {
  name     = "rg-gridos-state-${values(module.naming)[0].region}"
  location = var.location
  tags     = local.tags
}

resource "azurerm_storage_account" "state" {
  #checkov:skip=CKV_AZURE_59:the first apply comes from outside; network_rules admit nobody who is not named
  #checkov:skip=CKV_AZURE_36:no service of Azure's has business with the state
  #checkov:skip=CKV_AZURE_33:there is no queue
  #checkov:skip=CKV2_AZURE_33:runners come by their subnet; an endpoint would cost more than the account
  #checkov:skip=CKV2_AZURE_1:Azure's own keys encrypt twice; a key of ours would be one more thing to lose

  name                = "stgridosstate${var.name_suffix}"
  resource_group_name = azurerm_resource_group.state.name
  location            = var.location
  tags                = local.tags

  account_tier = "Standard"
  # Copies in three zones and in the paired region: without its state, a platform is an orphan.
  account_replication_type = "GZRS"

  shared_access_key_enabled         = false
  default_to_oauth_authentication   = true
  local_user_enabled                = false
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  infrastructure_encryption_enabled = true
  https_traffic_only_enabled        = true
  min_tls_version                   = "TLS1_2"

  # Public, because the first apply comes from outside; shut to all but these.
  public_network_access_enabled = true

  network_rules {
    default_action             = "Deny"
    bypass                     = ["None"]
    ip_rules                   = var.operator_ip_ranges
    virtual_network_subnet_ids = var.runner_subnet_ids
  }

  lifecycle {
    prevent_destroy = true

    # An operator's address is let in and taken off by hand (docs/azure.md, "Reach the state"). An apply that
    # took it off would shut out the very machine that has yet to write the state of that apply.
    ignore_changes = [network_rules[0].ip_rules]
  }

  blob_properties {
    # A state that was overwritten or deleted can be brought back for 30 days.
    versioning_enabled = true

    delete_retention_policy {
      days = 30
    }

    container_delete_retention_policy {
      days = 30
    }
  }
}

resource "azurerm_storage_container" "state" {
  #checkov:skip=CKV2_AZURE_21:the account's diagnostic setting logs every read; checkov looks for an older resource

  for_each = setunion(keys(var.environments), ["bootstrap"])

  name                  = each.key
  storage_account_id    = azurerm_storage_account.state.id
  container_access_type = "private"

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_management_lock" "state" {
  name       = "keep-state"
  scope      = azurerm_storage_account.state.id
  lock_level = "CanNotDelete"
  notes      = "Without its state, a platform can only be mended by hand."
}

# Who read or wrote a state.
resource "azurerm_log_analytics_workspace" "state" {
  name                         = "log-gridos-state"
  resource_group_name          = azurerm_resource_group.state.name
  location                     = var.location
  sku                          = "PerGB2018"
  retention_in_days            = 90
  daily_quota_gb               = 1
  local_authentication_enabled = false
  tags                         = local.tags
}

resource "azurerm_monitor_diagnostic_setting" "state" {
  name                       = "to-workspace"
  target_resource_id         = "${azurerm_storage_account.state.id}/blobServices/default"
  log_analytics_workspace_id = azurerm_log_analytics_workspace.state.id

  enabled_log {
    category_group = "audit"
  }
}
