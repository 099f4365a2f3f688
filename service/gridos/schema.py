"""The database's shape: plain SQL files, applied in order, once, by one process at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import psycopg

# Any constant will do, as long as every process of this service takes the same lock.
LOCK_KEY = 0x6772_6964_6F73  # "gridos"


class MigrationError(Exception):
    """The database does not match the files."""


@dataclass(frozen=True)
class Migration:
    """One file: its name, text and checksum."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Of the text, so that an edited file is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def available() -> list[Migration]:
    """The files, in order of their numbers."""
    folder = files("gridos") / "migrations"
    found = [Migration(f.name, f.read_text("utf-8")) for f in folder.iterdir()]
    return sorted((m for m in found if m.name.endswith(".sql")), key=lambda m: m.name)


def migrate(database_url: str) -> list[str]:
    """Applies what is missing, each file in a transaction; returns the names applied.

    Raises:
        MigrationError: if an applied file was changed afterwards.
        psycopg.OperationalError: if the database cannot be reached.
    """
    with psycopg.connect(database_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        connection.execute(
            """
            CREATE TABLE IF NOT EXISTS migration (
                name text PRIMARY KEY, checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        rows = connection.execute("SELECT name, checksum FROM migration").fetchall()
        applied: dict[str, str] = {str(name): str(checksum) for name, checksum in rows}
        missing = [migration for migration in available() if not _is_applied(migration, applied)]
        for migration in missing:
            _apply(connection, migration)
    return [migration.name for migration in missing]


def _is_applied(migration: Migration, applied: dict[str, str]) -> bool:
    checksum = applied.get(migration.name)
    if checksum is not None and checksum != migration.checksum:
        raise MigrationError(
            f"{migration.name} was changed after it was applied — put the change in a new file"
        )
    return checksum is not None


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    with connection.transaction():
        connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO migration (name, checksum) VALUES (%s, %s)",
            (migration.name, migration.checksum),
        )
