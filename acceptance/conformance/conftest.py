"""What the tests of whole rehearsals on the cluster share."""

import pytest

from acceptance.cluster import ROOT, Cluster


@pytest.fixture(scope="module")
def namespaces(platform: Cluster) -> Cluster:
    """The cluster, with the namespaces of the local overlay."""
    for namespace in ("base/namespace.yaml", "overlays/local/namespace-monitoring.yaml"):
        platform.kubectl("apply", "-f", str(ROOT / "deploy" / namespace))
    return platform
