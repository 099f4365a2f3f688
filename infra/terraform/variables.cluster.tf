variable "kubernetes_version" {
  description = "Minor version; Azure picks the patch and keeps it current."
  type        = string
  default     = "1.35"
  nullable    = false

  validation {
    condition     = contains(["1.34", "1.35", "1.36"], var.kubernetes_version)
    error_message = "kubernetes_version is 1.34, 1.35 or 1.36, which Azure supports and the manifests are tested on; it was \"${var.kubernetes_version}\"."
  }
}

variable "cluster_sku_tier" {
  description = "Free has no SLA; Standard (about 73 USD a month) has 99.95 % with zones."
  type        = string
  default     = "Standard"
  nullable    = false

  validation {
    condition     = contains(["Free", "Standard"], var.cluster_sku_tier)
    error_message = "cluster_sku_tier is Free or Standard; it was \"${var.cluster_sku_tier}\". Premium buys long-term support, which a cluster that upgrades itself does not use."
  }
}

variable "api_server_authorized_ip_ranges" {
  description = "Empty: the API server has no public address. Otherwise: a public one, for these addresses only."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for range in var.api_server_authorized_ip_ranges : can(cidrhost(range, 0)) && tonumber(try(split("/", range)[1], 0)) >= 24])
    error_message = "api_server_authorized_ip_ranges are IPv4 ranges of at most 256 addresses (/24 to /32); they were [${join(", ", var.api_server_authorized_ip_ranges)}]."
  }
}

variable "cluster_admin_group_ids" {
  description = "Object ids of the Entra groups that administer the cluster. Everybody else gets Azure roles."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.cluster_admin_group_ids) > 0 && alltrue([for id in var.cluster_admin_group_ids : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", id))])
    error_message = "cluster_admin_group_ids is at least one object id (a lower-case UUID): with local accounts off, nobody could enter without; it was [${join(", ", var.cluster_admin_group_ids)}]."
  }
}

variable "system_pool" {
  description = "Nodes for what AKS itself runs: two or more, because one that is being replaced takes DNS with it."
  type = object({
    vm_size   = string
    min_count = number
    max_count = number
  })
  nullable = false

  validation {
    condition     = var.system_pool.min_count >= 2 && var.system_pool.max_count >= var.system_pool.min_count
    error_message = "system_pool needs 2 <= min_count <= max_count; it had ${var.system_pool.min_count} and ${var.system_pool.max_count}."
  }

  validation {
    condition     = !startswith(var.system_pool.vm_size, "Standard_B")
    error_message = "system_pool.vm_size is not burstable: AKS refuses B sizes for system nodes; it was \"${var.system_pool.vm_size}\"."
  }
}

variable "user_pool" {
  description = "Nodes for GridOS and what watches it."
  type = object({
    vm_size   = string
    min_count = number
    max_count = number
  })
  nullable = false

  validation {
    condition     = var.user_pool.min_count >= 1 && var.user_pool.max_count >= var.user_pool.min_count
    error_message = "user_pool needs 1 <= min_count <= max_count; it had ${var.user_pool.min_count} and ${var.user_pool.max_count}."
  }
}

variable "maintenance_day" {
  description = "The day of the week on which Azure may upgrade, 02:00 to 06:00 UTC. Environments differ, so that production upgrades last."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"], var.maintenance_day)
    error_message = "maintenance_day is a day's English name, such as Tuesday; it was \"${var.maintenance_day}\"."
  }
}
