# Subscription and tenant come from ARM_SUBSCRIPTION_ID and ARM_TENANT_ID, so that no file names
# them. Resource providers are registered once, in bootstrap: that needs rights on the
# subscription, which a pipeline does not have.
provider "azurerm" {
  storage_use_azuread = true

  features {
    key_vault {
      # A vault is purge-protected; asking for a purge on destroy could only fail.
      purge_soft_delete_on_destroy    = false
      recover_soft_deleted_key_vaults = true
    }
  }
}
