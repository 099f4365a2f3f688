variable "database" {
  description = <<-TEXT
    Size, resilience and history of the PostgreSQL server. storage_mb is what its disc begins with; Azure
    grows it. server_name: of a server that was restored and taken into service (docs/day-2.md, Restore).
  TEXT
  type = object({
    server_name           = optional(string)
    version               = optional(string, "17")
    sku_name              = string
    storage_mb            = number
    zone_redundant        = bool
    backup_retention_days = number
    geo_redundant_backup  = bool
  })
  nullable = false

  validation {
    condition     = var.database.server_name == null || can(regex("^psql-[a-z0-9-]{1,57}[a-z0-9]$", var.database.server_name))
    error_message = "database.server_name starts with psql- and has at most 63 lower-case letters, digits and dashes; it was \"${coalesce(var.database.server_name, "null")}\"."
  }

  validation {
    condition     = contains(["17", "18"], var.database.version)
    error_message = "database.version is 17 or 18; it was \"${var.database.version}\"."
  }

  validation {
    condition     = can(regex("^(B|GP|MO)_Standard_[A-Za-z0-9_]+$", var.database.sku_name))
    error_message = "database.sku_name starts with B_, GP_ or MO_, such as GP_Standard_D2ds_v5; it was \"${var.database.sku_name}\"."
  }

  validation {
    condition     = !(var.database.zone_redundant && startswith(var.database.sku_name, "B_"))
    error_message = "database.zone_redundant needs a GP_ or MO_ size: burstable ${var.database.sku_name} has no standby."
  }

  validation {
    condition     = !var.database.zone_redundant || length(var.zones) >= 2
    error_message = "database.zone_redundant needs two zones; zones has ${length(var.zones)}."
  }

  validation {
    condition     = contains([for power in range(15, 25) : pow(2, power)], var.database.storage_mb)
    error_message = "database.storage_mb is a power of two from 32768 to 16777216; it was ${var.database.storage_mb}."
  }

  validation {
    condition     = var.database.backup_retention_days >= 7 && var.database.backup_retention_days <= 35
    error_message = "database.backup_retention_days is 7 to 35; it was ${var.database.backup_retention_days}."
  }
}

variable "database_admin_group" {
  description = "The Entra group that administers PostgreSQL: people on call, and the identity that makes the service's role."
  type = object({
    object_id = string
    name      = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.database_admin_group.object_id)) && length(var.database_admin_group.name) > 0
    error_message = "database_admin_group has the group's object_id (a lower-case UUID) and its name; it was \"${var.database_admin_group.object_id}\", \"${var.database_admin_group.name}\"."
  }
}
