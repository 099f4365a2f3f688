name_suffix        = "x1g"
owner              = "grid-platform"
budget_start       = "2026-12-01T00:00:00Z"
operators_group_id = "00000000-0000-4000-8000-00000000d001"
# Empty on ordinary days.
break_glass_group_id = "00000000-0000-4000-8000-00000000d002"

# Budgets are the README's estimates and a fifth more.
environments = {
  dev = {
    plan_subject   = "repo:example@1000001/gridos@2000001:environment:dev-plan"
    apply_subject  = "repo:example@1000001/gridos@2000001:environment:dev"
    monthly_budget = 1140
    budget_emails  = ["grid-platform@example.com"]
  }
  staging = {
    plan_subject   = "repo:example@1000001/gridos@2000001:environment:staging-plan"
    apply_subject  = "repo:example@1000001/gridos@2000001:environment:staging"
    monthly_budget = 2000
    budget_emails  = ["grid-platform@example.com"]
  }
  production = {
    plan_subject   = "repo:example@1000001/gridos@2000001:environment:production-plan"
    apply_subject  = "repo:example@1000001/gridos@2000001:environment:production"
    monthly_budget = 3600
    budget_emails  = ["grid-platform@example.com", "grid-on-call@example.com"]
  }
}
