from dataclasses import replace

import psycopg
import pytest
from gridos import schema, seed
from gridos.schema import MigrationError


@pytest.fixture
def empty(database_url):
    """A database of its own, with nothing in it."""
    name = "schema_test"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield psycopg.conninfo.make_conninfo(database_url, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
    broken = schema.Migration("9999_broken.sql", "CREATE TABLE half (); SELECT 1 / 0;")
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
