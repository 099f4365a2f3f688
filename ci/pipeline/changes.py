"""Which parts of the pipeline a change concerns, by its paths. Pure.

A pattern is `fnmatch`, whose `*` matches any number of folders.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

# What the image is made of is what .dockerignore lets in; a test holds the two together. A release
# is that image with the manifests of its commit.
AREAS: Mapping[str, tuple[str, ...]] = {
    "release": (
        "Dockerfile",
        ".dockerignore",
        "pyproject.toml",  # the version
        "requirements/service.txt",
        "service/gridos/*",
        "deploy/base/*",
        "deploy/components/*",
        "deploy/overlays/*",
    ),
    "rehearsal": (
        "service/*",
        "canary/*",
        "loadtest/*",
        "deploy/base/*",
        "requirements/*",
        "pyproject.toml",
    ),
}


def areas(paths: Iterable[str] | None) -> dict[str, bool]:
    """Says for each area whether it is concerned; with nothing known, every one is.

    Args:
        paths: Changed paths, or None where there is nothing to compare with (a new branch).
    """
    known = None if paths is None else list(paths)
    return {
        area: known is None
        or any(fnmatchcase(path, pattern) for path in known for pattern in patterns)
        for area, patterns in AREAS.items()
    }
