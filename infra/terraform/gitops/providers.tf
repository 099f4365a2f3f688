# A root of its own: a provider that needs a cluster cannot be planned in the apply that makes it.
# Run where the API server can be reached, after
# `az aks get-credentials … && kubelogin convert-kubeconfig -l azurecli`.
provider "helm" {
  kubernetes = {
    config_path    = pathexpand("~/.kube/config")
    config_context = var.cluster_name
  }
}
