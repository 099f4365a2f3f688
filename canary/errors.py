"""What can go wrong with a rehearsal itself, as one small tree.

RehearsalError          carries the exit code and says cause and remedy in one line
├── ReleaseError        the candidate cannot be applied at all, so no gate is asked         (1)
├── UsageError          the caller's input: manifests, rehearsal.yaml, a fault, a port     (2)
├── MeasureError        nothing could be measured, through no fault of the release        (3)
└── MachineError        the harness or the machine failed, so no verdict would be honest  (4)

A gate's outcome is never an exception: phases are values (`model.Phase`).
"""

from typing import ClassVar


class RehearsalError(Exception):
    """A one-line message for the user: what is wrong, and what to do about it."""

    exit_code: ClassVar[int] = 4

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(f"{cause} — {remedy}" if remedy else cause)
        self.cause = cause
        self.remedy = remedy


class ReleaseError(RehearsalError):
    """The candidate would not even be applied: its own preparations fail."""

    exit_code = 1


class UsageError(RehearsalError):
    """The input cannot be rehearsed as it stands."""

    exit_code = 2


class MeasureError(RehearsalError):
    """The release could not be measured."""

    exit_code = 3


class MachineError(RehearsalError):
    """The harness or the machine is at fault."""

    exit_code = 4
