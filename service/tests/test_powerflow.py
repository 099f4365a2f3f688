"""The state of a feeder, against the published result."""

import math

import pytest
from gridos import seed
from gridos.domain import powerflow
from gridos.domain.powerflow import NoSolution


def parts(scale=1.0):
    network = seed.network()
    buses = [
        {"bus_id": network.bus_id(b.number), "kw": b.kw * scale, "kvar": b.kvar * scale}
        for b in network.buses
    ]
    lines = [
        x.model_dump()
        | {"from_bus": network.bus_id(x.from_bus), "to_bus": network.bus_id(x.to_bus)}
        for x in network.lines
    ]
    return network.feeder.nominal_kv, buses, lines


def test_the_33_bus_feeder_has_its_published_state():
    # Baran and Wu 1989: losses of 202.7 kW, the lowest voltage 0.9131 p.u. at bus 18.
    state = powerflow.solve(*parts())
    assert state.losses_kw == pytest.approx(202.7, abs=0.05)
    assert state.losses_kvar == pytest.approx(135.2, abs=0.1)
    assert (state.lowest.bus_id, round(state.lowest.voltage_pu, 4)) == ("ieee33-18", 0.9131)
    assert len(state.buses) == 33


def test_lines_carry_what_their_ends_say_and_losses_add_up():
    state = powerflow.solve(*parts())
    first = state.lines[0]
    power_kva = math.hypot(3715 + state.losses_kw, 2300 + state.losses_kvar)
    assert first.current_a == pytest.approx(power_kva / (math.sqrt(3) * 12.66), rel=1e-3)
    assert first.share_of_rating == pytest.approx(first.current_a / 400)
    assert sum(line.losses_kw for line in state.lines) == pytest.approx(state.losses_kw)


def test_an_unrated_line_has_no_share_and_a_silent_bus_no_load():
    voltage, buses, lines = parts()
    lines = [{**line, "rated_a": None} for line in lines]
    buses = [{**bus, "kw": None, "kvar": None} for bus in buses]
    state = powerflow.solve(voltage, buses, lines)
    assert {line.share_of_rating for line in state.lines} == {None}
    assert state.losses_kw == pytest.approx(0, abs=1e-6)


def test_a_feeder_of_one_bus_has_a_state_too():
    state = powerflow.solve(10.0, [{"bus_id": "f-1", "kw": 5.0, "kvar": 0.0}], [])
    assert (state.losses_kw, state.lowest.voltage_pu, state.lines) == (0.0, 1.0, [])


def test_more_than_the_lines_can_carry_has_no_solution():
    with pytest.raises(NoSolution):
        powerflow.solve(*parts(scale=10))
