# Argo CD, and what it must know of the platform: the GitOps bridge. Nothing else is installed from
# here. Argo Rollouts, Prometheus and the service are Applications in deploy/argocd, so that the
# cluster can be made again from Git alone.

locals {
  values = {
    configs = {
      # The bridge: labels on the cluster's own entry, which an ApplicationSet selects by and fills in.
      clusterCredentials = {
        in-cluster = {
          server = "https://kubernetes.default.svc"
          labels = var.labels
          config = { tlsClientConfig = { insecure = false } }
        }
      }

      cm = {
        "admin.enabled" = false
        "oidc.config" = yamlencode({
          name                     = "Entra"
          issuer                   = "https://login.microsoftonline.com/${var.labels["tenant_id"]}/v2.0"
          clientID                 = var.sso_client_id
          enablePKCEAuthentication = true
          requestedIDTokenClaims   = { groups = { essential = true } }
        })
      }

      rbac = {
        "policy.default" = "role:readonly"
        "policy.csv"     = "g, ${var.admin_group_id}, role:admin"
      }
    }

    # Reached by `kubectl port-forward`: the console can change production, and needs no public address.
    server = {
      service = { type = "ClusterIP" }
      ingress = { enabled = false }
    }
  }
}

resource "helm_release" "argo_cd" {
  name             = "argocd"
  namespace        = "argocd"
  create_namespace = true
  repository       = "oci://ghcr.io/argoproj/argo-helm"
  chart            = "argo-cd"
  version          = "9.2.1" # Argo CD 3.2.3, the minor version that deploy/ is tested on
  atomic           = true
  values           = [yamlencode(local.values)]
}
