"""Something that is done at the beginning of a block and undone at its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def during(begin: Callable[[], object], end: Callable[[], object]) -> Iterator[None]:
    """Begins now, and ends when the block does, however that ends."""
    begin()
    try:
        yield
    finally:
        end()
