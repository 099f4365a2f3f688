"""Where the program `gridos` begins: an interrupted or failed import of it is one line.

It stands beside its package, because that imports Flask.
"""

from __future__ import annotations

import sys
from importlib import import_module

FAULT, INTERRUPTED = 4, 130


def main() -> int:
    """Runs the program, or says what it lacks."""
    try:
        return int(import_module("gridos.cli").main())
    except KeyboardInterrupt:
        return _end("interrupted", INTERRUPTED)
    except RuntimeError as failed:
        # Python 3.11 wraps what is raised while a class is made.
        if not isinstance(failed.__cause__, KeyboardInterrupt):
            raise
        return _end("interrupted", INTERRUPTED)
    except ModuleNotFoundError as missing:
        return _end(f"{missing.name} is not installed — pip install gridos", FAULT)


def _end(message: str, code: int) -> int:
    print(f"gridos: {message}", file=sys.stderr)  # noqa: T201 — a program that prints
    return code
