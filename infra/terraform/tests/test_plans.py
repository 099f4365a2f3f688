"""The environments' plans, and what the policies say of them."""

import copy
import json
import re
import shlex

import configuration
import plan_policies
import pytest
import workspace

ENVIRONMENTS = ("dev", "staging", "production")


def resources(plan, kind):
    return {
        change["address"]: change["change"]["after"]
        for change in plan["resource_changes"]
        if change["type"] == kind and change["mode"] == "managed"
    }


@pytest.mark.parametrize("name", [*ENVIRONMENTS, "bootstrap"])
def test_a_plan_gives_nothing_away(plans, name):
    assert plan_policies.violations(plans[name]) == []


@pytest.mark.parametrize("name", [*ENVIRONMENTS, "bootstrap"])
def test_no_secret_is_a_resource(plans, name):
    """A refresh reads each resource, and a pull request's plan must need no right to read secrets."""
    assert resources(plans[name], "azurerm_key_vault_secret") == {}


def test_the_pipeline_may_give_every_role_that_the_platform_gives(plans):
    """Or the first apply of it ends with 403."""
    bootstrap = plans["bootstrap"]
    condition = next(
        given["condition"]
        for given in resources(bootstrap, "azurerm_role_assignment").values()
        if given["role_definition_name"] == ADMINISTRATOR
    )
    stated = configuration.local_values(workspace.SOURCE / "bootstrap" / "main.pipeline.tf")
    assignable = {name.strip('"'): role for name, role in stated["assignable_roles"].items()}
    given = {
        role["role_definition_name"]
        for name in ENVIRONMENTS
        for role in resources(plans[name], "azurerm_role_assignment").values()
    }

    assert given == assignable.keys()
    assert all(role in condition for role in assignable.values())


@pytest.mark.parametrize(
    ("name", "tier", "replicas", "standby", "locks", "jobs"),
    [
        ("dev", "Free", 1, 0, 0, 2),
        ("staging", "Standard", 3, 1, 3, 3),
        ("production", "Standard", 3, 1, 3, 3),
    ],
)
def test_environments_differ_in_size_and_resilience(
    plans, name, tier, replicas, standby, locks, jobs
):
    plan = plans[name]
    cluster = resources(plan, "azurerm_kubernetes_cluster")["azurerm_kubernetes_cluster.this"]
    pool = resources(plan, "azurerm_kubernetes_cluster_node_pool")
    database = resources(plan, "azurerm_postgresql_flexible_server")

    assert cluster["sku_tier"] == tier
    assert pool["azurerm_kubernetes_cluster_node_pool.user"]["min_count"] == replicas
    assert len(database["azurerm_postgresql_flexible_server.this"]["high_availability"]) == standby
    assert len(resources(plan, "azurerm_management_lock")) == locks
    assert len(resources(plan, "azurerm_container_app_job")) == jobs


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments_do_not_differ_in_security(plans, name):
    """What a test of staging says of production holds only if the doors are the same."""
    plan = plans[name]
    cluster = resources(plan, "azurerm_kubernetes_cluster")["azurerm_kubernetes_cluster.this"]
    vault = resources(plan, "azurerm_key_vault")["azurerm_key_vault.this"]
    firewall = resources(plan, "azurerm_web_application_firewall_policy")

    assert cluster["private_cluster_enabled"]
    assert cluster["local_account_disabled"]
    assert not vault["public_network_access_enabled"]
    policy = firewall["azurerm_web_application_firewall_policy.this"]["policy_settings"][0]
    assert policy["mode"] == "Prevention"


@pytest.mark.usefixtures("led_to_azure")
@pytest.mark.parametrize(("step", "open_to", "jobs"), [(8, ["203.0.113.7/32"], 0), (10, [], 3)])
def test_the_first_applies_open_the_vault_and_then_shut_it(step, open_to, jobs, tmp_path):
    """As they are typed there, for staging: without the runners first, whose key is not there yet."""
    text = (workspace.SOURCE.parents[1] / "docs/azure.md").read_text()
    section = text.partition(f"\n{step}. **")[2].partition(f"\n{step + 1}. **")[0]
    typed = re.search(r"terraform apply (.*?)\n *```", section, re.DOTALL)[1]
    for name, value in {"ENVIRONMENT": "staging", "ADDRESS": "203.0.113.7"}.items():
        typed = typed.replace(f"${name}", value)
    (file, *variables) = shlex.split(typed.replace("\\\n", " "))
    root = workspace.copy(tmp_path / "code")
    try:
        made = workspace.plan(root, root / file.removeprefix("-var-file="), variables)
    except workspace.UnavailableError as cause:
        pytest.skip(str(cause))

    vault = resources(made, "azurerm_key_vault")["azurerm_key_vault.this"]
    assert vault["public_network_access_enabled"] is bool(open_to)
    # azurerm says null where there is none.
    assert (vault["network_acls"][0]["ip_rules"] or []) == open_to
    assert len(resources(made, "azurerm_container_app_job")) == jobs


def test_networks_do_not_overlap(plans):
    """They may be peered one day."""
    networks = [resources(plans[name], "azurerm_virtual_network") for name in ENVIRONMENTS]
    spaces = [network["azurerm_virtual_network.this"]["address_space"][0] for network in networks]

    assert len(set(spaces)) == len(ENVIRONMENTS)


def made(kind, address, after, sensitive=None, **more):
    change = {"after": after, "after_unknown": {}, "after_sensitive": sensitive or {}}
    made = {"mode": "managed", "type": kind, "address": address, "change": change | more}
    return {"resource_changes": [made]}


GROUP = "/subscriptions/s/resourceGroups/rg"
ADMINISTRATOR = "Role Based Access Control Administrator"


def role(scope=GROUP, **given):
    return "azurerm_role_assignment", {"scope": scope, **given}


@pytest.mark.parametrize(
    ("resource", "complaint"),
    [
        (role(role_definition_name="Owner"), "every right"),
        (role(role_definition_name="User Access Administrator"), "every right"),
        (role(role_definition_name=ADMINISTRATOR), "needs a condition"),
        (role(role_definition_id="x"), "by name"),
        (role("/subscriptions/s", role_definition_name="Reader"), "wider than a resource group"),
        (
            role("/providers/Microsoft.Management/x", role_definition_name="Reader"),
            "wider than a resource group",
        ),
        (("azurerm_public_ip", {"name": "pip"}), "a public address"),
        (("azurerm_public_ip_prefix", {"name": "ippre"}), "a public address"),
        (("azurerm_key_vault", {"public_network_access_enabled": True}), "reachable"),
    ],
)
def test_what_gives_too_much_away_is_named(resource, complaint):
    kind, after = resource
    found = plan_policies.violations(made(kind, f"{kind}.that", after))

    assert len(found) == 1
    assert found[0].startswith(f"{kind}.that: ")
    assert complaint in found[0]


def test_a_secret_that_the_state_would_hold_is_named():
    plan = made(
        "azurerm_postgresql_flexible_server",
        "azurerm_postgresql_flexible_server.this",
        {"administrator_password": "hunter2", "block": [{"name": "x", "value": "s"}]},
        sensitive={"administrator_password": True, "block": True},
    )

    found = plan_policies.violations(plan)

    assert [line.partition(" is a secret")[0] for line in found] == [
        "azurerm_postgresql_flexible_server.this: administrator_password",
        "azurerm_postgresql_flexible_server.this: block.0.value",
    ]


def test_what_azure_told_at_an_earlier_apply_is_no_secret_of_this_plan():
    plan = made(
        "azurerm_log_analytics_workspace",
        "azurerm_log_analytics_workspace.this",
        {"primary_shared_key": "k", "retention_in_days": 90},
        sensitive={"primary_shared_key": True},
    )
    change = plan["resource_changes"][0]["change"]

    assert len(plan_policies.violations(plan)) == 1
    change["before"] = {"primary_shared_key": "k", "retention_in_days": 30}
    assert plan_policies.violations(plan) == []


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (["delete"], "would be deleted"),
        (["delete", "create"], "would be replaced"),
        (["create", "delete"], "would be replaced"),
        (["forget"], "would be forgotten"),
    ],
)
def test_what_destroys_is_refused_unless_it_was_meant(actions, said, tmp_path, capsys):
    plan = made("azurerm_key_vault", "azurerm_key_vault.this", None, actions=actions)
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan))

    assert plan_policies.main([str(file)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"azurerm_key_vault.this: {said}; ")
    assert "terraform-destroys" in line
    assert plan_policies.main(["--allow-destroys", str(file)]) == 0


def test_what_is_made_changed_or_read_is_no_destruction():
    for actions in (["create"], ["update"], ["no-op"], ["read"]):
        plan = made("azurerm_key_vault", "azurerm_key_vault.this", {}, actions=actions)
        assert plan_policies.destroyed(plan) == []


def test_a_broken_environment_is_refused_and_not_only_made_up_plans(plans):
    """One change to the real plan of production, and the policy says which resource it is."""
    broken = copy.deepcopy(plans["production"])
    pushes = 'azurerm_role_assignment.this["pipeline-pushes"]'
    for change in broken["resource_changes"]:
        if change["address"] == pushes:
            change["change"]["after"]["role_definition_name"] = "Owner"

    assert [line.partition(": ")[0] for line in plan_policies.violations(broken)] == [pushes]


def test_the_program_says_what_it_found_and_by_what_code(tmp_path, capsys):
    good, bad, none = (tmp_path / name for name in ("good", "bad", "none"))
    good.write_text(json.dumps({"resource_changes": []}))
    bad.write_text(json.dumps(made("azurerm_public_ip", "azurerm_public_ip.x", {})))
    none.write_text("{}")

    assert plan_policies.main([str(good)]) == 0
    assert plan_policies.main([str(bad)]) == 1
    assert "azurerm_public_ip.x" in capsys.readouterr().out
    assert plan_policies.main([str(none)]) == 2
    assert "terraform show -json" in capsys.readouterr().err
