"""Which parts of the pipeline a change concerns, by its paths. Pure.

A pattern's `**` matches any number of folders; everything else is `fnmatch` within one name.
"""

import re
from collections.abc import Iterable, Mapping

# What the image is made of is what .dockerignore lets in; a test holds the two together. A release
# is that image with the manifests of its commit.
AREAS: Mapping[str, tuple[str, ...]] = {
    "release": (
        "Dockerfile",
        ".dockerignore",
        "pyproject.toml",  # the version
        "requirements/service.txt",
        "service/gridos/**",
        "deploy/base/**",
        "deploy/components/**",
        "deploy/overlays/**",
    ),
    "rehearsal": (
        "service/**",
        "canary/**",
        "loadtest/**",
        "deploy/base/**",
        "requirements/**",
        "pyproject.toml",
    ),
    "terraform": ("infra/terraform/**", "ci/terraform", ".github/workflows/terraform.yaml"),
}


def areas(paths: Iterable[str] | None) -> dict[str, bool]:
    """Says for each area whether it is concerned; with nothing known, every one is.

    Args:
        paths: Changed paths, or None where there is nothing to compare with (a new branch).
    """
    known = None if paths is None else list(paths)
    return {
        area: known is None or any(matches(path, pattern) for path in known for pattern in patterns)
        for area, patterns in AREAS.items()
    }


def matches(path: str, pattern: str) -> bool:
    """Says whether a path matches a pattern."""
    parts = (
        ".*" if part == "**" else re.escape(part).replace(r"\*", "[^/]*")
        for part in pattern.split("/")
    )
    return re.fullmatch("/".join(parts), path) is not None
