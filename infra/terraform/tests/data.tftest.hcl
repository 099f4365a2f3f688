# Images, secrets, the database, and the locks on them.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

run "the_registry_is_private_and_has_no_password" {
  command = plan

  assert {
    condition     = azurerm_container_registry.this.sku == "Premium" && !azurerm_container_registry.this.public_network_access_enabled
    error_message = "The registry would be reachable from the internet."
  }

  assert {
    condition     = !azurerm_container_registry.this.admin_enabled
    error_message = "The registry would have an administrator's password."
  }

  assert {
    condition     = !azurerm_container_registry.this.anonymous_pull_enabled
    error_message = "Anybody could pull."
  }

  assert {
    condition     = !azurerm_container_registry.this.export_policy_enabled
    error_message = "Images could be exported to another registry."
  }

  assert {
    condition     = azurerm_container_registry.this.data_endpoint_enabled && azurerm_container_registry.this.network_rule_bypass_option == "AzureServices"
    error_message = "Layers would come from a name that all of Azure's storage shares, or Defender not scan."
  }

  assert {
    condition     = azurerm_container_registry.this.retention_policy_in_days == 30 && azurerm_container_registry.this.zone_redundancy_enabled
    error_message = "Untagged images would pile up, or a zone would take the images with it."
  }
}

run "the_vault_is_shut_and_cannot_be_emptied" {
  command = plan

  assert {
    condition     = azurerm_key_vault.this.rbac_authorization_enabled
    error_message = "Access policies would give rights on the whole vault."
  }

  assert {
    condition     = azurerm_key_vault.this.purge_protection_enabled && azurerm_key_vault.this.soft_delete_retention_days == 90
    error_message = "Deleted secrets could not be brought back."
  }

  assert {
    condition     = !azurerm_key_vault.this.public_network_access_enabled
    error_message = "The vault would be reachable from the internet."
  }

  assert {
    condition     = one(azurerm_key_vault.this.network_acls).default_action == "Deny"
    error_message = "The vault would admit every network."
  }

  assert {
    condition     = one(azurerm_key_vault.this.network_acls).bypass == "AzureServices"
    error_message = "Application Gateway could not fetch its certificate."
  }
}

run "the_first_apply_opens_the_vault_to_one_address" {
  command = plan

  variables {
    applier_ip_ranges = ["192.0.2.7/32"]
  }

  assert {
    condition     = azurerm_key_vault.this.public_network_access_enabled && one(azurerm_key_vault.this.network_acls).ip_rules == toset(["192.0.2.7/32"])
    error_message = "The first apply could not write its placeholders."
  }

  assert {
    condition     = one(azurerm_key_vault.this.network_acls).default_action == "Deny"
    error_message = "The vault would be open to everybody during the first apply."
  }
}

run "people_are_told_which_secrets_to_fill" {
  command = plan

  assert {
    condition = output.secrets == [
      "alertmanager-dead-mans-switch-token", "alertmanager-pagerduty-platform-key", "alertmanager-pagerduty-service-key",
      "alertmanager-slack-platform-url", "alertmanager-slack-releases-url", "alertmanager-slack-service-url",
      "github-runner-app-key", "gridos-api-keys",
    ]
    error_message = "A secret would be missed until something waits for it, or be filled that nobody reads."
  }
}

run "the_certificate_renews_itself_and_its_key_is_made_in_the_vault" {
  command = plan

  assert {
    condition     = one(one(one(azurerm_key_vault_certificate.gateway.certificate_policy).lifetime_action).action).action_type == "AutoRenew"
    error_message = "The certificate would run out."
  }

  assert {
    condition     = one(one(one(azurerm_key_vault_certificate.gateway.certificate_policy).lifetime_action).trigger).days_before_expiry == 30
    error_message = "GridosCertificateExpiring, at 14 days, would be about a certificate that nothing is wrong with."
  }

  assert {
    condition     = one(one(azurerm_key_vault_certificate.gateway.certificate_policy).key_properties).exportable && one(one(azurerm_key_vault_certificate.gateway.certificate_policy).key_properties).key_size == 3072
    error_message = "Application Gateway could not use the key, or the key would be short."
  }

  assert {
    condition     = length(azurerm_key_vault_certificate.gateway.certificate) == 0
    error_message = "A key that was imported has been somewhere else, the state among them."
  }

  assert {
    condition     = one(one(one(azurerm_key_vault_certificate.gateway.certificate_policy).x509_certificate_properties).subject_alternative_names).dns_names == toset([var.hostname])
    error_message = "The certificate would not be for the hostname."
  }
}

run "an_acme_authority_is_shown_a_zone_of_its_own_and_fills_the_certificate_that_the_gateway_follows" {
  command = plan

  assert {
    condition     = azurerm_dns_zone.acme[0].name == "_acme-challenge.gridos.example.com"
    error_message = "The job would need the zone that holds every name, or one where the authority does not look."
  }

  assert {
    condition = { for env in one(one(azurerm_container_app_job.certificate[0].template).container).env : env.name => env.value if contains(["CERTIFICATE", "DOMAIN", "VAULT", "ZONE"], env.name) } == {
      CERTIFICATE = azurerm_key_vault_certificate.gateway.name
      DOMAIN      = var.hostname
      VAULT       = azurerm_key_vault.this.name
      ZONE        = azurerm_dns_zone.acme[0].name
    }
    error_message = "Another certificate than the gateway's would be renewed."
  }

  assert {
    condition     = one(azurerm_container_app_job.certificate[0].identity).identity_ids == toset([azurerm_user_assigned_identity.this["certificate"].id])
    error_message = "The job could use an identity with other rights."
  }

  assert {
    condition     = one(azurerm_container_app_job.certificate[0].schedule_trigger_config).cron_expression == "17 4 * * *"
    error_message = "Nobody would look how long the certificate still holds."
  }
}

run "without_acme_nothing_of_it_is_left" {
  command = plan

  variables {
    acme = null
  }

  assert {
    condition     = length(azurerm_dns_zone.acme) == 0 && length(azurerm_container_app_job.certificate) == 0 && !contains(keys(azurerm_user_assigned_identity.this), "certificate") && length([for key in keys(azurerm_role_assignment.this) : key if startswith(key, "certificate-")]) == 0
    error_message = "A right, a zone or a job without a use would be left."
  }
}

run "the_logs_are_shut_and_have_no_key" {
  command = plan

  assert {
    condition     = !azurerm_storage_account.logs.shared_access_key_enabled && !azurerm_storage_account.logs.local_user_enabled
    error_message = "Whoever had a key could read every line."
  }

  assert {
    condition     = !azurerm_storage_account.logs.cross_tenant_replication_enabled && one(azurerm_storage_account.logs.network_rules).bypass == toset(["None"])
    error_message = "Lines could be copied to another tenant, or a service of Azure's read them."
  }

  assert {
    condition     = !azurerm_storage_account.logs.public_network_access_enabled && one(azurerm_storage_account.logs.network_rules).default_action == "Deny"
    error_message = "The logs would be reachable from the internet."
  }

  assert {
    condition     = !azurerm_storage_account.logs.allow_nested_items_to_be_public && azurerm_storage_container.loki.container_access_type == "private"
    error_message = "Lines could be read without a name."
  }

  assert {
    condition     = azurerm_storage_account.logs.https_traffic_only_enabled && azurerm_storage_account.logs.min_tls_version == "TLS1_2"
    error_message = "Lines would travel in the clear."
  }

  assert {
    condition     = azurerm_storage_account.logs.infrastructure_encryption_enabled
    error_message = "Lines would be encrypted once."
  }

  assert {
    condition     = azurerm_storage_account.logs.account_replication_type == "ZRS"
    error_message = "A zone would take the logs with it."
  }
}

run "logs_are_gone_a_week_after_loki_should_have_deleted_them" {
  command = plan

  assert {
    condition     = one(one(one(azurerm_storage_management_policy.logs.rule).actions).base_blob).delete_after_days_since_modification_greater_than == 37
    error_message = "Blobs would vanish while Loki needs them, or stay for ever."
  }

  assert {
    condition     = one(one(azurerm_storage_management_policy.logs.rule).filters).prefix_match == toset(["loki/fake/", "loki/index/"])
    error_message = "Something else than lines and their index would be deleted."
  }
}

run "the_database_is_inside_the_network" {
  command = plan

  assert {
    condition     = !azurerm_postgresql_flexible_server.this.public_network_access_enabled
    error_message = "The database would be reachable from the internet."
  }

  assert {
    condition = (
      azurerm_postgresql_flexible_server.this.delegated_subnet_id == azurerm_subnet.this["database"].id &&
      azurerm_postgresql_flexible_server.this.private_dns_zone_id == azurerm_private_dns_zone.this["database"].id
    )
    error_message = "The database would not be in its subnet."
  }
}

run "the_database_knows_entra_identities_only" {
  command = plan

  assert {
    condition     = !one(azurerm_postgresql_flexible_server.this.authentication).password_auth_enabled
    error_message = "The database would take passwords."
  }

  assert {
    condition     = one(azurerm_postgresql_flexible_server.this.authentication).active_directory_auth_enabled
    error_message = "Nobody could enter the database."
  }

  assert {
    condition     = azurerm_postgresql_flexible_server_active_directory_administrator.this.object_id == var.database_admin_group.object_id && azurerm_postgresql_flexible_server_active_directory_administrator.this.principal_type == "Group"
    error_message = "Somebody else would administer the database."
  }
}

run "the_database_insists_on_tls" {
  command = plan

  assert {
    condition     = azurerm_postgresql_flexible_server_configuration.this["require_secure_transport"].value == "ON"
    error_message = "Connections in the clear would be accepted."
  }

  assert {
    condition     = azurerm_postgresql_flexible_server_configuration.this["ssl_min_protocol_version"].value == "TLSv1.2"
    error_message = "TLS below 1.2 would be accepted."
  }
}

run "the_database_logs_what_people_ask_and_lets_no_session_hold_it_up" {
  command = plan

  assert {
    condition = { for name, setting in azurerm_postgresql_flexible_server_configuration.this : name => setting.value } == {
      "azure.extensions"                  = "PG_STAT_STATEMENTS"
      idle_in_transaction_session_timeout = "60000"
      log_checkpoints                     = "ON"
      log_connections                     = "ON"
      log_disconnections                  = "ON"
      log_lock_waits                      = "ON"
      log_min_duration_statement          = "500"
      require_secure_transport            = "ON"
      ssl_min_protocol_version            = "TLSv1.2"
    }
    error_message = "A session could hold its locks for ever, an extension more be made, or nobody see who entered."
  }

  assert {
    condition     = one(azurerm_postgresql_flexible_server.this.maintenance_window).day_of_week == 0 && one(azurerm_postgresql_flexible_server.this.maintenance_window).start_hour == 3
    error_message = "Azure would restart the database while people work."
  }
}

run "the_database_is_of_a_current_version_with_its_name_and_encoding" {
  command = plan

  assert {
    condition     = tonumber(azurerm_postgresql_flexible_server.this.version) >= 17
    error_message = "The version would be older than 17."
  }

  assert {
    condition     = azurerm_postgresql_flexible_server_database.gridos.name == "gridos" && azurerm_postgresql_flexible_server_database.gridos.charset == "UTF8"
    error_message = "The service would not find its database."
  }

  assert {
    condition     = azurerm_postgresql_flexible_server_database.gridos.collation == "C"
    error_message = "Indexes would be in an order that a restore elsewhere may not know."
  }
}

run "production_can_lose_a_zone_a_region_or_a_month" {
  command = plan

  assert {
    condition     = one(azurerm_postgresql_flexible_server.this.high_availability).mode == "ZoneRedundant"
    error_message = "A zone would take the database with it."
  }

  assert {
    condition     = azurerm_postgresql_flexible_server.this.geo_redundant_backup_enabled
    error_message = "A region would take the backups with it."
  }

  assert {
    condition     = azurerm_postgresql_flexible_server.this.backup_retention_days == 35 && azurerm_postgresql_flexible_server.this.auto_grow_enabled
    error_message = "A mistake of last month could not be undone, or a full disc would stop writing."
  }
}

run "what_code_cannot_make_again_is_locked" {
  command = plan

  assert {
    condition = { for key, lock in azurerm_management_lock.this : key => lock.scope } == {
      database = azurerm_postgresql_flexible_server.this.id
      registry = azurerm_container_registry.this.id
      vault    = azurerm_key_vault.this.id
    }
    error_message = "Data, images or secrets could be deleted by one wrong command."
  }

  assert {
    condition     = alltrue([for lock in azurerm_management_lock.this : lock.lock_level == "CanNotDelete"])
    error_message = "A lock would not keep, or keep from working."
  }
}
