# What Prometheus in the cluster cannot see: the way in before the pods, and the database's disc.

locals {
  alerts = {
    gateway-unhealthy-hosts = {
      description = "Application Gateway sends no traffic to a pod that Kubernetes thinks is ready."
      scope       = azurerm_application_gateway.this.id
      namespace   = "Microsoft.Network/applicationGateways"
      metric      = "UnhealthyHostCount"
      aggregation = "Average"
      # Of five minutes: a pod that is being replaced is unhealthy for one at most.
      threshold = 0.5
      severity  = 1
    }
    gateway-connect-time = {
      description = "Connecting to a pod takes long: the network, or pods that no longer accept."
      scope       = azurerm_application_gateway.this.id
      namespace   = "Microsoft.Network/applicationGateways"
      metric      = "BackendConnectTime"
      aggregation = "Average"
      # Milliseconds. Inside one network it takes 1 to 5; 50 is a fifth of the 250 ms objective gone
      # before the service sees the request.
      threshold = 50
      severity  = 2
    }
    database-storage = {
      description = "The database's disc fills; it grows by itself, so this is faster than growing."
      scope       = azurerm_postgresql_flexible_server.this.id
      namespace   = "Microsoft.DBforPostgreSQL/flexibleServers"
      metric      = "storage_percent"
      aggregation = "Maximum"
      # Percent. Azure grows it at 80 (small discs) to 90; at 95 the server goes read-only.
      threshold = 85
      severity  = 1
    }
  }
}

resource "azurerm_monitor_metric_alert" "this" {
  for_each = local.alerts

  name                = "${each.key}-${local.stem}"
  resource_group_name = local.resource_group
  description         = each.value.description
  scopes              = [each.value.scope]
  severity            = each.value.severity
  frequency           = "PT1M"
  window_size         = "PT5M"
  tags                = local.tags

  criteria {
    metric_namespace = each.value.namespace
    metric_name      = each.value.metric
    aggregation      = each.value.aggregation
    operator         = "GreaterThan"
    threshold        = each.value.threshold
  }

  action {
    action_group_id = azurerm_monitor_action_group.this.id
  }
}

# The gateway's metrics know only 5xx; a 502 is the gateway's own, and the service never saw it.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "bad_gateway" {
  name                    = "gateway-502-${local.stem}"
  resource_group_name     = local.resource_group
  location                = var.location
  description             = "Clients get 502 from the gateway: no pod answered it."
  scopes                  = [azurerm_log_analytics_workspace.this.id]
  severity                = 1
  evaluation_frequency    = "PT5M"
  window_duration         = "PT5M"
  auto_mitigation_enabled = true
  # The table appears with the first request.
  skip_query_validation = true
  tags                  = local.tags

  criteria {
    query                   = "AGWAccessLogs | where HttpStatus == 502"
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    # In five minutes. A pod that leaves before the gateway knows costs a few; more is a fault.
    threshold = 10
  }

  action {
    action_groups = [azurerm_monitor_action_group.this.id]
  }
}

# The way in for a person in need (main.cluster.tf). Nobody uses it unnoticed, the pipeline included.
resource "azurerm_monitor_activity_log_alert" "break_glass" {
  name                = "break-glass-${local.stem}"
  resource_group_name = local.resource_group
  location            = "global"
  description         = "Somebody ran a command in the cluster through Azure (az aks command invoke): docs/day-2.md, Break-glass."
  scopes              = [azurerm_kubernetes_cluster.this.id]
  tags                = local.tags

  criteria {
    category       = "Administrative"
    operation_name = "Microsoft.ContainerService/managedClusters/runcommand/action"
    # An attempt that is refused in the cluster is one, too.
    status = "Started"
  }

  action {
    action_group_id = azurerm_monitor_action_group.this.id
  }
}
