"""Who may talk to whom: NetworkPolicies evaluated, without a network.

Source of the rules: kubernetes.io, "Network Policies". A flow needs the leave of both ends: of the
sender's egress and of the receiver's ingress. An end that no policy of that direction selects is
open; one that some select allows what any of them allows. Probes from the node are never kept out.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.objects import Object, namespace, of, pods
from policies.rules import selects


@dataclass(frozen=True)
class Pod:
    """One end in the cluster; `ports` are those it names."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """One end outside of it."""

    name: str
    ip: str


End = Pod | Address


@dataclass(frozen=True)
class Flow:
    """One end asking another on a port."""

    source: End
    target: End
    port: int
    protocol: str = "TCP"


# Who else is in the cluster, and what lies outside of it.
OTHER = Pod(
    "another pod of the namespace", "gridos", {"app": "other"}, {"http": 8000, "management": 8001}
)
STRANGER = Pod("a pod of another namespace", "default", {"app.kubernetes.io/name": "gridos"})
PROMETHEUS = Pod("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"})
IMPOSTOR = Pod("prometheus elsewhere", "default", {"app.kubernetes.io/name": "prometheus"})
DNS = Pod("dns", "kube-system", {"k8s-app": "kube-dns"})
API = Address("the API server", "10.42.5.20")
GATEWAY = Address("Application Gateway", "10.42.4.10")
NODE = Address("another subnet", "10.42.0.7")
DATABASE = Address("PostgreSQL", "10.42.5.4")
ENTRA = Address("Entra", "20.190.128.1")
INTERNET = Address("the internet", "198.51.100.1")
METADATA = Address("the instance metadata", "169.254.169.254")

ENDS: tuple[End, ...] = (
    OTHER,
    STRANGER,
    PROMETHEUS,
    IMPOSTOR,
    DNS,
    API,
    GATEWAY,
    NODE,
    DATABASE,
    ENTRA,
    INTERNET,
    METADATA,
)


def allowed(objects: Sequence[Object], flow: Flow) -> bool:
    """Whether the policies let the flow pass."""
    policies = list(of(objects, "NetworkPolicy"))
    return _passes(policies, "Egress", flow) and _passes(policies, "Ingress", flow)


def declared(objects: Sequence[Object]) -> Iterator[Pod]:
    """The pods that the objects make, one of each."""
    for group in pods(objects):
        named = [port for c in group.spec["containers"] for port in c.get("ports", [])]
        ports = {port["name"]: port["containerPort"] for port in named if "name" in port}
        yield Pod(group.owner["metadata"]["name"], group.namespace, group.labels, ports)


def _passes(policies: Sequence[Object], way: str, flow: Flow) -> bool:
    here, there = (flow.source, flow.target) if way == "Egress" else (flow.target, flow.source)
    if isinstance(here, Address):
        return True
    selecting = [
        policy
        for policy in policies
        if namespace(policy) == here.namespace
        and way in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], here.labels)
    ]
    return not selecting or any(
        _rule_allows(rule, namespace(policy), there, flow, way)
        for policy in selecting
        for rule in policy["spec"].get(way.lower(), [])
    )


def _rule_allows(rule: Mapping[str, Any], home: str, there: End, flow: Flow, way: str) -> bool:
    peers = rule.get("from" if way == "Ingress" else "to", [])
    ports = rule.get("ports", [])
    return (not peers or any(_peer_is(peer, home, there) for peer in peers)) and (
        not ports or any(_port_is(port, flow) for port in ports)
    )


def _peer_is(peer: Mapping[str, Any], home: str, there: End) -> bool:
    if "ipBlock" in peer:
        return isinstance(there, Address) and _within(peer["ipBlock"], there.ip)
    if isinstance(there, Address):
        return False
    if "namespaceSelector" in peer:
        labels = {"kubernetes.io/metadata.name": there.namespace}
        if not selects(peer["namespaceSelector"], labels):
            return False
    elif there.namespace != home:
        return False
    return selects(peer.get("podSelector", {}), there.labels)


def _within(block: Mapping[str, Any], ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return address in ipaddress.ip_network(block["cidr"]) and not any(
        address in ipaddress.ip_network(hole) for hole in block.get("except", [])
    )


def _port_is(port: Mapping[str, Any], flow: Flow) -> bool:
    if port.get("protocol", "TCP") != flow.protocol:
        return False
    number = port.get("port", flow.port)
    if isinstance(number, str):
        number = flow.target.ports.get(number) if isinstance(flow.target, Pod) else None
    return bool(number == flow.port)
