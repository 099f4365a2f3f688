# The address plan, who may speak to whom, and the way out. Zones and the endpoints' subnet have an id
# each, so that a wrong one shows.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan

  override_resource {
    target = azurerm_private_dns_zone.this["logs"]
    values = { id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net" }
  }

  override_resource {
    target = azurerm_private_dns_zone.this["registry"]
    values = { id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/privateDnsZones/privatelink.azurecr.io" }
  }

  override_resource {
    target = azurerm_private_dns_zone.this["vault"]
    values = { id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net" }
  }

  override_resource {
    target = azurerm_subnet.this["endpoints"]
    values = { id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-gridos-prd-weu/providers/Microsoft.Network/virtualNetworks/vnet/subnets/endpoints" }
  }
}

run "subnets_do_not_overlap_and_have_the_size_their_service_asks" {
  command = plan

  assert {
    condition = { for name, subnet in azurerm_subnet.this : name => one(subnet.address_prefixes) } == {
      nodes      = "10.42.0.0/22"
      gateway    = "10.42.4.0/24"
      database   = "10.42.5.0/28"
      api-server = "10.42.5.16/28"
      endpoints  = "10.42.5.32/27"
      runners    = "10.42.5.64/27"
    }
    error_message = "The address plan is not the README's."
  }

  assert {
    condition = { for name, subnet in azurerm_subnet.this : name => one(one(subnet.delegation[*].service_delegation[0].name)[*]) } == {
      nodes      = null
      gateway    = "Microsoft.Network/applicationGateways"
      database   = "Microsoft.DBforPostgreSQL/flexibleServers"
      api-server = "Microsoft.ContainerService/managedClusters"
      endpoints  = null
      runners    = "Microsoft.App/environments"
    }
    error_message = "A service would not find the subnet that is lent to it."
  }

  assert {
    condition     = { for name, subnet in azurerm_subnet.this : name => [for endpoint in subnet.service_endpoint : endpoint.service] if length(subnet.service_endpoint) > 0 } == { runners = ["Microsoft.Storage"] }
    error_message = "The runners could not reach the state, or somebody else could."
  }
}

run "no_subnet_has_an_address_nobody_asked_for" {
  command = plan

  assert {
    condition     = alltrue([for subnet in azurerm_subnet.this : !subnet.default_outbound_access_enabled])
    error_message = "A subnet would go out through Azure's default address."
  }
}

run "every_subnet_has_its_security_group" {
  command = plan

  assert {
    condition     = keys(azurerm_subnet_network_security_group_association.this) == keys(azurerm_subnet.this)
    error_message = "A subnet would be without a security group."
  }

  assert {
    condition     = alltrue([for subnet in azurerm_subnet.this : subnet.private_endpoint_network_policies == "NetworkSecurityGroupEnabled"])
    error_message = "Private endpoints would ignore their security group."
  }
}

run "only_the_gateway_hears_the_internet" {
  command = plan

  assert {
    condition = [
      for key, rule in azurerm_network_security_rule.inbound : key
      if contains(["Internet", "*", "0.0.0.0/0"], rule.source_address_prefix)
    ] == ["gateway/clients"]
    error_message = "Something besides the gateway's 80 and 443 would hear the internet."
  }

  assert {
    condition     = azurerm_network_security_rule.inbound["gateway/clients"].destination_port_ranges == toset(["80", "443"])
    error_message = "The gateway would listen on more than 80 and 443."
  }

  assert {
    condition     = toset(keys(azurerm_network_security_rule.deny_rest)) == setsubtract(keys(azurerm_subnet.this), ["gateway"])
    error_message = "In a subnet without deny-rest, the whole network may speak to everything."
  }

  assert {
    condition = alltrue([
      for rule in azurerm_network_security_rule.deny_rest :
      rule.access == "Deny" && rule.direction == "Inbound" && rule.priority == 4096 &&
      rule.protocol == "*" && rule.source_address_prefix == "*" && rule.destination_port_range == "*"
    ])
    error_message = "deny-rest would let something through."
  }
}

run "who_may_speak_to_whom_is_all_here" {
  command = plan

  assert {
    condition = {
      for key, rule in azurerm_network_security_rule.inbound :
      key => "${rule.source_address_prefix} ${rule.protocol} ${join(",", sort(rule.destination_port_ranges))}"
      } == {
      "api-server/load-balancer-probes" = "AzureLoadBalancer Tcp 9988"
      "api-server/nodes"                = "10.42.0.0/22 Tcp 443,4443"
      "api-server/runners"              = "10.42.5.64/27 Tcp 443"
      "database/nodes"                  = "10.42.0.0/22 Tcp 5432"
      "database/replication"            = "10.42.5.0/28 Tcp 5432"
      "database/runners"                = "10.42.5.64/27 Tcp 5432"
      "endpoints/gateway"               = "10.42.4.0/24 Tcp 443"
      "endpoints/nodes"                 = "10.42.0.0/22 Tcp 443"
      "endpoints/runners"               = "10.42.5.64/27 Tcp 443"
      "gateway/clients"                 = "Internet Tcp 443,80"
      "gateway/gateway-manager"         = "GatewayManager Tcp 65200-65535"
      "gateway/load-balancer-probes"    = "AzureLoadBalancer * *"
      "nodes/api-server"                = "10.42.5.16/28 Tcp *"
      "nodes/gateway-to-pods"           = "10.42.4.0/24 Tcp 8000"
      "nodes/load-balancer-probes"      = "AzureLoadBalancer * *"
      "nodes/nodes-and-pods"            = "10.42.0.0/22 * *"
      "nodes/pods-across-nodes"         = "10.244.0.0/16 * *"
      "runners/among-themselves"        = "10.42.5.64/27 * *"
      "runners/load-balancer-probes"    = "AzureLoadBalancer Tcp 30000-32767"
    }
    error_message = "Somebody else would be heard, or on another port."
  }

  assert {
    condition     = alltrue([for rule in azurerm_network_security_rule.inbound : rule.access == "Allow" && rule.direction == "Inbound"])
    error_message = "What is written as allowed would be refused, or be about the way out."
  }
}

run "the_database_hears_nodes_and_runners_on_its_port_only" {
  command = plan

  assert {
    condition = {
      for key, rule in azurerm_network_security_rule.inbound : rule.source_address_prefix => rule.destination_port_ranges
      if startswith(key, "database/")
      } == {
      "10.42.0.0/22"  = toset(["5432"])
      "10.42.5.64/27" = toset(["5432"])
      "10.42.5.0/28"  = toset(["5432"])
    }
    error_message = "The database would hear somebody else, or on another port."
  }
}

run "nodes_and_runners_leave_through_the_nat_gateway" {
  command = plan

  assert {
    condition     = keys(azurerm_subnet_nat_gateway_association.this) == ["nodes", "runners"] && length(azurerm_public_ip.nat) == 1
    error_message = "Nodes or runners would have no way out."
  }

  assert {
    condition     = azurerm_nat_gateway_public_ip_association.this[0].public_ip_address_id == azurerm_public_ip.nat[0].id
    error_message = "The NAT gateway would have no address to leave by."
  }

  assert {
    condition     = length(azurerm_route_table.this) == 0
    error_message = "A route table would fight with the NAT gateway."
  }
}

run "a_firewall_takes_the_place_of_the_nat_gateway" {
  command = plan

  variables {
    outbound_type       = "userDefinedRouting"
    firewall_private_ip = "10.0.1.4"
  }

  assert {
    condition     = length(azurerm_nat_gateway.this) == 0 && length(azurerm_public_ip.nat) == 0
    error_message = "There would be a way round the firewall."
  }

  assert {
    condition = (
      one(azurerm_route_table.this[0].route).address_prefix == "0.0.0.0/0" &&
      one(azurerm_route_table.this[0].route).next_hop_in_ip_address == "10.0.1.4" &&
      keys(azurerm_subnet_route_table_association.this) == ["nodes", "runners"]
    )
    error_message = "Not everything would go through the firewall."
  }

  assert {
    condition     = azurerm_role_assignment.this["cluster-reads-routes"].role_definition_name == "Network Contributor"
    error_message = "AKS would not be allowed to use its route table."
  }
}

run "private_names_lead_to_private_addresses" {
  command = plan

  assert {
    condition = { for key, zone in azurerm_private_dns_zone.this : key => zone.name } == {
      database = "gridos-production.private.postgres.database.azure.com"
      logs     = "privatelink.blob.core.windows.net"
      registry = "privatelink.azurecr.io"
      vault    = "privatelink.vaultcore.azure.net"
    }
    error_message = "A private name would not be found."
  }

  assert {
    condition     = keys(azurerm_private_dns_zone_virtual_network_link.this) == keys(azurerm_private_dns_zone.this)
    error_message = "The network would not ask one of its private zones."
  }

  assert {
    condition     = alltrue([for key, link in azurerm_private_dns_zone_virtual_network_link.this : link.private_dns_zone_id == azurerm_private_dns_zone.this[key].id && link.virtual_network_id == azurerm_virtual_network.this.id])
    error_message = "A zone would be asked by another network."
  }

  assert {
    condition = alltrue([
      for key, endpoint in azurerm_private_endpoint.this :
      endpoint.subnet_id == azurerm_subnet.this["endpoints"].id && !one(endpoint.private_service_connection).is_manual_connection &&
      one(endpoint.private_dns_zone_group).private_dns_zone_ids == tolist([azurerm_private_dns_zone.this[key].id])
    ])
    error_message = "An endpoint would be in another subnet or zone than its own, or wait for somebody to approve it."
  }

  assert {
    condition = { for key, endpoint in azurerm_private_endpoint.this : key => one(endpoint.private_service_connection).subresource_names } == {
      logs     = tolist(["blob"])
      registry = tolist(["registry"])
      vault    = tolist(["vault"])
    }
    error_message = "The logs, the registry or the vault could not be reached from inside."
  }

  assert {
    condition     = alltrue([for endpoint in azurerm_private_endpoint.this : length(endpoint.private_dns_zone_group) == 1])
    error_message = "An endpoint would not be in its private zone."
  }
}
