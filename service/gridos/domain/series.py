"""Time series: which range, in what buckets, and where the next page begins."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

DEFAULT_SPAN = timedelta(days=1)
# What a page holds by default and at most: 100,000 rows are a month of 33 buses in 15 min.
DEFAULT_LIMIT, MAX_ROWS = 1000, 100_000


# How many readings a request may make the database read, a page's rows or what buckets sum up: a
# bus over 400 days, or 33 buses over 12, at a reading a minute. Up to `MAX_CHEAP` it is no matter
# how many read at once.
MAX_READ, MAX_CHEAP = 600_000, 10_000
# The closest that meters report; the true number of readings is known only by reading them.
CLOSEST = timedelta(minutes=1)


class Bucket(StrEnum):
    """How finely readings are summed up; raw is not at all."""

    RAW = "raw"
    MINUTE = "1m"
    QUARTER = "15m"
    HOUR = "1h"

    @property
    def width(self) -> timedelta:
        """Zero for raw."""
        minutes = {Bucket.RAW: 0, Bucket.MINUTE: 1, Bucket.QUARTER: 15, Bucket.HOUR: 60}
        return timedelta(minutes=minutes[self])


class BadRange(ValueError):
    """The range or the cursor does not make sense; the message says how it would."""


@dataclass(frozen=True)
class Cursor:
    """The last row of a page; the next one begins after it."""

    bus_id: str
    at: datetime

    def encode(self) -> str:
        """Opaque text for a URL."""
        text = f"{self.at.astimezone(UTC).isoformat()} {self.bus_id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Window:
    """What is asked for: `start` ≤ measured_at < `end`, after `after`, at most `limit` rows."""

    start: datetime
    end: datetime
    bucket: Bucket
    limit: int
    after: Cursor | None


def window(
    start: datetime | None,
    end: datetime | None,
    bucket: Bucket,
    limit: int,
    after: str | None,
    now: datetime,
) -> Window:
    """Fills in what was left out: a day that ends now.

    Raises:
        BadRange: if the end is not after the start, a time has no zone, or `after` is no cursor.
    """
    for name, instant in (("start", start), ("end", end)):
        if instant is not None and instant.tzinfo is None:
            raise BadRange(f"{name} must carry a zone, such as Z or +01:00")
    try:
        # In UTC, so that years at the edge of what there is are met here and nowhere later.
        end = (end or (start + DEFAULT_SPAN if start else now)).astimezone(UTC)
        start = (start or end - DEFAULT_SPAN).astimezone(UTC)
    except OverflowError:
        raise BadRange("start and end must lie between the years 1 and 9999") from None
    if start >= end:
        raise BadRange("end must be after start")
    return Window(start, end, bucket, limit, decode(after) if after else None)


def price(asked: Window, buses: int, oldest: datetime, newest: datetime) -> int:
    """How many readings a page may make the database read, at most.

    Raw readings are read as they are shown, and each bus is looked up. Buckets sum up every reading
    of a bus's range, of as many buses as it takes to fill the page.

    Args:
        asked: The page.
        buses: How many it may go through.
        oldest: Before, nothing is stored.
        newest: And after.
    """
    if asked.bucket is Bucket.RAW:
        return asked.limit + buses
    span = max(timedelta(0), min(asked.end, newest) - max(asked.start, oldest))
    return min(buses * span, span + asked.limit * asked.bucket.width) // CLOSEST


def longest(buses: int) -> timedelta:
    """The longest range that buckets of so many buses may be had of, whatever the limit."""
    return max(1, MAX_READ // max(1, buses)) * CLOSEST


def decode(text: str) -> Cursor:
    """Reads a cursor.

    Raises:
        BadRange: if it is none of ours.
    """
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        at, _, bus_id = plain.partition(" ")
        instant = datetime.fromisoformat(at).astimezone(UTC)
        _ = instant + Bucket.HOUR.width
    except (ValueError, OverflowError):
        raise BadRange("after must be the `next` of an earlier page") from None
    if not bus_id or "\x00" in bus_id:
        raise BadRange("after must be the `next` of an earlier page")
    return Cursor(bus_id, instant)
