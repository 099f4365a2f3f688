mock_provider "helm" {}

variables {
  cluster_name   = "aks-gridos-dev-weu"
  sso_client_id  = "00000000-0000-4000-8000-00000000e001"
  admin_group_id = "00000000-0000-4000-8000-00000000a001"
  labels = {
    environment            = "dev"
    workload_client_id     = "00000000-0000-4000-8000-00000000e002"
    alertmanager_client_id = "00000000-0000-4000-8000-00000000e003"
    loki_client_id         = "00000000-0000-4000-8000-00000000e004"
    loki_account           = "stgridosdevweux1g"
    tenant_id              = "00000000-0000-4000-8000-000000000002"
    vault_name             = "kv-gridos-dev-weu-x1g"
    registry               = "crgridosdevweux1g.azurecr.io"
  }
}

run "argo_cd_knows_the_platform" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.argo_cd.values[1]).configs.clusterCredentials.in-cluster.labels == { for key, value in var.labels : key => value }
    error_message = "An ApplicationSet could not fill in the platform."
  }
}

run "argo_cd_has_no_password_and_no_public_address" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.argo_cd.values[0]).configs.cm["admin.enabled"] == false
    error_message = "Argo CD would have an administrator's password."
  }

  assert {
    condition     = yamldecode(helm_release.argo_cd.values[0]).server.service.type == "ClusterIP" && !yamldecode(helm_release.argo_cd.values[0]).server.ingress.enabled
    error_message = "Argo CD's console would be public."
  }

  assert {
    condition     = yamldecode(helm_release.argo_cd.values[0]).configs.rbac["policy.default"] == "role:readonly"
    error_message = "Everybody in the tenant could change production."
  }

  assert {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", helm_release.argo_cd.version))
    error_message = "Argo CD's version would be whatever is newest."
  }

  assert {
    condition     = helm_release.argo_cd.atomic
    error_message = "An installation that failed would stay half done, and the next apply refuse it."
  }
}

run "people_get_into_argo_cd_by_their_group" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.argo_cd.values[0]).configs.cm.url == "https://${yamldecode(helm_release.argo_cd.values[0]).global.domain}"
    error_message = "Entra would send people to another address than the one they came from."
  }

  assert {
    condition     = yamldecode(yamldecode(helm_release.argo_cd.values[1]).configs.cm["oidc.config"]).enablePKCEAuthentication
    error_message = "Signing in would need a client secret, which nothing holds."
  }

  assert {
    condition     = yamldecode(helm_release.argo_cd.values[1]).configs.rbac["policy.csv"] == "g, ${var.admin_group_id}, role:admin"
    error_message = "Nobody could change anything in Argo CD, or somebody else."
  }
}

run "argo_cd_says_what_differs_and_waits_between_waves" {
  command = plan

  assert {
    condition     = yamldecode(helm_release.argo_cd.values[0]).controller.metrics.enabled
    error_message = "GridosArgoOutOfSync could never fire: nothing would be scraped."
  }

  assert {
    condition     = contains(keys(yamldecode(helm_release.argo_cd.values[0]).configs.cm), "resource.customizations.health.argoproj.io_Application")
    error_message = "A wave would not wait for the kinds of the one before."
  }
}

run "the_root_application_is_the_clusters_own_environment" {
  command = plan

  assert {
    condition     = [for source in yamldecode(helm_release.root.values[1]).applications.root.sources : try(source.directory.include, source.path)] == ["deploy/argocd", "application-dev.yaml"]
    error_message = "The cluster would run nothing, or another environment's service."
  }

  assert {
    condition     = yamldecode(helm_release.root.values[1]).applications.root.syncPolicy.automated == { prune = true, selfHeal = true }
    error_message = "What is merged would wait for somebody to sync it."
  }

  assert {
    condition     = yamldecode(helm_release.root.values[1]).applications.root.ignoreDifferences == [{ group = "argoproj.io", kind = "Application", name = "gridos", jsonPointers = ["/spec/syncPolicy/automated"] }] && contains(yamldecode(helm_release.root.values[1]).applications.root.syncPolicy.syncOptions, "RespectIgnoreDifferences=true")
    error_message = "A rollback by hand would be undone, since the root Application would give the service its sync back."
  }

  assert {
    condition     = alltrue([for kind in yamldecode(helm_release.root.values[0]).projects.root.namespaceResourceWhitelist : kind.group == "argoproj.io" || kind.kind == "ConfigMap"])
    error_message = "The root Application could make more than Applications."
  }

  assert {
    condition     = length(yamldecode(helm_release.root.values[0]).projects.root.clusterResourceWhitelist) == 0 && yamldecode(helm_release.root.values[0]).projects.root.sourceRepos == ["https://github.com/example/gridos"]
    error_message = "The root Application could make something of the whole cluster, or from another repository."
  }

  assert {
    condition     = contains(yamldecode(helm_release.root.values[1]).applications.root.syncPolicy.syncOptions, "ServerSideApply=true")
    error_message = "An Application that is too large for an annotation could not be made."
  }
}

run "values_of_the_wrong_kind_are_refused" {
  command = plan

  variables {
    cluster_name   = "docker-desktop"
    sso_client_id  = "argocd"
    admin_group_id = "admins"
    labels         = { tenant_id = "t" }
  }

  expect_failures = [var.cluster_name, var.sso_client_id, var.admin_group_id, var.labels]
}

run "a_label_that_kubernetes_refuses_is_refused" {
  command = plan

  variables {
    labels = {
      environment            = "dev"
      workload_client_id     = "00000000-0000-4000-8000-00000000e002"
      alertmanager_client_id = "00000000-0000-4000-8000-00000000e003"
      loki_client_id         = "00000000-0000-4000-8000-00000000e004"
      loki_account           = "stgridosdevweux1g"
      tenant_id              = "00000000-0000-4000-8000-000000000002"
      vault_name             = "/subscriptions/s/resourceGroups/rg"
      registry               = "crgridosdevweux1g.azurecr.io"
    }
  }

  expect_failures = [var.labels]
}
