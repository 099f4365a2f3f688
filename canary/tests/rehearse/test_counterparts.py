"""The same gate asked of stable: by its hash, or by the Service that a router's gate names."""

import pytest

from canary.argo.model import Hashes
from canary.rehearse.measurements import _about_stable

HASHES = Hashes("new", "old")


@pytest.mark.parametrize(
    ("query", "services", "expected"),
    [
        ('x{hash="new"}', ("", ""), 'x{hash="old"}'),
        ('x{service="shop-canary"}', ("shop-canary", "shop"), 'x{service="shop"}'),
        ('x{s=~".*shop-canary.*"}', ("shop-canary", "shop"), 'x{s=~".*shop.*"}'),
        ('x{s="shop.ns.svc"} / y{s="shop-stable"}', ("shop", "shop-stable"),
         'x{s="shop-stable.ns.svc"} / y{s="shop-stable"}'),
        ("sum(x)", ("shop-canary", "shop"), "sum(x)"),
    ],
)  # fmt: skip
def test_a_gates_counterpart_names_the_stable_side(query, services, expected):
    assert _about_stable(query, HASHES, services) == expected
