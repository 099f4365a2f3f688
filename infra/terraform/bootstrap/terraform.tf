terraform {
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "= 5.2.0"
    }
  }

  # It makes the place where this state then moves: the README's first commands.
  backend "azurerm" {
    use_azuread_auth = true
  }
}
