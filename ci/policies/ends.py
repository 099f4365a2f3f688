"""Ends of flows that are none of ours: who else is in the cluster, and what lies outside of it."""

from __future__ import annotations

from policies.connectivity import Address, End, Pod

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
