"""How long the edge sends requests to a pod that died, by the Ingress's own probe."""

import pytest

from canary.rehearse import ingress
from canary.runtime import documents
from canary.yamls import Document


def read(name, **annotations):
    metadata = {"annotations": {f"{ingress.PREFIX}{k}": v for k, v in annotations.items()}}
    body = {"kind": "Ingress", "metadata": metadata, "spec": {"ingressClassName": name}}
    return ingress.learns_after_s([Document("ingress.yaml", body)])


def test_the_shipped_edge_learns_of_a_dead_pod_by_its_second_failed_probe(root):
    assert ingress.learns_after_s(documents.read(root / "deploy/base")) == 10.0


@pytest.mark.parametrize(
    ("annotations", "seconds"),
    [({}, 90.0), ({"interval": "5"}, 15.0), ({"interval": "soon"}, 90.0)],
)
def test_application_gateway_probes_by_its_own_defaults_where_nothing_is_said(annotations, seconds):
    assert read("azure-application-gateway", **annotations) == seconds


def test_of_another_edge_nothing_is_known():
    assert read("nginx", interval="5") is None
    assert ingress.learns_after_s([]) is None
