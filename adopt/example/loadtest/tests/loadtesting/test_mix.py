"""The mix: seeded, and valid to the service."""

from random import Random

import msgspec
from gridos.storage.items import Item
from loadtesting import mix


def test_the_same_seed_asks_the_same():
    first, again = ([mix.read(Random(3), mix.READS), mix.write(Random(3))] for _ in range(2))
    assert first == again


def test_every_item_that_is_sent_is_one_to_the_service():
    for seed in range(50):
        sent = mix.write(Random(seed))
        assert (sent.method, sent.path) == ("POST", "/v1/items")
        msgspec.convert(sent.json, Item)
