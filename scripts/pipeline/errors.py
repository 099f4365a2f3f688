"""Why a program of the pipeline ends badly, as its exit code.

1 findings: the answer is no.   2 it could not be read, measured or reached.   4 our own fault.
"""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, the same as everywhere in this repository."""

    GOOD = 0
    FINDINGS = 1
    UNREADABLE = 2


class PipelineError(Exception):
    """One line for the user: cause, then remedy."""

    exit_code = Exit.UNREADABLE


class RefusedError(PipelineError):
    """What was asked for was understood, and is not allowed."""

    exit_code = Exit.FINDINGS
