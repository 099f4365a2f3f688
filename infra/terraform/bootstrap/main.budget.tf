# A bill that grows is heard of before the month ends. On the subscription, because most of the cost
# is in the group that AKS makes for its nodes, which nobody may be given rights on beforehand.

resource "azurerm_consumption_budget_subscription" "environment" {
  for_each = var.environments

  name            = "budget-${module.naming[each.key].stem}"
  subscription_id = data.azurerm_subscription.current.id
  amount          = each.value.monthly_budget
  time_grain      = "Monthly"

  time_period {
    start_date = var.budget_start
  }

  filter {
    dimension {
      name   = "ResourceGroupName"
      values = [module.naming[each.key].resource_group, module.naming[each.key].node_resource_group]
    }
  }

  notification {
    operator       = "GreaterThan"
    threshold      = 80
    threshold_type = "Actual"
    contact_emails = each.value.budget_emails
  }

  notification {
    operator       = "GreaterThan"
    threshold      = 100
    threshold_type = "Forecasted"
    contact_emails = each.value.budget_emails
  }
}
