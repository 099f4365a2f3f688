# Runners inside the network, for what only the inside can do. A job each: started by a queued
# workflow job, gone when that is done, so that no job finds what another left.
#
# Two kinds of containers, since every process of one may ask for the identity that it has: one that
# registers, holds the App's key and runs nothing of a workflow, and one that runs the workflow's job and
# holds neither key nor identity. Which workflows come here at all is the runner group's to say
# (docs/pipeline.md, "Set it up").

locals {
  runners_count = var.runners == null ? 0 : 1

  # https://github.com/owner/gridos
  repository_parts = split("/", trimprefix(var.repository, "https://"))
  repository_path  = join("/", slice(local.repository_parts, 1, 3))
  github_api       = "https://api.${local.repository_parts[0]}"

  # As Azure's API takes it; a start replaces the whole template.
  runner_container = {
    name      = "runner"
    image     = try(var.runners.image, "")
    command   = ["bash", "-c", "exec ./run.sh --jitconfig \"$JIT_CONFIG\""]
    resources = { cpu = 2, memory = "4Gi" }
  }
}

resource "azurerm_container_app_environment" "runners" {
  count = local.runners_count

  name                           = "cae-${local.stem}"
  resource_group_name            = local.resource_group
  location                       = var.location
  infrastructure_subnet_id       = azurerm_subnet.this["runners"].id
  internal_load_balancer_enabled = true
  public_network_access          = "Disabled"
  logs_destination               = "azure-monitor"
  zone_redundancy_enabled        = length(var.zones) > 1
  tags                           = local.tags

  workload_profile {
    name                  = "Consumption"
    workload_profile_type = "Consumption"
  }

  depends_on = [
    azurerm_nat_gateway_public_ip_association.this,
    azurerm_subnet_nat_gateway_association.this,
    azurerm_subnet_network_security_group_association.this,
    azurerm_subnet_route_table_association.this,
  ]
}

resource "azurerm_container_app_job" "runners" {
  count = local.runners_count

  name                         = "caj-runner-${local.stem}"
  resource_group_name          = local.resource_group
  location                     = var.location
  container_app_environment_id = azurerm_container_app_environment.runners[0].id
  workload_profile_name        = "Consumption"
  tags                         = local.tags

  # An apply that makes everything takes about 40 minutes, the gateway and the database most of it.
  replica_timeout_in_seconds = 5400
  # A workflow job is not started twice; GitHub says what failed.
  replica_retry_limit = 0

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.this["runners"].id]
  }

  secret {
    name                = "app-key"
    identity            = azurerm_user_assigned_identity.this["runners"].id
    key_vault_secret_id = "${azurerm_key_vault.this.vault_uri}secrets/${local.runner_key_name}"
  }

  event_trigger_config {
    scale {
      min_executions              = 0
      max_executions              = var.runners.max_executions
      polling_interval_in_seconds = 30

      rules {
        name             = "queued-jobs"
        custom_rule_type = "github-runner"
        metadata = {
          githubAPIURL   = local.github_api
          owner          = split("/", local.repository_path)[0]
          repos          = split("/", local.repository_path)[1]
          runnerScope    = "org"
          labels         = local.stem
          applicationID  = var.runners.app_id
          installationID = var.runners.installation_id
        }

        authentication {
          secret_name       = "app-key"
          trigger_parameter = "appKey"
        }
      }
    }
  }

  template {
    container {
      name    = "register"
      image   = var.runners.image
      command = ["bash", "-c", file("${path.module}/runners/register")]
      cpu     = 0.25
      memory  = "0.5Gi"

      dynamic "env" {
        for_each = {
          APP_ID          = var.runners.app_id
          INSTALLATION_ID = var.runners.installation_id
          GROUP_ID        = var.runners.group_id
          ORGANIZATION    = split("/", local.repository_path)[0]
          GITHUB_API      = local.github_api
          LABELS          = local.stem
          CLIENT_ID       = azurerm_user_assigned_identity.this["runners"].client_id
          AZURE_API       = "https://management.azure.com"
          RUNNER_JOB      = azurerm_container_app_job.isolated[0].id
          CONTAINER       = jsonencode(local.runner_container)
        }

        content {
          name  = env.key
          value = env.value
        }
      }

      env {
        name        = "APP_KEY"
        secret_name = "app-key"
      }
    }
  }

  # Azure reads the key when the job is made: the identity has its role by then, and the vault is
  # reached through its endpoint.
  depends_on = [azurerm_private_endpoint.this, azurerm_role_assignment.this]
}

resource "azurerm_container_app_job" "isolated" {
  count = local.runners_count

  name                         = "caj-isolated-${local.stem}"
  resource_group_name          = local.resource_group
  location                     = var.location
  container_app_environment_id = azurerm_container_app_environment.runners[0].id
  workload_profile_name        = "Consumption"
  tags                         = local.tags

  replica_timeout_in_seconds = 5400
  replica_retry_limit        = 0

  manual_trigger_config {}

  template {
    container {
      name    = local.runner_container.name
      image   = local.runner_container.image
      command = local.runner_container.command
      cpu     = local.runner_container.resources.cpu
      memory  = local.runner_container.resources.memory
    }
  }

  depends_on = [azurerm_subnet_nat_gateway_association.this]
}
