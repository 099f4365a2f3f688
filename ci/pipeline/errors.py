"""Why a program of the pipeline ends badly; `canary.runtime.program` lists the exit codes."""


class PipelineError(Exception):
    """The input cannot be used. One line for the user: cause, then remedy."""

    exit_code = 2


class UnreachableError(PipelineError):
    """Something that this needs is not there, or does not answer."""

    exit_code = 4


class RefusedError(PipelineError):
    """What was asked for was understood, and is not allowed."""

    exit_code = 1
