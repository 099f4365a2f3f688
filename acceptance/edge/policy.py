"""The firewall's policy, as `main.waf.tf` states it.

Read from the code, so that the firewall that is tried here and the one that Terraform makes differ
in nothing that is written twice. That the resource uses these locals and nothing else is asserted
in `tests/edge.tftest.hcl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import configuration

FILE = configuration.SOURCE / "main.waf.tf"


@dataclass(frozen=True)
class Exclusion:
    """What no rule may look at.

    Attributes:
        variable: Azure's name for the kind of thing, such as `RequestHeaderValues`.
        selector: Which one, such as `X-API-Key`.
        reason: Why.
    """

    variable: str
    selector: str
    reason: str

    def __str__(self) -> str:
        """As the table prints it."""
        return f"{self.variable} {self.selector}"


@dataclass(frozen=True)
class DisabledRule:
    """A rule that is switched off, and why."""

    rule: str
    reason: str

    def __str__(self) -> str:
        """As the table prints it."""
        return f"rule {self.rule}"


@dataclass(frozen=True)
class Policy:
    """What the firewall lets pass unread, and how much it reads."""

    body_limit_kib: int
    exclusions: tuple[Exclusion, ...]
    disabled_rules: tuple[DisabledRule, ...]

    @property
    def body_limit_bytes(self) -> int:
        """The longest body that passes."""
        return self.body_limit_kib * 1024

    @property
    def exceptions(self) -> tuple[Exclusion | DisabledRule, ...]:
        """All that is taken from the rules."""
        return (*self.exclusions, *self.disabled_rules)

    def without(self, exception: Exclusion | DisabledRule) -> Policy:
        """The policy with one exception fewer, to see whether anybody needs it."""
        return Policy(
            body_limit_kib=self.body_limit_kib,
            exclusions=tuple(one for one in self.exclusions if one != exception),
            disabled_rules=tuple(one for one in self.disabled_rules if one != exception),
        )


def read(path: Path = FILE) -> Policy:
    """Reads the policy.

    Raises:
        ValueError: The file does not state it; the message names what is missing.
    """
    stated = configuration.local_values(path)
    try:
        return Policy(
            body_limit_kib=stated["waf_body_limit_kib"],
            exclusions=tuple(
                Exclusion(one["variable"], one["selector"], reason)
                for reason, one in stated["waf_exclusions"].items()
            ),
            disabled_rules=tuple(
                DisabledRule(one["rule"], reason)
                for reason, one in stated["waf_disabled_rules"].items()
            ),
        )
    except KeyError as missing:
        raise ValueError(f"{path.name} has no {missing}") from None
