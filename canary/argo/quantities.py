"""Quantities of Kubernetes as numbers."""

import re
from fractions import Fraction

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]?|[KMGTPE]i)")
_SUFFIXES = {
    **{name: Fraction(1, 1000 ** (3 - power)) for power, name in enumerate("num")},
    **{name: Fraction(1000**power) for power, name in enumerate(["", *"kMGTPE"])},
    **{f"{name}i": Fraction(1024**power) for power, name in enumerate("KMGTPE", 1)},
}


def parse(value: object) -> Fraction:
    """A quantity of Kubernetes, such as "500m", "256Mi", "1e3" or 1.

    Raises:
        ValueError: if it is none.
    """
    found = _FORM.fullmatch(str(value))
    if found is None:
        raise ValueError(f"{value!r} is not a quantity, such as 500m or 256Mi")
    return Fraction(found[1]) * _SUFFIXES[found[2]]
