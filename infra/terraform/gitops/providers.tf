# A root of its own: a provider that needs a cluster cannot be planned in the apply that makes it.
# Run where the API server can be reached: by `ci/terraform gitops`, which makes the kubeconfig.
provider "helm" {
  kubernetes = {
    config_path    = pathexpand(var.kubeconfig)
    config_context = var.cluster_name
  }
}
