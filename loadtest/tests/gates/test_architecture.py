"""The arrows between the modules of `gates` point one way."""

import ast

import pytest

# A module may import those of its own or an earlier layer.
LAYERS = [
    {"model", "promql", "conditions", "contract", "walking"},
    {"documents", "releases", "worlds", "edits", "backfill"},
    {"rules", "algebra", "synthesis", "sizes"},
    {"lint", "power", "simulation"},
    {"output", "catalogue", "sweep", "alternatives", "faults", "trials", "mutation", "planning"},
    {"page", "matrix"},
    {"commands"},
    {"cli"},
]

# What only asks what a number means must not draw numbers, start programs or wait.
PURE = {"model", "promql", "conditions", "releases", "rules", "lint", "edits", "walking"}
IMPURE = {"time", "subprocess", "threading", "urllib", "socket", "random", "numpy", "scipy"}


def imports(path):
    ours, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, rest = node.module.partition(".")
            if package == "gates":
                ours |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
            else:
                others.add(package)
        elif isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
    return ours, others


@pytest.fixture
def package(root):
    return root / "loadtest/gates"


def test_every_module_has_a_layer(package):
    assert {path.stem for path in package.glob("*.py")} - {"__init__"} == set().union(*LAYERS)


def test_no_module_imports_a_later_layer(package):
    seen = set()
    for layer in LAYERS:
        seen |= layer
        for module in layer:
            ours, _ = imports(package / f"{module}.py")
            assert ours <= seen, module


def test_reading_gates_needs_neither_numbers_nor_programs(package):
    for module in PURE:
        _, others = imports(package / f"{module}.py")
        assert not others & IMPURE, module


def test_the_rehearsal_knows_nothing_of_the_gates_tool(root):
    for path in (root / "loadtest/rehearsal").glob("*.py"):
        assert "gates" not in imports(path)[1], path
