"""The `gridos` program: serve, migrate, seed, and a check of fault words.

Exit codes: 0 good, 2 a dependency could not be reached, 4 bad configuration or our own fault.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

import psycopg

from gridos import config, faults, schema, seed
from gridos.config import ConfigurationError
from gridos.faults import FaultError
from gridos.schema import MigrationError

UNREACHABLE, OUR_FAULT = 2, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = chosen.command
    try:
        command(chosen)
    except (ConfigurationError, FaultError, MigrationError) as wrong:
        return _fail(str(wrong), OUR_FAULT)
    except psycopg.OperationalError as unreachable:
        cause = " ".join(str(unreachable).split())
        return _fail(
            f"the database cannot be reached: {cause} — check GRIDOS_DATABASE_URL", UNREACHABLE
        )
    except psycopg.ProgrammingError as unusable:
        # A text that is no URL at all, or a database that was not migrated.
        cause = " ".join(str(unusable).split())
        return _fail(f"the database cannot be used: {cause} — run `gridos migrate`", OUR_FAULT)
    return 0


def _parser() -> argparse.ArgumentParser:
    settings = "\n".join(
        f"  {s.variable:<30}{s.why}" + (f" ({s.default})" if s.default else "")
        for s in config.TABLE.values()
    )
    parser = argparse.ArgumentParser(
        prog="gridos",
        description="Loads and ratings of an electricity distribution grid, over HTTP.",
        epilog=f"settings, from the environment:\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, function, text in (
        ("serve", _serve, "answer requests, under gunicorn"),
        ("migrate", _migrate, "bring the database's schema up to date"),
        ("seed", _seed, "store the IEEE 33-bus feeder"),
    ):
        commands.add_parser(name, help=text, description=text).set_defaults(command=function)
    check = commands.add_parser("faults", help="check the words of GRIDOS_FAULTS")
    check.add_argument("words", help=f"such as {faults.WORDS}")
    check.set_defaults(command=_check_faults)
    return parser


def _serve(_: argparse.Namespace) -> None:
    config.read()  # complain here, in one line, and not from inside gunicorn
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:gridos.gunicorn_config"]
    sys.stdout.flush()
    os.execv(sys.executable, gunicorn)  # noqa: S606 — no shell is wanted


def _migrate(_: argparse.Namespace) -> None:
    applied = schema.migrate(config.read().database_url)
    print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")  # noqa: T201


def _seed(_: argparse.Namespace) -> None:
    print(f"seeded {seed.seed(config.read().database_url)} buses")  # noqa: T201


def _check_faults(chosen: argparse.Namespace) -> None:
    faults.parse(chosen.words)


def _fail(message: str, code: int) -> int:
    print(f"gridos: {message}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
