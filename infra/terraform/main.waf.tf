# The firewall before the service.

locals {
  # KiB: the most that the service takes (GRIDOS_MAX_BODY_BYTES), so that neither side reads what the
  # other would refuse. Azure's own most is 2000.
  waf_body_limit_kib = 1024

  # What the rules must not look at, and why. One entry a reason; none without one, and none that
  # `make accept-edge` can do without. X-API-Key is not among them: random keys match no rule.
  waf_exclusions = {
    "meters send their readings compressed; the service unpacks at most its body limit and takes numbers only" = {
      variable = "RequestHeaderKeys"
      selector = "Content-Encoding"
    }
  }

  # Rules that are off, and why.
  waf_disabled_rules = {
    "application/x-ndjson, a reading a line, is not on the rule's list of types; the service answers 415 to any type it does not read" = {
      group = "PROTOCOL-ENFORCEMENT"
      rule  = "920420"
    }
    "a compressed body of JSON is none to the firewall, which does not unpack it; the service answers 400 to what is not whole" = {
      group = "General"
      rule  = "200002"
    }
  }
}

resource "azurerm_web_application_firewall_policy" "this" {
  #checkov:skip=CKV_AZURE_135:the default rule set 2.2 has the Log4j rules; checkov knows only the older OWASP sets

  name                = "waf-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  tags                = local.tags

  policy_settings {
    enabled            = true
    mode               = "Prevention"
    request_body_check = true
    # Anything larger is refused, not passed unread.
    max_request_body_size_in_kb      = local.waf_body_limit_kib
    request_body_inspect_limit_in_kb = local.waf_body_limit_kib
    request_body_enforcement         = true
    file_upload_enforcement          = true
    file_upload_limit_in_mb          = 1 # The API takes no files.

    log_scrubbing {
      enabled = true

      # A blocked request is logged whole, and the key would be in the log.
      rule {
        enabled                 = true
        match_variable          = "RequestHeaderNames"
        selector_match_operator = "Equals"
        selector                = "X-API-Key"
      }
    }
  }

  custom_rules {
    name                 = "RateLimitPerClient"
    priority             = 10
    rule_type            = "RateLimitRule"
    action               = "Block"
    rate_limit_duration  = "OneMin"
    rate_limit_threshold = var.rate_limit_per_minute
    group_rate_limit_by  = "ClientAddr"

    match_conditions {
      operator     = "IPMatch"
      match_values = ["0.0.0.0/0"]

      match_variables {
        variable_name = "RemoteAddr"
      }
    }
  }

  managed_rules {
    managed_rule_set {
      type    = "Microsoft_DefaultRuleSet"
      version = "2.2"

      dynamic "rule_group_override" {
        for_each = values(local.waf_disabled_rules)

        content {
          rule_group_name = rule_group_override.value.group

          rule {
            id      = rule_group_override.value.rule
            enabled = false
          }
        }
      }
    }

    managed_rule_set {
      type    = "Microsoft_BotManagerRuleSet"
      version = "1.1"
    }

    dynamic "exclusion" {
      for_each = values(local.waf_exclusions)

      content {
        match_variable          = exclusion.value.variable
        selector_match_operator = "Equals"
        selector                = exclusion.value.selector
      }
    }
  }
}
