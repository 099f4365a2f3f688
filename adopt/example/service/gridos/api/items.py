"""The example: items, to list, to read one and to store one. Replace it by your own."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, current_app, jsonify

from gridos import access
from gridos.api import answers, bodies, parameters
from gridos.errors import InvalidItem, ItemConflict, MalformedBody, UnknownItem
from gridos.meters import Meters
from gridos.storage import items
from gridos.storage.items import Item

blueprint = Blueprint("items", __name__, url_prefix="/v1/items")
blueprint.before_request(parameters.check_ids)


@blueprint.get("")
def list_items() -> Response:
    """Every item, in order of the ids."""
    access.admit()
    return answers.reply({"items": items.list_items()})


@blueprint.get("/<item_id>")
def get_item(item_id: str) -> Response:
    """One item."""
    access.admit()
    # PostgreSQL texts cannot hold a null byte, so no item has one in its id.
    found = None if "\x00" in item_id else items.get_item(item_id)
    if found is None:
        raise UnknownItem(f"No item has the id {item_id!r}.")
    return answers.reply(found)


@blueprint.post("")
def add_item() -> tuple[Response, int]:
    """Stores an item; the same one sent again changes nothing."""
    access.require(access.ITEMS)
    bodies.require_media_type(bodies.JSON)
    meters: Meters = current_app.extensions["meters"]
    item = _read(bodies.read(), meters)
    try:
        created = items.add_item(item)
    except items.ItemExists:
        meters.refused("conflict", 1)
        raise ItemConflict(f"The item {item.id!r} is stored with another name.") from None
    meters.stored(int(created))
    return jsonify(id=item.id, created=created), 201 if created else 200


def _read(body: bytes, meters: Meters) -> Item:
    try:
        return msgspec.json.decode(body, type=Item)
    except msgspec.ValidationError as wrong:
        meters.refused("invalid", 1)
        raise InvalidItem(f"{wrong}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as malformed:
        raise MalformedBody(f"The body is not JSON: {malformed}.") from None
