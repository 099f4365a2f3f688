output "stem" {
  description = "Workload, environment and region, to follow a resource's abbreviation: gridos-dev-weu."
  value       = local.stem
}

output "resource_group" {
  description = "The environment's resource group, made by bootstrap."
  value       = "rg-${local.stem}"
}

output "node_resource_group" {
  description = "The group that AKS itself makes for the nodes; most of the cost is in it."
  value       = "rg-${local.stem}-nodes"
}

output "region" {
  description = "The region's abbreviation: weu."
  value       = local.regions[var.location]
}
