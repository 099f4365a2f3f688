"""What the API takes and answers, as the OpenAPI document shows it.

Answers are built by hand, which is faster, and tested against the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gridos.storage.items import MAX_ID, MAX_NAME

_Id = Annotated[str, Field(min_length=1, max_length=MAX_ID)]


class ItemPath(BaseModel):
    """Which item."""

    item_id: Annotated[str, Field(max_length=MAX_ID)]


class Item(BaseModel):
    """An item."""

    model_config = ConfigDict(extra="forbid")

    id: _Id
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class ItemList(BaseModel):
    """Every item."""

    items: list[Item]


class Stored(BaseModel):
    """What became of an item that was sent: stored now, or stored already."""

    id: _Id
    created: bool


# By the names of the parameters in the paths.
PATHS: Mapping[str, type[BaseModel]] = {"item_id": ItemPath}
