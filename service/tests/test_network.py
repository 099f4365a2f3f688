"""A network file: what is wrong with it is said before anything is stored."""

import pytest
from gridos.domain.network import Network, find_faults

FEEDER = {"id": "f", "name": "F", "nominal_kv": 10, "rated_kva": 100}


def network(numbers, *ends, r_ohm=1.0):
    return Network.model_validate(
        {
            "feeder": FEEDER,
            "buses": [{"number": n, "kw": 1, "kvar": 0} for n in numbers],
            "lines": [{"from": a, "to": b, "r_ohm": r_ohm, "x_ohm": 0} for a, b in ends],
        }
    )


@pytest.mark.parametrize(
    ("made", "faults"),
    [
        (network([1, 2, 3], (1, 2), (2, 3)), []),
        (network([1]), []),
        (network([1, 1], (1, 1)), ["bus 1 is there more", "begins and ends at one bus"]),
        (network([1, 2], (1, 2), (1, 2)), ["the line 1–2 is there more"]),
        (network([1, 2], (1, 9)), ["a line leads to bus 9"]),
        (network([1, 2, 3], (1, 2)), ["no lines lead to bus 3"]),
        (network([1, 2], (1, 2), r_ohm=0), ["has no impedance"]),
    ],
)
def test_each_fault_is_named(made, faults):
    found = find_faults(made)
    assert len(found) == len(faults)
    assert all(fault in text for fault, text in zip(faults, found, strict=True)), found
