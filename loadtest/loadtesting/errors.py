"""What can go wrong with a load test itself; what it finds is a verdict and never an error.

RehearsalError           says cause and remedy in one line, and carries the exit code
├── UsageError           the caller's input                                             (2)
│   └── Unreachable      no request could be sent at all: name, network, certificate    (2)
├── MeasureError         what was to be read beside it cannot be                        (3)
└── MachineError         our own fault, or the machine's                                (4)
"""

from __future__ import annotations

from canary.errors import MachineError, MeasureError, RehearsalError, UsageError

__all__ = ["MachineError", "MeasureError", "RehearsalError", "Unreachable", "UsageError"]


class Unreachable(UsageError):
    """The target that was named cannot be reached."""
