"""The comment that a rehearsal leaves on a pull request: the report's Markdown, made anew. Pure.

The result is of a job that ran the pull request's image, so only its record is read, as what
`canary` knows a result to be; whatever text is in it neither mentions anybody nor links anywhere.
"""

import json

from canary.rehearse import pull_request, result
from pipeline.errors import PipelineError

# By this the comment finds itself again.
MARKER = "<!-- gridos-rehearsal -->"
LARGEST_RESULT = 20_000_000
# GitHub takes 65,536 characters.
LARGEST_COMMENT = 60_000


def render(text: str, run_url: str) -> str:
    """Makes the Markdown of a `result.json`, with a link to the run that keeps the whole report.

    Raises:
        PipelineError: It is no result of a rehearsal.
    """
    if len(text) > LARGEST_RESULT:
        raise PipelineError("the result is too large to be one")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise PipelineError(f"the result is not JSON: {cause}") from None
    if not isinstance(document, dict) or document.get("schema") != result.SCHEMA:
        raise PipelineError(f"the result is not of schema {result.SCHEMA}")
    try:
        report = pull_request.markdown(result.Result.model_validate(document))
    except (ArithmeticError, LookupError, ValueError):  # a field that is not what it is called
        return missing(run_url)
    link = f"[The whole report]({run_url}), as an artifact of the run."
    return f"{MARKER}\n\n{report[:LARGEST_COMMENT]}\n{link}\n"


def missing(run_url: str) -> str:
    """Makes the comment of a run that left no result."""
    return (
        f"{MARKER}\n\n### Rehearsal: ⚠️ no result\n\n"
        f"The rehearsal ended before it had a verdict. [Its log]({run_url}) says why.\n"
    )


def untrusted(run_url: str) -> str:
    """Makes the comment of a run of another workflow than main's."""
    return (
        f"{MARKER}\n\n### Rehearsal: ⚠️ no verdict\n\n"
        "This branch has another `rehearse.yaml` than main, so what [its run]"
        f"({run_url}) says is not repeated here. If the change is not meant, update the branch.\n"
    )
