variable "location" {
  description = "Azure region of everything, by its programmatic name; modules/naming lists those with three zones."
  type        = string
  default     = "westeurope"
  nullable    = false
}

variable "name_suffix" {
  description = "Three or four letters and digits that make the state account's name unique in the world."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]{3,4}$", var.name_suffix))
    error_message = "name_suffix is three or four lower-case letters and digits; it was \"${var.name_suffix}\"."
  }
}

variable "owner" {
  description = "Who answers for it: the `owner` tag."
  type        = string
  nullable    = false

  validation {
    condition     = length(trimspace(var.owner)) > 0
    error_message = "owner is empty; name the team that answers for the subscription."
  }
}

variable "environments" {
  description = <<-TEXT
    By environment (dev, staging, production):
    plan_subject, apply_subject: the whole `sub` of the GitHub tokens that may plan and apply, in the
    immutable form repo:OWNER@OWNER_ID/REPO@REPO_ID:environment:NAME.
    monthly_budget: in the subscription's currency; mails go out at 80 % spent and at 100 % forecast.
    budget_emails: to whom.
  TEXT
  type = map(object({
    plan_subject   = string
    apply_subject  = string
    monthly_budget = number
    budget_emails  = list(string)
  }))
  nullable = false

  validation {
    condition     = length(var.environments) > 0 && length(setsubtract(keys(var.environments), ["dev", "staging", "production"])) == 0
    error_message = "environments are among dev, staging and production, at least one; they were [${join(", ", keys(var.environments))}]."
  }

  validation {
    condition = alltrue([
      for subject in flatten([for environment in values(var.environments) : [environment.plan_subject, environment.apply_subject]]) :
      can(regex("^repo:[^@/:*]+@[0-9]+/[^@/:*]+@[0-9]+:environment:[^:*]+$", subject))
    ])
    error_message = "plan_subject and apply_subject are whole subjects of the immutable form repo:OWNER@OWNER_ID/REPO@REPO_ID:environment:NAME, without wildcards."
  }

  validation {
    condition     = alltrue([for environment in values(var.environments) : environment.plan_subject != environment.apply_subject])
    error_message = "plan_subject and apply_subject differ: a plan runs before anybody has approved, and must not be able to apply."
  }

  validation {
    condition     = alltrue([for environment in values(var.environments) : environment.monthly_budget > 0 && length(environment.budget_emails) > 0])
    error_message = "monthly_budget is above 0 and budget_emails has an address, or nobody hears of the bill."
  }
}

variable "budget_start" {
  description = "The first day of a month from which the budgets count, such as 2026-12-01T00:00:00Z."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^20[0-9]{2}-(0[1-9]|1[0-2])-01T00:00:00Z$", var.budget_start))
    error_message = "budget_start is the first of a month, such as 2026-12-01T00:00:00Z; it was \"${var.budget_start}\"."
  }
}

variable "operators_group_id" {
  description = "Object id of the Entra group whose members make the first apply and mend things by hand."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.operators_group_id))
    error_message = "operators_group_id is the group's object id, a lower-case UUID; it was \"${var.operators_group_id}\"."
  }
}

variable "break_glass_group_id" {
  description = "Object id of the Entra group that may run commands in the clusters through Azure; empty on ordinary days."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.break_glass_group_id))
    error_message = "break_glass_group_id is the group's object id, a lower-case UUID; it was \"${var.break_glass_group_id}\"."
  }

  validation {
    condition     = var.break_glass_group_id != var.operators_group_id
    error_message = "break_glass_group_id is a group of its own: operators would be in the clusters every day."
  }
}

variable "operator_ip_ranges" {
  description = "Addresses from which operators reach the state when it is made; later by hand (docs/azure.md, Reach the state). Single addresses without /32, as a storage firewall wants them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for range in var.operator_ip_ranges : can(cidrhost(strcontains(range, "/") ? range : "${range}/32", 0)) && tonumber(try(split("/", range)[1], 32)) >= 24 && tonumber(try(split("/", range)[1], 30)) <= 30])
    error_message = "operator_ip_ranges are IPv4 addresses, or ranges from /24 to /30; they were [${join(", ", var.operator_ip_ranges)}]."
  }
}

variable "runner_subnet_ids" {
  description = "Subnets of the runners (the platform's output runner_subnet_id), admitted to the state. Empty before the first apply."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.runner_subnet_ids : can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Network/virtualNetworks/[^/]+/subnets/[^/]+$", id))])
    error_message = "runner_subnet_ids are whole subnet ids, as the platform's output runner_subnet_id shows them."
  }
}
