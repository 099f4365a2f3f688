# The pipeline's identities, two an environment: one that plans and can change nothing, one that
# applies, inside the environment's group and nowhere else. Nobody has a secret.

locals {
  pipeline = merge([
    for environment, settings in var.environments : {
      "${environment}/plan"  = { environment = environment, act = "plan", subject = settings.plan_subject }
      "${environment}/apply" = { environment = environment, act = "apply", subject = settings.apply_subject }
    }
  ]...)

  # The roles that the platform gives (main.roles.tf), by the ids Azure gives them everywhere. Applying
  # may give and take these, so a stolen apply cannot make an Owner.
  assignable_roles = {
    "AcrPull"                        = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    "AcrPush"                        = "8311e382-0749-4cb8-b61a-304f252e45ec"
    "Contributor"                    = "b24988ac-6180-42a0-ab88-20f7382dd24c"
    "Container Apps Jobs Operator"   = "b9a307c4-5aa3-4b52-ba60-2b17c136cd7b"
    "DNS Zone Contributor"           = "befefa01-2a29-4197-83a8-272ff33ce314"
    "Key Vault Certificates Officer" = "a4417e6f-fecd-4de8-b567-7b0420556985"
    "Key Vault Secrets User"         = "4633458b-17de-408a-b874-0445c86b69e6"
    "Managed Identity Operator"      = "f1a07417-d97a-45cb-824c-7a7467783830"
    "Network Contributor"            = "4d97b98b-1d4f-4787-a291-c67834d212e7"
    "Reader"                         = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    "Storage Blob Data Contributor"  = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
  }
  assignable_ids = join(", ", values(local.assignable_roles))

  only_assignable_roles = <<-CONDITION
    (
      (!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'}))
      OR
      (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.assignable_ids}})
    )
    AND
    (
      (!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'}))
      OR
      (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.assignable_ids}})
    )
  CONDITION

  group_roles = {
    # A plan asks Azure how things are, so it reads the certificate's public part too (Key Vault Reader);
    # the value of a secret it can neither read nor needs: no secret is a resource.
    plan = ["Reader", "Key Vault Reader"]
    apply = [
      "Contributor",
      "Role Based Access Control Administrator",
      "Locks Contributor",
      "Key Vault Certificates Officer",
    ]
  }

  state_roles = {
    plan  = "Storage Blob Data Reader"
    apply = "Storage Blob Data Contributor"
  }

  grants = merge([
    for key, who in local.pipeline : {
      for role in local.group_roles[who.act] : "${key}/${role}" => merge(who, { identity = key, role = role })
    }
  ]...)

  # Owners may do everything but look into vaults and blobs. Contributor opens a shut vault to their
  # address and shuts it again (docs/day-2.md, Keys).
  operator_grants = merge([
    for environment in keys(var.environments) : {
      for role in ["Key Vault Contributor", "Key Vault Secrets Officer", "Key Vault Certificates Officer"] :
      "${environment}/${role}" => { environment = environment, role = role }
    }
  ]...)
}

resource "azurerm_user_assigned_identity" "pipeline" {
  for_each = local.pipeline

  name                = "id-${each.value.act}-${module.naming[each.value.environment].stem}"
  resource_group_name = azurerm_resource_group.state.name
  location            = var.location
  tags                = merge(local.tags, { environment = each.value.environment })
}

resource "azurerm_federated_identity_credential" "pipeline" {
  for_each = local.pipeline

  name                      = "github"
  user_assigned_identity_id = azurerm_user_assigned_identity.pipeline[each.key].id
  issuer                    = "https://token.actions.githubusercontent.com"
  subject                   = each.value.subject
  audience                  = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_assignment" "group" {
  for_each = local.grants

  principal_id         = azurerm_user_assigned_identity.pipeline[each.value.identity].principal_id
  principal_type       = "ServicePrincipal"
  role_definition_name = each.value.role
  scope                = azurerm_resource_group.environment[each.value.environment].id

  condition         = each.value.role == "Role Based Access Control Administrator" ? local.only_assignable_roles : null
  condition_version = each.value.role == "Role Based Access Control Administrator" ? "2.0" : null
}

resource "azurerm_role_assignment" "state" {
  for_each = local.pipeline

  principal_id         = azurerm_user_assigned_identity.pipeline[each.key].principal_id
  principal_type       = "ServicePrincipal"
  role_definition_name = local.state_roles[each.value.act]
  scope                = azurerm_storage_container.state[each.value.environment].id
}

resource "azurerm_role_assignment" "operators" {
  for_each = local.operator_grants

  principal_id         = var.operators_group_id
  principal_type       = "Group"
  role_definition_name = each.value.role
  scope                = azurerm_resource_group.environment[each.value.environment].id
}

resource "azurerm_role_assignment" "operators_state" {
  principal_id         = var.operators_group_id
  principal_type       = "Group"
  role_definition_name = "Storage Blob Data Contributor"
  scope                = azurerm_storage_account.state.id
}
