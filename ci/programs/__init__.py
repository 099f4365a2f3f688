"""Where every program begins: what it needs is imported here, or named with the way to install it.

The wheel holds all programs, and each needs packages that most people who want another do not. A
program whose packages are missing ends with 4 and one line, before it has done anything.
"""

from __future__ import annotations

import importlib
import sys

# Each program's module, and what installs all that it imports.
PROGRAMS = {
    "canary": ("canary.cli", "gridos[gates,rehearsal]"),
    "gridos": ("gridos.cli", "gridos"),
    "loadtest": ("loadtesting.cli", "gridos[load]"),
    "observe": ("observe.cli", "gridos[gates,rehearsal]"),
    "pipeline": ("pipeline.cli", "gridos[pipeline]"),
    "policies": ("policies.cli", "gridos[policies]"),
}
FAULT, INTERRUPTED = 4, 130


def canary() -> int:
    """Gates, read, measured and rehearsed."""
    return start("canary")


def gridos() -> int:
    """The service."""
    return start("gridos")


def loadtest() -> int:
    """Load with a verdict."""
    return start("loadtest")


def observe() -> int:
    """Rules, alerts and dashboards."""
    return start("observe")


def pipeline() -> int:
    """What the workflows do beyond calling make."""
    return start("pipeline")


def policies() -> int:
    """Manifests against schemas and policies."""
    return start("policies")


def start(program: str) -> int:
    """Runs a program, or says what it lacks."""
    module, installed_by = PROGRAMS[program]
    try:
        return int(importlib.import_module(module).main())
    except KeyboardInterrupt:
        # Before the program heeds signals itself: importing what it needs takes up to a second.
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except ModuleNotFoundError as missing:
        print(
            f"{program}: {missing.name} is not installed — pip install '{installed_by}'",
            file=sys.stderr,
        )
        return FAULT
