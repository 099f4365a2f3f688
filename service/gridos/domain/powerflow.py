"""The state of a feeder under its loads: voltages, line loading, losses.

The solver is power-grid-model's Newton-Raphson (LF Energy); nothing is solved by hand here. The
feeder is fed at the bus with the lowest number, at nominal voltage, from a source so strong that it
does not sag: that is how the published test feeders are stated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from power_grid_model import (
    DatasetType,
    LoadGenType,
    PowerGridModel,
    initialize_array,
    power_grid_meta_data,
)
from power_grid_model.errors import PowerGridError

# Short-circuit power of the source. The library's default of 1e10 VA would sag by 4e-4 p.u. under
# 4 MVA, which is as much as the figures that are compared with.
STIFF_VA = 1e20
# The library needs a rating to compute loading; where there is none, the result is dropped.
_NO_RATING_A = 1.0
_LINE_RESULT = power_grid_meta_data[DatasetType.sym_output]["line"].dtype


class NoSolution(Exception):
    """The loads are more than the feeder can carry at any voltage."""


@dataclass(frozen=True, slots=True)
class BusState:
    """Voltage of a bus in p.u. of nominal, and its angle in degrees."""

    bus_id: str
    voltage_pu: float
    angle_deg: float


@dataclass(frozen=True, slots=True)
class LineState:
    """Current of a line in A, its share of the rating (None: unrated), and its losses in kW."""

    from_bus: str
    to_bus: str
    current_a: float
    share_of_rating: float | None
    losses_kw: float


@dataclass(frozen=True)
class State:
    """A solved feeder."""

    losses_kw: float
    losses_kvar: float
    lowest: BusState
    buses: Sequence[BusState]
    lines: Sequence[LineState]


def solve(
    nominal_kv: float, buses: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> State:
    """Solves a feeder.

    Args:
        nominal_kv: Phase-to-phase.
        buses: In order of their numbers, with bus_id, kw and kvar (None: no load).
        lines: With from_bus, to_bus, r_ohm, x_ohm and rated_a (None: unrated).

    Raises:
        NoSolution: if there is none, or the data cannot be solved.
    """
    index = {bus["bus_id"]: number for number, bus in enumerate(buses)}
    source_id = len(buses) + len(lines)
    parts = {
        "node": _array("node", 0, len(buses), u_rated=nominal_kv * 1e3),
        "line": _array(
            "line",
            len(buses),
            len(lines),
            from_node=[index[line["from_bus"]] for line in lines],
            to_node=[index[line["to_bus"]] for line in lines],
            from_status=1,
            to_status=1,
            r1=[line["r_ohm"] for line in lines],
            x1=[line["x_ohm"] for line in lines],
            c1=0.0,
            tan1=0.0,
            i_n=[line["rated_a"] or _NO_RATING_A for line in lines],
        ),
        "source": _array("source", source_id, 1, node=0, status=1, u_ref=1.0, sk=STIFF_VA),
        "sym_load": _array(
            "sym_load",
            source_id + 1,
            len(buses),
            node=np.arange(len(buses)),
            status=1,
            type=LoadGenType.const_power,
            p_specified=[(bus["kw"] or 0.0) * 1e3 for bus in buses],
            q_specified=[(bus["kvar"] or 0.0) * 1e3 for bus in buses],
        ),
    }
    try:
        solved = PowerGridModel(parts).calculate_power_flow(symmetric=True)
    except PowerGridError as failed:
        raise NoSolution(str(failed).strip().splitlines()[0]) from None
    return _state(solved, buses, lines)


def _array(kind: str, first: int, size: int, **columns: Any) -> Any:
    """So many parts of a kind, numbered from `first`."""
    array = initialize_array("input", kind, size)
    array["id"] = first + np.arange(size)
    for name, values in columns.items():
        array[name] = values
    return array


def _state(
    solved: Mapping[str, Any],
    buses: Sequence[Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
) -> State:
    # The solver leaves out a kind of part that there is none of.
    nodes = solved["node"]
    branches = solved.get("line", np.zeros(0, dtype=_LINE_RESULT))
    losses_kw = (branches["p_from"] + branches["p_to"]) / 1e3
    losses_kvar = (branches["q_from"] + branches["q_to"]) / 1e3
    if not np.isfinite(nodes["u_pu"]).all():
        raise NoSolution("a voltage is not finite")
    angles = np.degrees(nodes["u_angle"])
    bus_states = [
        BusState(bus["bus_id"], float(u), float(angle))
        for bus, u, angle in zip(buses, nodes["u_pu"], angles, strict=True)
    ]
    line_states = [
        LineState(
            line["from_bus"],
            line["to_bus"],
            float(current),
            float(loading) if line["rated_a"] else None,
            float(losses),
        )
        for line, current, loading, losses in zip(
            lines, branches["i_from"], branches["loading"], losses_kw, strict=True
        )
    ]
    lowest = min(bus_states, key=lambda state: state.voltage_pu)
    return State(float(losses_kw.sum()), float(losses_kvar.sum()), lowest, bus_states, line_states)
