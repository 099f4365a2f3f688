"""Parameters of a path and a query.

What is plainly right is read here. All else is left to pydantic's models, which say what is wrong,
and take what is right in less usual ways; to load pydantic and to build its models costs a sixth of
a start, and few pods ever need it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from flask import request

from gridos.domain.batch import MAX_CAUSE, OnConflict
from gridos.domain.bounds import MAX_ID
from gridos.domain.series import DEFAULT_LIMIT, Bucket
from gridos.errors import InvalidParameters

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound="BaseModel")
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_PLAIN: Mapping[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "start": (_INSTANT, datetime.fromisoformat),
    "end": (_INSTANT, datetime.fromisoformat),
    "bucket": (re.compile("|".join(Bucket)), Bucket),
    "limit": (re.compile(r"[1-9]\d{0,4}", re.ASCII), int),
    "after": (re.compile(r"[A-Za-z0-9_-]{1,400}"), str),
}


@dataclass(frozen=True)
class SeriesQuery:
    """Which part of a series; a day that ends now if nothing is said."""

    start: datetime | None = None
    end: datetime | None = None
    bucket: Bucket = Bucket.RAW
    limit: int = DEFAULT_LIMIT
    after: str | None = None


def check_ids() -> None:
    """Refuses ids in the path that are longer than any; before the views of a blueprint.

    Raises:
        InvalidParameters: naming the id.
    """
    for name, value in (request.view_args or {}).items():
        if len(value) > MAX_ID:
            from gridos.api import models  # noqa: PLC0415 — see above

            _validate(models.PATHS[name], {name: value})


def read_series_query(given: Mapping[str, str]) -> SeriesQuery:
    """Reads the query of a series.

    Raises:
        InvalidParameters: naming each that is wrong.
    """
    plain = read_plainly(given)
    if plain is not None:
        return plain
    from gridos.api import models  # noqa: PLC0415 — see above

    return SeriesQuery(**dict(_validate(models.SeriesQuery, given)))


def read_on_conflict(given: Mapping[str, str]) -> OnConflict:
    """Reads the query of a batch.

    Raises:
        InvalidParameters: naming each that is wrong.
    """
    if not given:
        return OnConflict.IGNORE
    from gridos.api import models  # noqa: PLC0415 — see above

    return _validate(models.IngestQuery, given).on_conflict


def read_plainly(given: Mapping[str, str]) -> SeriesQuery | None:
    """The query, or None if it takes the model to say what it is."""
    try:
        return SeriesQuery(**{name: _read(name, text) for name, text in given.items()})
    except (KeyError, ValueError):
        return None


def faults(error: ValidationError) -> list[dict[str, str]]:
    """What a model refused: where, and why."""
    return [
        {
            "at": ".".join(str(part) for part in fault["loc"])[:MAX_CAUSE],
            "cause": fault["msg"][:MAX_CAUSE],
        }
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _read(name: str, text: str) -> Any:
    form, read = _PLAIN[name]
    if not form.fullmatch(text):
        raise ValueError(text)
    return read(text)


def _validate(model: type[Model], given: Mapping[str, str]) -> Model:
    from pydantic import ValidationError  # noqa: PLC0415 — see above

    try:
        return model.model_validate(dict(given))
    except ValidationError as wrong:
        found = faults(wrong)
    named = ", ".join(sorted({fault["at"] for fault in found}))
    raise InvalidParameters(f"Refused: {named}.", faults=found)
