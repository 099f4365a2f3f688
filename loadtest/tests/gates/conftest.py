"""What the tests of the gates share."""

import pytest
from gates import catalogue, contract, documents


@pytest.fixture(scope="session")
def shipped(root):
    return documents.read([str(root / "deploy/base")])


@pytest.fixture(scope="session")
def saved(root):
    return contract.load(str(root / "observability/contract.prom"))


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    file = tmp_path_factory.mktemp("contract") / "scrape.prom"
    file.write_text(catalogue.scrape())
    return contract.load(str(file))
