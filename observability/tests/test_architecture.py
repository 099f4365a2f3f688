"""The arrows between the modules of `observe` point one way."""

import ast

import pytest

# A module may import those of its own or an earlier layer.
LAYERS = [
    {"rules", "panels", "loopback", "runbooks", "ranges", "promtool", "loki"},
    {"thresholds", "cases", "grafana", "dashboards", "queries", "page", "receiver", "scenery"},
    {"generate", "alertmanager"},
    {"stack"},
    {"world", "cost"},
    {"live", "walk"},
    {"filling"},
    {"proof", "oncluster"},
    {"cli"},
]
# What says what is shown and what is wanted starts nothing, waits for nothing and asks nobody.
PURE = {"panels", "grafana", "dashboards", "queries", "thresholds", "cases", "page"}
IMPURE = {"time", "subprocess", "threading", "urllib", "socket", "os", "shutil", "http"}


def imports(path):
    ours, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, rest = node.module.partition(".")
            if package == "observe":
                ours |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
            else:
                others.add(package)
        elif isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
    return ours, others


@pytest.fixture
def package(root):
    return root / "observability/observe"


def test_every_module_has_a_layer(package):
    assert {path.stem for path in package.glob("*.py")} - {"__init__"} == set().union(*LAYERS)


def test_no_module_imports_a_later_layer(package):
    seen = set()
    for layer in LAYERS:
        seen |= layer
        for module in layer:
            ours, _ = imports(package / f"{module}.py")
            assert ours <= seen, (module, ours - seen)


def test_the_pure_modules_start_nothing_and_ask_nobody(package):
    for module in PURE:
        assert not imports(package / f"{module}.py")[1] & IMPURE, module


def test_neither_the_rehearsal_nor_the_gates_know_of_what_observes_them(root):
    for folder in ("rehearsal", "gates"):
        for path in (root / "loadtest" / folder).glob("*.py"):
            assert "observe" not in imports(path)[1], path
