"""The database's shape: plain SQL files, applied in order, once, by one process at a time.

A canary and the stable release run on one database, so a file may only add (expand). What a running
release might still use goes in a later release (contract), in a statement with the marker

    -- contract: why nothing uses it any more

and a statement that takes something away without it is refused before anything is applied.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

import psycopg

from gridos.storage import partitions, pool

# Any constant will do, as long as every process of this service takes the same lock.
LOCK_KEY = 0x6772_6964_6F73  # "gridos"
# A lock that is not had soon would make every request wait behind it.
LOCK_TIMEOUT = "5s"
# SQL_ASCII keeps what it is given, which is UTF-8. Any other lacks letters that a name may have.
ENCODINGS = frozenset({"UTF8", "SQL_ASCII"})
CONTRACT = re.compile(r"--\s*contract:\s*\S")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# What breaks a release that does not know of it: things gone, renamed, of another type, or newly
# demanded of rows that the older release writes.
_DESTRUCTIVE = re.compile(
    r"\bDROP\s+(?!CONSTRAINT\s+IF\b)|\bTRUNCATE\b|\bDELETE\s+FROM\b|\bRENAME\b"
    r"|\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE\b|\bSET\s+NOT\s+NULL\b"
    r"|\bADD\s+(?:COLUMN\s+)?(?!CONSTRAINT)[^,;]*\bNOT\s+NULL\b(?![^,;]*\bDEFAULT\b)",
    re.IGNORECASE,
)


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
        MigrationError: if an applied file was changed afterwards, or one takes something away
            without saying why; or if the database cannot hold every text.
        psycopg.OperationalError: if the database cannot be reached.
    """
    migrations = available()
    for migration in migrations:
        check(migration)
    with pool.connect(database_url) as connection:
        _check_encoding(connection)
        # Waiting for another migration is fine; waiting behind a query with every request is not.
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
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
        missing = [migration for migration in migrations if not _is_applied(migration, applied)]
        for migration in missing:
            _apply(connection, migration)
        partitions.make_ahead(connection, datetime.now(UTC))
    return [migration.name for migration in missing]


def check(migration: Migration) -> None:
    """Refuses a statement that takes something away and is not marked.

    Raises:
        MigrationError: naming the statement.
    """
    for statement in migration.sql.split(";"):
        plain = " ".join(_COMMENT.sub(" ", statement).split())
        if _DESTRUCTIVE.search(plain) and not CONTRACT.search(statement):
            raise MigrationError(
                f"{migration.name} takes something away that a running release may use: {plain} —"
                " add it in this release and take it away in a later one, marked `-- contract: why`"
            )


def _check_encoding(connection: psycopg.Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ENCODINGS:
        raise MigrationError(
            f"the database's encoding is {encoding}, in which not every name can be stored — make"
            " one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


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
