# Made by bootstrap; each environment has a container of its own, so that one cannot read another's.
resource_group_name  = "rg-gridos-state-weu"
storage_account_name = "stgridosstatex1g"
container_name       = "production"
key                  = "platform.tfstate"
