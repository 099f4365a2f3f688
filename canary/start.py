"""Where a program begins: Ctrl-C while it is imported, or a missing package, is one line."""

import sys
from importlib import import_module

FAULT, INTERRUPTED = 4, 130


def start(program: str, module: str, remedy: str) -> int:
    """Runs a program, or says what it lacks.

    Args:
        program: What its messages begin with.
        module: Holds its `main`.
        remedy: What installs all that it imports.
    """
    try:
        return int(import_module(module).main())
    except KeyboardInterrupt:
        # Before the program heeds signals itself: importing what it needs takes up to a second.
        return _end(f"{program}: interrupted", INTERRUPTED)
    except RuntimeError as failed:
        # Python 3.11 wraps what is raised while a class is made.
        if not isinstance(failed.__cause__, KeyboardInterrupt):
            raise
        return _end(f"{program}: interrupted", INTERRUPTED)
    except ModuleNotFoundError as missing:
        return _end(f"{program}: {missing.name} is not installed — {remedy}", FAULT)


def _end(message: str, code: int) -> int:
    print(message, file=sys.stderr)  # noqa: T201 — a program that prints
    return code
