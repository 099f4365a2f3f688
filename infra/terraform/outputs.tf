# Each is somebody's input: scripts/write_overlay.py, gitops/, scripts/create_role, the workflows, a person.

output "overlay" {
  description = "What deploy/overlays/<environment>/platform.env needs to know of the platform."
  value = {
    AZURE_CLIENT_ID = azurerm_user_assigned_identity.this["workload"].client_id
    AZURE_TENANT_ID = local.tenant_id
    KEY_VAULT_NAME  = azurerm_key_vault.this.name
    REGISTRY        = azurerm_container_registry.this.login_server
    INGRESS_HOST    = var.hostname
    CERTIFICATE     = local.certificate_name
    DATABASE_HOST   = azurerm_postgresql_flexible_server.this.fqdn
    DATABASE_NAME   = azurerm_postgresql_flexible_server_database.gridos.name
    DATABASE_ROLE   = azurerm_user_assigned_identity.this["workload"].name
  }
}

output "gitops_labels" {
  description = "Labels of Argo CD's cluster secret (the GitOps bridge): what an ApplicationSet may select by and fill in."
  value = {
    environment            = var.environment
    workload_client_id     = azurerm_user_assigned_identity.this["workload"].client_id
    alertmanager_client_id = azurerm_user_assigned_identity.this["alertmanager"].client_id
    loki_client_id         = azurerm_user_assigned_identity.this["loki"].client_id
    loki_account           = azurerm_storage_account.logs.name
    tenant_id              = local.tenant_id
    vault_name             = azurerm_key_vault.this.name
    registry               = azurerm_container_registry.this.login_server
    node_resource_group    = module.naming.node_resource_group
  }
}

output "cluster_name" {
  description = "For `az aks get-credentials` and gitops/."
  value       = azurerm_kubernetes_cluster.this.name
}

output "resource_group" {
  description = "Where it all is."
  value       = local.resource_group
}

output "workload_subject" {
  description = "The ServiceAccount whose tokens the workload identity accepts."
  value       = azurerm_federated_identity_credential.workload.subject
}

output "workload_principal_id" {
  description = "The object id that the database's role is made for."
  value       = azurerm_user_assigned_identity.this["workload"].principal_id
}

output "database_admin_group" {
  description = "The Entra group that scripts/create_role connects as."
  value       = azurerm_postgresql_flexible_server_active_directory_administrator.this.principal_name
}

output "push_client_id" {
  description = "The release pipeline signs in as this to push images."
  value       = azurerm_user_assigned_identity.this["push"].client_id
}

output "gateway_address" {
  description = "Where the hostname's DNS record points."
  value       = azurerm_public_ip.gateway.ip_address
}

output "runner_subnet_id" {
  description = "What bootstrap admits to the state."
  value       = azurerm_subnet.this["runners"].id
}

output "secrets" {
  description = "What people fill the vault with, by name; ci/preflight says which are missing."
  value       = keys(local.secrets)
}

output "acme_name_servers" {
  description = "The NS record of _acme-challenge.<hostname> points at these; empty without acme."
  value       = flatten(azurerm_dns_zone.acme[*].name_servers)
}
