# Secrets. Terraform makes the vault and gives the rights, people put the values in (docs/azure.md).
# No secret is a resource here: a refresh would read its value, and a plan must need no right to.

locals {
  api_keys_name    = "gridos-api-keys"
  runner_key_name  = "github-runner-app-key"
  certificate_name = "gridos-tls"

  # Whom Alertmanager tells, by the file that observability/alertmanager names.
  receivers = {
    dead-mans-switch-token = "The token of the outside watcher that hears the watchdog"
    pagerduty-platform-key = "The platform's PagerDuty integration key"
    pagerduty-service-key  = "The service's PagerDuty integration key"
    slack-platform-url     = "Webhook of the channel for the platform's tickets"
    slack-releases-url     = "Webhook of the release channel"
    slack-service-url      = "Webhook of the channel for the service's tickets"
  }
  receiver_prefix = "alertmanager-"

  # What people fill, and what each is. `ci/preflight` says which are missing.
  secrets = merge(
    { (local.api_keys_name) = "The service's API keys, comma-separated; mounted by the Key Vault CSI driver" },
    { for file, what in local.receivers : "${local.receiver_prefix}${file}" => what },
    var.runners == null ? {} : { (local.runner_key_name) = "Private key of the GitHub App that registers runners, PEM" },
  )
}

resource "azurerm_key_vault" "this" {
  #checkov:skip=CKV_AZURE_189:public access follows applier_ip_ranges, which checkov does not evaluate; tests/data.tftest.hcl asserts that it is off

  name                = "kv-${local.stem}-${var.name_suffix}"
  resource_group_name = local.resource_group
  location            = var.location
  tenant_id           = local.tenant_id
  sku_name            = "standard"
  tags                = local.tags

  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 90

  # Shut, but for the hour of the first apply: see `applier_ip_ranges`.
  public_network_access_enabled = length(var.applier_ip_ranges) > 0

  network_acls {
    default_action = "Deny"
    bypass         = "AzureServices" # Application Gateway fetches its certificate this way.
    ip_rules       = var.applier_ip_ranges
  }

  lifecycle {
    # Purge protection keeps a deleted vault's name for 90 days, and nothing could read it meanwhile.
    prevent_destroy = true
  }
}

# The private key is made in the vault and never leaves it, so it is not in the state either.
resource "azurerm_key_vault_certificate" "gateway" {
  name         = local.certificate_name
  key_vault_id = azurerm_key_vault.this.id
  tags         = local.tags

  certificate_policy {
    issuer_parameters {
      name = var.certificate_issuer
    }

    key_properties {
      exportable = true # Application Gateway needs the key itself.
      key_type   = "RSA"
      key_size   = 3072
      reuse_key  = false
    }

    lifetime_action {
      action {
        action_type = "AutoRenew"
      }
      trigger {
        days_before_expiry = 30
      }
    }

    secret_properties {
      content_type = "application/x-pkcs12"
    }

    x509_certificate_properties {
      subject            = "CN=${var.hostname}"
      validity_in_months = 6
      key_usage          = ["digitalSignature", "keyEncipherment"]
      extended_key_usage = ["1.3.6.1.5.5.7.3.1"] # TLS server

      subject_alternative_names {
        dns_names = [var.hostname]
      }
    }
  }

  lifecycle {
    # A certificate by ACME is imported, which rewrites the policy; azurerm would answer by making a
    # self-signed one anew (key_vault_certificate_resource.go, 5.2.0).
    ignore_changes = [certificate_policy]
  }

  # The vault is reached by its private name, once that leads to the endpoint.
  depends_on = [azurerm_private_endpoint.this]
}
