# Who acts, as what, and where. Each scope has an id of its own here, so that a wrong one shows.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan

  override_resource {
    target = azurerm_subnet.this["nodes"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet/subnets/nodes" }
  }

  override_resource {
    target = azurerm_subnet.this["api-server"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet/subnets/api-server" }
  }

  override_resource {
    target = azurerm_subnet.this["gateway"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet/subnets/gateway" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["kubelet"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/kubelet", principal_id = "kubelet" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["gateway"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/gateway", principal_id = "gateway" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["cluster"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/cluster", principal_id = "cluster" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["workload"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/workload", principal_id = "workload" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["push"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/push", principal_id = "push" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["runners"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/runners", principal_id = "runners" }
  }

  override_resource {
    target = azurerm_container_app_job.isolated
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/jobs/isolated" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["loki"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/loki", principal_id = "loki" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["certificate"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/certificate", principal_id = "certificate" }
  }

  override_resource {
    target = azurerm_user_assigned_identity.this["alertmanager"]
    values = { id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/alertmanager", principal_id = "alertmanager" }
  }
}

run "each_right_is_the_least_at_the_narrowest_scope" {
  command = plan

  assert {
    condition = {
      for key, given in azurerm_role_assignment.this :
      key => "${given.principal_id}: ${given.role_definition_name} on ${replace(given.scope, "/^.*/providers/[^/]+/[^/]+/(.*)$/", "$1")}"
      } == {
      cluster-joins-nodes         = "cluster: Network Contributor on vnet/subnets/nodes"
      cluster-joins-api-server    = "cluster: Network Contributor on vnet/subnets/api-server"
      cluster-lends-kubelet       = "cluster: Managed Identity Operator on kubelet"
      kubelet-pulls               = "kubelet: AcrPull on cr"
      pipeline-pushes             = "push: AcrPush on cr"
      gateway-reads-certificate   = "gateway: Key Vault Secrets User on kv/secrets/gridos-tls"
      workload-reads-its-api-keys = "workload: Key Vault Secrets User on kv/secrets/gridos-api-keys"
      runners-read-their-key      = "runners: Key Vault Secrets User on kv/secrets/github-runner-app-key"
      certificate-is-renewed      = "certificate: Key Vault Certificates Officer on kv/certificates/gridos-tls"
      certificate-proves-names    = "certificate: DNS Zone Contributor on _acme-challenge.gridos.example.com"
      runners-start-a-runner      = "runners: Container Apps Jobs Operator on isolated"
      loki-keeps-lines            = "loki: Storage Blob Data Contributor on st/blobServices/default/containers/loki"

      alertmanager-reads-dead-mans-switch-token = "alertmanager: Key Vault Secrets User on kv/secrets/alertmanager-dead-mans-switch-token"
      alertmanager-reads-pagerduty-platform-key = "alertmanager: Key Vault Secrets User on kv/secrets/alertmanager-pagerduty-platform-key"
      alertmanager-reads-pagerduty-service-key  = "alertmanager: Key Vault Secrets User on kv/secrets/alertmanager-pagerduty-service-key"
      alertmanager-reads-slack-platform-url     = "alertmanager: Key Vault Secrets User on kv/secrets/alertmanager-slack-platform-url"
      alertmanager-reads-slack-releases-url     = "alertmanager: Key Vault Secrets User on kv/secrets/alertmanager-slack-releases-url"
      alertmanager-reads-slack-service-url      = "alertmanager: Key Vault Secrets User on kv/secrets/alertmanager-slack-service-url"
    }
    error_message = "A right was added, widened or lost: ${jsonencode({ for key, given in azurerm_role_assignment.this : key => [given.principal_id, given.role_definition_name, given.scope] })}"
  }

  assert {
    condition = {
      for key, given in azurerm_role_assignment.ingress :
      key => "${given.role_definition_name} on ${replace(given.scope, "/^.*/(providers/[^/]+/[^/]+|resourceGroups)/(.*)$/", "$2")}"
      } == {
      configures-the-gateway = "Contributor on agw"
      sees-the-group         = "Reader on rg-gridos-prd-weu"
      joins-the-subnet       = "Network Contributor on vnet/subnets/gateway"
      lends-the-gateway      = "Managed Identity Operator on gateway"
    }
    error_message = "AGIC would have other rights than it needs: ${jsonencode({ for key, given in azurerm_role_assignment.ingress : key => [given.role_definition_name, given.scope] })}"
  }
}

run "the_workload_identity_is_the_service_account_of_gridos_and_no_other" {
  command = plan

  assert {
    condition     = azurerm_federated_identity_credential.workload.subject == "system:serviceaccount:gridos:gridos"
    error_message = "Another ServiceAccount could be GridOS."
  }

  assert {
    condition     = azurerm_federated_identity_credential.workload.user_assigned_identity_id == azurerm_user_assigned_identity.this["workload"].id
    error_message = "The ServiceAccount would get another identity's rights."
  }

  assert {
    condition     = azurerm_federated_identity_credential.workload.issuer == azurerm_kubernetes_cluster.this.oidc_issuer_url
    error_message = "Another cluster's tokens would be accepted."
  }
}

run "who_watches_is_a_service_account_each_and_no_other" {
  command = plan

  assert {
    condition = {
      for credential in azurerm_federated_identity_credential.monitoring :
      credential.subject => basename(credential.user_assigned_identity_id)
      } == {
      "system:serviceaccount:monitoring:alertmanager" = "alertmanager"
      "system:serviceaccount:monitoring:loki"         = "loki"
    }
    error_message = "Another ServiceAccount could read the logs, or whom Alertmanager tells."
  }

  assert {
    condition     = alltrue([for credential in azurerm_federated_identity_credential.monitoring : credential.issuer == azurerm_kubernetes_cluster.this.oidc_issuer_url])
    error_message = "Another cluster's tokens would be accepted."
  }
}

run "the_pipeline_is_one_github_environment_and_no_other" {
  command = plan

  assert {
    condition = { for key, credential in azurerm_federated_identity_credential.push : key => credential.subject } == {
      production = "repo:example@1000001/gridos@2000001:environment:production-push"
    }
    error_message = "Another repository, branch or environment could push images."
  }

  assert {
    condition = alltrue([
      for credential in values(azurerm_federated_identity_credential.push) :
      credential.issuer == "https://token.actions.githubusercontent.com" && credential.user_assigned_identity_id == azurerm_user_assigned_identity.this["push"].id
    ])
    error_message = "The subject would be somebody else's word, or give another identity."
  }
}

run "tokens_are_made_for_this_exchange_only" {
  command = plan

  assert {
    condition = alltrue([
      for credential in concat(
        [azurerm_federated_identity_credential.workload],
        values(azurerm_federated_identity_credential.monitoring),
        values(azurerm_federated_identity_credential.push),
      ) :
      credential.audience == tolist(["api://AzureADTokenExchange"])
    ])
    error_message = "A token that was made for something else would be accepted."
  }
}

run "the_nodes_pull_as_the_kubelet" {
  command = plan

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.kubelet_identity).object_id == "kubelet"
    error_message = "The nodes would pull with an identity that has no right to."
  }
}
