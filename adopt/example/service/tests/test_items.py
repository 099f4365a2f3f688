"""The example: what it answers, stores and refuses, on a real database."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from gridos import seed
from gridos.api import specification
from gridos.storage import items, pool

KEY = {"X-API-Key": "a-key"}


@pytest.fixture(autouse=True)
def emptied(rows, seeded):
    """Finds the seeded items alone, whatever other tests stored, and leaves them so."""

    def empty():
        with pool.connect(seeded) as connection:
            connection.execute("DELETE FROM item WHERE id <> ALL(%s)", (list(seed.ITEMS),))
        assert rows() == len(seed.ITEMS)

    empty()
    yield
    empty()


def test_the_seeded_items_are_listed_and_found(client):
    listed = client.get("/v1/items").get_json()["items"]
    assert {each["id"]: each["name"] for each in listed} == seed.ITEMS
    assert client.get("/v1/items/second").get_json() == {
        "id": "second",
        "name": seed.ITEMS["second"],
    }


@pytest.mark.parametrize("unknown", ["none", "a%00b", "x" * 128])
def test_an_unknown_item_is_a_404(client, unknown):
    response = client.get(f"/v1/items/{unknown}")
    assert (response.status_code, response.mimetype) == (404, "application/problem+json")
    assert response.get_json()["type"].endswith(":problem:unknown-item")


def test_an_item_is_stored_once_and_never_replaced(client, rows):
    before, sent = rows(), {"id": "new", "name": "New"}
    answers = [client.post("/v1/items", json=sent, headers=KEY) for _ in range(2)]
    assert [(each.status_code, each.get_json()["created"]) for each in answers] == [
        (201, True),
        (200, False),
    ]
    other = client.post("/v1/items", json={**sent, "name": "Another"}, headers=KEY)
    assert (other.status_code, rows()) == (409, before + 1)
    assert client.get("/v1/items/new").get_json() == sent


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"id": "\xff"}', 400),
        (b"[]", 422),
        (b'{"id": "a"}', 422),
        (b'{"id": "", "name": "a"}', 422),
        (b'{"id": "a", "name": 7}', 422),
        (b'{"id": "a\\u0000", "name": "a"}', 422),
        (b'{"id": "a", "name": "a", "more": 1}', 422),
        (json.dumps({"id": "a" * 129, "name": "a"}).encode(), 422),
    ],
)
def test_what_is_no_item_is_refused_and_nothing_stored(client, rows, body, status):
    before = rows()
    headers = {**KEY, "Content-Type": "application/json"}
    assert client.post("/v1/items", data=body, headers=headers).status_code == status
    assert rows() == before


def test_only_a_key_with_the_scope_may_store(client):
    sent = {"id": "new", "name": "New"}
    assert client.post("/v1/items", json=sent).status_code == 401
    assert client.post("/v1/items", data=b"id", headers=KEY).status_code == 415


def test_every_route_of_the_document_is_described(client):
    paths = specification.document("dev")["paths"]
    assert {f"{m} {path}" for path, methods in paths.items() for m in methods} == {
        "get /v1/items",
        "post /v1/items",
        "get /v1/items/{item_id}",
    }
    shown = client.get("/v1/openapi.json").get_json()
    assert shown["paths"] == paths


def test_items_older_than_the_retention_are_deleted(client, seeded, rows):
    client.post("/v1/items", json={"id": "old", "name": "Old"}, headers=KEY)
    before = rows()
    with pool.connect(seeded) as connection:
        connection.execute("UPDATE item SET stored_at = '2020-01-01Z' WHERE id = 'old'")
        oldest = datetime.now(UTC) - timedelta(days=400)
        assert items.retain(connection, oldest) == 1
    assert rows() == before - 1
