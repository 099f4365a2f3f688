terraform {
  required_version = ">= 1.11"

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "= 3.1.1"
    }
  }

  backend "azurerm" {
    use_azuread_auth = true
  }
}
