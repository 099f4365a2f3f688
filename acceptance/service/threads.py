"""Threads beside what is tested."""

import threading
from collections.abc import Callable
from typing import Self

# Longer than any request may take.
END_TIMEOUT_S = 60


class Beside:
    """A context manager: threads, each of which works until it sees that the block has ended."""

    def __init__(self, *work: Callable[[], None]) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(END_TIMEOUT_S)
