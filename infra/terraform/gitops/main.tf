# Argo CD, what it must know of the platform (the GitOps bridge), and the root Application. Nothing else
# is installed from here: Argo Rollouts, Prometheus, admission and the service are Applications in
# deploy/argocd, which the root Application syncs, so that the cluster can be made again from Git alone.

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
        "oidc.config" = yamlencode({
          name                     = "Entra"
          issuer                   = "https://login.microsoftonline.com/${var.labels["tenant_id"]}/v2.0"
          clientID                 = var.sso_client_id
          enablePKCEAuthentication = true
          requestedIDTokenClaims   = { groups = { essential = true } }
        })
      }

      rbac = {
        "policy.csv" = "g, ${var.admin_group_id}, role:admin"
      }
    }
  }

  repository = "https://github.com/example/gridos"

  # deploy/argocd, and the service of this cluster's environment.
  root = {
    applications = {
      root = {
        namespace   = "argocd"
        project     = "root"
        destination = { server = "https://kubernetes.default.svc", namespace = "argocd" }

        sources = [
          { repoURL = local.repository, targetRevision = "main", path = "deploy/argocd" },
          {
            repoURL        = local.repository
            targetRevision = "main"
            path           = "deploy/argocd"
            directory      = { include = "application-${var.labels["environment"]}.yaml" }
          },
        ]

        syncPolicy = {
          automated   = { prune = true, selfHeal = true }
          syncOptions = ["ServerSideApply=true", "RespectIgnoreDifferences=true"]
          # Kinds that are not there yet come with a wave before; a network that fails is tried again.
          retry = { limit = 10, backoff = { duration = "10s", factor = 2, maxDuration = "3m" } }
        }

        # Who takes the service's sync away for a rollback (docs/runbooks/rollback-undo.md) would have it
        # put back within seconds.
        ignoreDifferences = [{
          group        = "argoproj.io"
          kind         = "Application"
          name         = "gridos"
          jsonPointers = ["/spec/syncPolicy/automated"]
        }]
      }
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

  # The same in every cluster, and then what differs.
  values = [file("${path.module}/argo-cd-values.yaml"), yamlencode(local.values)]
}

# The root Application: everything else comes from Git. It needs the kinds that the chart above brings,
# so it is a release of its own.
resource "helm_release" "root" {
  name       = "root"
  namespace  = "argocd"
  repository = "oci://ghcr.io/argoproj/argo-helm"
  chart      = "argocd-apps"
  version    = "2.0.5"

  values = [file("${path.module}/root-values.yaml"), yamlencode(local.root)]

  depends_on = [helm_release.argo_cd]
}
