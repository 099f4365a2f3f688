"""The same gate asked of stable: by its hash, or by the Service that a router's gate names."""

from dataclasses import replace

import pytest

from canary.argo.model import Hashes, PodMetadata, Rollout
from canary.rehearse.measurements import Sides, _about_stable

HASHES = Hashes("new", "old")
ROLLOUT = Rollout("shop", "shop", 4, ())


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
    assert _about_stable(query, HASHES, Sides(services)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('x{role="canary",y="canary"}', 'x{role="stable",y="canary"}'),
        ('x{team_part=~"a.b"} / y{team_part = "a.b"}', 'x{team_part=~""} / y{team_part = ""}'),
        ('x{canary="yes"}', 'x{canary="yes"}'),
        *(
            (
                f"nginx_ingress_controller_requests{{a='1',canary{of}}}",
                "nginx_ingress_controller_requests{a='1',canary=\"\"}",
            )
            for of in ('!=""', '=~".+"', '="shop-shop-canary-80"', '=""')
        ),
    ],
)
def test_a_gates_counterpart_has_the_labels_of_stables_pods(query, expected):
    canary = PodMetadata({"role": "canary", "team/part": "a.b"})
    rollout = replace(
        ROLLOUT, canary_metadata=canary, stable_metadata=PodMetadata({"role": "stable"})
    )
    assert _about_stable(query, HASHES, Sides.of(rollout)) == expected
