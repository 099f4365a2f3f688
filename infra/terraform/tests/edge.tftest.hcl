# The way in: gateway, certificate, firewall.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

run "the_firewall_prevents_and_does_not_only_watch" {
  command = plan

  assert {
    condition     = one(azurerm_web_application_firewall_policy.this.policy_settings).mode == "Prevention"
    error_message = "Attacks would be logged and let through."
  }

  assert {
    condition     = one(azurerm_web_application_firewall_policy.this.policy_settings).enabled
    error_message = "The firewall would be off."
  }

  assert {
    condition = (
      one(azurerm_web_application_firewall_policy.this.policy_settings).request_body_check &&
      one(azurerm_web_application_firewall_policy.this.policy_settings).request_body_enforcement
    )
    error_message = "Bodies would pass unread."
  }

  assert {
    condition     = one(azurerm_web_application_firewall_policy.this.policy_settings).max_request_body_size_in_kb == one(azurerm_web_application_firewall_policy.this.policy_settings).request_body_inspect_limit_in_kb
    error_message = "The end of a long body would pass unread."
  }
}

run "the_firewall_has_the_current_rules" {
  command = plan

  assert {
    condition = { for set in one(azurerm_web_application_firewall_policy.this.managed_rules).managed_rule_set : set.type => set.version } == {
      Microsoft_DefaultRuleSet    = "2.2"
      Microsoft_BotManagerRuleSet = "1.1"
    }
    error_message = "The rules would be old ones, or the bots' missing."
  }
}

run "the_firewall_overlooks_nothing_without_a_reason" {
  command = plan

  # `make accept-edge` tries exactly these on a real firewall, so the resource must have no others.
  assert {
    condition     = [for exclusion in one(azurerm_web_application_firewall_policy.this.managed_rules).exclusion : "${exclusion.match_variable} ${exclusion.selector_match_operator} ${exclusion.selector}"] == ["RequestHeaderKeys Equals Content-Encoding"]
    error_message = "The rules would overlook something else than compressed bodies."
  }

  assert {
    condition = flatten([
      for set in one(azurerm_web_application_firewall_policy.this.managed_rules).managed_rule_set : [
        for override in set.rule_group_override : [for rule in override.rule : "${set.type} ${rule.id} ${rule.enabled}"]
      ]
      ]) == [
      "Microsoft_DefaultRuleSet 200002 false",
      "Microsoft_DefaultRuleSet 920420 false",
    ]
    error_message = "Other rules would be off than those that our own traffic needs off: ${jsonencode(one(azurerm_web_application_firewall_policy.this.managed_rules).managed_rule_set)}"
  }

  assert {
    condition     = alltrue([for reason in concat(keys(local.waf_exclusions), keys(local.waf_disabled_rules)) : length(reason) > 40])
    error_message = "An exclusion has no reason."
  }

  assert {
    condition     = one(one(azurerm_web_application_firewall_policy.this.policy_settings).log_scrubbing).enabled
    error_message = "API keys would be in the firewall's log."
  }

  assert {
    condition     = [for rule in one(one(azurerm_web_application_firewall_policy.this.policy_settings).log_scrubbing).rule : "${rule.match_variable} ${rule.selector} ${rule.enabled}"] == ["RequestHeaderNames X-API-Key true"]
    error_message = "Something else would be taken out of the firewall's log, and API keys be in it."
  }
}

run "the_firewall_reads_as_much_as_the_service_takes" {
  command = plan

  assert {
    condition     = one(azurerm_web_application_firewall_policy.this.policy_settings).max_request_body_size_in_kb == local.waf_body_limit_kib && local.waf_body_limit_kib == 1024
    error_message = "A batch that the service takes would be refused at the edge, or one that it refuses let in."
  }
}

run "one_client_cannot_take_it_all" {
  command = plan

  assert {
    condition = (
      one(azurerm_web_application_firewall_policy.this.custom_rules).rule_type == "RateLimitRule" &&
      one(azurerm_web_application_firewall_policy.this.custom_rules).action == "Block" &&
      one(azurerm_web_application_firewall_policy.this.custom_rules).group_rate_limit_by == "ClientAddr" &&
      one(azurerm_web_application_firewall_policy.this.custom_rules).rate_limit_threshold == var.rate_limit_per_minute
    )
    error_message = "One client could use up the service."
  }

  assert {
    condition = (
      toset(one(one(azurerm_web_application_firewall_policy.this.custom_rules).match_conditions).match_values) == toset(["0.0.0.0/0"]) &&
      one(azurerm_web_application_firewall_policy.this.custom_rules).rate_limit_duration == "OneMin"
    )
    error_message = "Some clients would have no limit, or a longer minute."
  }
}

run "the_gateway_stands_behind_the_firewall" {
  command = plan

  assert {
    condition     = azurerm_application_gateway.this.firewall_policy_id == azurerm_web_application_firewall_policy.this.id && one(azurerm_application_gateway.this.sku).tier == "WAF_v2"
    error_message = "The gateway would have no firewall."
  }

  assert {
    condition     = azurerm_application_gateway.this.force_firewall_policy_association
    error_message = "An Ingress could bring its own firewall policy, or none."
  }
}

run "tls_is_1_2_or_newer_with_a_certificate_that_follows_the_vault" {
  command = plan

  assert {
    condition     = one(azurerm_application_gateway.this.ssl_policy).policy_name == "AppGwSslPolicy20220101S" && one(azurerm_application_gateway.this.ssl_policy).policy_type == "Predefined"
    error_message = "TLS below 1.2, or ciphers without forward secrecy, would be accepted."
  }

  assert {
    condition     = one(azurerm_application_gateway.this.ssl_certificate).key_vault_secret_id == azurerm_key_vault_certificate.gateway.versionless_secret_id
    error_message = "The gateway would keep an old certificate when the vault has a new one."
  }

  assert {
    condition     = one(azurerm_application_gateway.this.identity).identity_ids == toset([azurerm_user_assigned_identity.this["gateway"].id])
    error_message = "The gateway could not read its certificate."
  }
}

run "http_leads_to_https_before_agic_takes_over" {
  command = plan

  assert {
    condition = one([
      for rule in azurerm_application_gateway.this.request_routing_rule : rule.redirect_configuration_name
      if rule.http_listener_name == "http"
    ]) == one(azurerm_application_gateway.this.redirect_configuration).name
    error_message = "HTTP would be answered in the clear."
  }

  assert {
    condition     = one(azurerm_application_gateway.this.redirect_configuration).redirect_type == "Permanent" && one(azurerm_application_gateway.this.redirect_configuration).target_listener_name == "https"
    error_message = "HTTP would lead somewhere else."
  }

  assert {
    condition     = one(azurerm_application_gateway.this.redirect_configuration).include_path && one(azurerm_application_gateway.this.redirect_configuration).include_query_string
    error_message = "Every address would lead to the first page."
  }
}

run "the_gateway_scales_and_is_in_every_zone" {
  command = plan

  assert {
    condition     = one(azurerm_application_gateway.this.autoscale_configuration).min_capacity == 2 && one(azurerm_application_gateway.this.autoscale_configuration).max_capacity == 20
    error_message = "The gateway would not scale."
  }

  assert {
    condition     = azurerm_application_gateway.this.zones == toset(["1", "2", "3"]) && azurerm_public_ip.gateway.zones == toset(["1", "2", "3"])
    error_message = "A zone would take the way in with it."
  }
}
