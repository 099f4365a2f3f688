"""The signature policy, given to the real Kyverno, over a registry of our own.

Keyless identities need Sigstore, so a key takes their place; everything else is the shipped policy.
"""

import copy
import json
from pathlib import Path
from string import Template

import pytest
import yaml

from acceptance.calling import quietly
from acceptance.pipeline.conftest import on_path
from acceptance.things import thing
from canary.runtime.processes import inherited

ASKED = Path(__file__).with_name("kyverno.yaml")


@pytest.fixture(scope="module", autouse=True)
def _kyverno():
    with on_path("kyverno"):
        yield


@pytest.fixture(scope="module")
def shipped(root):
    return yaml.safe_load((root / "deploy/admission/signature.yaml").read_text())


@pytest.fixture
def policy(shipped, key):
    """The shipped one, with our key for the workflow's identity, and no public log of it."""
    changed = copy.deepcopy(shipped)
    (attestor,) = changed["spec"]["attestors"]
    public = key.with_suffix(".pub").read_text()
    log = {"insecureIgnoreTlog": True, "insecureIgnoreSCT": True}
    attestor["cosign"] = {"key": {"data": public}, "ctlog": log}
    return changed


def pod(image, namespace="gridos"):
    spec = {"containers": [{"name": "gridos", "image": image}]}
    return thing("v1", "Pod", "asked", namespace, spec=spec)


def ask(folder, policy, resource, wanted):
    """Has Kyverno test that the pod's result is the wanted one; returns what it said."""
    namespace = resource["metadata"]["namespace"]
    filled = Template(ASKED.read_text("utf-8")).substitute(wanted=wanted, namespace=namespace)
    test, values = yaml.safe_load_all(filled)
    folder.mkdir(exist_ok=True)
    files = {"kyverno-test": test, "policy": policy, "pod": resource, "values": values}
    for name, body in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(body))
    how = ("--registry", "--detailed-results", "--remove-color")
    return quietly("kyverno", "test", ".", *how, cwd=folder, env=inherited(HOME=str(folder)))


def test_an_image_that_we_signed_with_its_bill_of_materials_is_let_in(
    tmp_path, policy, key, make_image
):
    ours = make_image(tmp_path / "image")
    ours.push(key)
    done = ask(tmp_path / "test", policy, pod(ours.name), "pass")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["initContainers", "ephemeralContainers"])
@pytest.mark.parametrize(("signed", "wanted"), [(True, "pass"), (False, "fail")])
def test_a_container_beside_the_main_one_is_judged_by_its_own_signature(
    tmp_path, policy, key, served, make_image, kind, signed, wanted
):
    ours, other = make_image(tmp_path / "image"), make_image(tmp_path / "other", "other")
    ours.push(key)
    if signed:
        other.push(key)
    asked = pod(ours.name)
    name = other.name if signed else f"{served}/made@{other.release.digest}"
    asked["spec"][kind] = [{"name": "beside", "image": name}]
    done = ask(tmp_path / "test", policy, asked, wanted)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_strangers_signature_is_refused(tmp_path, policy, key, make_key, make_image):
    foreign = make_image(tmp_path / "image", "foreign")
    foreign.push(make_key())
    done = ask(tmp_path / "test", policy, pod(foreign.name), "fail")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unsigned_image_is_refused(tmp_path, policy, served, make_image):
    unsigned = make_image(tmp_path / "image", "unsigned")
    name = f"{served}/made@{unsigned.release.digest}"
    done = ask(tmp_path / "test", policy, pod(name), "fail")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_signature_without_a_bill_of_materials_is_refused(tmp_path, policy, key, make_image):
    bare = make_image(tmp_path / "image", "bare")
    bare.push(key)
    asked = copy.deepcopy(policy)
    asked["spec"]["attestations"][0]["intoto"]["type"] = "https://spdx.dev/Document"
    done = ask(tmp_path / "test", asked, pod(bare.name), "fail")
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_namespace_is_not_concerned(tmp_path, policy, served, make_image):
    unsigned = make_image(tmp_path / "image", "elsewhere")
    name = f"{served}/made@{unsigned.release.digest}"
    done = ask(tmp_path / "test", policy, pod(name, "elsewhere"), "fail")
    assert "Not found" in done.stdout, "a result was found for it, and there should be none"


def test_the_shipped_policy_does_not_take_a_key_for_the_workflow(
    tmp_path, shipped, key, make_image
):
    ours = make_image(tmp_path / "image", "keyed")
    ours.push(key)
    done = ask(tmp_path / "test", shipped, pod(ours.name), "pass")
    assert done.returncode != 0, json.dumps(shipped) + done.stdout
