"""Why a program of the pipeline ends badly, as its exit code.

1 findings: the answer is no.   2 the input cannot be used.   4 the machine, or we ourselves.
"""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, the same as everywhere in this repository."""

    GOOD = 0
    FINDINGS = 1
    UNUSABLE = 2
    FAULT = 4


class PipelineError(Exception):
    """One line for the user: cause, then remedy."""

    exit_code = Exit.UNUSABLE


class UnreachableError(PipelineError):
    """Something that this needs is not there, or does not answer."""

    exit_code = Exit.FAULT


class RefusedError(PipelineError):
    """What was asked for was understood, and is not allowed."""

    exit_code = Exit.FINDINGS
