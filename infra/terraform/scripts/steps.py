"""The steps from an empty subscription to a running service, and what each of them brings.

The order is that of docs/azure.md. What is asked of Azure and GitHub is stated in steps.toml and
asked by preflight.py; nothing here asks anybody but the name service.
"""

import os
import shlex
import socket
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import configuration

# Argo CD's own path below its `url` (gitops/argo-cd-values.yaml).
SIGNED_IN = "https://localhost:8080/auth/callback"
CHECKS = Path(__file__).with_name("steps.toml")

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
    """What one environment's things are called; `argo_cd` is the id of its application."""

    environment: str
    stem: str
    suffix: str
    hostname: str
    group: str
    vault: str
    state_group: str
    state_account: str
    groups: Mapping[str, str]
    argo_cd: str
    acme: bool


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
    stem = f"gridos-{naming['environments'][environment]}-{region}"
    suffix = platform["name_suffix"]
    return Names(
        environment=environment,
        stem=stem,
        suffix=suffix,
        hostname=platform["hostname"],
        group=f"rg-{stem}",
        vault=f"kv-{stem}-{suffix}",
        state_group=f"rg-gridos-state-{region}",
        state_account=f"stgridosstate{suffix}",
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
    zones = [f"_acme-challenge.{its.hostname}"] if its.acme else []
    repeated = {
        "groups": [{"who": who, "id": group} for who, group in its.groups.items()],
        "secrets": [{"secret": secret} for secret in secrets],
        "zones": [{"zone": zone} for zone in zones],
    }
    named = asdict(its) | {
        "repository": repository,
        "signed_in": SIGNED_IN,
        "subscription": os.environ.get("ARM_SUBSCRIPTION_ID", ""),
    }
    for body in tomllib.loads(CHECKS.read_text())["check"]:
        for more in repeated[body["each"]] if "each" in body else [{}]:
            known = named | more
            yield Check(
                body["step"],
                body["what"].format_map(known),
                tuple(word.format_map(known) for word in shlex.split(body["ask"])),
                _judge(body, known, its),
                body.get("remedy", "").format_map(known),
            )


def _judge(body: Mapping[str, str], names: Mapping[str, str], its: Names) -> Callable[[str], bool]:
    """What says whether an answer is as it should be."""
    if "is" in body:
        return body["is"].format_map(names).__eq__
    if "contains" in body:
        part = body["contains"].format_map(names).lower()
        return lambda said: part in said.lower()
    if "is_the" in body:
        look_up = LOOKED_UP[body["is_the"]]
        return lambda said: said == look_up(its)
    return bool


def _address(hostname: str) -> str:
    try:
        return socket.gethostbyname(hostname)
    except OSError:
        return ""


# What an answer is compared with that is not known before.
LOOKED_UP: Mapping[str, Callable[[Names], str | None]] = {
    "subscription": lambda _: os.environ.get("ARM_SUBSCRIPTION_ID"),
    "address": lambda its: _address(its.hostname),
}


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
