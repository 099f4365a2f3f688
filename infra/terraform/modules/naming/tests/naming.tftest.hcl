run "names_follow_the_cloud_adoption_framework" {
  command = plan

  variables {
    environment = "production"
    location    = "westeurope"
  }

  assert {
    condition     = output.stem == "gridos-prd-weu" && output.resource_group == "rg-gridos-prd-weu" && output.node_resource_group == "rg-gridos-prd-weu-nodes"
    error_message = "The two roots would not find each other's groups."
  }

  assert {
    # A vault's name: kv-<stem>-<four letters>, 24 at most.
    condition     = alltrue([for environment in values(local.environments) : length("kv-gridos-${environment}-weu-abcd") <= 24])
    error_message = "A vault's name would be too long."
  }
}

run "an_unknown_environment_or_region_is_refused" {
  command = plan

  variables {
    environment = "test"
    location    = "mars"
  }

  expect_failures = [var.environment, var.location]
}
