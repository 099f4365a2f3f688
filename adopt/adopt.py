"""Makes a clone one's own: `adopt.py orders` renames the service and puts an example in its place.

    make adopt NAME=orders                  # the metrics are called orders_… too
    make adopt NAME=orders METRICS=shop     # … or have another prefix

`adopt.toml` lists what goes, what is edited and what is renamed; `example/` holds the files that
are laid in place. Everything is staged and nothing committed.
"""

import argparse
import ast
import importlib.util
import keyword
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from canary.runtime import program

HERE = Path(__file__).parent
EXAMPLE = HERE / "example"
ROOT = HERE.parent
OURS = "gridos"
# A DNS label that a Python module, an Azure name of 24 characters and a Prometheus metric can hold.
NAME = re.compile(r"[a-z][a-z0-9]{1,11}")
PREFIX = re.compile(r"[a-z][a-z0-9_]{0,30}")
BIN = Path(sys.executable).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Exits with 0 when the clone is adopted and staged, 2 where it cannot be."""
    return program.run("adopt", _adopt, arguments)


def _adopt(arguments: Sequence[str]) -> int:
    parser = program.parser("adopt", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", help="what the service is called from now on, such as orders")
    parser.add_argument("--metrics", default="", help="the prefix of its metrics (NAME)")
    chosen = parser.parse_args(arguments)
    name, metrics = chosen.name, chosen.metrics or chosen.name
    _check(parser, name, metrics)
    rules = tomllib.loads((HERE / "adopt.toml").read_text(encoding="utf-8"))
    replace_the_grid(ROOT, rules)
    shutil.rmtree(HERE)
    _git("add", "--all")
    words = [(re.compile(old), new) for old, new in rules["rename"]]
    rename(ROOT, [*words, *own_name(name, metrics)], rules["unchanged"])
    _generate(name)
    _git("add", "--all")
    (ROOT / ".venv/bin" / OURS).unlink(missing_ok=True)
    sys.stdout.write(rules["next"].format(name=name))
    return program.GOOD


def _check(parser: argparse.ArgumentParser, name: str, metrics: str) -> None:
    """Refuses a name or a clone that cannot be used."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if not NAME.fullmatch(name):
        _refuse(parser, f"NAME={name!r} is not 2 to 12 of a-z and 0-9, a letter first")
    if keyword.iskeyword(name) or (ROOT / name).exists() or importlib.util.find_spec(name):
        _refuse(parser, f"NAME={name} is a Python module or a folder already: choose another")
    if not PREFIX.fullmatch(metrics):
        _refuse(parser, f"METRICS={metrics!r} is not a metric's prefix, such as {name}")
    if project["name"] != OURS:
        _refuse(parser, f"this clone is {project['name']} already: begin from a new clone")
    if _git("status", "--porcelain"):
        _refuse(parser, "the tree has changes of yours: commit or discard them first")


def _refuse(parser: argparse.ArgumentParser, why: str) -> NoReturn:
    parser.exit(program.fail("adopt", why, program.UNUSABLE))


def replace_the_grid(root: Path, rules: Mapping[str, Any]) -> None:
    """Removes the grid, lays the example in its place, and edits what speaks of either."""
    for path in rules["remove"]:
        whole = root / path
        if whole.is_dir():
            shutil.rmtree(whole)
        else:
            whole.unlink()
    for file in (file for file in EXAMPLE.rglob("*") if file.is_file()):
        # Pages end in .txt there, where their links lead nowhere.
        target = root / str(file.relative_to(EXAMPLE)).removesuffix(".txt")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    for file, edits in rules["edit"].items():
        edit(root / file, edits)
    for file, tests in rules["drop"].items():
        drop(root / file, tests)
    for file, packages in rules["unlock"].items():
        unlock(root / file, packages)


def edit(file: Path, edits: Iterable[Sequence[str]]) -> None:
    """Replaces texts: `[old, new]`, or `[first, next, new]` from the one up to the other.

    An empty `next` is the end of the file.

    Raises:
        ValueError: if one is not there, so that no rule outlives what it was written for.
    """
    text = file.read_text(encoding="utf-8")
    for first, *between, new in edits:
        begin = text.find(first)
        if between:
            end = text.find(between[0], begin + 1) if between[0] else len(text)
        else:
            end = begin + len(first)
        if begin < 0 or end < 0:
            raise ValueError(f"{file}: adopt.toml expects {first!r}")
        text = text[:begin] + new + text[end:] if between else text.replace(first, new)
    file.write_text(text, encoding="utf-8")


def drop(file: Path, tests: Sequence[str]) -> None:
    """Removes functions and assignments of a module by their names, with what decorates them."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    left = set(tests)
    for node in reversed(ast.parse("".join(lines)).body):
        named = {getattr(node, "name", "")} | {
            target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)
        }
        if named & left:
            left -= named
            decorators: list[Any] = getattr(node, "decorator_list", [])
            first = min(each.lineno for each in (node, *decorators))
            del lines[first - 1 : node.end_lineno]
    if left:
        raise ValueError(f"{file}: adopt.toml expects {', '.join(sorted(left))}")
    file.write_text("".join(lines), encoding="utf-8")


def unlock(file: Path, packages: Iterable[str]) -> None:
    """Takes packages out of a lock."""
    text = file.read_text(encoding="utf-8")
    for package in packages:
        text, count = re.subn(rf"(?m)^{package}==.*\n(?: +--hash.*\n)+", "", text)
        if not count:
            raise ValueError(f"{file}: adopt.toml expects {package}")
    file.write_text(text, encoding="utf-8")


def own_name(name: str, metrics: str) -> list[tuple[re.Pattern[str], str]]:
    """The product's name in each of its forms; metrics, and the rules that record them, apart."""
    measured = r"gridos(?=:[a-z]+_|_(?:api_keys|build_info|db_|ingest_|secrets_|worker_))"
    return [
        (re.compile(measured), metrics),
        (re.compile("GRIDOS"), name.upper()),
        (re.compile("GridOS|Gridos"), name.capitalize()),
        (re.compile("gridos"), name),
    ]


def rename(
    root: Path, words: Sequence[tuple[re.Pattern[str], str]], unchanged: Sequence[str]
) -> None:
    """Renames in every text that git knows, and in the paths."""
    for path in _git("ls-files", "-z", cwd=root).split("\0"):
        file = root / path
        if not path or any(re.match(each, path) for each in unchanged):
            continue
        if file.is_symlink():
            target = renamed(str(file.readlink()), words[-4:])
            file.unlink()
            file.symlink_to(target)
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        file.write_text(renamed(text, words), encoding="utf-8")
    for path in _git("ls-files", "-z", cwd=root).split("\0"):
        new = renamed(path, words[-4:])
        if new != path:
            (root / new).parent.mkdir(parents=True, exist_ok=True)
            _git("mv", path, new, cwd=root)


def renamed(text: str, words: Iterable[tuple[re.Pattern[str], str]]) -> str:
    """A text with every word replaced, in this order."""
    for pattern, new in words:
        text = pattern.sub(new, text)
    return text


def _generate(name: str) -> None:
    """Writes anew what is made of other files."""
    python = BIN / "python"
    _run(BIN / "ruff", "check", "--quiet", "--fix", "--exit-zero", ".")
    _run(BIN / "ruff", "format", "--quiet", ".")
    made = _run(python, "-m", f"{name}.api.specification")
    (ROOT / f"service/{name}/data/openapi.json").write_text(made, encoding="utf-8")
    _run(python, "-m", "observe.cli", "generate")
    _run(python, "infra/terraform/scripts/document.py")
    _run(python, "-m", "acceptance.composition", "--keep")
    _run(python, "-m", "pipeline.cli", "controls", "--accept")


def _git(*arguments: str, cwd: Path | None = None) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=cwd or ROOT, check=True, capture_output=True, text=True
    ).stdout


def _run(*command: str | Path) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
