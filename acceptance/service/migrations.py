"""Migrations are read before a release is made: for what breaks or blocks the release before it.

    python -m acceptance.service.migrations

squawk knows the statements and their locks, and the service's own check lets only those pass that
add. A statement with the contract marker is its author's decision, and neither is asked about it.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gridos import schema
from gridos.schema import Migration, MigrationError

from acceptance.calling import quietly

PROGRAM = str(Path(sys.executable).parent / "squawk")
VERSION = "16"  # the oldest PostgreSQL that is tested with
# What squawk would have besides, and why it is not wanted here.
LEFT_OUT = {
    "require-lock-timeout": "`gridos migrate` sets one",
    "require-statement-timeout": "the Job has a deadline, and a long backfill is a contract",
    "prefer-robust-stmts": "each file is applied once, in a transaction",
    "prefer-bigint-over-int": "what is numbered here is few",
}


def review(migration: Migration) -> list[str]:
    """What is wrong with a migration, in one line each."""
    return [*_refusals(migration), *_warnings(migration)]


def _refusals(migration: Migration) -> Iterator[str]:
    try:
        schema.check(migration)
    except MigrationError as refused:
        yield str(refused)


def _warnings(migration: Migration) -> Iterator[str]:
    statements = schema.split(migration.sql)
    for found in _ask(migration):
        line = int(found["line"])
        statement = [each for each in statements if each.line <= line][-1]
        if not statement.is_contract:
            yield f"{migration.name}:{line + 1}: {found['rule_name']}: {found['message']}"


def _ask(migration: Migration) -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / migration.name
        file.write_text(migration.sql, "utf-8")
        command = [PROGRAM, "--reporter", "json", "--pg-version", VERSION]
        command += ["--exclude", ",".join(LEFT_OUT)]
        if not schema.is_concurrent(migration):
            command.append("--assume-in-transaction")
        done = quietly(*command, file)
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def main() -> int:
    """Reads all that are shipped; 1 if one has faults."""
    faults = [fault for migration in schema.available() for fault in review(migration)]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
