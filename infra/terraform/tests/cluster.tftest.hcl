# The cluster's doors, identity, upkeep and shape, as production sets them.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

run "the_api_server_has_no_public_address" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.this.private_cluster_enabled
    error_message = "The API server would be public."
  }

  assert {
    condition     = !azurerm_kubernetes_cluster.this.private_cluster_public_fqdn_enabled
    error_message = "A private cluster would publish its name."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.private_dns_zone_id == "System"
    error_message = "The API server's name would lead nowhere inside the network."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.api_server_access_profile[0].virtual_network_integration_enabled
    error_message = "Nodes would leave the network to reach the API server."
  }
}

run "a_public_api_server_admits_only_the_ranges_given" {
  command = plan

  variables {
    api_server_authorized_ip_ranges = ["192.0.2.0/28"]
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.api_server_access_profile[0].authorized_ip_ranges == toset(["192.0.2.0/28"])
    error_message = "A public API server must admit exactly api_server_authorized_ip_ranges."
  }
}

run "nobody_enters_but_with_entra_and_an_azure_role" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.this.local_account_disabled
    error_message = "Local accounts would be on: a certificate nobody can revoke."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.run_command_enabled
    error_message = "With a private API server nobody could enter in need."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.azure_active_directory_role_based_access_control).azure_rbac_enabled
    error_message = "Azure roles would not decide."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.azure_active_directory_role_based_access_control).admin_group_object_ids == var.cluster_admin_group_ids
    error_message = "The administrators would not be cluster_admin_group_ids."
  }
}

run "workloads_have_identities_and_not_secrets" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.this.oidc_issuer_enabled && azurerm_kubernetes_cluster.this.workload_identity_enabled
    error_message = "Workload identity would be off."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.identity).type == "UserAssigned" && length(azurerm_kubernetes_cluster.this.service_principal) == 0
    error_message = "The cluster would act with a service principal's password."
  }
}

run "network_policies_have_an_engine" {
  command = plan

  assert {
    condition = (
      one(azurerm_kubernetes_cluster.this.network_profile).network_plugin_mode == "overlay" &&
      one(azurerm_kubernetes_cluster.this.network_profile).network_data_plane == "cilium" &&
      one(azurerm_kubernetes_cluster.this.network_profile).network_policy == "cilium"
    )
    error_message = "Without overlay and cilium the NetworkPolicies of deploy/ would be decoration."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.network_profile).outbound_type == "userAssignedNATGateway"
    error_message = "Production leaves through its NAT gateway."
  }
}

run "azure_watches_the_cluster" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.this.azure_policy_enabled
    error_message = "Azure Policy would be off."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.microsoft_defender).log_analytics_workspace_id == azurerm_log_analytics_workspace.this.id
    error_message = "Defender would be off."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.oms_agent).msi_auth_for_monitoring_enabled
    error_message = "Container logs would not arrive, or with a workspace key."
  }
}

run "the_cluster_keeps_itself_current_when_nobody_is_busy" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.this.automatic_upgrade_channel == "patch" && azurerm_kubernetes_cluster.this.node_os_upgrade_channel == "NodeImage"
    error_message = "Patches would not arrive by themselves."
  }

  assert {
    condition = (
      one(azurerm_kubernetes_cluster.this.maintenance_window_auto_upgrade).day_of_week == "Sunday" &&
      one(azurerm_kubernetes_cluster.this.maintenance_window_node_os).day_of_week == "Sunday"
    )
    error_message = "Upgrades would come on any day."
  }

  assert {
    condition = alltrue([
      for window in concat(azurerm_kubernetes_cluster.this.maintenance_window_auto_upgrade, azurerm_kubernetes_cluster.this.maintenance_window_node_os) :
      window.start_time == "02:00" && window.utc_offset == "+00:00" && window.duration == 4
    ])
    error_message = "Upgrades would come while people work."
  }

  assert {
    condition = alltrue([
      for settings in [one(one(azurerm_kubernetes_cluster.this.default_node_pool).upgrade_settings), one(azurerm_kubernetes_cluster_node_pool.user.upgrade_settings)] :
      settings.drain_timeout_in_minutes == 10 && settings.max_surge == "33%"
    ])
    error_message = "An upgrade would not wait for pods that take two minutes to leave, or take a zone's nodes at once."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.image_cleaner_enabled && azurerm_kubernetes_cluster.this.image_cleaner_interval_hours == 120
    error_message = "Images with known holes would stay on the nodes."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.kubernetes_version == "1.35"
    error_message = "The version would not be the one that the manifests are tested on."
  }

  assert {
    condition = alltrue([
      for version in [one(azurerm_kubernetes_cluster.this.default_node_pool).orchestrator_version, azurerm_kubernetes_cluster_node_pool.user.orchestrator_version] :
      version == azurerm_kubernetes_cluster.this.kubernetes_version
    ])
    error_message = "An upgrade would move the control plane and leave the nodes behind."
  }
}

run "production_survives_a_zone" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.this.sku_tier == "Standard"
    error_message = "The control plane would have no SLA."
  }

  assert {
    condition = alltrue([
      for zones in [one(azurerm_kubernetes_cluster.this.default_node_pool).zones, azurerm_kubernetes_cluster_node_pool.user.zones] :
      zones == toset(["1", "2", "3"])
    ])
    error_message = "Nodes would not be spread over three zones."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.default_node_pool).min_count >= 3 && azurerm_kubernetes_cluster_node_pool.user.min_count >= 3
    error_message = "A pool would leave a zone empty."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.auto_scaler_profile).balance_similar_node_groups
    error_message = "The autoscaler would fill one zone first."
  }
}

run "pools_scale_and_are_encrypted_on_their_hosts" {
  command = plan

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.default_node_pool).auto_scaling_enabled && azurerm_kubernetes_cluster_node_pool.user.auto_scaling_enabled
    error_message = "A pool would not scale."
  }

  assert {
    condition = (
      one(azurerm_kubernetes_cluster.this.default_node_pool).max_count == var.system_pool.max_count &&
      azurerm_kubernetes_cluster_node_pool.user.max_count == var.user_pool.max_count && azurerm_kubernetes_cluster_node_pool.user.mode == "User"
    )
    error_message = "A peak would find no nodes, or the service run among what AKS itself runs."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.default_node_pool).host_encryption_enabled && azurerm_kubernetes_cluster_node_pool.user.host_encryption_enabled
    error_message = "Temporary discs and caches would be in the clear."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.default_node_pool).only_critical_addons_enabled
    error_message = "The service could starve what AKS itself runs."
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.node_provisioning_profile).mode == "Manual"
    error_message = "Nodes of any size, and any cost, would appear."
  }
}

run "secrets_are_mounted_and_rotate" {
  command = plan

  assert {
    condition = (
      one(azurerm_kubernetes_cluster.this.key_vault_secrets_provider).secret_rotation_enabled &&
      one(azurerm_kubernetes_cluster.this.key_vault_secrets_provider).secret_rotation_interval == "2m"
    )
    error_message = "A rotated secret would not reach the pods."
  }
}

run "agic_configures_our_gateway_and_makes_none" {
  command = plan

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.ingress_application_gateway).gateway_id == azurerm_application_gateway.this.id
    error_message = "AGIC would not configure the gateway that has the firewall."
  }
}
