# What a fresh subscription refuses until it was asked for once. Azure takes up to a quarter of an hour.

# host_encryption_enabled on the node pools.
resource "azurerm_resource_provider_feature_registration" "encryption_at_host" {
  name          = "EncryptionAtHost"
  provider_name = "Microsoft.Compute"
}
