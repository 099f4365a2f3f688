# Production's shape at a quarter of its size: what breaks there should break here first.

environment = "staging"
name_suffix = "x1g"
owner       = "grid-platform"
repository  = "https://github.com/example/gridos"
hostname    = "staging.gridos.example.com"

vnet_cidr = "10.41.0.0/16"

cluster_admin_group_ids = ["00000000-0000-4000-8000-00000000b001"]
maintenance_day         = "Thursday"

system_pool = { vm_size = "Standard_D2ds_v5", min_count = 2, max_count = 3 }
user_pool   = { vm_size = "Standard_D2ds_v5", min_count = 3, max_count = 6 }

database = {
  sku_name              = "GP_Standard_D2ds_v5"
  storage_mb            = 65536
  zone_redundant        = true
  backup_retention_days = 7
  geo_redundant_backup  = false
}
database_admin_group = { object_id = "00000000-0000-4000-8000-00000000b002", name = "gridos-database-admins-staging" }

acme = { email = "grid-platform@example.com" }

gateway_capacity = { min = 1, max = 5 }

log_daily_quota_gb = 5
alert_emails       = { platform = "grid-platform@example.com" }

# An environment of its own: a job of the one that applies could sign in as both.
push_subjects = { staging = "repo:example@1000001/gridos@2000001:environment:staging-push" }

runners = {
  image           = "ghcr.io/example/gridos-runner@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  app_id          = "3000001"
  installation_id = "4000001"
  group_id        = "5000001"
}
