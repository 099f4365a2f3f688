output "pipeline_client_ids" {
  description = "What each GitHub environment signs in as: AZURE_CLIENT_ID, by environment and act."
  value       = { for key, identity in azurerm_user_assigned_identity.pipeline : key => identity.client_id }
}

output "state" {
  description = "What environments/*.backend.hcl must say."
  value = {
    resource_group_name  = azurerm_resource_group.state.name
    storage_account_name = azurerm_storage_account.state.name
    containers           = keys(azurerm_storage_container.state)
  }
}

output "apply_principal_ids" {
  description = "Object ids to put into the database administrators' and the cluster administrators' groups."
  value       = { for key, identity in azurerm_user_assigned_identity.pipeline : key => identity.principal_id if endswith(key, "/apply") }
}
