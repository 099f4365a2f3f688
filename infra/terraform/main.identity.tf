# Who acts. No identity here has a secret: each is lent to a resource of Azure's, or to a token that
# names exactly one subject.

locals {
  identities = merge(
    {
      cluster      = "AKS itself: joins its subnets"
      kubelet      = "the nodes: pull images"
      gateway      = "Application Gateway: reads its certificate"
      workload     = "the pods of GridOS: read their secrets and enter the database"
      push         = "the release pipeline: pushes images"
      loki         = "Loki: keeps lines in its container"
      alertmanager = "Alertmanager: reads whom to tell"
    },
    var.runners == null ? {} : { runners = "who registers the runners inside the network: read the key, start a runner" },
    var.acme == null ? {} : { certificate = "the job that renews the certificate: proves the name, imports into the vault" },
  )

  # The namespace and ServiceAccount of deploy/base; tests/test_names.py holds the two together.
  workload_subject = "system:serviceaccount:gridos:gridos"

  # ServiceAccounts of deploy/argocd/platform, by the identity that each acts as.
  monitoring_subjects = {
    alertmanager = "system:serviceaccount:monitoring:alertmanager"
    loki         = "system:serviceaccount:monitoring:loki"
  }
}

resource "azurerm_user_assigned_identity" "this" {
  for_each = local.identities

  name                = "id-${each.key}-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  tags                = merge(local.tags, { purpose = each.value })
}

resource "azurerm_federated_identity_credential" "workload" {
  name                      = "gridos"
  user_assigned_identity_id = azurerm_user_assigned_identity.this["workload"].id
  issuer                    = azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject                   = local.workload_subject
  audience                  = ["api://AzureADTokenExchange"]
}

resource "azurerm_federated_identity_credential" "monitoring" {
  for_each = local.monitoring_subjects

  name                      = each.key
  user_assigned_identity_id = azurerm_user_assigned_identity.this[each.key].id
  issuer                    = azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject                   = each.value
  audience                  = ["api://AzureADTokenExchange"]
}

resource "azurerm_federated_identity_credential" "push" {
  for_each = var.push_subjects

  name                      = "github-${each.key}"
  user_assigned_identity_id = azurerm_user_assigned_identity.this["push"].id
  issuer                    = "https://token.actions.githubusercontent.com"
  subject                   = each.value
  audience                  = ["api://AzureADTokenExchange"]
}
