"""The arrows between the modules of `loadtesting` point one way."""

import ast

import pytest

# A module may import those of its own or an earlier layer.
LAYERS = [
    {"model", "errors", "histograms", "intervals", "mix"},
    {"limits", "sizing", "outcomes", "target", "service", "metrics", "monitoring"},
    {"profiles", "tally", "users"},
    {"verdict", "generator", "result"},
    {"output", "baseline", "comparison"},
    {"page", "view", "run"},
    {"capacity"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
PURE = {"model", "histograms", "intervals", "sizing", "outcomes", "tally", "verdict"}
IMPURE = {"time", "subprocess", "threading", "urllib", "socket", "os", "random"}


def imports(path):
    ours, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, rest = node.module.partition(".")
            if package == "loadtesting":
                ours |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
            else:
                others.add(package)
        elif isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
    return ours, others


@pytest.fixture
def package(root):
    return root / "loadtest/loadtesting"


def test_every_module_has_a_layer(package):
    assert {path.stem for path in package.glob("*.py")} - {"__init__"} == set().union(*LAYERS)


def test_no_module_imports_a_later_layer(package):
    seen = set()
    for layer in LAYERS:
        seen |= layer
        for module in layer:
            ours, _ = imports(package / f"{module}.py")
            assert ours <= seen, f"{module}: {ours - seen}"


def test_verdicts_know_no_clock_no_process_and_no_network(package):
    for module in PURE:
        _, others = imports(package / f"{module}.py")
        assert not others & IMPURE, module


def test_the_rehearsal_knows_nothing_of_the_load_program(root):
    for path in (root / "loadtest/rehearsal").glob("*.py"):
        assert not imports(path)[1] & {"loadtesting", "openarrivals"}, path


def test_the_load_never_imports_the_service(package):
    for path in package.glob("*.py"):
        assert "gridos" not in imports(path)[1], path
