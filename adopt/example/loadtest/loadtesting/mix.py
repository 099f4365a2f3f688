"""Who asks the example API for what: three kinds of user, their shares and their payloads.

    users       share  what they do
    readers      50 %  read: the list (40 %), an item (60 %)
    writers      20 %  post an item
    dashboards   30 %  poll the list with the ETag of the answer before

Choices come from the arrival's own seeded randomness, so a run can be repeated exactly. What a
target does not offer yet is left out: the share goes to the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

READERS, WRITERS, DASHBOARDS = 50, 20, 30
# So many different items are posted; from then on each is stored already.
ITEMS = 1000


@dataclass(frozen=True)
class Ask:
    """A request: `name` is the route as the service's metrics call it."""

    method: str
    name: str
    path: str
    json: Any = None


LIST = Ask("GET", "/v1/items", "/v1/items")
READS: Mapping[Ask, int] = {
    LIST: 40,
    Ask("GET", "/v1/items/<item_id>", "/v1/items/first"): 60,
}
# Asked for only where the target has them: what a newer release brings.
NEWER_READS: Mapping[Ask, int] = {}


def read(random: Random, reads: Mapping[Ask, int]) -> Ask:
    """What a reader asks for."""
    return random.choices(list(reads), list(reads.values()))[0]


def write(random: Random) -> Ask:
    """What a writer sends."""
    number = random.randrange(ITEMS)
    item = {"id": f"load-{number}", "name": f"Item {number}"}
    return Ask("POST", "/v1/items", "/v1/items", item)


def offered(paths: Sequence[str]) -> Mapping[Ask, int]:
    """The reads, with those newer ones whose paths the target answered."""
    return {**READS, **{ask: weight for ask, weight in NEWER_READS.items() if ask.path in paths}}


def polled(_paths: Sequence[str]) -> Ask:
    """What dashboards ask for."""
    return LIST
