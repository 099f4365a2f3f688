# What containers write, into the workspace, for the namespaces whose lines Loki does not keep
# (observability/logs): AGIC and the rest of AKS, Argo CD, Argo Rollouts, and what watches. The agent
# that `oms_agent` installs collects nothing without this rule.

locals {
  logged_namespaces = ["argo-rollouts", "argocd", "kube-system", "monitoring"]
}

resource "azurerm_monitor_data_collection_rule" "containers" {
  name                = "dcr-containers-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  kind                = "Linux"
  tags                = local.tags

  data_sources {
    extension {
      name           = "containers"
      extension_name = "ContainerInsights"
      streams        = ["Microsoft-ContainerLogV2"]

      extension_json = jsonencode({
        dataCollectionSettings = {
          interval               = "1m"
          namespaceFilteringMode = "Include"
          namespaces             = local.logged_namespaces
          enableContainerLogV2   = true
        }
      })
    }
  }

  destinations {
    log_analytics {
      name                  = "workspace"
      workspace_resource_id = azurerm_log_analytics_workspace.this.id
    }
  }

  data_flow {
    streams      = ["Microsoft-ContainerLogV2"]
    destinations = ["workspace"]
  }
}

resource "azurerm_monitor_data_collection_rule_association" "containers" {
  # The agent looks for this name.
  name                    = "ContainerInsightsExtension"
  target_resource_id      = azurerm_kubernetes_cluster.this.id
  data_collection_rule_id = azurerm_monitor_data_collection_rule.containers.id
}
