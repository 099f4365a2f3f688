variable "environment" {
  description = "Which environment this is: dev, staging or production."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "production"], var.environment)
    error_message = "environment is one of dev, staging, production; it was \"${var.environment}\"."
  }
}

variable "location" {
  description = "Azure region with three availability zones, by its programmatic name; modules/naming lists them."
  type        = string
  default     = "westeurope"
  nullable    = false
}

variable "name_suffix" {
  description = "Three or four letters and digits that make the vault's, registry's and database's names unique in the world."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]{3,4}$", var.name_suffix))
    error_message = "name_suffix is three or four lower-case letters and digits, because a vault's name has room for no more; it was \"${var.name_suffix}\"."
  }
}

variable "owner" {
  description = "Who answers for the environment: the `owner` tag on everything."
  type        = string
  nullable    = false

  validation {
    condition     = length(trimspace(var.owner)) > 0
    error_message = "owner is empty; name the team that answers for this environment."
  }
}

variable "repository" {
  description = "Where the code that made it lives: the `repository` tag, and where the runners register."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https://[^/]+/[^/]+/[^/]+$", var.repository))
    error_message = "repository is the whole address, such as https://github.com/owner/gridos; it was \"${var.repository}\"."
  }
}

variable "zones" {
  description = "Availability zones to spread over; empty for a single datacentre."
  type        = list(string)
  default     = ["1", "2", "3"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.zones, ["1", "2", "3"])) == 0 && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones are among 1, 2 and 3, each at most once; they were [${join(", ", var.zones)}]."
  }
}

variable "locks_enabled" {
  description = "Whether the database, the vault and the registry refuse to be deleted. Off only where they hold nothing."
  type        = bool
  default     = true
  nullable    = false
}
