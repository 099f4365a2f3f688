# Run by a person who is Owner of the subscription, once and after changes here. The pipeline never
# runs it: this is where the pipeline's own rights are written.
provider "azurerm" {
  storage_use_azuread = true

  # Registering needs rights on the subscription, so it is done here for the platform too.
  resource_providers_to_register = [
    "Microsoft.App",
    "Microsoft.Compute",
    "Microsoft.ContainerRegistry",
    "Microsoft.ContainerService",
    "Microsoft.Dashboard",
    "Microsoft.DBforPostgreSQL",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Monitor",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.OperationsManagement",
    "Microsoft.PolicyInsights",
    "Microsoft.Security",
    "Microsoft.Storage",
  ]

  features {}
}
