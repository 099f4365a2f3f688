"""The `gridos` program: serve, migrate, seed, retain, key, and a check of fault words.

Exit codes: 0 good, 2 bad configuration, 4 a dependency cannot be reached or our own fault.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg

from gridos import access, config, create_app, faults, program, schema, secretchoice
from gridos.config import ConfigurationError, Settings
from gridos.schema import MigrationError
from gridos.secretsource import SecretsUnavailable
from gridos.storage import partitions, pool

EXIT_CODES = """\
exit codes:
  0 good   2 bad configuration, or no such command
  4 the database or the secrets cannot be reached, or our own fault   130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    return program.run("gridos", _run, arguments)


def _run(arguments: Sequence[str]) -> int:
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = chosen.command
    try:
        command(chosen)
    except (ConfigurationError, MigrationError) as wrong:
        return program.fail("gridos", str(wrong), program.UNUSABLE)
    except SecretsUnavailable as unreadable:
        return program.fail("gridos", str(unreadable), program.FAULT)
    except psycopg.OperationalError as unreachable:
        said = f"the database cannot be reached: {unreachable} — check GRIDOS_DATABASE_URL"
        return program.fail("gridos", said, program.FAULT)
    except psycopg.ProgrammingError as unusable:
        # A text that is no URL at all, or a database that was not migrated.
        said = f"the database cannot be used: {unusable} — run `gridos migrate`"
        return program.fail("gridos", said, program.UNUSABLE)
    return program.GOOD


def _parser() -> argparse.ArgumentParser:
    width = max(len(s.variable) for s in config.TABLE.values())
    settings = "\n".join(
        f"  {s.variable:<{width}}  {s.why}" + (f" ({s.default})" if s.default else "")
        for s in config.TABLE.values()
    )
    parser = program.parser(
        "gridos",
        description="Loads and ratings of an electricity distribution grid, over HTTP.",
        epilog=f"{EXIT_CODES}\n\nsettings, from the environment:\n{settings}",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, function, text in (
        ("serve", _serve, "answer requests, under gunicorn"),
        ("migrate", _migrate, "bring the database's schema up to date"),
        ("seed", _seed, "store the IEEE 33-bus feeder"),
        (
            "retain",
            _retain,
            "make the coming months' partitions and drop readings that are too old",
        ),
    ):
        commands.add_parser(name, help=text, description=text).set_defaults(command=function)
    key = commands.add_parser("key", help="make an API key and the entry to configure for it")
    key.add_argument(
        "--scope", action="append", choices=sorted(access.SCOPES), help="readings if none is given"
    )
    key.set_defaults(command=_make_key)
    check = commands.add_parser("faults", help="check the words of GRIDOS_FAULTS")
    # To argparse a single per cent sign is a format.
    check.add_argument("words", help=f"such as {faults.WORDS.replace('%', '%%')}")
    check.set_defaults(command=_check_faults)
    return parser


def _serve(_: argparse.Namespace) -> None:
    settings = config.read()
    _check_routes(settings)
    secretchoice.open_secrets(settings)  # complain here, in one line, and not from inside a server
    sys.stdout.flush()
    # This process becomes the server: another interpreter would import everything once more, which
    # is most of what a start costs.
    if settings.server == "granian":
        from gridos import granian_server  # noqa: PLC0415 — the other server's

        granian_server.main()
    else:
        from gunicorn.app.wsgiapp import WSGIApplication  # noqa: PLC0415 — same

        arguments = sys.argv
        # What gunicorn reads its configuration by; on SIGUSR2 it starts anew by those that are so.
        sys.argv = [arguments[0], "-c", "python:gridos.gunicorn_config"]
        server = WSGIApplication(prog="gridos serve")
        sys.argv = arguments
        server.run()


def _migrate(_: argparse.Namespace) -> None:
    applied = schema.migrate(_database())
    _say("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


def _seed(_: argparse.Namespace) -> None:
    from gridos import seed  # noqa: PLC0415 — its models need pydantic, and no other command does

    _say(f"seeded {seed.seed(_database())} buses")


def _retain(_: argparse.Namespace) -> None:
    keep = timedelta(days=config.read().retention_days)
    with pool.connect(_database()) as connection:
        done = partitions.retain(connection, datetime.now(UTC), keep)
    _say("\n".join(f"made {name}" for name in done.made) or "no partition was missing")
    _say("\n".join(f"dropped {name}" for name in done.dropped) or "no partition was too old")
    _say(f"deleted {done.deleted_rows} single readings that were too old")


def _make_key(chosen: argparse.Namespace) -> None:
    key, entry = access.make(chosen.scope or [access.READINGS])
    _say(f"the holder's: {key}\nthe service's: {entry}")


def _database() -> str:
    return secretchoice.open_secrets(config.read()).conninfo()


def _say(text: str) -> None:
    print(text)  # noqa: T201 — a program's output


def _check_faults(chosen: argparse.Namespace) -> None:
    _check_routes(config.read({"GRIDOS_FAULTS": chosen.words}))


def _check_routes(settings: Settings) -> None:
    """Complains of a fault's unknown route here, in one line, and not from inside a server."""
    if any(fault.route for fault in settings.faults.found):
        create_app(Settings(database_url="postgresql:///", faults=settings.faults))


if __name__ == "__main__":
    sys.exit(main())
