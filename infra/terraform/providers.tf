# Subscription and tenant come from ARM_SUBSCRIPTION_ID and ARM_TENANT_ID, so that no file names
# them. Resource providers are registered once, in bootstrap: that needs rights on the
# subscription, which a pipeline does not have.
provider "azurerm" {
  storage_use_azuread = length(local.checked_variables) > 0

  features {
    key_vault {
      # A vault is purge-protected; asking for a purge on destroy could only fail.
      purge_soft_delete_on_destroy    = false
      recover_soft_deleted_key_vaults = true
    }
  }
}

locals {
  # Every variable. The provider's settings wait for this list, and so for the variables' rules: a wrong
  # value gives its own message, and not first that nobody is signed in.
  checked_variables = [
    var.acme,
    var.alert_emails,
    var.api_server_authorized_ip_ranges,
    var.applier_ip_ranges,
    var.certificate_issuer,
    var.cluster_admin_group_ids,
    var.cluster_sku_tier,
    var.database,
    var.database_admin_group,
    var.environment,
    var.firewall_private_ip,
    var.gateway_capacity,
    var.hostname,
    var.kubernetes_version,
    var.location,
    var.locks_enabled,
    var.log_daily_quota_gb,
    var.log_retention_days,
    var.maintenance_day,
    var.name_suffix,
    var.outbound_type,
    var.owner,
    var.push_subjects,
    var.rate_limit_per_minute,
    var.repository,
    var.runners,
    var.system_pool,
    var.user_pool,
    var.vnet_cidr,
    var.zones,
  ]
}
