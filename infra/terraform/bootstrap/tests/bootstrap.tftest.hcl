# The state and the pipeline's rights, for the three environments.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan

  override_resource {
    target = azurerm_resource_group.environment["production"]
    values = { id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu" }
  }

  override_resource {
    target = azurerm_storage_container.state["production"]
    values = { id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st/blobServices/default/containers/production" }
  }
}

run "the_state_has_no_key_and_no_public_blob" {
  command = plan

  assert {
    condition     = !azurerm_storage_account.state.shared_access_key_enabled
    error_message = "A key would open the state of every environment."
  }

  assert {
    condition     = !azurerm_storage_account.state.local_user_enabled && !azurerm_storage_account.state.cross_tenant_replication_enabled
    error_message = "A password would open the state, or another tenant have a copy."
  }

  assert {
    condition     = !azurerm_storage_account.state.allow_nested_items_to_be_public && alltrue([for container in azurerm_storage_container.state : container.container_access_type == "private"])
    error_message = "A state could be made public."
  }

  assert {
    condition     = azurerm_storage_account.state.https_traffic_only_enabled && azurerm_storage_account.state.min_tls_version == "TLS1_2"
    error_message = "The state would travel in the clear."
  }

  assert {
    condition     = azurerm_storage_account.state.infrastructure_encryption_enabled
    error_message = "The state would be encrypted once only."
  }
}

run "the_state_admits_nobody_unless_told" {
  command = plan

  assert {
    condition     = one(azurerm_storage_account.state.network_rules).default_action == "Deny"
    error_message = "The state would be reachable from everywhere."
  }

  assert {
    condition     = one(azurerm_storage_account.state.network_rules).bypass == toset(["None"])
    error_message = "Any service of Azure's could come to the state."
  }

  assert {
    condition     = length(one(azurerm_storage_account.state.network_rules).ip_rules) == 0 && length(one(azurerm_storage_account.state.network_rules).virtual_network_subnet_ids) == 0
    error_message = "Somebody would be admitted whom nobody named."
  }
}

run "the_state_can_be_brought_back" {
  command = plan

  assert {
    condition     = one(azurerm_storage_account.state.blob_properties).versioning_enabled && one(one(azurerm_storage_account.state.blob_properties).delete_retention_policy).days == 30
    error_message = "A state that was overwritten would be gone."
  }

  assert {
    condition     = azurerm_storage_account.state.account_replication_type == "GZRS" && one(one(azurerm_storage_account.state.blob_properties).container_delete_retention_policy).days == 30
    error_message = "A region would take the state with it, or a deleted container be gone."
  }

  assert {
    condition     = azurerm_management_lock.state.lock_level == "CanNotDelete" && azurerm_management_lock.state.scope == azurerm_storage_account.state.id
    error_message = "The state could be deleted by one wrong command."
  }

  assert {
    condition     = azurerm_monitor_diagnostic_setting.state.target_resource_id == "${azurerm_storage_account.state.id}/blobServices/default"
    error_message = "Nobody could tell who read the state."
  }
}

run "each_environment_has_a_container_of_its_own" {
  command = plan

  assert {
    condition     = keys(azurerm_storage_container.state) == ["bootstrap", "dev", "production", "staging"]
    error_message = "Two environments would share a state."
  }

  assert {
    condition     = azurerm_role_assignment.state["production/apply"].scope == azurerm_storage_container.state["production"].id && azurerm_role_assignment.state["dev/apply"].scope != azurerm_storage_container.state["production"].id
    error_message = "dev's pipeline could read production's state."
  }
}

run "a_plan_can_change_nothing" {
  command = plan

  assert {
    condition     = toset([for key, given in azurerm_role_assignment.group : given.role_definition_name if startswith(key, "production/plan/")]) == toset(["Reader", "Key Vault Reader"])
    error_message = "A plan, which nobody has approved, could change the platform or read a secret."
  }

  assert {
    condition     = azurerm_role_assignment.state["production/plan"].role_definition_name == "Storage Blob Data Reader"
    error_message = "A plan could change the state."
  }
}

run "an_apply_ends_at_its_group" {
  command = plan

  assert {
    condition = toset([for key, given in azurerm_role_assignment.group : given.role_definition_name if startswith(key, "production/apply/")]) == toset([
      "Contributor", "Role Based Access Control Administrator", "Locks Contributor", "Key Vault Certificates Officer",
    ])
    error_message = "An apply would have other rights than it needs."
  }

  assert {
    condition     = alltrue([for key, given in azurerm_role_assignment.group : given.scope == azurerm_resource_group.environment["production"].id if startswith(key, "production/")])
    error_message = "An apply would reach beyond its group."
  }
}

run "an_apply_cannot_make_an_owner" {
  command = plan

  assert {
    condition = alltrue([
      for key, given in azurerm_role_assignment.group :
      given.condition_version == "2.0" && length(regexall("GuidEquals \\{7f951dda[^}]*\\}", coalesce(given.condition, "none"))) == 2
      if given.role_definition_name == "Role Based Access Control Administrator"
    ])
    error_message = "An apply could give any role to anybody."
  }

  assert {
    # Owner and User Access Administrator, by the ids Azure gives them everywhere.
    condition     = length(setintersection(values(local.assignable_roles), ["8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "f58310d9-a9f6-439a-9e8d-f62e7b41a168"])) == 0
    error_message = "An apply could make an Owner."
  }

  assert {
    condition     = contains(keys(local.assignable_roles), "Storage Blob Data Contributor")
    error_message = "Azure would answer 403 when Loki is to be let write: main.roles.tf gives it this role."
  }
}

run "the_pipeline_is_one_github_environment_each_and_has_no_secret" {
  command = plan

  assert {
    condition = { for key, credential in azurerm_federated_identity_credential.pipeline : key => credential.subject if startswith(key, "production/") } == {
      "production/plan"  = "repo:example@1000001/gridos@2000001:environment:production-plan"
      "production/apply" = "repo:example@1000001/gridos@2000001:environment:production"
    }
    error_message = "Another repository, branch or environment could plan or apply."
  }

  assert {
    condition = alltrue([
      for credential in azurerm_federated_identity_credential.pipeline :
      credential.audience == tolist(["api://AzureADTokenExchange"]) && credential.issuer == "https://token.actions.githubusercontent.com"
    ])
    error_message = "A token that was made for something else would be accepted."
  }
}

run "hosts_may_be_encrypted_on_a_fresh_subscription" {
  command = plan

  assert {
    condition     = azurerm_resource_provider_feature_registration.encryption_at_host.provider_name == "Microsoft.Compute" && azurerm_resource_provider_feature_registration.encryption_at_host.name == "EncryptionAtHost"
    error_message = "Azure would refuse the cluster: host_encryption_enabled needs this feature."
  }
}

run "the_glass_is_broken_by_one_group_in_one_environment" {
  command = plan

  assert {
    condition = toset(one(azurerm_role_definition.break_glass["production"].permissions).actions) == toset([
      "Microsoft.ContainerService/managedClusters/read",
      "Microsoft.ContainerService/managedClusters/runcommand/action",
      "Microsoft.ContainerService/managedClusters/commandResults/read",
    ])
    error_message = "The role would do more than run a command and read what it wrote, or less."
  }

  assert {
    condition     = azurerm_role_definition.break_glass["production"].assignable_scopes == tolist([azurerm_resource_group.environment["production"].id])
    error_message = "The role could be given elsewhere."
  }

  assert {
    condition = { for key, given in azurerm_role_assignment.break_glass : key => given.role_definition_name if startswith(key, "production/") } == {
      "production/enters"     = "GridOS break-glass production"
      "production/may-repair" = "Azure Kubernetes Service RBAC Cluster Admin"
    }
    error_message = "Whoever enters in need could do nothing there, or something else."
  }

  assert {
    condition     = alltrue([for key, given in azurerm_role_assignment.break_glass : given.principal_id == var.break_glass_group_id && given.principal_type == "Group"])
    error_message = "Somebody else could enter."
  }

  assert {
    condition     = azurerm_role_assignment.break_glass["production/enters"].scope == azurerm_resource_group.environment["production"].id
    error_message = "One environment's need would open another's cluster."
  }
}

run "a_break_glass_group_by_its_name_is_refused" {
  command = plan

  variables {
    break_glass_group_id = "somebody"
  }

  expect_failures = [var.break_glass_group_id]
}

run "operators_who_would_be_inside_every_day_are_refused" {
  command = plan

  variables {
    break_glass_group_id = "00000000-0000-4000-8000-00000000d001"
  }

  expect_failures = [var.break_glass_group_id]
}

run "operators_fill_vaults_and_own_nothing" {
  command = plan

  assert {
    condition = toset([for key, given in azurerm_role_assignment.operators : given.role_definition_name if startswith(key, "production/")]) == toset([
      "Key Vault Contributor", "Key Vault Secrets Officer", "Key Vault Certificates Officer",
    ])
    error_message = "An operator could do more every day than open a vault and fill it, or not that."
  }
}

run "a_budget_watches_the_nodes_too" {
  command = plan

  assert {
    condition     = toset(one(one(azurerm_consumption_budget_subscription.environment["production"].filter).dimension).values) == toset(["rg-gridos-prd-weu", "rg-gridos-prd-weu-nodes"])
    error_message = "Most of the cost would go unseen."
  }

  assert {
    condition = { for notice in azurerm_consumption_budget_subscription.environment["production"].notification : notice.threshold_type => notice.threshold } == {
      Actual     = 80
      Forecasted = 100
    }
    error_message = "The bill would be heard of when it comes."
  }
}

run "values_of_the_wrong_kind_are_refused" {
  command = plan

  variables {
    name_suffix        = "UP"
    owner              = " "
    budget_start       = "2026-12-24"
    operators_group_id = "operators"
    operator_ip_ranges = ["0.0.0.0/0"]
    runner_subnet_ids  = ["snet-runners"]
  }

  expect_failures = [
    var.name_suffix,
    var.owner,
    var.budget_start,
    var.operators_group_id,
    var.operator_ip_ranges,
    var.runner_subnet_ids,
  ]
}

run "an_unknown_environment_is_refused" {
  command = plan

  variables {
    environments = { test = { plan_subject = "repo:o@1/r@2:environment:a", apply_subject = "repo:o@1/r@2:environment:b", monthly_budget = 1, budget_emails = ["a@example.com"] } }
  }

  expect_failures = [var.environments]
}

run "a_subject_of_the_old_form_is_refused" {
  command = plan

  variables {
    environments = { dev = { plan_subject = "repo:example/gridos:environment:dev", apply_subject = "repo:o@1/r@2:environment:b", monthly_budget = 1, budget_emails = ["a@example.com"] } }
  }

  expect_failures = [var.environments]
}

run "a_plan_that_could_apply_is_refused" {
  command = plan

  variables {
    environments = { dev = { plan_subject = "repo:o@1/r@2:environment:b", apply_subject = "repo:o@1/r@2:environment:b", monthly_budget = 1, budget_emails = ["a@example.com"] } }
  }

  expect_failures = [var.environments]
}

run "a_budget_that_nobody_hears_of_is_refused" {
  command = plan

  variables {
    environments = { dev = { plan_subject = "repo:o@1/r@2:environment:a", apply_subject = "repo:o@1/r@2:environment:b", monthly_budget = 1, budget_emails = [] } }
  }

  expect_failures = [var.environments]
}
