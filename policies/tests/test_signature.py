"""The signature policy is one of Kyverno's: as its own definition of the kind has it, field by field."""

import copy

import pytest
import yaml

from policies import schema


@pytest.fixture
def policy(root):
    return yaml.safe_load((root / "deploy/admission/signature.yaml").read_text())


def test_the_shipped_policy_meets_kyvernos_schema(policy):
    assert schema.check([policy], schema.VERSIONS[0]) == []


@pytest.mark.parametrize(
    "field", ["attestors", "failurePolicy", "validationActions", "validations"]
)
def test_a_field_that_is_misspelt_is_found(policy, field):
    wrong = copy.deepcopy(policy)
    wrong["spec"][f"{field}s"] = wrong["spec"].pop(field)
    assert field in " ".join(schema.check([wrong], schema.VERSIONS[0]))


def test_an_attestor_that_names_nobody_is_found(policy):
    keyless = policy["spec"]["attestors"][0]["cosign"]["keyless"]
    del keyless["identities"]
    assert "identities" in " ".join(schema.check([policy], schema.VERSIONS[0]))
