"""What became of a request: by its status, and by who answered."""

import re

from openarrivals.samples import Sample

from loadtesting.model import Outcome

# Written by the users before an error's text when the answer did not carry the service's mark.
FOREIGN = "not from the service"

_REASONS = (
    ("certificate", re.compile(r"certificate|ssl", re.IGNORECASE)),
    ("connection refused", re.compile(r"refused", re.IGNORECASE)),
    ("name unknown", re.compile(r"gaierror|name or service|name resolution", re.IGNORECASE)),
    ("timed out", re.compile(r"time.?out|timed out", re.IGNORECASE)),
    ("connection reset", re.compile(r"reset|closed|broken pipe|aborted", re.IGNORECASE)),
)


def of(sample: Sample) -> Outcome:
    """The outcome of one request."""
    if not sample.status:
        return Outcome.LOST
    if sample.status < 400:  # noqa: PLR2004 — HTTP
        return Outcome.OK
    if sample.status < 500:  # noqa: PLR2004 — HTTP
        return Outcome.REFUSED
    return Outcome.GATEWAY if sample.error.startswith(FOREIGN) else Outcome.FAILED


def reason(sample: Sample) -> str:
    """Why a request was not answered well, in the few words that a person sorts by."""
    if sample.status:
        return f"HTTP {sample.status}"
    for name, pattern in _REASONS:
        if pattern.search(sample.error):
            return name
    return sample.error.partition(":")[0] or "no response"
