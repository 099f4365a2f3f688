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


KOTLIN = {
    "build.gradle.kts": 'plugins { id("spring") version "3" }\nversion = "2.1"\n',
    "settings.gradle.kts": 'rootProject.name = "till"\n',
    "gradlew": "",
}


@pytest.mark.parametrize(
    ("files", "build", "command"),
    [
        (
            {"package.json": '{"scripts": {"start": "next start", "build": "next build"}}', "pnpm-lock.yaml": ""},
            [["pnpm", "install", "--frozen-lockfile"], ["pnpm", "run", "build"]],
            ["pnpm", "start"],
        ),
        ({"package.json": '{"main": "app.js"}', "yarn.lock": ""}, [["yarn", "install", "--frozen-lockfile"]], ["node", "app.js"]),
        (KOTLIN, [["./gradlew", "--quiet", "build", "-x", "test"]], ["java", "-jar", "build/libs/till-2.1.jar"]),
        ({"build.gradle": ""}, [["gradle", "--quiet", "build", "-x", "test"]], ["java", "-jar", "build/libs/orders.jar"]),
        ({"go.mod": "", "app/main.go": "package main"}, [["go", "build", "-o", "{out}/bin/orders", "./app"]], ["orders"]),
        (
            {"go.mod": "", "cmd/worker/main.go": "", "cmd/orders/main.go": ""},
            [["go", "build", "-o", "{out}/bin/orders", "./cmd/orders"]],
            ["orders"],
        ),
        (
            {"pyproject.toml": ""},
            [
                ["uv", "venv", "--quiet", "--no-project", "{out}"],
                ["uv", "pip", "install", "--quiet", "--python", "{out}/bin/python", "."],
            ],
            ["CHANGE-ME"],
        ),
    ],
)  # fmt: skip
def test_what_builds_a_service_is_found_by_its_files(root, tmp_path, files, build, command):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copy(root / "acceptance/foreign/orders/manifests.yaml", tmp_path)
    body, _ = said(tmp_path)
    assert body["build"] == build
    assert body["images"]["orders"] == command


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("A.java", '@RequestMapping("/api") @RestController class A { @GetMapping("/tills") }', "/api/tills"),
        ("a.py", 'r = APIRouter(tags=["x"], prefix="/v1")\n@r.get("/tills")', "/v1/tills"),
        ("a.py", 'b = Blueprint("b", __name__, url_prefix="/v2/")\n@b.route("/tills")', "/v2/tills"),
        ("a.py", '@app.get("/tills")', "/tills"),
    ],
)  # fmt: skip
def test_a_route_is_asked_for_below_the_prefix_of_its_file(root, tmp_path, name, text, path):
    shutil.copy(root / "acceptance/foreign/orders/manifests.yaml", tmp_path)
    (tmp_path / name).write_text(text)
    assert said(tmp_path)[1] == [repr(path)]


def test_each_overlay_is_a_place_of_its_own(root, tmp_path):
    base = tmp_path / "deploy/base"
    base.mkdir(parents=True)
    shutil.copy(root / "acceptance/foreign/orders/manifests.yaml", base)
    (base / "kustomization.yaml").write_text("resources: [manifests.yaml]")
    for name in ("dev", "prod"):
        overlay = tmp_path / "deploy/overlays" / name
        overlay.mkdir(parents=True)
        (overlay / "kustomization.yaml").write_text(
            "resources: [../../base]\ncommonAnnotations: {team: shop}"
        )
    with pytest.raises(UsageError, match=r"Rollouts in \S+/overlays/dev, \S+/overlays/prod — name"):
        draft.draft(tmp_path, None)


def test_a_chart_below_charts_is_one_of_its_own_or_part_of_another(root, tmp_path, monkeypatch):
    chart = shutil.copytree(root / "acceptance/foreign/rates/chart", tmp_path / "a/charts/rates")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="helm is not on PATH"):
        draft.draft(tmp_path / "a", None)
    shutil.copytree(chart, chart / "charts/inner")
    with pytest.raises(MachineError, match="helm is not on PATH"):
        draft.draft(tmp_path / "a", None)


def test_of_several_services_in_one_repository_each_has_its_own_folder(
    repository, tmp_path, capsys
):
    folder = repository("orders")
    repository("cart")
    with pytest.raises(UsageError, match=rf"with --repository, such as {tmp_path}/cart"):
        draft.draft(tmp_path, None)
    given = folder / "manifests.yaml"
    assert draft.draft(tmp_path, given).routes == "the routes in orders/main.go"
    init.run(type("Chosen", (), {"repository": tmp_path, "manifests": given, "rollout": None}))
    assert f"own folder seems to be {folder}; with --repository" in capsys.readouterr().out


def test_of_several_rollouts_beside_each_other_one_is_chosen_by_its_name(repository):
    folder = repository("orders")
    text = (folder / "manifests.yaml").read_text()
    (folder / "worker.yaml").write_text(text.replace("name: orders", "name: worker"))
    (folder / "all").mkdir()
    for file in ("manifests.yaml", "worker.yaml"):
        (folder / file).rename(folder / "all" / file)
    with pytest.raises(UsageError, match="holds 2 Rollouts — choose one with --rollout: there are orders, worker"):  # fmt: skip
        draft.draft(folder, None)
    made = draft.draft(folder, None, "orders")
    (folder / "rehearsal.yaml").write_text(made.rehearsal())
    (folder / "locustfile.py").write_text(made.locustfile())
    build = plan.read(folder / "rehearsal.yaml", None)
    assert build.bundle.rollout.metadata.name == "orders"
    text = made.rehearsal().replace("rollout: orders\n", "")
    (folder / "rehearsal.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"2 Rollouts \(orders, worker\) — name the one"):
        plan.read(folder / "rehearsal.yaml", None)


def test_manifests_of_another_repository_are_named_from_the_configurations_folder(
    repository, tmp_path
):
    app, gitops = repository("orders"), tmp_path / "gitops"
    gitops.mkdir()
    (app / "manifests.yaml").rename(gitops / "orders.yaml")
    made = draft.draft(app, gitops / "orders.yaml")
    assert made.manifests == "../gitops/orders.yaml"
    assert "what is there now" in made.rehearsal()


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
    chosen = type("Chosen", (), {"repository": folder, "manifests": None, "rollout": None})
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
