# Where Loki keeps the lines. It enters with its own identity, from inside; there is no key.

locals {
  # Loki deletes a line after 30 days (deploy/argocd/platform/loki-values.yaml). What its compactor left
  # behind goes a week later, long enough that the two are never at the same object.
  lines_kept_days = 30
  blobs_kept_days = local.lines_kept_days + 7
}

resource "azurerm_storage_account" "logs" {
  #checkov:skip=CKV_AZURE_33:there is no queue
  #checkov:skip=CKV_AZURE_36:no service of Azure's has business with the lines; Loki comes by its endpoint
  #checkov:skip=CKV_AZURE_206:lines of a month need no other region; zones follow var.zones
  #checkov:skip=CKV2_AZURE_1:Azure's own keys encrypt twice; a key of ours would be one more thing to lose
  #checkov:skip=CKV2_AZURE_38:Loki deletes by itself; a copy of what it deleted would outlive its retention
  #checkov:skip=CKV2_AZURE_41:there is no key, so nobody can sign an address

  # 24 letters and digits at the most.
  name                = "st${replace(local.stem, "-", "")}${var.name_suffix}"
  resource_group_name = local.resource_group
  location            = var.location
  tags                = local.tags

  account_tier             = "Standard"
  account_replication_type = length(var.zones) > 1 ? "ZRS" : "LRS"

  shared_access_key_enabled         = false
  default_to_oauth_authentication   = true
  local_user_enabled                = false
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  infrastructure_encryption_enabled = true
  https_traffic_only_enabled        = true
  min_tls_version                   = "TLS1_2"
  public_network_access_enabled     = false

  network_rules {
    default_action = "Deny"
    bypass         = ["None"]
  }
}

resource "azurerm_storage_container" "loki" {
  #checkov:skip=CKV2_AZURE_21:the account's diagnostic setting logs every read; checkov looks for an older resource

  name                  = "loki"
  storage_account_id    = azurerm_storage_account.logs.id
  container_access_type = "private"
}

resource "azurerm_storage_management_policy" "logs" {
  storage_account_id = azurerm_storage_account.logs.id

  rule {
    name    = "what-loki-left"
    enabled = true

    filters {
      blob_types = ["blockBlob"]
      # Chunks (`fake` is Loki's one tenant) and their index; not its small files of state.
      prefix_match = [for folder in ["fake", "index"] : "${azurerm_storage_container.loki.name}/${folder}/"]
    }

    actions {
      base_blob {
        delete_after_days_since_modification_greater_than = local.blobs_kept_days
      }
    }
  }
}
