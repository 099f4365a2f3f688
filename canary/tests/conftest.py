"""What the tests of the gates share."""

import json

import pytest

from canary.argo import manifests, releases
from canary.lint import contract
from canary.power import catalogue, mutation
from canary.runtime import documents


@pytest.fixture(scope="session")
def shipped(root):
    return documents.read_all([str(root / "deploy/base")])


@pytest.fixture(scope="session")
def bundle(root):
    return manifests.read(documents.read(root / "deploy/base"))


@pytest.fixture(scope="session")
def rollout(bundle):
    return manifests.rollout(bundle)


@pytest.fixture(scope="session")
def release(shipped):
    (release,) = releases.find(shipped)
    return release


@pytest.fixture(scope="session")
def subject(release):
    return mutation.subject_of(release)


@pytest.fixture(scope="session")
def saved(root):
    return contract.load(str(root / "observability/contract.prom"))


@pytest.fixture
def document(root):
    """A real run's result: the canary crashed, rolled back at the second step (index 5)."""
    return json.loads((root / "canary/tests/rehearse/results/rolled-back.json").read_text())


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    file = tmp_path_factory.mktemp("contract") / "scrape.prom"
    file.write_text(catalogue.scrape())
    return contract.load(str(file))
