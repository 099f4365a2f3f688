variable "environment" {
  description = "Which environment to name: dev, staging or production."
  type        = string
  nullable    = false

  validation {
    condition     = contains(keys(local.environments), var.environment)
    error_message = "environment is one of ${join(", ", keys(local.environments))}; it was \"${var.environment}\"."
  }
}

variable "location" {
  description = "Azure region, by its programmatic name."
  type        = string
  nullable    = false

  validation {
    condition     = contains(keys(local.regions), var.location)
    error_message = "location is one of ${join(", ", keys(local.regions))}; it was \"${var.location}\". Another region with three zones needs its abbreviation in modules/naming/main.tf."
  }
}
