# The way in for a person when nothing else works: commands in the private cluster, through Azure
# (`az aks command invoke`). A group that is empty on ordinary days; each use sends an alert (the
# platform's main.alerts.tf), and docs/day-2.md says how.

resource "azurerm_role_definition" "break_glass" {
  for_each = var.environments

  name              = "GridOS break-glass ${each.key}"
  description       = "Run a command in the cluster through Azure; what it may do there is the person's own right."
  scope             = azurerm_resource_group.environment[each.key].id
  assignable_scopes = [azurerm_resource_group.environment[each.key].id]

  permissions {
    actions = [
      "Microsoft.ContainerService/managedClusters/read",
      "Microsoft.ContainerService/managedClusters/runcommand/action",
      "Microsoft.ContainerService/managedClusters/commandResults/read",
    ]
  }
}

locals {
  break_glass_roles = merge([
    for environment in keys(var.environments) : {
      "${environment}/enters"     = { environment = environment, role = azurerm_role_definition.break_glass[environment].name }
      "${environment}/may-repair" = { environment = environment, role = "Azure Kubernetes Service RBAC Cluster Admin" }
    }
  ]...)
}

resource "azurerm_role_assignment" "break_glass" {
  for_each = local.break_glass_roles

  principal_id         = var.break_glass_group_id
  principal_type       = "Group"
  role_definition_name = each.value.role
  scope                = azurerm_resource_group.environment[each.value.environment].id
}
