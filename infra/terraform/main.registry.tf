# Images. Premium is what private endpoints and retention need; see the README's costs.

resource "azurerm_container_registry" "this" {
  # A registry's name takes letters and digits only.
  name                = "cr${replace(local.stem, "-", "")}${var.name_suffix}"
  resource_group_name = local.resource_group
  location            = var.location
  sku                 = "Premium"
  tags                = local.tags

  admin_enabled                 = false
  anonymous_pull_enabled        = false
  public_network_access_enabled = false
  # Images leave by pull, not by export to somebody else's registry.
  export_policy_enabled = false
  # Defender scans through this door; ordinary traffic has none.
  network_rule_bypass_option = "AzureServices"
  # A tagged image is a release and stays; what nobody names any more goes after a month, which is
  # longer than any rollback reaches.
  retention_policy_in_days = 30
  zone_redundancy_enabled  = length(var.zones) > 1
}
