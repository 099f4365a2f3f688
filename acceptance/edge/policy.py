"""The firewall's policy, as `main.waf.tf` states it.

Read from the code, so that the firewall that is tried here and the one that Terraform makes differ
in nothing that is written twice. That the resource uses these locals and nothing else is asserted
in `tests/edge.tftest.hcl`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import configuration

FILE = configuration.SOURCE / "main.waf.tf"
# How Azure names what an exclusion is about, and how ModSecurity does.
VARIABLES = {
    "RequestHeaderKeys": "REQUEST_HEADERS_NAMES",
    "RequestHeaderValues": "REQUEST_HEADERS",
}


@dataclass(frozen=True)
class Exemption:
    """What is taken from the rules: as the table prints it, and in ModSecurity's words."""

    name: str
    directive: str
    reason: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Policy:
    """What the firewall lets pass unread, and the longest body that passes."""

    body_limit_bytes: int
    exceptions: tuple[Exemption, ...]

    def without(self, exception: Exemption) -> Policy:
        """The policy with one exception fewer, to see whether anybody needs it."""
        return replace(self, exceptions=tuple(one for one in self.exceptions if one != exception))


def read(path: Path = FILE) -> Policy:
    """Reads the policy.

    Raises:
        ValueError: The file does not state it; the message names what is missing.
    """
    stated = configuration.local_values(path)
    try:
        limit_kib, excluded, off = (
            stated[f"waf_{name}"] for name in ("body_limit_kib", "exclusions", "disabled_rules")
        )
    except KeyError as missing:
        raise ValueError(f"{path.name} has no {missing}") from None
    exceptions = [_unread(reason, **one) for reason, one in excluded.items()]
    for reason, one in off.items():
        rule = one["rule"]
        exceptions.append(Exemption(f"rule {rule}", f"SecRuleRemoveById {rule}", reason))
    return Policy(limit_kib * 1024, tuple(exceptions))


def _unread(reason: str, variable: str, selector: str, **_: object) -> Exemption:
    """Azure's exclusion in ModSecurity's words: no rule of the set looks at that header."""
    header = f"!{VARIABLES[variable]}:{selector}"
    directive = f'SecRuleUpdateTargetByTag "OWASP_CRS" "{header}"'
    return Exemption(f"{variable} {selector}", directive, reason)
