terraform {
  # 1.11: write-only arguments (secrets that never reach the state) and mocks known during plan.
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "= 5.2.0"
    }
  }

  # The rest is in environments/<environment>.backend.hcl. No access key exists to be leaked:
  # bootstrap turns shared keys off.
  backend "azurerm" {
    use_azuread_auth = true
  }
}
