# What must be there before the platform: a group for each environment, a place for the state, and the
# identities of the pipeline.

module "naming" {
  source   = "../modules/naming"
  for_each = var.environments

  environment = each.key
  location    = var.location
}

data "azurerm_subscription" "current" {}

locals {
  tags = {
    workload   = "gridos"
    owner      = var.owner
    managed-by = "terraform"
  }
}

resource "azurerm_resource_group" "environment" {
  for_each = var.environments

  name     = module.naming[each.key].resource_group
  location = var.location
  tags     = merge(local.tags, { environment = each.key })
}
