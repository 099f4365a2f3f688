# Lets the state be destroyed; README, "Destroy". Overrides the same blocks of bootstrap/main.state.tf.

resource "azurerm_storage_account" "state" {
  lifecycle {
    prevent_destroy = false
  }
}

resource "azurerm_storage_container" "state" {
  lifecycle {
    prevent_destroy = false
  }
}
