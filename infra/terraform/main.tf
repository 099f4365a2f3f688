# What every concern below stands on. The resource group is made by bootstrap, because whoever
# makes a group needs rights on the subscription, and the pipeline's end at the group.

module "naming" {
  source      = "./modules/naming"
  environment = var.environment
  location    = var.location
}

data "azurerm_client_config" "current" {}

locals {
  stem              = module.naming.stem
  resource_group    = module.naming.resource_group
  resource_group_id = "/subscriptions/${data.azurerm_client_config.current.subscription_id}/resourceGroups/${local.resource_group}"
  tenant_id         = data.azurerm_client_config.current.tenant_id

  tags = {
    workload    = "gridos"
    environment = var.environment
    owner       = var.owner
    managed-by  = "terraform"
    repository  = var.repository
  }
}
