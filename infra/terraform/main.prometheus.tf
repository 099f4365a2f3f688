# Azure's Prometheus and Grafana, a choice against running them in the cluster. The chain is Azure's:
# the cluster's agent -> endpoint -> rule -> workspace -> Grafana.

locals {
  prometheus_count = var.managed_prometheus_enabled ? 1 : 0
}

resource "azurerm_monitor_workspace" "this" {
  count = local.prometheus_count

  name                = "amw-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  tags                = local.tags
}

resource "azurerm_monitor_data_collection_endpoint" "this" {
  count = local.prometheus_count

  name                = "dce-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  kind                = "Linux"
  tags                = local.tags
}

resource "azurerm_monitor_data_collection_rule" "this" {
  count = local.prometheus_count

  name                        = "dcr-${local.stem}"
  resource_group_name         = local.resource_group
  location                    = var.location
  kind                        = "Linux"
  data_collection_endpoint_id = azurerm_monitor_data_collection_endpoint.this[0].id
  tags                        = local.tags

  data_sources {
    prometheus_forwarder {
      name    = "prometheus"
      streams = ["Microsoft-PrometheusMetrics"]
    }
  }

  destinations {
    monitor_account {
      name               = "workspace"
      monitor_account_id = azurerm_monitor_workspace.this[0].id
    }
  }

  data_flow {
    streams      = ["Microsoft-PrometheusMetrics"]
    destinations = ["workspace"]
  }
}

resource "azurerm_monitor_data_collection_rule_association" "cluster" {
  count = local.prometheus_count

  name                    = "prometheus"
  target_resource_id      = azurerm_kubernetes_cluster.this.id
  data_collection_rule_id = azurerm_monitor_data_collection_rule.this[0].id
}

resource "azurerm_dashboard_grafana" "this" {
  count = local.prometheus_count

  name                  = "amg-${local.stem}"
  resource_group_name   = local.resource_group
  location              = var.location
  grafana_major_version = "12"
  # A key would be a password for everything it shows; people enter with Entra.
  api_key_enabled = false
  # Its page is public like any portal's; entering it needs an Entra role.
  public_network_access_enabled = true
  zone_redundancy_enabled       = length(var.zones) > 1
  tags                          = local.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.this["grafana"].id]
  }

  azure_monitor_workspace_integrations {
    resource_id = azurerm_monitor_workspace.this[0].id
  }
}
