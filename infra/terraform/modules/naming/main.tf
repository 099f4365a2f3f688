# One place for the names that two roots must agree on: bootstrap makes the resource groups, the
# platform fills them. Abbreviations are those of the Cloud Adoption Framework.

locals {
  # Only regions with three availability zones: production is zonal, and the environments must not
  # differ in region.
  regions = {
    francecentral      = "frc"
    germanywestcentral = "gwc"
    italynorth         = "itn"
    northeurope        = "neu"
    norwayeast         = "nwe"
    polandcentral      = "plc"
    swedencentral      = "sdc"
    switzerlandnorth   = "szn"
    uksouth            = "uks"
    westeurope         = "weu"
  }

  # Three letters, because a vault's name has room for 24 in all.
  environments = {
    dev        = "dev"
    staging    = "stg"
    production = "prd"
  }

  stem = "gridos-${local.environments[var.environment]}-${local.regions[var.location]}"
}
