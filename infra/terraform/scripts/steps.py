"""The steps from an empty subscription to a running service, and what each of them brings.

The order is that of docs/azure.md. What is asked of Azure and GitHub is
stated here and asked by preflight.py; nothing here asks anybody but the name service.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import configuration

# Argo CD's own path below its `url` (gitops/argo-cd-values.yaml).
SIGNED_IN = "https://localhost:8080/auth/callback"

STEPS = {
    1: "Sign in",
    2: "Put your own names in",
    3: "Make the groups",
    4: "Make the place for the state",
    5: "Move the state there",
    6: "Tell GitHub who may do what",
    7: "Build the runner image",
    8: "Make the platform, from outside",
    9: "Fill the vault",
    10: "Shut the vault, start the runners",
    11: "Admit the runners to the state",
    12: "Point the names at it",
    13: "Tell the pipeline and deploy/",
    14: "Let the pipeline take over",
    15: "Shut the state",
}


@dataclass(frozen=True)
class Names:
    """What one environment's things are called."""

    environment: str
    region: str
    stem: str
    suffix: str
    hostname: str
    groups: Mapping[str, str]
    argo_cd: str
    acme: bool

    @property
    def group(self) -> str:
        """The environment's resource group."""
        return f"rg-{self.stem}"

    @property
    def vault(self) -> str:
        """The environment's Key Vault."""
        return f"kv-{self.stem}-{self.suffix}"

    @property
    def state_group(self) -> str:
        """The resource group of the state."""
        return f"rg-gridos-state-{self.region}"

    @property
    def state_account(self) -> str:
        """The storage account of the state."""
        return f"stgridosstate{self.suffix}"


@dataclass(frozen=True)
class Check:
    """One thing that a step brings.

    Attributes:
        step: The step of the README.
        what: What should be there, as a noun.
        command: What is asked; its output is given to `holds`.
        holds: Whether the answer is as it should be.
        remedy: What to type or change, besides the step itself; may be empty.
    """

    step: int
    what: str
    command: tuple[str, ...]
    holds: Callable[[str], bool] = bool
    remedy: str = ""


def names(environment: str) -> Names:
    """Read an environment's names from its files.

    Raises:
        ValueError: There is no such environment.
    """
    path = configuration.SOURCE / "environments" / f"{environment}.tfvars"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.tfvars"))
        raise ValueError(f"{environment}: no such environment; there are {', '.join(known)}")
    platform = configuration.load(path)
    bootstrap = configuration.load(configuration.SOURCE / "bootstrap" / "gridos.tfvars")
    gitops = configuration.load(
        configuration.SOURCE / "gitops" / "environments" / f"{environment}.tfvars"
    )
    naming = configuration.local_values(configuration.SOURCE / "modules" / "naming" / "main.tf")
    region = naming["regions"][platform.get("location", "westeurope")]
    return Names(
        environment=environment,
        region=region,
        stem=f"gridos-{naming['environments'][environment]}-{region}",
        suffix=platform["name_suffix"],
        hostname=platform["hostname"],
        groups={
            "operators": bootstrap["operators_group_id"],
            "break-glass": bootstrap["break_glass_group_id"],
            "Argo CD's administrators": gitops["admin_group_id"],
            "database administrators": platform["database_admin_group"]["object_id"],
            **{
                f"cluster administrators {number}": group
                for number, group in enumerate(platform["cluster_admin_group_ids"], 1)
            },
        },
        argo_cd=gitops["sso_client_id"],
        acme="acme" in platform,
    )


def checks(its: Names, secrets: Iterable[str], repository: str) -> Iterator[Check]:
    """Everything to look at, step by step. Pure: nothing is asked here."""
    yield from _before_the_platform(its, repository)
    yield from _platform(its, secrets)
    yield from _after_the_platform(its, repository)


def _before_the_platform(its: Names, repository: str) -> Iterator[Check]:
    state = ("--resource-group", its.state_group)
    yield Check(
        1,
        "a login to the subscription ARM_SUBSCRIPTION_ID",
        _az("account show", "id"),
        lambda said: said == os.environ.get("ARM_SUBSCRIPTION_ID"),
        "az login; export ARM_SUBSCRIPTION_ID=… ARM_TENANT_ID=…",
    )
    yield Check(1, "a login to GitHub", ("gh", "auth", "token"), bool, "gh auth login")
    for who, group in its.groups.items():
        yield Check(3, f"the group of {who}", _az("ad group show", "id", "--group", group))
    application = ("--id", its.argo_cd)
    yield Check(
        3,
        "the application of Argo CD, with the address that Entra sends people back to",
        _az("ad app show", "publicClient.redirectUris[0]", *application),
        SIGNED_IN.__eq__,
        f"az ad app update --id {its.argo_cd} --public-client-redirect-uris {SIGNED_IN}",
    )
    yield Check(
        3,
        "the application of Argo CD, which tells people's groups",
        _az("ad app show", "groupMembershipClaims", *application),
        "SecurityGroup".__eq__,
        f"az ad app update --id {its.argo_cd} --set groupMembershipClaims=SecurityGroup",
    )
    yield Check(4, f"the group {its.group}", _az("group show", "name", "--name", its.group))
    yield Check(
        4,
        "encryption at host, registered",
        _az(
            "feature show", "properties.state",
            "--namespace", "Microsoft.Compute", "--name", "EncryptionAtHost",
        ),
        "Registered".__eq__,
        "wait a quarter of an hour; then: az provider register --namespace Microsoft.Compute",
    )  # fmt: skip
    yield Check(
        4,
        f"the account {its.state_account}",
        _az("storage account show", "name", *state, "--name", its.state_account),
    )
    yield Check(
        5,
        "bootstrap's state in the account",
        _az(
            "storage blob exists", "exists", "--auth-mode", "login",
            "--account-name", its.state_account,
            "--container-name", "bootstrap", "--name", "bootstrap.tfstate",
        ),
        "true".__eq__,
        "if you are shut out: README, Reach the state",
    )  # fmt: skip
    yield Check(
        6,
        "the label terraform-destroys",
        (
            "gh", "label", "list", "--repo", repository, "--search", "terraform-destroys",
            "--json", "name", "--jq", ".[].name",
        ),
        "terraform-destroys".__eq__,
    )  # fmt: skip
    subject = f"repos/{repository}/actions/oidc/customization/sub"
    yield Check(
        6,
        "tokens that carry the repository's ids, as Azure's subjects do",
        (
            "gh",
            "api",
            "--method",
            "get",
            subject,
            "--jq",
            ".use_default and .use_immutable_subject",
        ),
        "true".__eq__,
        f"gh api --method PUT {subject} -F use_default=true -F use_immutable_subject=true",
    )
    for act, environment in (("plan", f"{its.environment}-plan"), ("apply", its.environment)):
        yield Check(
            6,
            f"the identity that makes {its.environment}'s {act}",
            _az("identity show", "name", *state, "--name", f"id-{act}-{its.stem}"),
        )
        yield _variable(6, "AZURE_CLIENT_ID", environment, repository)


def _platform(its: Names, secrets: Iterable[str]) -> Iterator[Check]:
    group = ("--resource-group", its.group)
    yield Check(
        8, "the cluster", _az("aks show", "provisioningState", *group, "--name", f"aks-{its.stem}"),
        "Succeeded".__eq__,
    )  # fmt: skip
    yield Check(
        8,
        "the gateway, running",
        _az(
            "network application-gateway show", "operationalState",
            *group, "--name", f"agw-{its.stem}",
        ),
        "Running".__eq__,
    )  # fmt: skip
    yield Check(
        8,
        "the database",
        _az(
            "postgres flexible-server show", "state",
            *group, "--name", f"psql-{its.stem}-{its.suffix}",
        ),
        "Ready".__eq__,
    )  # fmt: skip
    vault = f"{_group_path(its)}/providers/Microsoft.KeyVault/vaults/{its.vault}"
    for secret in secrets:
        # Through Azure Resource Manager, which says the names when the vault itself is shut.
        yield Check(
            9,
            f"the secret {secret}",
            (
                "az", "rest", "--method", "get",
                "--url", f"{vault}/secrets/{secret}?api-version=2023-07-01",
                "--query", "name", "--output", "tsv",
            ),
        )  # fmt: skip
    yield Check(
        10,
        "a vault without a public address",
        _az("keyvault show", "properties.publicNetworkAccess", "--name", its.vault),
        "Disabled".__eq__,
        "apply again, without applier_ip_ranges",
    )
    yield Check(
        10,
        "the runners",
        _az("containerapp job show", "name", *group, "--name", f"caj-runner-{its.stem}"),
    )


def _after_the_platform(its: Names, repository: str) -> Iterator[Check]:
    rules = ("--resource-group", its.state_group, "--account-name", its.state_account)
    yield Check(
        11,
        "the runners' subnet among those that reach the state",
        _az(
            "storage account network-rule list",
            "virtualNetworkRules[].virtualNetworkResourceId", *rules,
        ),
        lambda said: f"/vnet-{its.stem}/subnets/snet-runners".lower() in said.lower(),
        "runner_subnet_ids of bootstrap/gridos.tfvars takes the output runner_subnet_id",
    )  # fmt: skip
    yield Check(
        12,
        f"{its.hostname}, at the gateway's address",
        _az(
            "network public-ip show", "ipAddress",
            "--resource-group", its.group, "--name", f"pip-agw-{its.stem}",
        ),
        lambda said: said == _address(its.hostname),
        f"an A record of {its.hostname}, of the output gateway_address; a new one takes minutes",
    )  # fmt: skip
    if its.acme:
        zone = f"_acme-challenge.{its.hostname}"
        yield Check(
            12,
            f"the zone {zone}",
            _az("network dns zone show", "name", "--resource-group", its.group, "--name", zone),
            bool,
            f"an NS record of {zone} that points at the output acme_name_servers",
        )
    for name in ("AZURE_CLIENT_ID", "REGISTRY"):
        yield _variable(13, name, f"{its.environment}-push", repository)
    yield Check(
        14,
        "a run of the workflow terraform on main that went well",
        (
            "gh", "run", "list", "--repo", repository, "--workflow", "terraform.yaml",
            "--branch", "main", "--status", "success", "--limit", "1", "--json", "url",
            "--jq", ".[].url",
        ),
        bool,
        "gh workflow run terraform.yaml, and approve its environments",
    )  # fmt: skip
    yield Check(
        15,
        "a state that admits no address from outside",
        _az("storage account network-rule list", "ipRules[].ipAddressOrRange", *rules),
        "".__eq__,
        f"az storage account network-rule remove --account-name {its.state_account} --ip-address …",
    )


def _az(command: str, query: str, *arguments: str) -> tuple[str, ...]:
    return ("az", *command.split(), *arguments, "--query", query, "--output", "tsv")


def _variable(step: int, name: str, environment: str, repository: str) -> Check:
    command = ("gh", "variable", "get", name, "--env", environment, "--repo", repository)
    return Check(step, f"{name} of the GitHub environment {environment}", command)


def _group_path(its: Names) -> str:
    subscription = os.environ.get("ARM_SUBSCRIPTION_ID", "")
    return f"/subscriptions/{subscription}/resourceGroups/{its.group}"


def _address(hostname: str) -> str:
    try:
        return socket.gethostbyname(hostname)
    except OSError:
        return ""


def secrets() -> list[str]:
    """What the vault must hold; main.vault.tf says."""
    stated = configuration.local_values(configuration.SOURCE / "main.vault.tf")
    receivers = (f"{stated['receiver_prefix']}{file}" for file in stated["receivers"])
    return [stated["api_keys_name"], stated["runner_key_name"], *receivers]


def repository(its: Names) -> str:
    """`owner/name`, of the environment's own setting."""
    path = configuration.SOURCE / "environments" / f"{its.environment}.tfvars"
    address: Any = configuration.load(path)["repository"]
    return "/".join(str(address).split("/")[-2:])
