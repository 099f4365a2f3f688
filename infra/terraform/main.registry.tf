# Images. Premium is what private endpoints and retention need; see the README's costs.

resource "azurerm_container_registry" "this" {
  #checkov:skip=CKV_AZURE_233:zone redundancy follows the number of zones, which checkov does not evaluate
  #checkov:skip=CKV_AZURE_164:content trust is gone from Azure; images are signed with cosign and admitted by signature
  #checkov:skip=CKV_AZURE_165:one region; another is reached by a restore (docs/day-2.md, Region)
  #checkov:skip=CKV_AZURE_166:quarantine holds images until a scanner frees them; the release pipeline scans before it pushes

  # A registry's name takes letters and digits only.
  name                = "cr${replace(local.stem, "-", "")}${var.name_suffix}"
  resource_group_name = local.resource_group
  location            = var.location
  sku                 = "Premium"
  tags                = local.tags

  admin_enabled                 = false
  anonymous_pull_enabled        = false
  public_network_access_enabled = false
  # Layers come from a name of our own, not from one that all of Azure's storage shares.
  data_endpoint_enabled = true
  # Images leave by pull, not by export to somebody else's registry.
  export_policy_enabled = false
  # Defender scans through this door; ordinary traffic has none.
  network_rule_bypass_option = "AzureServices"
  # A tagged image is a release and stays; what nobody names any more goes after a month, which is
  # longer than any rollback reaches.
  retention_policy_in_days = 30
  zone_redundancy_enabled  = length(var.zones) > 1

  lifecycle {
    # It holds the images that production runs.
    prevent_destroy = true
  }
}
