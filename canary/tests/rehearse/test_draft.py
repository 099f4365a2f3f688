"""A repository that has no rehearsal.yaml gets one that says all that can be known of it."""

import ast
import os
import shutil

import pytest
import yaml

from canary import yamls
from canary.argo import manifests
from canary.commands import init
from canary.errors import MachineError, UsageError
from canary.rehearse import draft, gaps, plan
from canary.runtime import documents


@pytest.fixture
def repository(root, tmp_path):
    """Copies a service of another team, without what it says of its rehearsals."""

    def copy(name):
        folder = shutil.copytree(root / "acceptance/foreign" / name, tmp_path / name)
        (folder / "rehearsal.yaml").unlink()
        return folder

    return copy


@pytest.fixture
def orders(root):
    """The manifests of one of them."""
    return root / "acceptance/foreign/orders/manifests.yaml"


@pytest.fixture
def beside(orders, tmp_path):
    """A folder with these manifests and some files."""

    def write(files):
        shutil.copy(orders, tmp_path)
        return put(tmp_path, files)

    return write


def put(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def write(made, folder):
    """What `canary init` writes."""
    (folder / "rehearsal.yaml").write_text(made.rehearsal())
    (folder / "locustfile.py").write_text(made.locustfile())
    return folder / "rehearsal.yaml"


def said(folder):
    made = draft.draft(folder, None)
    write(made, folder)
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
def test_what_builds_a_service_is_found_by_its_files(beside, files, build, command):
    body, _ = said(beside(files))
    assert body["build"] == build
    assert body["images"]["orders"] == command


def asked(folder):
    return [ast.literal_eval(path) for path in said(folder)[1]]


@pytest.mark.parametrize(
    ("files", "paths"),
    [
        ({"A.java": '@RequestMapping("/api") @RestController class A { @GetMapping("/tills") }'}, ["/api/tills"]),
        ({"a.py": 'r = APIRouter(tags=["x"], prefix="/v1")\n@r.get("/tills")'}, ["/v1/tills"]),
        ({"a.py": 'b = Blueprint("b", __name__, url_prefix="/v2/")\n@b.route("/tills")'}, ["/v2/tills"]),
        ({"a.py": '@app.get("/tills")'}, ["/tills"]),
        ({"Program.cs": 'app.MapGet("/tills/{id:int}", (int id) => 1);'}, ["/tills/1"]),
        ({"shop/urls.py": 'urlpatterns = [\n    path("", include("x.y")),\n    path("tills/<int:pk>/", till),\n]'}, ["/tills/1/"]),
        ({"app.py": '@app.route("/")'}, ["/"]),
        (
            {
                "app.js": 'const tills = require("./routes/tills");\napp.use("/tills", tills);\napp.use("/carts", require("./routes/carts"));',
                "routes/tills.js": 'router.get("/", f); router.get("/:id", f);',
                "routes/carts.js": 'router.get("/:id", f);',
                "test/app.test.js": 'request(app).get("/never");',
            },
            ["/carts/1", "/tills/", "/tills/1"],
        ),
        (
            {
                "site/urls.py": 'path("admin/", admin.site.urls),\npath("api/", include("tills.urls")),',
                "tills/urls.py": '    path("tills/", index),\n    path("tills/<slug:name>/", till),',
            },
            ["/api/tills/", "/api/tills/1/"],
        ),
        (
            {
                "app/main.py": 'from app.routers import tills\nfrom app.carts import router as carts_router\napp.include_router(tills.router, prefix="/v1")\napp.include_router(carts_router, prefix="/v2")',
                "app/routers/tills.py": '@router.get("/tills")',
                "app/carts.py": '@router.get("/carts/{cart_id}")',
            },
            ["/v1/tills", "/v2/carts/1"],
        ),
    ],
)  # fmt: skip
def test_routes_are_asked_for_below_the_prefixes_that_their_file_and_another_give(
    beside, files, paths
):
    assert sorted(asked(beside(files))) == paths


@pytest.mark.parametrize(
    ("dockerfile", "args", "files", "command"),
    [
        ('FROM a\nCMD ["x"]\nFROM b\nCMD ["gunicorn", "-b", "0.0.0.0:8080", "shop"]', None, [], ["gunicorn", "-b", "{host}:{port.http}", "shop"]),
        ("FROM a\nCMD gunicorn \\\n  --bind=[::]:8080 shop", None, [], ["gunicorn", "--bind={host}:{port.http}", "shop"]),
        ("FROM a\nCMD exec gunicorn -b :$PORT shop", None, [], ["sh", "-c", "exec gunicorn -b :$PORT shop"]),
        ('FROM a\nENTRYPOINT ["serve"]\nCMD ["--port", "8080"]', ["--port=8080"], [], ["serve", "--port={port.http}"]),
        ('FROM a\nENTRYPOINT ["/orders"]\nCMD ["--listen=:8080"]', None, ["go.mod"], ["orders", "--listen={host}:{port.http}"]),
        ('FROM a\nENTRYPOINT ["/entry.sh"]', None, [], ["CHANGE-ME"]),
        ('FROM a\nCMD ["node", "x.js"]', None, ["package.json"], None),
        ("FROM a\nCMD [gunicorn]", None, [], None),
    ],
)  # fmt: skip
def test_what_an_image_runs_is_read_from_its_dockerfile(
    orders, beside, dockerfile, args, files, command
):
    bodies = list(yaml.safe_load_all(orders.read_text()))
    container = bodies[0]["spec"]["template"]["spec"]["containers"][0]
    container |= {"args": args or []}
    there = dict.fromkeys(files, "{}") | {"Dockerfile": dockerfile}
    folder = beside(there | {"manifests.yaml": yaml.safe_dump_all(bodies)})
    found = said(folder)[0]["images"]["orders"]
    assert found == {"run": command} if command else "run" not in found


def test_a_rollout_of_a_workload_has_that_workloads_containers(orders, tmp_path):
    bodies = list(yaml.safe_load_all(orders.read_text()))
    metadata, spec = bodies[0]["metadata"], bodies[0]["spec"]
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    bodies.append({**workload, "spec": {"template": spec.pop("template")}})
    spec["workloadRef"] = {"kind": "Deployment", "name": metadata["name"]}
    (tmp_path / "manifests.yaml").write_text(yaml.safe_dump_all(bodies))
    assert list(said(tmp_path)[0]["images"]) == ["orders"]

    (tmp_path / "manifests.yaml").write_text(yaml.safe_dump_all(bodies[:-1]))
    with pytest.raises(
        UsageError, match="names Deployment/orders: name manifests that contain both"
    ):
        draft.draft(tmp_path, None)


def test_what_lies_in_other_folders_and_judges_or_scrapes_the_rollout_is_named_beside_it(
    root, tmp_path
):
    text = (root / "canary/tests/rehearse/shop/manifests/shop.yaml").read_text()
    rollout, service, monitor, template = text.split("---\n")
    other = template.replace("name: answers", "name: others")
    files = {"app/shop.yaml": f"{rollout}---\n{service}", "gates/answers.yaml": template}
    files |= {"gates/others.yaml": other, "platform/monitor.yaml": monitor}
    body, _ = said(put(tmp_path, files))
    assert (body["manifests"], body["also"]) == (
        "app",
        ["gates/answers.yaml", "platform/monitor.yaml"],
    )
    build = plan.read(tmp_path / "rehearsal.yaml", None)
    assert list(build.bundle.templates) == ["answers"]
    assert [monitor.kind for monitor in build.bundle.monitors] == ["PodMonitor"]
    assert {d.kind for d in build.bundle.elsewhere} == {"PodMonitor", "AnalysisTemplate"}
    assert not [line for line in plan.refusals(build, "", {}) if "leave open" not in line]


def test_a_rollout_of_another_group_is_none(beside, tmp_path):
    other = "apiVersion: rollouts.kruise.io/v1beta1\nkind: Rollout\nmetadata: {name: other}\n"
    beside({"kruise/rollout.yaml": other})
    assert draft.draft(tmp_path, None).name == "orders"
    with pytest.raises(UsageError, match="contains 0 Rollouts — point at manifests with one"):
        manifests.read(documents.read(tmp_path / "kruise"), "it")


@pytest.mark.parametrize(("image", "key"), [("true:1", "true"), (":1", ""), ("42@sha256:0", "42")])
def test_an_image_of_any_name_is_a_key_of_the_file(orders, tmp_path, image, key):
    text = orders.read_text().replace("registry.example/shop/orders:1.4.2", f"'{image}'")
    (tmp_path / "manifests.yaml").write_text(text)
    assert list(said(tmp_path)[0]["images"]) == [key]


def test_of_two_rollouts_of_one_name_that_of_a_namespace_is_chosen(orders, tmp_path):
    text = orders.read_text()
    spaces = ("west", "east")
    put(
        tmp_path,
        {f"all/{s}.yaml": text.replace("namespace: shop", f"namespace: {s}") for s in spaces},
    )
    with pytest.raises(UsageError, match="there are east/orders, west/orders"):
        draft.draft(tmp_path, None, "orders")
    made = draft.draft(tmp_path, None, "west/orders")
    build = plan.read(write(made, tmp_path), None)
    assert build.bundle.rollout.metadata.namespace == "west"


def test_each_overlay_is_a_place_of_its_own(orders, tmp_path):
    listed = "resources: [../../base]\n"
    files = {
        "base/manifests.yaml": orders.read_text(),
        "base/kustomization.yaml": "resources: [manifests.yaml]",
        "overlays/dev/kustomization.yaml": f"{listed}commonAnnotations: {{team: shop}}",
        "overlays/prod/kustomization.yaml": listed,
    }
    put(tmp_path / "deploy", files)
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
    (folder / "manifests.yaml").unlink()
    worker = text.replace("name: orders", "name: worker")
    put(folder, {"all/manifests.yaml": text, "all/worker.yaml": worker})
    with pytest.raises(UsageError, match="holds 2 Rollouts — choose one with --rollout: there are orders, worker"):  # fmt: skip
        draft.draft(folder, None)
    made = draft.draft(folder, None, "orders")
    build = plan.read(write(made, folder), None)
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


def test_an_openapi_document_gives_the_requests_whose_parameters_have_values(root, tmp_path):
    for place in ("deploy/base", "service/gridos/data"):
        shutil.copytree(root / place, tmp_path / place)
    made = draft.draft(tmp_path, tmp_path / "deploy/base")
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


def test_a_charts_files_of_values_are_offered(root, orders, tmp_path, monkeypatch):
    folder = shutil.copytree(root / "acceptance/foreign/rates", tmp_path / "rates")
    (folder / "chart/values-dev.yaml").write_text("")
    # What a helm renders of the chart, which is no matter here.
    program = tmp_path / "helm"
    program.write_text(f"#!/bin/sh\ncat {orders}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    text = draft.draft(folder, None).rehearsal()
    assert "# helm: {values: [chart/values-dev.yaml, values-production.yaml], name: orders" in text
