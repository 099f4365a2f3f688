"""How many workers of this pod ended unasked: kept in a file, because the container ends with one.

The file lies in the temporary directory, in a pod an emptyDir, which outlives its containers.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from gridos.config import Settings


def count(settings: Settings) -> int:
    """Ends so far; each is a byte of the file."""
    try:
        return _file(settings).lstat().st_size
    except OSError:
        return 0


def add(settings: Settings) -> None:
    """One more; where it cannot be written down, the kubelet's count of restarts must do."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with (
        contextlib.suppress(OSError),
        os.fdopen(os.open(_file(settings), flags, 0o600), "wb") as file,
    ):
        file.write(b".")


def _file(settings: Settings) -> Path:
    return (
        Path(tempfile.gettempdir()) / f"gridos-{settings.pod or os.getuid()}-{settings.port}-exits"
    )
