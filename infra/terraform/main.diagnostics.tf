# Everything that can say what happened to it says so into the workspace.

locals {
  # `kube-audit` also logs every read, which is most of the volume and none of the evidence.
  cluster_logs = ["kube-audit-admin", "kube-apiserver", "kube-controller-manager", "cluster-autoscaler", "guard"]

  diagnostics = merge(
    {
      cluster   = { id = azurerm_kubernetes_cluster.this.id, categories = local.cluster_logs, metrics = true }
      database  = { id = azurerm_postgresql_flexible_server.this.id, groups = ["allLogs"], metrics = true }
      gateway   = { id = azurerm_application_gateway.this.id, groups = ["allLogs"], metrics = true }
      logs      = { id = "${azurerm_storage_account.logs.id}/blobServices/default", groups = ["audit"], metrics = false }
      public-ip = { id = azurerm_public_ip.gateway.id, groups = ["allLogs"], metrics = true }
      registry  = { id = azurerm_container_registry.this.id, groups = ["allLogs"], metrics = true }
      vault     = { id = azurerm_key_vault.this.id, groups = ["allLogs"], metrics = true }
      vnet      = { id = azurerm_virtual_network.this.id, groups = ["allLogs"], metrics = true }
      # Who read the logs.
      workspace = { id = azurerm_log_analytics_workspace.this.id, groups = ["audit"], metrics = false }
    },
    {
      for subnet in keys(local.subnets) : "nsg-${subnet}" =>
      { id = azurerm_network_security_group.this[subnet].id, groups = ["allLogs"], metrics = false }
    },
    var.runners == null ? {} : {
      runners = { id = azurerm_container_app_environment.runners[0].id, groups = ["allLogs"], metrics = false }
    },
  )

  # Where Azure has a table per category: queries are shorter, and the 502 alert reads one.
  own_tables = ["cluster", "gateway"]
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = local.diagnostics

  name                           = "to-workspace"
  target_resource_id             = each.value.id
  log_analytics_workspace_id     = azurerm_log_analytics_workspace.this.id
  log_analytics_destination_type = contains(local.own_tables, each.key) ? "Dedicated" : null

  dynamic "enabled_log" {
    for_each = try(each.value.groups, [])

    content {
      category_group = enabled_log.value
    }
  }

  dynamic "enabled_log" {
    for_each = try(each.value.categories, [])

    content {
      category = enabled_log.value
    }
  }

  dynamic "enabled_metric" {
    for_each = each.value.metrics ? ["AllMetrics"] : []

    content {
      category = enabled_metric.value
    }
  }
}
