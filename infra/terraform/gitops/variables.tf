variable "cluster_name" {
  description = "The platform's output cluster_name; also the context in the kubeconfig."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.cluster_name, "aks-gridos-")
    error_message = "cluster_name is the platform's output, such as aks-gridos-dev-weu; it was \"${var.cluster_name}\"."
  }
}

variable "kubeconfig" {
  description = "Where the kubeconfig is that has that context."
  type        = string
  default     = "~/.kube/config"
  nullable    = false
}

variable "labels" {
  description = "The platform's output gitops_labels."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(setsubtract(["environment", "workload_client_id", "alertmanager_client_id", "loki_client_id", "loki_account", "tenant_id", "vault_name", "registry"], keys(var.labels))) == 0
    error_message = "labels is the platform's whole output gitops_labels; it had only [${join(", ", keys(var.labels))}]."
  }

  validation {
    condition     = alltrue([for value in values(var.labels) : can(regex("^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$", value))])
    error_message = "labels has a value that Kubernetes refuses; a label is at most 63 letters, digits, dots, dashes and underscores."
  }
}

variable "sso_client_id" {
  description = "Client id of the Entra application that people sign in to Argo CD with (a public client: PKCE, no secret)."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.sso_client_id))
    error_message = "sso_client_id is a lower-case UUID; it was \"${var.sso_client_id}\"."
  }
}

variable "admin_group_id" {
  description = "Object id of the Entra group that administers Argo CD; everybody else who signs in may look."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.admin_group_id))
    error_message = "admin_group_id is a lower-case UUID; it was \"${var.admin_group_id}\"."
  }
}
