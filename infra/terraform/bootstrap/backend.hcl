# After the first apply: `terraform init -migrate-state -backend-config=backend.hcl`.
resource_group_name  = "rg-gridos-state-weu"
storage_account_name = "stgridosstatex1g"
container_name       = "bootstrap"
key                  = "bootstrap.tfstate"
