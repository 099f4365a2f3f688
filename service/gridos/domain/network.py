"""A network as a file describes it: a feeder, its buses and the lines between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field, StringConstraints

from gridos.domain.bounds import MAX_BUSES, MAX_LINES

# What a URL carries without escaping, so that an id can be read in a log and typed by hand.
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
# From a millionth to a thousand million of kV, kVA or A: beyond it is a unit mix-up, and far beyond
# the solver's arithmetic ends.
_Positive = Annotated[float, Field(ge=1e-6, le=1e9, allow_inf_nan=False)]
_Ohm = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
_Load = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_Number = Annotated[int, Field(ge=1, le=1_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FeederPart(_Part):
    """The feeder: its nominal voltage in kV and what it may carry in kVA."""

    id: Identifier
    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
    nominal_kv: _Positive
    rated_kva: _Positive


class BusPart(_Part):
    """A bus, its nominal load in kW and kvar, and what its transformer may carry in kVA."""

    number: _Number
    kw: _Load
    kvar: _Load
    rated_kva: _Positive | None = None


class LinePart(_Part):
    """A line between two buses: its resistance and reactance in ohm and its rating in A."""

    from_bus: _Number = Field(alias="from")
    to_bus: _Number = Field(alias="to")
    r_ohm: _Ohm
    x_ohm: _Ohm
    rated_a: _Positive | None = None


class Network(_Part):
    """A whole feeder; the bus with the lowest number is where it is fed."""

    source: Annotated[str, StringConstraints(max_length=1000)] = ""
    feeder: FeederPart
    buses: Annotated[list[BusPart], Field(min_length=1, max_length=MAX_BUSES)]
    lines: Annotated[list[LinePart], Field(max_length=MAX_LINES)]

    def bus_id(self, number: int) -> str:
        """Bus ids carry their feeder's, so that they are unique over all feeders."""
        return f"{self.feeder.id}-{number}"


class FirstFaults(Network):
    """The same, read only as far as the first bad bus and the first bad line."""

    buses: Annotated[list[BusPart], Field(min_length=1, max_length=MAX_BUSES), FailFast()]
    lines: Annotated[list[LinePart], Field(max_length=MAX_LINES), FailFast()]


def find_faults(network: Network) -> list[str]:
    """What is wrong with a well-formed network: doubled buses, lines to nowhere, islands."""
    numbers = [bus.number for bus in network.buses]
    known = set(numbers)
    ends = [(line.from_bus, line.to_bus) for line in network.lines]
    doubled_buses = [n for n, times in Counter(numbers).items() if times > 1]
    doubled_lines = [pair for pair, times in Counter(ends).items() if times > 1]
    faults = [f"bus {number} is there more than once" for number in doubled_buses]
    faults += [f"the line {a}–{b} is there more than once" for a, b in doubled_lines]
    strangers = sorted({number for pair in ends for number in pair} - known)
    faults += [f"a line leads to bus {number}, which is not there" for number in strangers]
    faults += [f"the line {a}–{b} begins and ends at one bus" for a, b in ends if a == b]
    faults += [
        f"the line {line.from_bus}–{line.to_bus} has no impedance"
        for line in network.lines
        if not line.r_ohm and not line.x_ohm
    ]
    if not faults:
        faults += [f"no lines lead to bus {number}" for number in _islands(ends, known)]
    return faults


def _islands(ends: Iterable[tuple[int, int]], known: set[int]) -> list[int]:
    """Buses that cannot be reached from the one with the lowest number."""
    neighbours: dict[int, set[int]] = {number: set() for number in known}
    for a, b in ends:
        neighbours[a].add(b)
        neighbours[b].add(a)
    reached, frontier = set[int](), {min(known)}
    while frontier:
        reached |= frontier
        frontier = {n for number in frontier for n in neighbours[number]} - reached
    return sorted(known - reached)
