# Every right that is given, on one page: who, what, where. Each scope is the narrowest that the role
# has an effect on; nothing is given on the subscription, and nobody is Owner.

locals {
  roles = merge(
    {
      cluster-joins-nodes         = { who = "cluster", role = "Network Contributor", scope = azurerm_subnet.this["nodes"].id }
      cluster-joins-api-server    = { who = "cluster", role = "Network Contributor", scope = azurerm_subnet.this["api-server"].id }
      cluster-lends-kubelet       = { who = "cluster", role = "Managed Identity Operator", scope = azurerm_user_assigned_identity.this["kubelet"].id }
      kubelet-pulls               = { who = "kubelet", role = "AcrPull", scope = azurerm_container_registry.this.id }
      pipeline-pushes             = { who = "push", role = "AcrPush", scope = azurerm_container_registry.this.id }
      gateway-reads-certificate   = { who = "gateway", role = "Key Vault Secrets User", scope = "${azurerm_key_vault.this.id}/secrets/${local.certificate_name}" }
      workload-reads-its-api-keys = { who = "workload", role = "Key Vault Secrets User", scope = "${azurerm_key_vault.this.id}/secrets/${local.api_keys_name}" }
      loki-keeps-lines            = { who = "loki", role = "Storage Blob Data Contributor", scope = azurerm_storage_container.loki.id }
    },
    {
      for file in keys(local.receivers) : "alertmanager-reads-${file}" =>
      { who = "alertmanager", role = "Key Vault Secrets User", scope = "${azurerm_key_vault.this.id}/secrets/${local.receiver_prefix}${file}" }
    },
    local.firewall_enabled ? {
      cluster-reads-routes = { who = "cluster", role = "Network Contributor", scope = azurerm_route_table.this[0].id }
    } : {},
    var.runners == null ? {} : {
      runners-read-their-key = { who = "runners", role = "Key Vault Secrets User", scope = "${azurerm_key_vault.this.id}/secrets/${local.runner_key_name}" }
      runners-start-a-runner = { who = "runners", role = "Container Apps Jobs Operator", scope = azurerm_container_app_job.isolated[0].id }
    },
    var.acme == null ? {} : {
      certificate-is-renewed   = { who = "certificate", role = "Key Vault Certificates Officer", scope = "${azurerm_key_vault.this.id}/certificates/${local.certificate_name}" }
      certificate-proves-names = { who = "certificate", role = "DNS Zone Contributor", scope = azurerm_dns_zone.acme[0].id }
    },
  )

  # AKS makes this identity itself, so it is known only once the cluster is.
  ingress_principal_id = one(flatten(azurerm_kubernetes_cluster.this.ingress_application_gateway[*].ingress_application_gateway_identity[*].object_id))

  ingress_roles = {
    configures-the-gateway = { role = "Contributor", scope = azurerm_application_gateway.this.id }
    sees-the-group         = { role = "Reader", scope = local.resource_group_id }
    # The built-in role that has join/action; on this one subnet.
    joins-the-subnet  = { role = "Network Contributor", scope = azurerm_subnet.this["gateway"].id }
    lends-the-gateway = { role = "Managed Identity Operator", scope = azurerm_user_assigned_identity.this["gateway"].id }
  }
}

resource "azurerm_role_assignment" "this" {
  for_each = local.roles

  principal_id         = azurerm_user_assigned_identity.this[each.value.who].principal_id
  principal_type       = "ServicePrincipal"
  role_definition_name = each.value.role
  scope                = each.value.scope
}

resource "azurerm_role_assignment" "ingress" {
  for_each = local.ingress_roles

  principal_id         = local.ingress_principal_id
  principal_type       = "ServicePrincipal"
  role_definition_name = each.value.role
  scope                = each.value.scope
}
