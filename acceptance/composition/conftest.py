"""What the tests of production on a real cluster share."""

import pytest

from acceptance.cluster import Cluster


@pytest.fixture
def empty_cluster(cluster: Cluster) -> Cluster:
    """The cluster anew, without what other tests made in it."""
    cluster.down()
    cluster.start()
    return cluster
