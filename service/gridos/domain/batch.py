"""A batch of readings as it was sent: read in one go, and row by row only to say what is wrong.

A model object a row in Python would cost more than storing the rows; msgspec decodes and checks
the whole batch in C. Only a batch that fails is read again, each row by itself, so that every bad
row is named and not the first alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta

MAX_READINGS = 10_000
# No distribution bus carries a gigawatt; a larger figure is a unit mix-up (W sent as kW).
MAX_KW = 1_000_000.0
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# What is said of a row may quote what was sent, but not at length.
MAX_CAUSE = 200
# Five times as many as a good row has, so that bad ones are named and not only counted.
MAX_COMMAS = 20

_Load = Annotated[float, Meta(ge=-MAX_KW, le=MAX_KW)]


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The load of one bus at one instant; kw and kvar are negative where it feeds in."""

    bus_id: Annotated[str, Meta(min_length=1, max_length=128)]
    measured_at: Annotated[datetime, Meta(tz=True)]
    kw: _Load
    kvar: _Load


class OnConflict(StrEnum):
    """What becomes of a reading whose bus and time are stored already, with other values."""

    IGNORE = "ignore"
    REPLACE = "replace"
    REJECT = "reject"


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    readings: list[Reading]


class _RawBatch(msgspec.Struct, forbid_unknown_fields=True):
    readings: list[msgspec.Raw]


@dataclass(frozen=True)
class BadRow:
    """What is wrong with one row of a batch; `row` counts from 0."""

    row: int
    cause: str


class MalformedBatch(Exception):
    """The body is no JSON at all."""


class RefusedBatch(Exception):
    """The body is no batch, or rows of it are wrong: then `rows` names them all.

    `good` are the other rows by their numbers, `size` is how many there are together.
    """

    def __init__(
        self,
        cause: str,
        rows: Sequence[BadRow] = (),
        good: Mapping[int, Reading] = MappingProxyType({}),
        size: int = 0,
    ) -> None:
        super().__init__(cause)
        self.rows = rows
        self.good = good
        self.size = size


_batches = msgspec.json.Decoder(_Batch)
_raw_batches = msgspec.json.Decoder(_RawBatch)
_readings = msgspec.json.Decoder(Reading)


def read(body: bytes, *, lines: bool, latest: datetime) -> list[Reading]:
    """Reads `{"readings": [ … ]}`, or with `lines` one reading a line (NDJSON).

    Args:
        body: As it was sent, unpacked.
        lines: Whether it is NDJSON.
        latest: What no instant may lie after: a wrong clock's reading would hide every later one.

    Raises:
        MalformedBatch: if the body is not JSON.
        RefusedBatch: if it is no batch of 1 to 10,000 readings, or a row is wrong.
    """
    # A row is an object: more of them than a batch may hold are not even made.
    _check_size(max(1, body.count(b"{") - (not lines)))
    try:
        readings = _readings.decode_lines(body) if lines else _batches.decode(body).readings
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _diagnose(body, latest, lines=lines) from None
    _check_size(len(readings))
    # Offsets differ from row to row, so instants are compared and not texts.
    instants = [reading.measured_at for reading in readings]
    if not (min(instants) >= EARLIEST and max(instants) <= latest):
        raise _refuse([_within_range(reading, latest) for reading in readings])
    return readings


def find_repeats(numbered: Mapping[int, Reading]) -> list[BadRow]:
    """The rows of a batch whose bus and time an earlier row has: which of them is meant?"""
    first: dict[tuple[str, datetime], int] = {}
    repeats = []
    for number, reading in numbered.items():
        earlier = first.setdefault((reading.bus_id, reading.measured_at), number)
        if earlier != number:
            repeats.append(BadRow(number, f"row {earlier} has the same bus and time"))
    return repeats


def _diagnose(body: bytes, latest: datetime, *, lines: bool) -> MalformedBatch | RefusedBatch:
    """What is wrong with a batch that could not be read in one go."""
    try:
        raw = _split(body, lines=lines)
        _check_size(len(raw))
    except RefusedBatch as refused:
        return refused
    except msgspec.ValidationError as wrong:
        return RefusedBatch(f'The body must be {{"readings": [ … ]}}: {wrong}.')
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        return MalformedBatch(f"The body is not JSON: {wrong}.")
    return _refuse([_read_row(row, latest) for row in raw])


def _split(body: bytes, *, lines: bool) -> Sequence[bytes | msgspec.Raw]:
    """The rows as they were sent, no more of them than tell that there are too many."""
    if lines:
        return list(islice(filter(bytes.strip, io.BytesIO(body)), MAX_READINGS + 1))
    # A list of hardly more than commas would be made into millions of parts before it is counted.
    _check_size(max(1, body.count(b",") // MAX_COMMAS))
    return _raw_batches.decode(body).readings


def _check_size(size: int) -> None:
    if not size:
        raise RefusedBatch("A batch holds at least one reading.")
    if size > MAX_READINGS:
        raise RefusedBatch(f"A batch holds at most {MAX_READINGS} readings.", size=size)


def _refuse(outcomes: Sequence[Reading | str]) -> RefusedBatch:
    rows = [BadRow(n, cause) for n, cause in enumerate(outcomes) if isinstance(cause, str)]
    good = {n: reading for n, reading in enumerate(outcomes) if isinstance(reading, Reading)}
    return RefusedBatch(
        f"{len(rows)} of the batch's rows cannot be stored.", rows, good, len(outcomes)
    )


def _read_row(row: bytes | msgspec.Raw, latest: datetime) -> Reading | str:
    try:
        reading = _readings.decode(row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        return str(wrong)[:MAX_CAUSE]
    return _within_range(reading, latest)


def _within_range(reading: Reading, latest: datetime) -> Reading | str:
    if EARLIEST <= reading.measured_at <= latest:
        return reading
    return f"measured_at must lie between the year 2000 and {latest:%Y-%m-%dT%H:%M:%SZ}"
