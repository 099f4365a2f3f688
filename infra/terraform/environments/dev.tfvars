# Cheap: one zone, burstable nodes for the service and database, a cluster without SLA. Holds nothing
# that is missed.

environment = "dev"
name_suffix = "x1g"
owner       = "grid-platform"
repository  = "https://github.com/example/gridos"
hostname    = "dev.gridos.example.com"

vnet_cidr     = "10.40.0.0/16"
zones         = []
locks_enabled = false

cluster_sku_tier        = "Free"
cluster_admin_group_ids = ["00000000-0000-4000-8000-00000000a001"]
maintenance_day         = "Tuesday"

system_pool = { vm_size = "Standard_D2ds_v5", min_count = 2, max_count = 3 }
user_pool   = { vm_size = "Standard_B4s_v2", min_count = 1, max_count = 3 }

database = {
  sku_name              = "B_Standard_B1ms"
  storage_mb            = 32768
  zone_redundant        = false
  backup_retention_days = 7
  geo_redundant_backup  = false
}
database_admin_group = { object_id = "00000000-0000-4000-8000-00000000a002", name = "gridos-database-admins-dev" }

# Zero: with no traffic only the gateway's fixed price remains.
gateway_capacity = { min = 0, max = 2 }

log_daily_quota_gb = 1
alert_emails       = { platform = "grid-platform@example.com" }

# OWNER@OWNER_ID/REPO@REPO_ID: `gh api repos/OWNER/REPO --jq '.owner.id, .id'`.
# An environment of its own: a job of the one that applies could sign in as both.
push_subjects = { dev = "repo:example@1000001/gridos@2000001:environment:dev-push" }

# Idle they cost nothing, and without them nothing inside this network can be applied or pushed.
runners = {
  image           = "ghcr.io/example/gridos-runner@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  app_id          = "3000001"
  installation_id = "4000001"
  group_id        = "5000001"
}
