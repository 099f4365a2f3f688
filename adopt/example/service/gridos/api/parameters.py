"""Parameters of a path.

What is plainly right passes here. All else is left to pydantic's models, which say what is wrong;
to load pydantic costs a sixth of a start, and few pods ever need it.
"""

from __future__ import annotations

from flask import request

from gridos.errors import InvalidParameters
from gridos.storage.items import MAX_ID

MAX_CAUSE = 200


def check_ids() -> None:
    """Refuses ids in the path that are longer than any; before the views of a blueprint.

    Raises:
        InvalidParameters: naming the id.
    """
    for name, value in (request.view_args or {}).items():
        if len(value) > MAX_ID:
            _refuse(name, value)


def _refuse(name: str, value: str) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 — see above

    from gridos.api import models  # noqa: PLC0415 — see above

    try:
        models.PATHS[name].model_validate({name: value})
    except ValidationError as wrong:
        faults = [
            {"at": name, "cause": str(fault["msg"])[:MAX_CAUSE]}
            for fault in wrong.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise InvalidParameters(f"Refused: {name}.", faults=faults) from None
