"""Every allowed flow and every refused one, over the rendered objects."""

import pytest

from acceptance.conformance import flows
from acceptance.conformance.flows import (
    API,
    DATABASE,
    DNS,
    ENTRA,
    GATEWAY,
    IMPOSTOR,
    INTERNET,
    METADATA,
    NODE,
    OTHER,
    PROMETHEUS,
    STRANGER,
    Flow,
)
from policies import objects


@pytest.fixture(scope="session")
def production(root):
    return objects.read(root / "deploy/overlays/production")


@pytest.fixture(scope="session")
def local(root):
    return objects.read(root / "deploy/overlays/local")


def ours(things):
    return {pod.name: pod for pod in flows.declared(things)}


# Each row: who asks whom, on which port, and whether it passes.
PRODUCTION = [
    (GATEWAY, "gridos", 8000, "TCP", True),
    (GATEWAY, "gridos", 8001, "TCP", False),
    (GATEWAY, "gridos", 9090, "TCP", False),
    (PROMETHEUS, "gridos", 8001, "TCP", True),
    (PROMETHEUS, "gridos", 8000, "TCP", False),
    *((end, "gridos", 8001, "TCP", False) for end in (IMPOSTOR, STRANGER, OTHER, NODE, INTERNET)),
    (IMPOSTOR, "gridos", 8000, "TCP", False),
    (STRANGER, "gridos", 8000, "TCP", False),
    (OTHER, "gridos", 8000, "TCP", False),
    (NODE, "gridos", 8000, "TCP", False),
    (INTERNET, "gridos", 8000, "TCP", False),
    ("gridos", "gridos", 8000, "TCP", False),
    (GATEWAY, "gridos-migrate", 8000, "TCP", False),
    *(
        flow
        for pod in ("gridos", "gridos-migrate", "gridos-retain")
        for flow in [
            (pod, DATABASE, 5432, "TCP", True),
            (pod, DATABASE, 22, "TCP", False),
            (pod, DNS, 53, "UDP", True),
            (pod, DNS, 53, "TCP", True),
            (pod, DNS, 443, "TCP", False),
            (pod, ENTRA, 443, "TCP", True),
            (pod, ENTRA, 80, "TCP", False),
            (pod, INTERNET, 443, "TCP", False),
            (pod, METADATA, 80, "TCP", False),
            (pod, METADATA, 443, "TCP", False),
            (pod, API, 443, "TCP", False),
            (pod, NODE, 443, "TCP", False),
            (pod, PROMETHEUS, 9090, "TCP", False),
            (pod, STRANGER, 8000, "TCP", False),
        ]
    ),
    (OTHER, DATABASE, 5432, "TCP", False),
    (OTHER, ENTRA, 443, "TCP", False),
    (OTHER, DNS, 53, "UDP", True),
]

LOCAL = [
    ("gateway", "gridos", 8000, "TCP", True),
    ("gateway", "postgresql", 5432, "TCP", False),
    (OTHER, "gateway", 8080, "TCP", False),
    (STRANGER, "gateway", 8080, "TCP", True),
    (NODE, "gateway", 8080, "TCP", True),
    (NODE, "gridos", 8000, "TCP", False),
    ("gridos", "postgresql", 5432, "TCP", True),
    ("gridos-migrate", "postgresql", 5432, "TCP", True),
    ("gridos-seed", "postgresql", 5432, "TCP", True),
    ("gridos-retain", "postgresql", 5432, "TCP", True),
    (OTHER, "postgresql", 5432, "TCP", False),
    (STRANGER, "postgresql", 5432, "TCP", False),
    ("gridos", INTERNET, 443, "TCP", False),
    ("gateway", "gridos", 8001, "TCP", False),
    ("prometheus", "gridos", 8001, "TCP", True),
    ("prometheus", "gridos", 8000, "TCP", False),
    ("prometheus", "gateway", 9901, "TCP", True),
    ("kube-state-metrics", "gridos", 8000, "TCP", False),
]


def flow(things, source, target, port, protocol):
    pods = ours(things)
    ends = [pods[end] if isinstance(end, str) else end for end in (source, target)]
    return Flow(*ends, port, protocol)


@pytest.mark.parametrize(("source", "target", "port", "protocol", "passes"), PRODUCTION)
def test_production_lets_pass_what_is_needed_and_nothing_else(
    production, source, target, port, protocol, passes
):
    assert flows.allowed(production, flow(production, source, target, port, protocol)) is passes


@pytest.mark.parametrize(("source", "target", "port", "protocol", "passes"), LOCAL)
def test_the_local_overlay_does_too(local, source, target, port, protocol, passes):
    assert flows.allowed(local, flow(local, source, target, port, protocol)) is passes


@pytest.mark.parametrize("name", ["default-deny", "dns", "gateway", "metrics", "database", "entra"])
def test_without_any_one_of_the_policies_some_flow_changes(production, name):
    def outcome(things):
        return [flows.allowed(things, flow(things, *row[:4])) for row in PRODUCTION]

    without = [
        t for t in production if (t["kind"], t["metadata"]["name"]) != ("NetworkPolicy", name)
    ]
    assert outcome(without) != outcome(production)
