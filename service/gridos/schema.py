"""The database's shape: plain SQL files, applied in order, once, by one process at a time.

A canary and the stable release run on one database, so a file may only add (expand). What a running
release might still use goes in a later release (contract), in a statement with the marker

    -- contract: why nothing uses it any more

and a statement that does more than to add is refused without it, before anything is applied.
"""

from __future__ import annotations

import contextlib
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
MAX_QUOTED = 200
CONTRACT = re.compile(r"--\s*contract:\s*\S")
# Where a statement ends: at a semicolon that is no part of a comment, a text, a name or a body.
_PART = re.compile(
    r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|;|[^;]",
    re.DOTALL,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# What adds, by the words it begins with, and nothing else: the ways to take something away, or to
# keep a running release waiting, are too many to list. What these can still do, such as demand of a
# new column what the older release does not send, squawk finds before a release is made
# (`acceptance.service.migrations`).
_ADDS = re.compile(
    r"CREATE\s+(?:(?:UNIQUE\s+)?INDEX|TABLE|TYPE|SEQUENCE|SCHEMA|EXTENSION|VIEW|FUNCTION)\b"
    r"|ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?\S+\s+ADD\s+(?:COLUMN\s+)?"
    r"(?!CONSTRAINT\b|CHECK\b|UNIQUE\b|PRIMARY\b|FOREIGN\b|EXCLUDE\b)"
    r"|INSERT\s+INTO\b|COMMENT\s+ON\b|GRANT\b|ANALYZE\b",
    re.IGNORECASE,
)
_CONCURRENTLY = re.compile(r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b", re.IGNORECASE)


class MigrationError(Exception):
    """The database does not match the files."""


@dataclass(frozen=True)
class Statement:
    """One statement of a file with the comments before it, and the line it begins in, from 0."""

    sql: str
    line: int

    @property
    def plain(self) -> str:
        """Without comments, in one line."""
        return " ".join(_COMMENT.sub(" ", self.sql).split())

    @property
    def is_contract(self) -> bool:
        """Whether it is marked as what no running release needs any more."""
        return CONTRACT.search(self.sql) is not None


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

    A file that builds an index concurrently is applied in none. A build that fails leaves an index
    that is not valid: `IF NOT EXISTS` would take it for the one that is wanted, so drop it first.

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


def split(sql: str) -> list[Statement]:
    """The statements of a file."""
    statements, begun, line = [], "", 0
    for part in _PART.finditer(sql + ";"):
        if part[0] != ";":
            begun += part[0]
            continue
        statement = Statement(begun, line)
        if statement.plain:
            statements.append(statement)
        line += begun.count("\n")
        begun = ""
    return statements


def check(migration: Migration) -> None:
    """Refuses a statement that does more than to add and is not marked.

    Raises:
        MigrationError: naming the statement.
    """
    statements = split(migration.sql)
    for statement in statements:
        if not statement.is_contract and not _ADDS.match(statement.plain):
            raise MigrationError(
                f"{migration.name} does more than to add what no running release knows of:"
                f" {statement.plain[:MAX_QUOTED]} — add in this release and take away in a later"
                " one, marked `-- contract: why`"
            )
    if is_concurrent(migration) and len(statements) > 1:
        raise MigrationError(
            f"{migration.name} builds an index concurrently, which no transaction can —"
            " give it a file of its own"
        )


def is_concurrent(migration: Migration) -> bool:
    """Whether it builds an index while the table is written to, and so in no transaction."""
    return any(_CONCURRENTLY.match(each.plain) for each in split(migration.sql))


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
    concurrent = is_concurrent(migration)
    with contextlib.nullcontext() if concurrent else connection.transaction():
        connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO migration (name, checksum) VALUES (%s, %s)",
            (migration.name, migration.checksum),
        )
