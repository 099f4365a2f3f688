"""The arrows between modules point one way."""

import ast

import pytest

# A module may import those of its own or an earlier layer.
LAYERS = [
    {"model", "errors", "durations", "waiting"},
    {"expression", "replicas", "processes", "config", "kustomize", "database", "machine", "plot"}
    | {"distribution"},
    {"documents"},
    {"manifests", "references"},
    {"analysis", "builds", "environment", "gateway", "load", "plan", "prometheus", "timescale"},
    {"sides", "traffic"},
    {"controller", "exporter", "kubectl", "kubelet", "ground"},
    {"observing", "standins", "replicasets", "looks", "recording", "verdict"},
    {"cluster", "local", "replaying", "runner", "serving"},
    {"result", "report", "view"},
    {"pullrequest"},
    {"cli"},
]
PURE = {
    "model",
    "durations",
    "expression",
    "replicas",
    "analysis",
    "controller",
    "timescale",
    "plan",
}
IMPURE_LIBRARIES = {"time", "subprocess", "threading", "urllib", "socket", "psutil", "os", "random"}


def imports(path):
    """(modules of ours, top-level names of others) that a file imports."""
    ours, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, rest = node.module.partition(".")
            if package == "rehearsal":
                ours |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
            else:
                others.add(package)
        elif isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
    return ours, others


@pytest.fixture
def package(root):
    return root / "loadtest/rehearsal"


def test_every_module_has_a_layer(package):
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert modules == set().union(*LAYERS)


def test_no_module_imports_a_later_layer(package):
    seen = set()
    for layer in LAYERS:
        seen |= layer
        for module in layer:
            ours, _ = imports(package / f"{module}.py")
            assert ours <= seen, f"{module} imports {ours - seen}"


def test_the_pure_modules_know_no_clock_no_process_and_no_network(package):
    for module in PURE:
        ours, others = imports(package / f"{module}.py")
        assert not others & IMPURE_LIBRARIES, f"{module} imports {others & IMPURE_LIBRARIES}"
        assert ours <= PURE | {"errors", "manifests"}, f"{module} imports {ours}"


def test_the_rehearsal_starts_the_service_and_never_imports_it(package):
    for path in [*package.glob("*.py"), package.parent / "locustfile.py"]:
        assert "gridos" not in imports(path)[1], path.name


def test_the_services_domain_knows_neither_flask_nor_sql(root):
    for path in (root / "service/gridos/domain").glob("*.py"):
        assert not imports(path)[1] & {"flask", "psycopg", "werkzeug"}, path.name
