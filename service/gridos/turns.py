"""Expensive requests take turns: one is carried out, one waits for a moment, others are told when.

What bounds the memory of a pod and the database's share of it is how much is asked for at once. A
single request's part is bounded where it is read; this bounds their number.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from flask import Flask, current_app

from gridos.errors import Busy

# One more than this would leave too few of gunicorn's four threads for everybody else.
MAX_AT_ONCE = 2
MAX_WAIT_S = 1.0


class Turns:
    """Whose turn it is; `places` are left for those who come."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self.places = MAX_AT_ONCE

    @contextmanager
    def take(self) -> Iterator[None]:
        """Has its turn within the block.

        Raises:
            Busy: if there is no place to wait, or the wait was in vain.
        """
        with self._count:
            if not self.places:
                raise Busy("An expensive request is being carried out, and another one waits.")
            self.places -= 1
        try:
            if not self._turn.acquire(timeout=MAX_WAIT_S):
                raise Busy("An expensive request is being carried out.")
            try:
                yield
            finally:
                _give_back()
                self._turn.release()
        finally:
            with self._count:
                self.places += 1


def _give_back() -> None:
    """Returns to the system what is free now.

    The C library keeps what a thread has freed for that thread, so each of a pod's threads would in
    time hold the memory of the largest request it ever carried out.
    """
    import ctypes  # noqa: PLC0415 — no start needs it

    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def init_app(app: Flask) -> None:
    """Keeps the turns with the application."""
    app.extensions["turns"] = Turns()


def take(*, wanted: bool) -> AbstractContextManager[None]:
    """Has its turn within the block, if it needs one.

    Raises:
        Busy: on entry, if it cannot have one now.
    """
    turns: Turns = current_app.extensions["turns"]
    return turns.take() if wanted else contextlib.nullcontext()
