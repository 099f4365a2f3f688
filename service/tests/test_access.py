"""Who may write, and how often."""

import hashlib

import pytest
from gridos import access
from gridos.access import Keys, Limiter, make, parse

HASH = hashlib.sha256(b"second").hexdigest()


def test_an_entry_is_a_key_or_its_hash_with_scopes_or_without():
    keys = parse(f"first, sha256={HASH}:networks\nthird:readings+networks,")
    scopes = [sorted(key.scopes) for key in keys]
    assert scopes == [["readings"], ["networks"], ["networks", "readings"]]
    assert keys[1].digest.hex() == HASH


@pytest.mark.parametrize(
    "entry",
    [
        "key:everything",
        ":readings",
        "sha256=abc",
        "sha256=zz:readings",
        "clé:readings",
        "\ufeffkey",
        "k\0y",
        "k" * (access.MAX_KEY + 1),
    ],
    ids=ascii,
)
def test_what_is_no_entry_is_left_out_and_never_shown(entry, caplog):
    assert len(parse(f"{entry},good")) == 1
    assert [record.message for record in caplog.records] == ["API key left out"]
    assert entry not in caplog.text


def test_changed_keys_are_read_anew():
    keys = Keys()
    assert keys.find("old", "old")
    assert not keys.find("old", "new")
    assert keys.find("new", "new")


@pytest.mark.parametrize("nothing", ["", ",\n ", "sha256=abc", ":readings", "key:everything"])
def test_a_source_that_has_no_valid_key_any_more_revokes_none(nothing, caplog):
    keys = Keys()
    assert not keys.find("old", nothing)
    assert keys.find("old", "old")
    assert keys.find("old", nothing)
    assert (keys.count, keys.is_stale) == (1, True)
    assert "the keys before it stay in force" in caplog.text
    assert not keys.find("other", nothing)
    assert not keys.find("old", "new")
    assert (keys.count, keys.is_stale) == (1, False)


def test_a_made_key_is_found_by_its_entry():
    key, entry = make(["networks"])
    assert key not in entry
    assert Keys().find(key, f"other,{entry}").scopes == {"networks"}


@pytest.mark.parametrize(
    "entry", ["", ":readings", f"sha256={hashlib.sha256(b'').hexdigest()}:readings+networks"]
)
def test_no_key_or_one_that_came_out_empty_lets_nobody_write_without_one(entry):
    assert Keys().find("", entry) is None


def test_a_key_may_burst_and_is_then_told_how_long_to_wait():
    limiter = Limiter(per_second=2)
    assert [limiter.take(b"a", 0.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert limiter.take(b"b", 0.0) == 0
    assert limiter.take(b"a", 0.5) == 0
    assert limiter.take(b"a", 0.5) > 0


def test_a_refused_key_is_429_with_retry_after(app, client):
    app.extensions["limiter"] = Limiter(per_second=0.1)
    headers = {"X-API-Key": "a-key"}
    first, second = (client.post("/v1/readings", headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (415, 429)
    assert second.headers["Retry-After"] == "10"


def test_a_key_without_the_scope_is_403(client):
    answer = client.post("/v1/networks", headers={"X-API-Key": "other-key"})
    assert answer.status_code == 403
    assert "networks" in answer.get_json()["detail"]


def test_the_known_scopes_are_the_documents():
    assert {access.READINGS, access.NETWORKS, access.READ} == access.SCOPES
