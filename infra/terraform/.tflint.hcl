# tflint's own rules for the language. Its rules for azurerm are a plugin that a download brings, so
# they are not here; the provider's schema and the tests see most of what they would.

plugin "terraform" {
  enabled = true
  preset  = "all"
}

# One concern a file, its variables beside it: `variables.network.tf`, not one file of 600 lines.
rule "terraform_standard_module_structure" {
  enabled = false
}
