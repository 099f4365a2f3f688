variable "hostname" {
  description = "The name that clients use; the certificate is made for it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.hostname))
    error_message = "hostname is a full lower-case DNS name, such as gridos.example.com; it was \"${var.hostname}\"."
  }
}

variable "certificate_issuer" {
  description = "Self, or the name of a certificate authority set up in the vault (`az keyvault certificate issuer create`)."
  type        = string
  default     = "Self"
  nullable    = false

  validation {
    condition     = var.certificate_issuer != "Unknown" && length(var.certificate_issuer) > 0
    error_message = "certificate_issuer is Self or an issuer set up in the vault; \"${var.certificate_issuer}\" leaves a certificate that waits for a signature, and the gateway with nothing to serve."
  }
}

variable "acme" {
  description = <<-TEXT
    Where the certificate comes from instead of certificate_issuer: an authority that speaks ACME.
    email: whom it warns. directory: its address; Let's Encrypt's by default.
    Renewed by a job beside the runners; the gateway begins with a certificate of certificate_issuer.
  TEXT
  type = object({
    email     = string
    directory = optional(string, "https://acme-v02.api.letsencrypt.org/directory")
  })
  default = null

  validation {
    condition     = var.acme == null || can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.acme.email))
    error_message = "acme.email is one address, such as grid@example.com; it was \"${try(var.acme.email, "")}\"."
  }

  validation {
    condition     = var.acme == null || startswith(try(var.acme.directory, ""), "https://")
    error_message = "acme.directory is the https address of the authority's directory; it was \"${try(var.acme.directory, "")}\"."
  }

  validation {
    condition     = var.acme == null || var.runners != null
    error_message = "acme needs runners: the job that renews the certificate runs beside them, in their image."
  }
}

variable "gateway_capacity" {
  description = "Capacity units (each about 2,500 connections or 2.2 Mbit/s) between which the gateway scales."
  type = object({
    min = number
    max = number
  })
  nullable = false

  validation {
    condition     = var.gateway_capacity.min >= 0 && var.gateway_capacity.max >= 2 && var.gateway_capacity.max <= 125 && var.gateway_capacity.min < var.gateway_capacity.max
    error_message = "gateway_capacity needs 0 <= min < max and 2 <= max <= 125; it had ${var.gateway_capacity.min} and ${var.gateway_capacity.max}."
  }
}

variable "rate_limit_per_minute" {
  description = "Requests per minute from one client address, above which the firewall refuses the rest of that minute."
  type        = number
  default     = 6000
  nullable    = false

  validation {
    condition     = var.rate_limit_per_minute >= 60 && var.rate_limit_per_minute <= 100000
    error_message = "rate_limit_per_minute is 60 to 100000; it was ${var.rate_limit_per_minute}."
  }
}
