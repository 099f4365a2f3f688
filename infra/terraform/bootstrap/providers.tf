# Run by a person who is Owner of the subscription, once and after changes here. The pipeline never
# runs it: this is where the pipeline's own rights are written.
provider "azurerm" {
  storage_use_azuread = length(local.checked_variables) > 0

  # Registering needs rights on the subscription, so it is done here for the platform too.
  resource_providers_to_register = [
    "Microsoft.App",
    "Microsoft.Compute",
    "Microsoft.ContainerRegistry",
    "Microsoft.ContainerService",
    "Microsoft.DBforPostgreSQL",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.OperationsManagement",
    "Microsoft.PolicyInsights",
    "Microsoft.Security",
    "Microsoft.Storage",
  ]

  features {}
}

locals {
  # Every variable. The provider's settings wait for this list, and so for the variables' rules: a wrong
  # value gives its own message, and not first that nobody is signed in.
  checked_variables = [
    var.break_glass_group_id,
    var.budget_start,
    var.environments,
    var.location,
    var.name_suffix,
    var.operator_ip_ranges,
    var.operators_group_id,
    var.owner,
    var.runner_subnet_ids,
  ]
}
