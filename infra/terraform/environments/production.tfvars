# Survives the loss of a zone, and of the region with a restore.

environment = "production"
name_suffix = "x1g"
owner       = "grid-platform"
repository  = "https://github.com/example/gridos"
hostname    = "gridos.example.com"

vnet_cidr = "10.42.0.0/16"

cluster_admin_group_ids = ["00000000-0000-4000-8000-00000000c001"]
# After dev (Tuesday) and staging (Thursday), on the quietest day.
maintenance_day = "Sunday"

# Three of each: one a zone, so that two are left when a zone goes.
system_pool = { vm_size = "Standard_D2ds_v5", min_count = 3, max_count = 5 }
user_pool   = { vm_size = "Standard_D4ds_v5", min_count = 3, max_count = 12 }

database = {
  sku_name              = "GP_Standard_D4ds_v5"
  storage_mb            = 131072
  zone_redundant        = true
  backup_retention_days = 35
  geo_redundant_backup  = true
}
database_admin_group = { object_id = "00000000-0000-4000-8000-00000000c002", name = "gridos-database-admins" }

# The job that renews needs the zone _acme-challenge.gridos.example.com delegated to it: README, step 12.
acme = { email = "grid-platform@example.com" }

# Two units, because a new one takes minutes to come.
gateway_capacity = { min = 2, max = 20 }

log_retention_days = 90
log_daily_quota_gb = 20
alert_emails       = { on-call = "grid-on-call@example.com", platform = "grid-platform@example.com" }

# An environment of its own: a job of the one that applies could sign in as both.
push_subjects = { production = "repo:example@1000001/gridos@2000001:environment:production-push" }

runners = {
  image           = "ghcr.io/example/gridos-runner@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  app_id          = "3000001"
  installation_id = "4000001"
  group_id        = "5000001"
}
