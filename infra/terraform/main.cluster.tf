# The cluster. What runs in it is Argo CD's business: see gitops/.

resource "azurerm_kubernetes_cluster" "this" {
  #checkov:skip=CKV_AZURE_226:not every size has a local disc (dev's has none); a managed one works with all
  #checkov:skip=CKV_AZURE_117:Azure's own keys encrypt the discs; a key of ours would be one more thing to lose

  name                = "aks-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  node_resource_group = module.naming.node_resource_group
  dns_prefix          = local.stem
  tags                = local.tags

  kubernetes_version = var.kubernetes_version
  sku_tier           = var.cluster_sku_tier

  # Who may enter: Entra identities with Azure roles, over the network below, and nobody else.
  local_account_disabled = true
  # Break-glass: `az aks command invoke` is the one way in for a person when the API server is private.
  # It takes an Azure role that bootstrap gives to one group, acts with that person's own rights in the
  # cluster, and sends an alert (main.alerts.tf).
  run_command_enabled = true

  private_cluster_enabled             = local.private_cluster
  private_cluster_public_fqdn_enabled = false
  private_dns_zone_id                 = local.private_cluster ? "System" : null

  # Workloads prove who they are with a token that lives an hour; no secret is handed out.
  oidc_issuer_enabled       = true
  workload_identity_enabled = true

  # Patches arrive by themselves, in the windows below; a new minor version is a reviewed change.
  automatic_upgrade_channel = "patch"
  node_os_upgrade_channel   = "NodeImage"

  azure_policy_enabled         = true
  image_cleaner_enabled        = true
  image_cleaner_interval_hours = 120 # Five days: a rollback of this week finds its image on the node.

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    tenant_id              = local.tenant_id
    admin_group_object_ids = var.cluster_admin_group_ids
  }

  api_server_access_profile {
    # Nodes reach the API server inside the network, whichever way people do.
    virtual_network_integration_enabled = true
    subnet_id                           = azurerm_subnet.this["api-server"].id
    authorized_ip_ranges                = local.private_cluster ? null : var.api_server_authorized_ip_ranges
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    outbound_type       = var.outbound_type
    load_balancer_sku   = "standard"
    pod_cidr            = local.pod_cidr
    service_cidr        = local.service_cidr
    dns_service_ip      = cidrhost(local.service_cidr, 10)
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.this["cluster"].id]
  }

  kubelet_identity {
    client_id                 = azurerm_user_assigned_identity.this["kubelet"].client_id
    object_id                 = azurerm_user_assigned_identity.this["kubelet"].principal_id
    user_assigned_identity_id = azurerm_user_assigned_identity.this["kubelet"].id
  }

  default_node_pool {
    name    = "system"
    vm_size = var.system_pool.vm_size
    # kubernetes_version alone moves the control plane and leaves the nodes behind.
    orchestrator_version         = var.kubernetes_version
    vnet_subnet_id               = azurerm_subnet.this["nodes"].id
    zones                        = var.zones
    auto_scaling_enabled         = true
    min_count                    = var.system_pool.min_count
    max_count                    = var.system_pool.max_count
    only_critical_addons_enabled = true
    host_encryption_enabled      = true
    os_sku                       = "AzureLinux"
    max_pods                     = 50
    temporary_name_for_rotation  = "systemtmp"
    tags                         = local.tags

    upgrade_settings {
      max_surge = "33%"
      # A pod behind AGIC takes 120 s to leave; ten minutes let a full node drain under its budgets.
      drain_timeout_in_minutes = 10
    }
  }

  # Karpenter would make nodes of its own choice; pools of a stated size have a stated cost.
  node_provisioning_profile {
    mode = "Manual"
  }

  auto_scaler_profile {
    # Keeps zones even: with one zone empty, losing another loses half.
    balance_similar_node_groups = true
    expander                    = "least-waste"
  }

  maintenance_window_auto_upgrade {
    frequency   = "Weekly"
    interval    = 1
    duration    = 4
    day_of_week = var.maintenance_day
    start_time  = "02:00"
    utc_offset  = "+00:00"
  }

  maintenance_window_node_os {
    frequency   = "Weekly"
    interval    = 1
    duration    = 4
    day_of_week = var.maintenance_day
    start_time  = "02:00"
    utc_offset  = "+00:00"
  }

  key_vault_secrets_provider {
    secret_rotation_enabled  = true
    secret_rotation_interval = "2m"
  }

  ingress_application_gateway {
    gateway_id = azurerm_application_gateway.this.id
  }

  microsoft_defender {
    log_analytics_workspace_id = azurerm_log_analytics_workspace.this.id
  }

  oms_agent {
    log_analytics_workspace_id      = azurerm_log_analytics_workspace.this.id
    msi_auth_for_monitoring_enabled = true
  }

  # A cluster comes up only where it may already join its subnets and leave the network.
  depends_on = [
    azurerm_nat_gateway_public_ip_association.this,
    azurerm_role_assignment.this,
    azurerm_subnet_nat_gateway_association.this,
    azurerm_subnet_network_security_group_association.this,
    azurerm_subnet_route_table_association.this,
  ]
}

resource "azurerm_kubernetes_cluster_node_pool" "user" {
  name                        = "user"
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.this.id
  mode                        = "User"
  vm_size                     = var.user_pool.vm_size
  orchestrator_version        = var.kubernetes_version
  vnet_subnet_id              = azurerm_subnet.this["nodes"].id
  zones                       = var.zones
  auto_scaling_enabled        = true
  min_count                   = var.user_pool.min_count
  max_count                   = var.user_pool.max_count
  host_encryption_enabled     = true
  os_sku                      = "AzureLinux"
  max_pods                    = 50
  temporary_name_for_rotation = "usertmp"
  tags                        = local.tags

  upgrade_settings {
    max_surge                = "33%"
    drain_timeout_in_minutes = 10
  }
}

locals {
  private_cluster = length(var.api_server_authorized_ip_ranges) == 0
}
