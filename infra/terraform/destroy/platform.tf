# Lets the platform be destroyed; README, "Destroy". Overrides the same blocks of main.*.tf.

resource "azurerm_container_registry" "this" {
  lifecycle {
    prevent_destroy = false
  }
}

resource "azurerm_key_vault" "this" {
  lifecycle {
    prevent_destroy = false
  }
}

resource "azurerm_postgresql_flexible_server" "this" {
  lifecycle {
    prevent_destroy = false
  }
}

resource "azurerm_postgresql_flexible_server_database" "gridos" {
  lifecycle {
    prevent_destroy = false
  }
}
