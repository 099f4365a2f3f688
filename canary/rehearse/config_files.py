"""Where a rehearsal.yaml lies, and what is read of it without the types of all the others."""

from collections.abc import Sequence
from pathlib import Path

from canary import yamls
from canary.errors import UsageError

CONFIG = Path("rehearsal.yaml")
CONFIGS = (CONFIG, Path("loadtest/rehearsal.yaml"))


def config_in(folder: Path) -> Path:
    """A folder's rehearsal.yaml: where it is, or where one would be."""
    return next((folder / place for place in CONFIGS if (folder / place).exists()), folder / CONFIG)


def weights(file: Path) -> Sequence[float]:
    """The weights of the users' requests; none if they are of a locustfile's own.

    Raises:
        UsageError: if the file is not YAML, or a weight is no number.
    """
    body = next((document.body for document in yamls.read(file)), None)
    traffic = yamls.mapping(yamls.mapping(body).get("traffic"))
    found = [yamls.mapping(r).get("weight", 1) for r in yamls.listed(traffic.get("requests"))]
    if not all(type(weight) in (int, float) and weight > 0 for weight in found):
        raise UsageError(
            f"{file}: a weight of traffic.requests is not a number above 0", "correct it"
        )
    return found
