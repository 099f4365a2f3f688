"""Open arrivals for Locust: requests start on schedule, whatever the server does.

`from openarrivals import OpenArrivals` adds `--arrivals-*` to Locust's command line; put before a
user class, it lets the schedule feed that class. Locust, which patches the standard library when
it is imported, is imported only for what needs it: shapes, schedules and samples do not.
"""

from importlib import import_module
from typing import Any

from openarrivals.samples import Batch, Counts, Sample
from openarrivals.schedule import Plan
from openarrivals.shapes import Shape, Stretch, parse

_NEED_LOCUST = {"Arrival": "pool", "OpenArrivals": "user", "Session": "session", "of": "session"}

__all__ = [
    "Arrival",
    "Batch",
    "Counts",
    "OpenArrivals",
    "Plan",
    "Sample",
    "Session",
    "Shape",
    "Stretch",
    "of",
    "parse",
]


def __getattr__(name: str) -> Any:
    if name not in _NEED_LOCUST:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("openarrivals.options")  # registers with Locust
    return getattr(import_module(f"openarrivals.{_NEED_LOCUST[name]}"), name)
