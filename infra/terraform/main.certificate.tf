# A certificate from an ACME authority such as Let's Encrypt. A job asks the vault once a day how long
# the certificate still holds, and renews it a month before its end: the authority is shown a TXT record
# in a zone that holds nothing else, and the new certificate becomes the newest version of the one that
# the gateway follows. The name's owner delegates that zone once.

locals {
  acme_count = var.acme == null ? 0 : 1
}

resource "azurerm_dns_zone" "acme" {
  count = local.acme_count

  name                = "_acme-challenge.${var.hostname}"
  resource_group_name = local.resource_group
  tags                = local.tags
}

resource "azurerm_container_app_job" "certificate" {
  count = local.acme_count

  name                         = "caj-certificate-${local.stem}"
  resource_group_name          = local.resource_group
  location                     = var.location
  container_app_environment_id = azurerm_container_app_environment.runners[0].id
  workload_profile_name        = "Consumption"
  tags                         = local.tags

  replica_timeout_in_seconds = 1800
  # The next day tries again; the authority counts what fails.
  replica_retry_limit = 0

  # An identity of its own: whatever runs in a container may use each that is attached to it.
  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.this["certificate"].id]
  }

  schedule_trigger_config {
    cron_expression = "17 4 * * *" # UTC
  }

  template {
    container {
      name    = "renew"
      image   = var.runners.image
      command = ["bash", "-c", file("${path.module}/certificate/renew")]
      cpu     = 0.5
      memory  = "1Gi"

      dynamic "env" {
        for_each = {
          ACME_DIRECTORY = var.acme.directory
          ACME_EMAIL     = var.acme.email
          CERTIFICATE    = local.certificate_name
          CLIENT_ID      = azurerm_user_assigned_identity.this["certificate"].client_id
          DOMAIN         = var.hostname
          RESOURCE_GROUP = local.resource_group
          VAULT          = azurerm_key_vault.this.name
          ZONE           = azurerm_dns_zone.acme[0].name
        }

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  depends_on = [azurerm_private_endpoint.this, azurerm_role_assignment.this]
}
