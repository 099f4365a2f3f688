"""What the API takes and answers, as the OpenAPI document shows it.

Answers are built by hand, which is faster, and tested against the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gridos.domain.batch import OnConflict
from gridos.domain.bounds import MAX_ID
from gridos.domain.series import DEFAULT_LIMIT, MAX_ROWS, Bucket

_RFC_3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


def _rfc_3339(text: Any) -> Any:
    """Lets no number pass for a time, which pydantic would read as seconds since 1970."""
    if isinstance(text, str) and not _RFC_3339.fullmatch(text):
        raise ValueError("must be RFC 3339 with a zone, such as 2026-11-24T09:30:00Z")
    return text


_Instant = Annotated[datetime, BeforeValidator(_rfc_3339)]


class FeederPath(BaseModel):
    """Which feeder."""

    feeder_id: Annotated[str, Field(max_length=MAX_ID)]


class BusPath(BaseModel):
    """Which bus."""

    bus_id: Annotated[str, Field(max_length=MAX_ID)]


class IngestQuery(BaseModel):
    """What becomes of readings whose bus and time are stored already, with other values."""

    model_config = ConfigDict(extra="forbid")

    on_conflict: Annotated[
        OnConflict,
        Field(
            description="ignore: the stored one stays; replace: this one takes its place, and both"
            " are kept in the table of corrections; reject: the batch is refused, 409"
        ),
    ] = OnConflict.IGNORE


class SeriesQuery(BaseModel):
    """Which part of a series; a day that ends now if nothing is said."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[_Instant | None, Field(description="with a zone; included")] = None
    end: Annotated[_Instant | None, Field(description="with a zone; not included")] = None
    bucket: Annotated[Bucket, Field(description="raw, or mean and greatest of a time")] = Bucket.RAW
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = DEFAULT_LIMIT
    after: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9_-]{1,400}$", description="the `next` of the page before"),
    ] = None


PATHS: Mapping[str, type[BaseModel]] = {"feeder_id": FeederPath, "bus_id": BusPath}


class Feeder(BaseModel):
    """A feeder, its rating in kVA, and how many buses it has."""

    id: str
    name: str
    rated_kva: float
    nominal_kv: float
    buses: int


class FeederList(BaseModel):
    """Every feeder."""

    feeders: list[Feeder]


class Bus(BaseModel):
    """A bus: nominal load, and the rating of its transformer in kVA if it has one."""

    id: str
    number: int
    nominal_kw: float
    nominal_kvar: float
    rated_kva: float | None


class BusList(BaseModel):
    """The buses of a feeder."""

    feeder_id: str
    buses: list[Bus]


class Line(BaseModel):
    """A line between two buses."""

    from_bus: str
    to_bus: str
    r_ohm: float
    x_ohm: float
    rated_a: float | None


class LineList(BaseModel):
    """The lines of a feeder."""

    feeder_id: str
    lines: list[Line]


class BusLoad(BaseModel):
    """The latest reading of a bus; nulls where it never reported."""

    bus_id: str
    measured_at: datetime | None
    kw: float | None
    kvar: float | None


class Load(BaseModel):
    """What a feeder carries now."""

    feeder_id: str
    rated_kva: float
    kw: float
    kvar: float
    kva: float
    share_of_rating: float
    reporting_buses: int
    buses: list[BusLoad]


class OverloadEntry(BaseModel):
    """A feeder (bus_id null) or bus above its rating."""

    feeder_id: str
    bus_id: str | None
    kva: float
    rated_kva: float
    share_of_rating: float


class OverloadList(BaseModel):
    """The worst first."""

    overloads: list[OverloadEntry]


class BusVoltage(BaseModel):
    """Voltage of a bus in p.u. of nominal, and its angle in degrees."""

    bus_id: str
    voltage_pu: float
    angle_deg: float


class LineFlow(BaseModel):
    """Current of a line and what it loses."""

    from_bus: str
    to_bus: str
    current_a: float
    share_of_rating: float | None
    losses_kw: float


class FeederState(BaseModel):
    """The power flow of the latest loads."""

    feeder_id: str
    losses_kw: float
    losses_kvar: float
    lowest: BusVoltage
    silent_buses: int
    buses: list[BusVoltage]
    lines: list[LineFlow]


class Series(BaseModel):
    """A page of a series: rows in the order of the columns; `next` is null on the last page."""

    columns: list[str]
    rows: list[list[str | float]]
    next: str | None


class Stored(BaseModel):
    """How many readings of a batch were new, were stored already, and took another's place.

    `differing` are those of the duplicates that are stored with other values, and so were left out.
    """

    stored: int
    duplicates: int
    differing: int
    replaced: int


class NetworkStored(BaseModel):
    """What was imported; `created` is false if it was there already, just so."""

    feeder_id: str
    buses: int
    lines: int
    created: bool
