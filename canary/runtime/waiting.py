"""Waiting on a condition, with an end."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], bool],
    timeout_s: float,
    give_up: Callable[[], bool] = lambda: False,
    every_s: float = 0.05,
) -> bool:
    """Waits until `condition` holds; False if it did not within `timeout_s` or `give_up` held."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if give_up() or time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
