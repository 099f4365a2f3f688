"""A repository that has no rehearsal.yaml gets one that says all that can be known of it."""

import ast
import shutil

import pytest

from canary import yamls
from canary.commands import init
from canary.errors import MachineError, UsageError
from canary.rehearse import draft, gaps, plan


@pytest.fixture
def repository(root, tmp_path):
    """Copies a service of another team, without what it says of its rehearsals."""

    def copy(name):
        folder = shutil.copytree(root / "acceptance/foreign" / name, tmp_path / name)
        (folder / "rehearsal.yaml").unlink()
        return folder

    return copy


def said(folder):
    made = draft.draft(folder, None)
    (folder / "rehearsal.yaml").write_text(made.rehearsal())
    (folder / "locustfile.py").write_text(made.locustfile())
    ast.parse(made.locustfile())
    (document,) = yamls.read(folder / "rehearsal.yaml")
    return document.body, [task.path for task in made.tasks]


def test_a_go_service_is_built_told_its_addresses_and_asked_for_its_routes(repository):
    folder = repository("orders")
    body, paths = said(folder)
    assert body["build"] == [["go", "build", "-o", "{out}/bin/orders", "."]]
    assert body["images"] == {"orders": ["orders"]}
    assert body["variables"] == {
        "LISTEN_ADDRESS": "{host}:{port.http}",
        "METRICS_ADDRESS": "{host}:{port.metrics}",
    }
    assert paths == ["'/orders'"]
    build = plan.read(folder / "rehearsal.yaml", None)
    gaps.check(build.bundle, build.config, "")


def test_a_python_service_gets_its_database_and_the_manifests_command_its_port(repository):
    folder = repository("quotes")
    body, paths = said(folder)
    command = ["uvicorn", "app:app", "--host", "{host}", "--port", "{port.http}"]
    assert body["images"] == {"quotes": {"run": command}}
    assert body["services"] == {"database": "postgresql"}
    assert body["secrets"] == {"quotes-database": {"url": "{database}"}}
    assert paths == ["'/quotes/1'"]


def test_a_node_service_is_started_as_its_package_says_and_its_port_is_guessed(repository):
    body, _ = said(repository("cart"))
    assert body["build"] == [["npm", "ci"]]
    assert body["images"] == {"cart": ["node", "server.mjs"]}
    assert body["listen"] == {"host": "HOST", "port": "PORT"}


def test_an_openapi_document_gives_the_requests_whose_parameters_have_values(root):
    made = draft.draft(root, root / "deploy/base")
    assert made.routes == "service/gridos/data/openapi.json"
    assert "'/v1/feeders'" in [task.path for task in made.tasks]
    assert made.secrets["gridos"][0] == "{}"
    names = [task.function for task in made.tasks]
    assert len(names) == len(set(names))


def test_a_repository_without_a_rollout_or_with_several_is_refused_by_name(repository, tmp_path):
    with pytest.raises(UsageError, match="holds no Rollout — name its manifests"):
        draft.draft(tmp_path, None)
    repository("orders"), repository("cart")
    with pytest.raises(UsageError, match=r"Rollouts in .*cart, .*orders — name one"):
        draft.draft(tmp_path, None)


def test_a_file_that_is_there_is_left_alone(repository):
    folder = repository("orders")
    (folder / "rehearsal.yaml").write_text("mine")
    chosen = type("Chosen", (), {"repository": folder, "manifests": None})
    with pytest.raises(UsageError, match="already there"):
        init.run(chosen)
    assert (folder / "rehearsal.yaml").read_text() == "mine"


def test_a_chart_with_a_rollout_is_found_and_needs_a_helm_which_the_message_says(
    root, tmp_path, monkeypatch
):
    shutil.copytree(root / "acceptance/foreign/rates", tmp_path / "rates")
    monkeypatch.setenv("PATH", str(tmp_path))
    for given in (None, tmp_path / "rates/chart"):
        with pytest.raises(MachineError, match="helm is not on PATH — go install"):
            draft.draft(tmp_path / "rates", given)
    with pytest.raises(MachineError, match="helm is not on PATH"):
        plan.read(tmp_path / "rates/rehearsal.yaml", None)
