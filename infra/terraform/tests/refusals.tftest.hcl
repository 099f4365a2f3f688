# Each rule on a variable refuses something. A variable with several rules has a run for each.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

run "values_of_the_wrong_kind_are_refused" {
  command = plan

  variables {
    name_suffix                     = "UP"
    owner                           = " "
    repository                      = "example/gridos"
    zones                           = ["4"]
    vnet_cidr                       = "10.42.0.0/20"
    outbound_type                   = "none"
    applier_ip_ranges               = ["0.0.0.0/0"]
    kubernetes_version              = "1.33"
    cluster_sku_tier                = "Premium"
    api_server_authorized_ip_ranges = ["0.0.0.0/0"]
    cluster_admin_group_ids         = []
    system_pool                     = { vm_size = "Standard_D2ds_v5", min_count = 1, max_count = 3 }
    user_pool                       = { vm_size = "Standard_D2ds_v5", min_count = 4, max_count = 3 }
    maintenance_day                 = "sunday"
    push_subjects                   = { main = "repo:example/gridos:ref:refs/heads/main" }
    database_admin_group            = { object_id = "admins", name = "admins" }
    hostname                        = "https://gridos.example.com"
    certificate_issuer              = "Unknown"
    gateway_capacity                = { min = 2, max = 2 }
    rate_limit_per_minute           = 1
    log_retention_days              = 7
    log_daily_quota_gb              = 0
    alert_emails                    = {}
  }

  expect_failures = [
    var.name_suffix,
    var.owner,
    var.repository,
    var.zones,
    var.vnet_cidr,
    var.outbound_type,
    var.applier_ip_ranges,
    var.kubernetes_version,
    var.cluster_sku_tier,
    var.api_server_authorized_ip_ranges,
    var.cluster_admin_group_ids,
    var.system_pool,
    var.user_pool,
    var.maintenance_day,
    var.push_subjects,
    var.database_admin_group,
    var.hostname,
    var.certificate_issuer,
    var.gateway_capacity,
    var.rate_limit_per_minute,
    var.log_retention_days,
    var.log_daily_quota_gb,
    var.alert_emails,
  ]
}

run "an_unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "test"
  }

  expect_failures = [var.environment]
}

run "a_network_that_pods_have_is_refused" {
  command = plan

  variables {
    vnet_cidr = "10.244.0.0/16"
  }

  expect_failures = [var.vnet_cidr]
}

run "a_firewall_without_routing_to_it_is_refused" {
  command = plan

  variables {
    firewall_private_ip = "10.0.1.4"
  }

  expect_failures = [var.firewall_private_ip]
}

run "a_firewall_that_is_no_address_is_refused" {
  command = plan

  variables {
    outbound_type       = "userDefinedRouting"
    firewall_private_ip = "the-firewall"
  }

  expect_failures = [var.firewall_private_ip]
}

run "a_subject_with_a_wildcard_is_refused" {
  command = plan

  variables {
    push_subjects = { any = "repo:example@1000001/gridos@2000001:environment:*" }
  }

  expect_failures = [var.push_subjects]
}

run "a_restored_server_of_a_name_that_azure_refuses_is_refused" {
  command = plan

  variables {
    database = { server_name = "restored", sku_name = "GP_Standard_D2ds_v5", storage_mb = 65536, zone_redundant = false, backup_retention_days = 7, geo_redundant_backup = false }
  }

  expect_failures = [var.database]
}

run "an_old_postgresql_is_refused" {
  command = plan

  variables {
    database = { version = "16", sku_name = "GP_Standard_D2ds_v5", storage_mb = 65536, zone_redundant = false, backup_retention_days = 7, geo_redundant_backup = false }
  }

  expect_failures = [var.database]
}

run "a_database_size_without_its_tier_is_refused" {
  command = plan

  variables {
    database = { sku_name = "Standard_D2ds_v5", storage_mb = 65536, zone_redundant = false, backup_retention_days = 7, geo_redundant_backup = false }
  }

  expect_failures = [var.database]
}

run "a_burstable_database_with_a_standby_is_refused" {
  command = plan

  variables {
    database = { sku_name = "B_Standard_B1ms", storage_mb = 65536, zone_redundant = true, backup_retention_days = 7, geo_redundant_backup = false }
  }

  expect_failures = [var.database]
}

run "a_standby_in_the_only_zone_is_refused" {
  command = plan

  variables {
    zones    = ["1"]
    database = { sku_name = "GP_Standard_D2ds_v5", storage_mb = 65536, zone_redundant = true, backup_retention_days = 7, geo_redundant_backup = false }
  }

  expect_failures = [var.database]
}

run "a_disc_of_a_size_that_is_not_sold_is_refused" {
  command = plan

  variables {
    database = { sku_name = "GP_Standard_D2ds_v5", storage_mb = 100000, zone_redundant = false, backup_retention_days = 7, geo_redundant_backup = false }
  }

  expect_failures = [var.database]
}

run "backups_of_less_than_a_week_are_refused" {
  command = plan

  variables {
    database = { sku_name = "GP_Standard_D2ds_v5", storage_mb = 65536, zone_redundant = false, backup_retention_days = 3, geo_redundant_backup = false }
  }

  expect_failures = [var.database]
}

run "a_runner_image_by_tag_is_refused" {
  command = plan

  variables {
    runners = { image = "ghcr.io/example/runner:latest", app_id = "1", installation_id = "2", group_id = "3" }
  }

  expect_failures = [var.runners]
}

run "a_github_app_by_name_is_refused" {
  command = plan

  variables {
    runners = { image = "ghcr.io/example/runner@sha256:0000000000000000000000000000000000000000000000000000000000000000", app_id = "gridos", installation_id = "2", group_id = "3" }
  }

  expect_failures = [var.runners]
}

run "a_hundred_runners_are_refused" {
  command = plan

  variables {
    runners = { image = "ghcr.io/example/runner@sha256:0000000000000000000000000000000000000000000000000000000000000000", app_id = "1", installation_id = "2", group_id = "3", max_executions = 100 }
  }

  expect_failures = [var.runners]
}

run "a_burstable_system_pool_is_refused" {
  command = plan

  variables {
    system_pool = { vm_size = "Standard_B2s_v2", min_count = 2, max_count = 3 }
  }

  expect_failures = [var.system_pool]
}

run "an_authority_that_cannot_warn_anybody_is_refused" {
  command = plan

  variables {
    acme = { email = "grid" }
  }

  expect_failures = [var.acme]
}

run "an_authority_in_the_clear_is_refused" {
  command = plan

  variables {
    acme = { email = "grid@example.com", directory = "http://acme.example.com/directory" }
  }

  expect_failures = [var.acme]
}

run "a_certificate_that_nobody_renews_is_refused" {
  command = plan

  variables {
    runners = null
  }

  expect_failures = [var.acme]
}

run "runners_without_a_way_out_are_refused" {
  command = plan

  variables {
    outbound_type = "loadBalancer"
  }

  expect_failures = [var.runners]
}
