from dataclasses import replace

import psycopg
import pytest
from gridos import schema, seed
from gridos.schema import MigrationError


@pytest.fixture
def empty(fresh):
    """A database of its own, with nothing in it."""
    with fresh() as url:
        yield url


def test_each_migration_is_applied_once(empty):
    names = [migration.name for migration in schema.available()]
    assert schema.migrate(empty) == names
    assert schema.migrate(empty) == []


def test_a_migration_that_was_changed_afterwards_is_refused(empty, monkeypatch):
    schema.migrate(empty)
    changed = [replace(m, sql=m.sql + "-- later") for m in schema.available()]
    monkeypatch.setattr(schema, "available", lambda: changed)
    with pytest.raises(MigrationError, match="was changed after it was applied"):
        schema.migrate(empty)


def test_a_migration_that_fails_leaves_nothing_behind(empty, monkeypatch):
    good = schema.available()
    broken = schema.Migration(
        "9999_broken.sql", "CREATE TABLE half (); SELECT 1 / 0 -- contract: fails\n;"
    )
    monkeypatch.setattr(schema, "available", lambda: [*good, broken])
    with pytest.raises(psycopg.errors.DivisionByZero):
        schema.migrate(empty)
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_seeding_again_stores_nothing_new(empty):
    schema.migrate(empty)
    assert seed.seed(empty) == seed.seed(empty) == 33
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT count(*) FROM reading").fetchone() == (33,)


def test_a_database_without_an_encoding_keeps_and_gives_back_every_text(fresh, opened):
    network = {
        "feeder": {"id": "north", "name": "Nørd 北", "nominal_kv": 10, "rated_kva": 8},
        "buses": [{"number": 1, "kw": 0, "kvar": 0}, {"number": 2, "kw": 1, "kvar": 0}],
        "lines": [{"from": 1, "to": 2, "r_ohm": 0.4, "x_ohm": 0.3}],
    }
    with fresh(encoding="SQL_ASCII") as url:
        assert schema.migrate(url) != schema.migrate(url) == []
        seed.seed(url)
        with opened(url, api_keys="k:networks") as app:
            client = app.test_client()
            posted = client.post("/v1/networks", json=network, headers={"X-API-Key": "k"})
            assert posted.status_code == 201, posted.text
            assert client.get("/v1/feeders/north").get_json()["name"] == "Nørd 北"
            for path in ("load", "state", "lines", "readings?start=2026-01-01T00:00:00Z"):
                assert client.get(f"/v1/feeders/ieee33/{path}").status_code == 200, path
