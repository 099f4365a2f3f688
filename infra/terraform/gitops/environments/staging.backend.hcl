# The platform's container, a state of its own.
resource_group_name  = "rg-gridos-state-weu"
storage_account_name = "stgridosstatex1g"
container_name       = "staging"
key                  = "gitops.tfstate"
