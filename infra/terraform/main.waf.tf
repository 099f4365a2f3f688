# The firewall before the service.

locals {
  # What the rules must not look at, and why. One entry a reason; none without one. The key's value
  # is matched by nobody's interpreter: the service compares it in constant time and drops it.
  waf_exclusions = {
    "random text; by chance it looks like an attack, and then one client is locked out" = {
      variable = "RequestHeaderValues"
      selector = "X-API-Key"
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
    # KiB; the most the rules can look into. Anything larger is refused, not passed unread.
    max_request_body_size_in_kb      = 2000
    request_body_inspect_limit_in_kb = 2000
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
