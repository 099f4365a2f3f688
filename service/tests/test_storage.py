"""Partitions, retention, and migrations that two releases can live with."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from gridos import schema
from gridos.schema import Migration, MigrationError
from gridos.storage import partitions

from acceptance.service import migrations

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


# What breaks the release before, or keeps it waiting: each needs its author's word for it.
BREAKING = [
    "DROP TABLE bus",
    "DROP VIEW loads",
    "DROP INDEX bus_feeder_id_number_key",
    "ALTER TABLE bus DROP COLUMN number",
    "ALTER TABLE bus ADD COLUMN zone text, DROP COLUMN number",
    "ALTER TABLE bus RENAME COLUMN number TO place",
    "ALTER TABLE bus RENAME TO node",
    "ALTER TYPE kind RENAME VALUE 'a' TO 'b'",
    "ALTER TABLE bus ALTER COLUMN number TYPE bigint",
    "ALTER TABLE bus ALTER number SET NOT NULL",
    "ALTER TABLE bus ALTER COLUMN rated_kva SET DEFAULT 5",
    "ALTER TABLE bus ALTER COLUMN rated_kva DROP DEFAULT",
    "ALTER TABLE bus ADD COLUMN zone text NOT NULL",
    "ALTER TABLE bus ADD COLUMN seen timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE bus ADD COLUMN twice float8 GENERATED ALWAYS AS (nominal_kw * 2) STORED",
    "ALTER TABLE bus ADD CONSTRAINT positive CHECK (number > 0)",
    "ALTER TABLE bus ADD CONSTRAINT positive CHECK (number > 0) NOT VALID",
    "ALTER TABLE bus ADD CHECK (number > 0)",
    "ALTER TABLE bus ADD UNIQUE (nominal_kw)",
    "ALTER TABLE bus ADD PRIMARY KEY (number)",
    "ALTER TABLE reading ADD FOREIGN KEY (bus_id) REFERENCES bus (id)",
    "ALTER TABLE reading ADD CONSTRAINT known FOREIGN KEY (bus_id) REFERENCES bus (id) NOT VALID",
    "CREATE INDEX ON bus (nominal_kw)",
    "CREATE UNIQUE INDEX ON bus (nominal_kw)",
    "REINDEX TABLE bus",
    "REVOKE SELECT ON bus FROM PUBLIC",
    "CREATE TRIGGER t BEFORE INSERT ON bus FOR EACH ROW EXECUTE FUNCTION f()",
    "CREATE RULE r AS ON INSERT TO bus DO INSTEAD NOTHING",
    "CREATE OR REPLACE VIEW loads AS SELECT 1 AS a",
    "ALTER TABLE bus DISABLE TRIGGER ALL",
    "ALTER TABLE bus ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE reading DETACH PARTITION reading_other",
    "ALTER TABLE bus SET SCHEMA other",
    "TRUNCATE reading",
    "DELETE FROM reading",
    "UPDATE reading SET kw = 0",
    "WITH gone AS (DELETE FROM reading RETURNING *) INSERT INTO reading SELECT * FROM gone",
    "DO $$ BEGIN EXECUTE 'DROP TABLE bus'; END $$",
    "VACUUM FULL bus",
    "CLUSTER bus USING bus_pkey",
    "LOCK TABLE bus",
]


@pytest.mark.parametrize("statement", BREAKING)
def test_what_breaks_or_blocks_the_release_before_needs_its_marker(statement):
    assert migrations.review(Migration("0009_x.sql", f"-- a comment\n{statement};"))
    marked = Migration("0009_x.sql", f"-- contract: unused since 1.4\n{statement};")
    assert migrations.review(marked) == []
    schema.check(marked)


@pytest.mark.parametrize("statement", BREAKING[:4])
def test_a_marker_speaks_for_its_own_statement_alone(statement):
    sql = "-- contract: unused since 1.4\nDROP TABLE line;\n"
    for file in (sql + statement, statement + ";\n" + sql):
        assert migrations.review(Migration("0009_x.sql", file))


@pytest.mark.parametrize("name", ["DROP TABLE bus", "UPDATE bus SET number = 1"])
def test_what_takes_something_away_is_not_applied_either(name):
    with pytest.raises(MigrationError, match="does more than to add"):
        schema.check(Migration("0009_x.sql", name))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE drop_off (id text NOT NULL)",
        "CREATE TABLE zone (id bigint); CREATE INDEX ON zone (id)",
        "ALTER TABLE bus ADD COLUMN zone text",
        "ALTER TABLE bus ADD zone text",
        "ALTER TABLE bus ADD COLUMN zone text NOT NULL DEFAULT 'x'",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS bus_kw ON bus (nominal_kw)",
        "GRANT SELECT ON bus TO PUBLIC",
        "COMMENT ON TABLE bus IS 'it''s; DROP TABLE bus'",
        "INSERT INTO feeder SELECT 'a', 'b', 1, 1 -- DROP TABLE bus",
        "/* DROP TABLE bus; */ CREATE TABLE zone (id bigint)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS $$ SELECT 1; SELECT 1 $$",
    ],
)
def test_a_step_that_adds_needs_none(sql):
    assert migrations.review(Migration("0009_x.sql", f"{sql};")) == []


def test_the_shipped_migrations_pass_review():
    assert [fault for each in schema.available() for fault in migrations.review(each)] == []
    assert migrations.main() == 0


def test_an_index_is_built_while_the_table_is_written_to(fresh, monkeypatch):
    concurrent = Migration("9998_x.sql", "CREATE INDEX CONCURRENTLY bus_kw ON bus (nominal_kw);")
    shipped = schema.available()
    monkeypatch.setattr(schema, "available", lambda: [*shipped, concurrent])
    with fresh() as url:
        assert schema.migrate(url)[-1] == "9998_x.sql"
        assert schema.migrate(url) == []
    with pytest.raises(MigrationError, match="a file of its own"):
        schema.check(Migration("9998_x.sql", concurrent.sql + "CREATE TABLE x ();"))
