# Where logs go, and whom alerts reach. What the service measures itself is Prometheus's business.

resource "azurerm_log_analytics_workspace" "this" {
  name                = "log-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  sku                 = "PerGB2018"
  retention_in_days   = var.log_retention_days
  daily_quota_gb      = var.log_daily_quota_gb
  # Entra identities only; a workspace key could write anything into the log.
  local_authentication_enabled = false
  tags                         = local.tags
}

resource "azurerm_monitor_action_group" "this" {
  name                = "ag-${local.stem}"
  resource_group_name = local.resource_group
  short_name          = "gridos"
  tags                = local.tags

  dynamic "email_receiver" {
    for_each = var.alert_emails

    content {
      name                    = email_receiver.key
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }
}
