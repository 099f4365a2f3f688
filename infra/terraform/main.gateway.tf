# Application Gateway: the only way in. Terraform makes it, its address, certificate, TLS policy and
# firewall; AGIC then owns what routes requests, and rewrites it whenever an Ingress changes.

resource "azurerm_public_ip" "gateway" {
  name                = "pip-agw-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = var.zones
  tags                = local.tags
}

resource "azurerm_application_gateway" "this" {
  #checkov:skip=CKV_AZURE_217:the HTTP listener does nothing but lead to HTTPS; tests/edge.tftest.hcl asserts it

  name                = "agw-${local.stem}"
  resource_group_name = local.resource_group
  location            = var.location
  zones               = var.zones
  http2_enabled       = true
  tags                = local.tags

  firewall_policy_id                = azurerm_web_application_firewall_policy.this.id
  force_firewall_policy_association = true

  sku {
    name = "WAF_v2"
    tier = "WAF_v2"
  }

  autoscale_configuration {
    min_capacity = var.gateway_capacity.min
    max_capacity = var.gateway_capacity.max
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.this["gateway"].id]
  }

  gateway_ip_configuration {
    name      = "subnet"
    subnet_id = azurerm_subnet.this["gateway"].id
  }

  frontend_ip_configuration {
    name                 = "public"
    public_ip_address_id = azurerm_public_ip.gateway.id
  }

  ssl_certificate {
    name = local.certificate_name
    # Without a version: the gateway looks for a newer one every four hours, so renewal needs nobody.
    key_vault_secret_id = azurerm_key_vault_certificate.gateway.versionless_secret_id
  }

  ssl_policy {
    policy_type = "Predefined"
    policy_name = "AppGwSslPolicy20220101S" # TLS 1.2 and 1.3, forward secrecy only
  }

  # From here on: a first configuration that already sends HTTP to HTTPS, until AGIC takes over.
  frontend_port {
    name = "http"
    port = 80
  }

  frontend_port {
    name = "https"
    port = 443
  }

  backend_address_pool {
    name = "none-yet"
  }

  backend_http_settings {
    name                  = "none-yet"
    port                  = 8000
    protocol              = "Http"
    cookie_based_affinity = "Disabled"
    request_timeout       = 30
  }

  http_listener {
    name                           = "http"
    frontend_ip_configuration_name = "public"
    frontend_port_name             = "http"
    protocol                       = "Http"
  }

  http_listener {
    name                           = "https"
    frontend_ip_configuration_name = "public"
    frontend_port_name             = "https"
    protocol                       = "Https"
    ssl_certificate_name           = local.certificate_name
  }

  redirect_configuration {
    name                 = "to-https"
    redirect_type        = "Permanent"
    target_listener_name = "https"
    include_path         = true
    include_query_string = true
  }

  request_routing_rule {
    name                        = "http"
    priority                    = 10
    rule_type                   = "Basic"
    http_listener_name          = "http"
    redirect_configuration_name = "to-https"
  }

  request_routing_rule {
    name                       = "https"
    priority                   = 20
    rule_type                  = "Basic"
    http_listener_name         = "https"
    backend_address_pool_name  = "none-yet"
    backend_http_settings_name = "none-yet"
  }

  lifecycle {
    # What AGIC owns. Without this, an apply takes the service off the air until AGIC's next look.
    ignore_changes = [
      backend_address_pool,
      backend_http_settings,
      frontend_port,
      http_listener,
      probe,
      redirect_configuration,
      request_routing_rule,
      rewrite_rule_set,
      tags,
      url_path_map,
    ]
  }

  depends_on = [
    # The gateway refuses to start with a certificate that it may not read.
    azurerm_role_assignment.this,
    # A subnet whose security group is being attached takes no gateway.
    azurerm_subnet_network_security_group_association.this,
  ]
}
