"""The rules of main as GitHub takes them, with the one value that only an owner has. Pure.

`.github/rulesets/main.json` says who may go past review: one App, which commits overlays. Its id is
known once it is registered, and stands there as 0 until then.
"""

import json
from typing import Any

from pipeline.errors import PipelineError, RefusedError

UNKNOWN = 0


def fill(text: str, app_id: int) -> str:
    """Returns the ruleset with the App's id.

    Raises:
        PipelineError: The text is no ruleset, or the number can be nobody's id.
        RefusedError: Somebody else than the App may go past the rules.
    """
    if app_id <= UNKNOWN:
        raise PipelineError(f"{app_id} is no App's id: its settings page on GitHub shows it")
    ruleset = _read(text)
    if found := strangers(ruleset):
        raise RefusedError(f"these may go past the rules of main too: {', '.join(found)}")
    ruleset["bypass_actors"][0]["actor_id"] = app_id
    return json.dumps(ruleset, indent=2)


def strangers(ruleset: dict[str, Any]) -> list[str]:
    """Returns whoever may go past the rules, beside the one App whose id is yet to be filled in."""
    actors = ruleset.get("bypass_actors") or []
    app = {"actor_id": UNKNOWN, "actor_type": "Integration", "bypass_mode": "always"}
    others = [json.dumps(actor) for actor in actors if actor != app]
    return others if actors.count(app) == 1 else [*others, f"{actors.count(app)} Apps, not one"]


def _read(text: str) -> dict[str, Any]:
    try:
        ruleset = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise PipelineError(f"the ruleset is no JSON: {cause}") from None
    if not isinstance(ruleset, dict) or ruleset.get("target") != "branch":
        raise PipelineError("the ruleset is not one of branches")
    return ruleset
