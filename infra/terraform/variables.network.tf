variable "vnet_cidr" {
  description = "The virtual network's /16; environments that are ever peered must not share one."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrnetmask(var.vnet_cidr)) && endswith(var.vnet_cidr, ".0.0/16")
    error_message = "vnet_cidr is a /16 on its own boundary, such as 10.40.0.0/16; it was \"${var.vnet_cidr}\"."
  }

  validation {
    condition     = !contains([local.pod_cidr, local.service_cidr], var.vnet_cidr)
    error_message = "vnet_cidr ${var.vnet_cidr} is taken inside the cluster: pods have ${local.pod_cidr} and Services ${local.service_cidr}."
  }
}

variable "outbound_type" {
  description = <<-TEXT
    How nodes reach the internet. Per month in West Europe (list prices of November 2026):
    userAssignedNATGateway: about 33 USD and 0.045 USD/GB; one fixed address, 64,512 ports.
    loadBalancer: about 18 USD; ports are shared out per node and run out first.
    userDefinedRouting: through a firewall that you already have (Azure's own: from 290 USD for Basic, 910 USD for Standard).
  TEXT
  type        = string
  default     = "userAssignedNATGateway"
  nullable    = false

  validation {
    condition     = contains(["userAssignedNATGateway", "loadBalancer", "userDefinedRouting"], var.outbound_type)
    error_message = "outbound_type is one of userAssignedNATGateway, loadBalancer, userDefinedRouting; it was \"${var.outbound_type}\"."
  }
}

variable "firewall_private_ip" {
  description = "The firewall that userDefinedRouting sends everything to; null otherwise."
  type        = string
  default     = null

  validation {
    condition     = (var.firewall_private_ip != null) == (var.outbound_type == "userDefinedRouting")
    error_message = "firewall_private_ip goes with outbound_type userDefinedRouting, and only with it; outbound_type is \"${var.outbound_type}\"."
  }

  validation {
    condition     = var.firewall_private_ip == null || can(cidrhost("${var.firewall_private_ip}/32", 0))
    error_message = "firewall_private_ip is one IPv4 address, such as 10.0.1.4; it was \"${coalesce(var.firewall_private_ip, "null")}\"."
  }
}

variable "applier_ip_ranges" {
  description = "Opens the vault to these addresses while the first apply makes its certificate and people fill it from outside the network; empty ever after."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for range in var.applier_ip_ranges : can(cidrhost(range, 0)) && tonumber(try(split("/", range)[1], 0)) >= 24])
    error_message = "applier_ip_ranges are IPv4 ranges of at most 256 addresses (/24 to /32); they were [${join(", ", var.applier_ip_ranges)}]."
  }
}
