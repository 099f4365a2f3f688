"""Partitions, retention, and migrations that two releases can live with."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from gridos import schema
from gridos.schema import Migration, MigrationError
from gridos.storage import partitions

NOW = datetime(2033, 5, 20, tzinfo=UTC)


@pytest.fixture
def connection(fresh):
    """A migrated database of its own."""
    with fresh() as url:
        schema.migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


def store(connection, *instants):
    connection.cursor().executemany(
        "INSERT INTO reading VALUES ('b', %s, 1, 1)", [(instant,) for instant in instants]
    )


def places(connection):
    rows = connection.execute("SELECT tableoid::regclass::text FROM reading ORDER BY measured_at")
    return [name for (name,) in rows]


def test_months_are_made_ahead_once_and_what_lay_elsewhere_moves_in(connection):
    store(connection, NOW, NOW + timedelta(days=31), NOW + timedelta(days=900))
    assert places(connection) == ["reading_other"] * 3
    made = partitions.make_ahead(connection, NOW)
    assert made == tuple(f"reading_2033_{month:02}" for month in (4, 5, 6, 7, 8))
    assert places(connection) == ["reading_2033_05", "reading_2033_06", "reading_other"]
    assert partitions.make_ahead(connection, NOW) == ()


def test_retention_drops_whole_months_and_deletes_strays_and_nothing_else(connection):
    partitions.make_ahead(connection, NOW)
    kept = [NOW, datetime(2033, 4, 2, tzinfo=UTC), NOW + timedelta(days=900)]
    store(connection, *kept, datetime(2010, 1, 1, tzinfo=UTC))
    assert partitions.retain(connection, NOW, timedelta(days=400)).deleted_rows == 1
    done = partitions.retain(connection, NOW + timedelta(days=14), timedelta(days=33))
    assert "reading_2033_04" in done.dropped
    assert places(connection) == ["reading_2033_05", "reading_other"]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE bus",
        "ALTER TABLE bus DROP COLUMN number",
        "ALTER TABLE bus RENAME COLUMN number TO place",
        "ALTER TABLE bus ALTER COLUMN number TYPE bigint",
        "ALTER TABLE bus ALTER number SET NOT NULL",
        "ALTER TABLE bus ADD COLUMN zone text NOT NULL",
        "TRUNCATE reading",
        "DELETE FROM reading",
    ],
)
def test_a_step_that_takes_something_away_needs_its_marker(statement):
    with pytest.raises(MigrationError, match="takes something away"):
        schema.check(Migration("0009_x.sql", f"-- a comment\n{statement};"))
    schema.check(Migration("0009_x.sql", f"-- contract: unused since 1.4\n{statement};"))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE drop_off (id text NOT NULL)",
        "ALTER TABLE bus ADD COLUMN zone text",
        "ALTER TABLE bus ADD COLUMN zone text NOT NULL DEFAULT 'x'",
        "CREATE INDEX ON bus (number)",
        "INSERT INTO bus SELECT 1 -- DROP TABLE bus",
    ],
)
def test_a_step_that_adds_needs_none(statement):
    schema.check(Migration("0009_x.sql", f"{statement};"))


def test_the_shipped_migrations_pass_their_own_check():
    for migration in schema.available():
        schema.check(migration)
