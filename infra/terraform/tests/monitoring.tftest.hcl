# Logs, alerts, Azure's Prometheus, runners, and what others are told.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

run "everything_that_has_diagnostics_sends_them" {
  command = plan

  assert {
    condition = length(setsubtract(
      ["cluster", "database", "gateway", "logs", "public-ip", "registry", "vault", "vnet", "workspace", "runners"],
      keys(azurerm_monitor_diagnostic_setting.this),
    )) == 0
    error_message = "Something would not say what happened to it."
  }

  assert {
    condition     = alltrue([for subnet in keys(azurerm_subnet.this) : contains(keys(azurerm_monitor_diagnostic_setting.this), "nsg-${subnet}")])
    error_message = "A security group would not say whom it turned away."
  }

  assert {
    condition     = alltrue([for setting in azurerm_monitor_diagnostic_setting.this : setting.log_analytics_workspace_id == azurerm_log_analytics_workspace.this.id && length(setting.enabled_log) > 0])
    error_message = "A setting would send nothing, or somewhere else."
  }

  assert {
    condition     = contains([for log in azurerm_monitor_diagnostic_setting.this["cluster"].enabled_log : log.category], "kube-audit-admin")
    error_message = "Nobody could tell who changed what in the cluster."
  }

  assert {
    condition = toset([for log in azurerm_monitor_diagnostic_setting.this["cluster"].enabled_log : log.category]) == toset([
      "cluster-autoscaler", "guard", "kube-apiserver", "kube-audit-admin", "kube-controller-manager",
    ])
    error_message = "The cluster would not say who signed in or why nodes came and went, or log every read."
  }

  assert {
    condition = alltrue([
      for key, setting in azurerm_monitor_diagnostic_setting.this :
      toset([for log in setting.enabled_log : log.category_group]) == toset([contains(["logs", "workspace"], key) ? "audit" : "allLogs"])
      if key != "cluster"
    ])
    error_message = "Something would say only a part of what happened to it."
  }
}

run "the_workspace_takes_no_keys_and_no_endless_bill" {
  command = plan

  assert {
    condition     = !azurerm_log_analytics_workspace.this.local_authentication_enabled
    error_message = "A workspace key could write anything into the log."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this.daily_quota_gb == 20 && azurerm_log_analytics_workspace.this.retention_in_days == 90
    error_message = "A loop in a log would become a bill, or last month's log be gone."
  }
}

run "alerts_see_what_prometheus_cannot" {
  command = plan

  assert {
    condition = { for key, alert in azurerm_monitor_metric_alert.this : key => "${one(alert.criteria).metric_name} > ${one(alert.criteria).threshold}" } == {
      gateway-unhealthy-hosts = "UnhealthyHostCount > 0.5"
      gateway-connect-time    = "BackendConnectTime > 50"
      database-storage        = "storage_percent > 85"
    }
    error_message = "Something that only Azure sees would go unseen."
  }

  assert {
    condition = alltrue([
      for key, alert in azurerm_monitor_metric_alert.this :
      one(alert.criteria).operator == "GreaterThan" &&
      one(alert.scopes) == (startswith(key, "database") ? azurerm_postgresql_flexible_server.this.id : azurerm_application_gateway.this.id)
    ])
    error_message = "An alert would fire while all is well, or look at something else."
  }

  assert {
    condition     = one(azurerm_monitor_scheduled_query_rules_alert_v2.bad_gateway.criteria).query == "AGWAccessLogs | where HttpStatus == 502"
    error_message = "Clients would get 502 and nobody hear of it."
  }

  assert {
    condition = (
      one(azurerm_monitor_scheduled_query_rules_alert_v2.bad_gateway.criteria).operator == "GreaterThan" &&
      one(azurerm_monitor_scheduled_query_rules_alert_v2.bad_gateway.criteria).threshold == 10 &&
      azurerm_monitor_scheduled_query_rules_alert_v2.bad_gateway.window_duration == "PT5M"
    )
    error_message = "A fault would be as many 502s as pods that leave cost, or many more."
  }

  assert {
    condition     = azurerm_monitor_diagnostic_setting.this["gateway"].log_analytics_destination_type == "Dedicated"
    error_message = "The table that the 502 alert reads would stay empty."
  }
}

run "alerts_reach_somebody" {
  command = plan

  assert {
    condition     = toset([for receiver in azurerm_monitor_action_group.this.email_receiver : receiver.email_address]) == toset(values(var.alert_emails))
    error_message = "Somebody would not hear the alerts."
  }

  assert {
    condition = (
      alltrue([for alert in azurerm_monitor_metric_alert.this : one(alert.action).action_group_id == azurerm_monitor_action_group.this.id]) &&
      one(azurerm_monitor_scheduled_query_rules_alert_v2.bad_gateway.action).action_groups == tolist([azurerm_monitor_action_group.this.id])
    )
    error_message = "An alert would reach nobody."
  }
}

run "containers_that_loki_does_not_keep_are_logged" {
  command = plan

  assert {
    condition = (
      azurerm_monitor_data_collection_rule_association.containers.name == "ContainerInsightsExtension" &&
      azurerm_monitor_data_collection_rule_association.containers.target_resource_id == azurerm_kubernetes_cluster.this.id &&
      azurerm_monitor_data_collection_rule_association.containers.data_collection_rule_id == azurerm_monitor_data_collection_rule.containers.id
    )
    error_message = "The agent would have no rule and collect nothing."
  }

  assert {
    condition = (
      one(one(azurerm_monitor_data_collection_rule.containers.destinations).log_analytics).workspace_resource_id == azurerm_log_analytics_workspace.this.id &&
      one(azurerm_monitor_data_collection_rule.containers.data_flow).streams == tolist(["Microsoft-ContainerLogV2"])
    )
    error_message = "The lines would go somewhere else, or only the nodes' figures would be sent."
  }

  assert {
    condition     = jsondecode(one(one(azurerm_monitor_data_collection_rule.containers.data_sources).extension).extension_json).dataCollectionSettings.namespaces == ["argo-rollouts", "argocd", "kube-system", "monitoring"]
    error_message = "AGIC, Argo CD or Argo Rollouts would log nowhere, or lines that Loki keeps would be paid for twice."
  }
}

run "whoever_breaks_the_glass_is_heard" {
  command = plan

  assert {
    condition = (
      one(azurerm_monitor_activity_log_alert.break_glass.criteria).operation_name == "Microsoft.ContainerService/managedClusters/runcommand/action" &&
      azurerm_monitor_activity_log_alert.break_glass.scopes == toset([azurerm_kubernetes_cluster.this.id]) &&
      one(azurerm_monitor_activity_log_alert.break_glass.action).action_group_id == azurerm_monitor_action_group.this.id
    )
    error_message = "Somebody could run commands in the cluster and nobody hear of it."
  }

  assert {
    condition     = one(azurerm_monitor_activity_log_alert.break_glass.criteria).status == "Started"
    error_message = "An attempt that the cluster refuses would go unheard."
  }
}

run "runners_are_inside_and_run_one_job_each" {
  command = plan

  assert {
    condition     = azurerm_container_app_environment.runners[0].public_network_access == "Disabled" && azurerm_container_app_environment.runners[0].internal_load_balancer_enabled
    error_message = "The runners would be reachable from the internet."
  }

  assert {
    condition     = azurerm_container_app_environment.runners[0].infrastructure_subnet_id == azurerm_subnet.this["runners"].id
    error_message = "The runners would be outside and reach nothing."
  }

  assert {
    condition     = one(one(azurerm_container_app_job.runners[0].event_trigger_config).scale).min_executions == 0
    error_message = "Idle runners would cost."
  }

  assert {
    condition     = azurerm_container_app_job.runners[0].replica_retry_limit == 0 && azurerm_container_app_job.isolated[0].replica_retry_limit == 0
    error_message = "A workflow's job could be run twice, an apply among them."
  }

  assert {
    condition     = one(azurerm_container_app_job.runners[0].secret).value == null && one(azurerm_container_app_job.runners[0].secret).key_vault_secret_id == "https://kv.vault.azure.net/secrets/github-runner-app-key"
    error_message = "The key would be in the state and not in the vault."
  }

  assert {
    condition     = strcontains(one(one(azurerm_container_app_job.runners[0].template).container).command[2], "generate-jitconfig")
    error_message = "A job would find what another left: only a runner by such a configuration takes one job and goes."
  }

  assert {
    condition     = [for env in one(one(azurerm_container_app_job.runners[0].template).container).env : env.value if env.name == "ORGANIZATION"] == ["example"] && one(one(azurerm_container_app_job.runners[0].event_trigger_config).scale).rules[0].metadata.runnerScope == "org"
    error_message = "Runners would register somewhere else, or with the right to administer the repository."
  }
}

run "what_runs_a_workflows_job_has_neither_key_nor_identity" {
  command = plan

  assert {
    condition     = length(azurerm_container_app_job.isolated[0].identity) == 0 && length(azurerm_container_app_job.isolated[0].secret) == 0
    error_message = "Every process of a workflow's job could ask for the identity that reads the runners' key."
  }

  assert {
    condition     = length(one(one(azurerm_container_app_job.isolated[0].template).container).env) == 0 && !can(local.runner_container.env)
    error_message = "A workflow's job would find something in its environment."
  }

  assert {
    condition     = one(azurerm_container_app_job.isolated[0].template).container[0].image == var.runners.image
    error_message = "Another image would run the jobs."
  }
}

run "without_runners_nothing_of_them_is_left" {
  command = plan

  variables {
    acme    = null
    runners = null
  }

  assert {
    condition     = length(azurerm_container_app_environment.runners) == 0 && length(azurerm_container_app_job.runners) == 0 && length(azurerm_container_app_job.isolated) == 0
    error_message = "Runners would be made that nobody asked for."
  }

  assert {
    condition     = !contains(keys(azurerm_role_assignment.this), "runners-read-their-key") && !contains(keys(azurerm_role_assignment.this), "runners-start-a-runner") && !contains(output.secrets, "github-runner-app-key")
    error_message = "A right or a secret without a user would be left."
  }
}

run "deploy_and_argo_cd_are_told_what_they_need" {
  command = plan

  assert {
    condition     = alltrue([for key, value in output.overlay : value != null && value != ""])
    error_message = "deploy/ would be told nothing about one of its settings."
  }

  assert {
    condition     = output.overlay.INGRESS_HOST == "gridos.example.com" && output.overlay.KEY_VAULT_NAME == "kv-gridos-prd-weu-x1g"
    error_message = "deploy/ would be told another platform."
  }

  assert {
    condition     = alltrue([for key, value in output.gitops_labels : can(regex("^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$", value))])
    error_message = "Kubernetes would refuse a label: ${jsonencode(output.gitops_labels)}"
  }
}

run "everything_says_whose_it_is" {
  command = plan

  assert {
    condition = alltrue([
      for tags in [azurerm_kubernetes_cluster.this.tags, azurerm_postgresql_flexible_server.this.tags, azurerm_key_vault.this.tags, azurerm_application_gateway.this.tags] :
      tags["owner"] == var.owner && tags["environment"] == var.environment && tags["workload"] == "gridos"
    ])
    error_message = "A bill could not be told apart."
  }
}
