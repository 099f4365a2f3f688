import dataclasses
import re
import uuid

import pytest

from canary.argo.objects import Container
from canary.errors import UsageError
from canary.rehearse.environment import PodFacts, Sources, resolve

POD = PodFacts("gridos-abc-1", "gridos", {"app": "g"}, {"note": "n"}, "127.0.0.1")
SOURCES = Sources({"settings": {"A": "1", "B": "2"}}, {"login": {"url": "secret"}})


def container(**fields):
    return Container.model_validate({"name": "c", "image": "i", **fields})


def env(name, **source):
    return {"env": [{"name": name, "valueFrom": source}]}


def test_later_variables_win_over_earlier_and_env_over_env_from():
    spec = container(
        envFrom=[{"configMapRef": {"name": "settings"}}], env=[{"name": "B", "value": "mine"}]
    )
    assert resolve(spec, POD, SOURCES) == {"A": "1", "B": "mine"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "gridos-abc-1"),
        ({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "g"),
        ({"fieldRef": {"fieldPath": "metadata.annotations['note']"}}, "n"),
        ({"secretKeyRef": {"name": "login", "key": "url"}}, "secret"),
        ({"configMapKeyRef": {"name": "settings", "key": "A"}}, "1"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}, "450"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "1"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}, "1"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "450"),
        ({"resourceFieldRef": {"resource": "requests.memory"}}, "0"),
        ({"resourceFieldRef": {"resource": "limits.hugepages-2Mi"}}, "0"),
    ],
)
def test_a_value_comes_from_where_the_manifest_says(source, expected):
    spec = container(resources={"limits": {"cpu": "450m"}}, **env("X", **source))
    assert resolve(spec, POD, SOURCES) == {"X": expected}


def test_a_pod_has_a_uid_of_its_own():
    asked = container(**env("X", fieldRef={"fieldPath": "metadata.uid"}))
    pods = (POD, dataclasses.replace(POD, name="another"))
    first, second = (uuid.UUID(resolve(asked, pod, SOURCES)["X"]) for pod in pods)
    assert first != second


@pytest.mark.parametrize("resource", ["cpu", "memory", "ephemeral-storage"])
def test_a_limit_that_is_not_set_is_what_the_machine_has_as_on_a_node(resource):
    asked = env("X", resourceFieldRef={"resource": f"limits.{resource}"})
    assert int(resolve(container(**asked), POD, SOURCES)["X"]) >= 1


def test_an_optional_secret_that_is_missing_sets_nothing():
    spec = container(**env("X", secretKeyRef={"name": "no", "key": "k", "optional": True}))
    assert resolve(spec, POD, SOURCES) == {}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        (env("X", secretKeyRef={"name": "no", "key": "k"}), "Secret no.k is referenced"),
        (env("X", configMapKeyRef={"name": "no", "key": "k"}), "ConfigMap no.k is referenced"),
        ({"envFrom": [{"secretRef": {"name": "no"}}]}, "Secret no is referenced"),
        (env("X", fieldRef={"fieldPath": "spec.magic"}), "spec.magic is not understood"),
    ],
)
def test_what_cannot_be_had_is_named_with_its_remedy(fields, complaint):
    with pytest.raises(UsageError, match=complaint.replace(".", r"\.")):
        resolve(container(**fields), POD, SOURCES)


def test_users_ask_the_service_and_never_import_it(root):
    """Locust loads this file by its path, so it is read here, beside `make lint-imports`."""
    text = (root / "canary/rehearse/locustfile.py").read_text()
    assert re.search(r"^\s*(from|import) rehearsal\b|^from locust\b", text, re.MULTILINE)
    assert not re.search(r"^\s*(from|import) gridos\b", text, re.MULTILINE)
