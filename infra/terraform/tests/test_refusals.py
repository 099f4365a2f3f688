"""Bad variables: one clear message each, and no provider is asked anything."""

import re

import configuration
import pytest
import workspace

# As Terraform's trace log names what it asks of a provider.
ASKED = re.compile(
    r"GRPCProvider[^:]*: (ConfigureProvider|ReadDataSource|PlanResourceChange|ReadResource)"
)

# One of each kind: an enumeration, an address range, an id, a number, a pair of variables.
BAD = {
    "environment": ("test", "environment is one of dev, staging, production"),
    "vnet_cidr": ("10.40.0.0/20", "vnet_cidr is a /16"),
    "cluster_admin_group_ids": ('["admins"]', "is at least one object id"),
    "log_retention_days": ("7", "log_retention_days is 30 to 730"),
    "outbound_type": ("userDefinedRouting", "firewall_private_ip goes with outbound_type"),
}


def test_each_bad_variable_gives_its_own_message_before_any_provider_is_asked(
    code, tmp_path, monkeypatch
):
    root = workspace.copy(tmp_path / "code")
    workspace.initialise_locally(root)
    log = tmp_path / "trace.log"
    monkeypatch.setenv("TF_LOG", "trace")
    monkeypatch.setenv("TF_LOG_PATH", str(log))

    given = [f"-var-file={root / 'environments' / 'dev.tfvars'}"]
    given += [f"-var={name}={value}" for name, (value, _) in BAD.items()]
    refused = workspace.terraform(root, "plan", "-input=false", "-no-color", *given)

    message = " ".join(refused.stderr.replace("│", " ").split())
    assert refused.returncode == 1
    assert refused.stderr.count("Error: ") == len(BAD), refused.stderr
    for _, complaint in BAD.values():
        assert complaint in message
    assert set(ASKED.findall(log.read_text())) == set()


@pytest.mark.parametrize("root", [".", "bootstrap"])
def test_the_provider_waits_for_every_variable(root):
    folder = workspace.SOURCE / root
    waited_for = configuration.local_values(folder / "providers.tf")["checked_variables"]
    variables = [
        name
        for path in sorted(folder.glob("variables*.tf"))
        for block in configuration.load(path)["variable"]
        for name in block
    ]

    assert sorted(waited_for) == sorted(f"${{var.{name}}}" for name in variables)


def test_a_good_plan_does_ask_the_provider(tmp_path, monkeypatch):
    """Or the test above would search the log for words that are never in it."""
    root = workspace.copy(tmp_path / "code")
    log = tmp_path / "trace.log"
    monkeypatch.setenv("TF_LOG", "trace")
    monkeypatch.setenv("TF_LOG_PATH", str(log))
    try:
        workspace.plan(root, root / "environments" / "dev.tfvars")
    except workspace.UnavailableError as cause:
        pytest.skip(str(cause))

    assert set(ASKED.findall(log.read_text())) == {
        "ConfigureProvider",
        "ReadDataSource",
        "PlanResourceChange",
    }
