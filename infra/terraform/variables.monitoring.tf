variable "log_retention_days" {
  description = "Days that logs stay searchable; the first 30 are free."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.log_retention_days >= 30 && var.log_retention_days <= 730
    error_message = "log_retention_days is 30 to 730; it was ${var.log_retention_days}."
  }
}

variable "log_daily_quota_gb" {
  description = "Gigabytes a day after which log intake stops, so that a loop cannot become a bill; -1 for no limit."
  type        = number
  nullable    = false

  validation {
    condition     = var.log_daily_quota_gb == -1 || var.log_daily_quota_gb >= 1
    error_message = "log_daily_quota_gb is at least 1, or -1 for no limit; it was ${var.log_daily_quota_gb}."
  }
}

variable "alert_emails" {
  description = "Who hears Azure's alerts, by a short name."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.alert_emails) > 0 && alltrue([for address in values(var.alert_emails) : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "alert_emails is at least one address, such as {on-call = \"grid@example.com\"}: an alert that nobody hears is none; it was [${join(", ", values(var.alert_emails))}]."
  }
}
