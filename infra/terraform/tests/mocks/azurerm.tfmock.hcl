# Ids of the shape that the real provider insists on; eight random letters, which is what a mock
# invents, would pass here and be refused there.

mock_data "azurerm_client_config" {
  defaults = {
    subscription_id = "00000000-0000-4000-8000-000000000001"
    tenant_id       = "00000000-0000-4000-8000-000000000002"
  }
}

mock_resource "azurerm_application_gateway" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/applicationGateways/agw"
  }
}

mock_resource "azurerm_container_app_environment" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.App/managedEnvironments/cae"
  }
}

mock_resource "azurerm_container_registry" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.ContainerRegistry/registries/cr"
  }
}

mock_resource "azurerm_key_vault" {
  defaults = {
    id        = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.KeyVault/vaults/kv"
    vault_uri = "https://kv.vault.azure.net/"
  }
}

mock_resource "azurerm_kubernetes_cluster" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.ContainerService/managedClusters/aks"

    # AKS makes AGIC's identity; azurerm wants to know whom a role is given to.
    ingress_application_gateway = {
      ingress_application_gateway_identity = [{
        client_id                 = "00000000-0000-4000-8000-00000000e009"
        object_id                 = "00000000-0000-4000-8000-00000000e009"
        user_assigned_identity_id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/mc/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agic"
      }]
    }
  }
}

mock_resource "azurerm_log_analytics_workspace" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.OperationalInsights/workspaces/log"
  }
}

mock_resource "azurerm_monitor_action_group" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Insights/actionGroups/ag"
  }
}

mock_resource "azurerm_monitor_data_collection_rule" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Insights/dataCollectionRules/dcr"
  }
}

mock_resource "azurerm_nat_gateway" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/natGateways/ng"
  }
}

mock_resource "azurerm_network_security_group" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/networkSecurityGroups/nsg"
  }
}

mock_resource "azurerm_postgresql_flexible_server" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.DBforPostgreSQL/flexibleServers/psql"
  }
}

mock_resource "azurerm_private_dns_zone" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/privateDnsZones/zone.postgres.database.azure.com"
  }
}

mock_resource "azurerm_public_ip" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/publicIPAddresses/pip"
  }
}

mock_resource "azurerm_route_table" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/routeTables/rt"
  }
}

mock_resource "azurerm_storage_account" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Storage/storageAccounts/st"
  }
}

mock_resource "azurerm_storage_container" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Storage/storageAccounts/st/blobServices/default/containers/loki"
  }
}

mock_resource "azurerm_subnet" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/virtualNetworks/vnet/subnets/snet"
  }
}

mock_resource "azurerm_user_assigned_identity" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
  }
}

mock_resource "azurerm_virtual_network" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/virtualNetworks/vnet"
  }
}

mock_resource "azurerm_web_application_firewall_policy" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/applicationGatewayWebApplicationFirewallPolicies/waf"
  }
}

mock_resource "azurerm_key_vault_certificate" {
  defaults = {
    versionless_secret_id = "https://kv.vault.azure.net/secrets/gridos-tls"
  }
}

mock_resource "azurerm_dns_zone" {
  defaults = {
    id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/dnsZones/_acme-challenge.gridos.example.com"
  }
}
