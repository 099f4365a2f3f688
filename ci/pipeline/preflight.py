"""Whether GitHub is set up as the workflows need it: `.github/environments.json`, against its API.

Reads alone, as somebody who administers the repository: environments and what they hold by name,
the rulesets, and the subject of the tokens that Azure trusts, whose form with ids is GitHub's own
choice only for repositories made or renamed since July 2026.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Answers a GET below the repository; nothing where GitHub knows no such thing.
Ask = Callable[[str], Any]

SETTINGS = Path(".github/environments.json")
RULESETS = ("main", "environments", "tags")
SUBJECT = re.compile(r'"(repo:[^"]+?):environment:')
SWITCH = (
    "gh api --method PUT repos/OWNER/NAME/actions/oidc/customization/sub "
    "-F use_default=true -F use_immutable_subject=true"
)
APPROVAL = (
    "gh api --method PUT repos/OWNER/NAME/actions/permissions/fork-pr-contributor-approval "
    "-f approval_policy=all_external_contributors"
)


def findings(root: Path, ask: Ask) -> Iterator[str]:
    """Returns a line for everything that is not as it must be, or the remedy."""
    settings = json.loads((root / SETTINGS).read_text(encoding="utf-8"))
    yield from _subject(root, ask("actions/oidc/customization/sub"))
    asked = ask("actions/permissions/fork-pr-contributor-approval").get("approval_policy")
    if asked != "all_external_contributors":
        yield f"strangers' pull requests run without approval, and may cancel a release: {APPROVAL}"
    variables = settings["repository"]["variables"]
    yield from _names("the repository", "variables", variables, ask("actions/variables"))
    for name, wanted in settings["environments"].items():
        yield from _environment(name, wanted, ask)
    active = {r["name"] for r in ask("rulesets") or [] if r["enforcement"] == "active"}
    yield from (f"no ruleset {name} is in force" for name in RULESETS if name not in active)


def _subject(root: Path, found: Mapping[str, Any]) -> Iterator[str]:
    if not (found.get("use_default") and found.get("use_immutable_subject")):
        yield f"tokens name the repository without its ids, which Azure does not trust: {SWITCH}"
        return
    files = sorted((root / "infra/terraform").glob("*/*.tfvars"))
    trusted = {s for file in files for s in SUBJECT.findall(file.read_text(encoding="utf-8"))}
    prefix = found.get("sub_claim_prefix")
    for other in sorted(trusted - {prefix}):
        yield f"Azure trusts {other}, and tokens say {prefix}: infra/terraform/*/*.tfvars"


def _environment(name: str, wanted: Mapping[str, Any], ask: Ask) -> Iterator[str]:
    where = f"environments/{name}"
    found = ask(where)
    if not found:
        yield f"no environment {name}"
        return
    policies = ask(f"{where}/deployment-branch-policies").get("branch_policies", [])
    custom = (found.get("deployment_branch_policy") or {}).get("custom_branch_policies")
    branches = sorted(policy["name"] for policy in policies) if custom else ["any"]
    if branches != wanted["branches"]:
        yield f"{name} lets {', '.join(branches)} in, not {', '.join(wanted['branches'])}"
    rules = {rule["type"]: rule for rule in found.get("protection_rules", [])}
    asked = rules.get("required_reviewers", {})
    reviewers = sorted(r["reviewer"].get("slug", "") for r in asked.get("reviewers", []))
    if reviewers != wanted["reviewers"]:
        yield f"{name} asks {', '.join(reviewers) or 'nobody'}, not {wanted['reviewers']}"
    if reviewers and asked.get("prevent_self_review") is not wanted["prevent_self_review"]:
        yield f"{name}: prevent_self_review is not {str(wanted['prevent_self_review']).lower()}"
    for kind in ("variables", "secrets"):
        yield from _names(name, kind, wanted[kind], ask(f"{where}/{kind}"))


def _names(where: str, kind: str, wanted: list[str], found: Mapping[str, Any]) -> Iterator[str]:
    names = {entry["name"] for entry in found.get(kind, [])}
    yield from (f"{where} has no {kind.rstrip('s')} {name}" for name in wanted if name not in names)
    if kind == "secrets":
        others = sorted(names - set(wanted))
        yield from (f"{where} has a secret {name} that nothing reads" for name in others)
