"""The `observe` program.

Exit codes: 0 good, 1 findings, 2 something cannot be read or reached, 4 the machine is at fault.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rehearsal.errors import RehearsalError

from observe import generate


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        return command(chosen)
    except RehearsalError as failed:
        return _fail(str(failed), failed.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 4)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="observe", description="Rules, alerts, dashboards and logs of GridOS."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    text = "write what is generated from the gates, the objective and the dashboards' code"
    generating = commands.add_parser("generate", help=text, description=text)
    generating.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    generating.set_defaults(command=_generate)
    return parser


def _generate(chosen: argparse.Namespace) -> int:
    root = Path()
    stale = generate.differing(root) if chosen.check else generate.write(root)
    for path in stale:
        print(f"{path} {'is stale: run make generate' if chosen.check else 'written'}")
    return 1 if chosen.check and stale else 0


def _fail(message: str, code: int) -> int:
    print(f"observe: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
