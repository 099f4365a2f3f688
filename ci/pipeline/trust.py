"""What has rights, or judges what merges, is what was reviewed: `.github/trusted.json`.

Each workflow's head, each job that judges or could do harm and each file that says who may do what
is written down there as a digest, so that no loosening passes without a line of that file in the
same change, which CODEOWNERS has the security team approve. `pipeline controls --accept` writes it
anew.

What is no loosening does not count: comments and steps' names, which only people read, versions of
actions (which are pinned by another control, and moved weekly) and of tools, newer charts, the base
image's digest, how many minutes a job may take and days an artifact is kept within what is usual,
more tests, and more rules of Prometheus.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.checkout import DECIDED, WORKFLOWS, Checkout, Job, documents
from pipeline.repository import Repository

FILE = ".github/trusted.json"
ROLLOUT = "deploy/base/rollout.yaml"
# A comment that tells a tool what to do, such as the frontend that builds, or what not to find.
_TOLD = (
    r"#(?:!|.*\b(?:syntax|escape|check|hadolint|shellcheck|zizmor|trivy|checkov|noqa|codeql|lgtm|"
    r"tflint-ignore|yamllint|pragma|type)\b *(?:[=:[ ]|$))"
)
_DIRECTIVE = re.compile(rf"{_TOLD}.*")
# Whole lines only: what follows a # elsewhere may be a part of something that runs; and none that
# ends a command which goes on in the next line.
_COMMENT = re.compile(rf"(?<!\\\n)^[ \t]*(?!{_TOLD})#.*\n", re.MULTILINE)
_VERSION = re.compile(
    r"@(?:sha256:[0-9a-f]{64}|[0-9a-f]{40}|v\d+\.\d+\.\d+)\b(?: # v[\d.]+)?|version=v[\d.]+"
)
_SCRIPT = re.compile(r"(?<![\w/])ci/[\w-]+(?![\w/.-])")
_MAKE = re.compile(r"\bmake ([a-z-]+)")
_TARGETS = re.compile(r"(?<=\bmake)(?: [a-z-]+)+")
_SUBMAKE = re.compile(r"\$\(MAKE\)(.*)")
_RULE = re.compile(r"^([a-z][a-z -]*):([^#\n=]*)(?:#.*)?\n((?:\t.*\n)*)", re.MULTILINE)
_TEST = r'^(?:def test_|run ")'
_SKIP = r"^\s*(?:@|pytestmark = )?pytest\.(?:mark\.)?(?:skip\w*|xfail|importorskip)\b"
# Of these only less than was reviewed is a change, and of the next ones what is new is none.
_LEAST = {", tests": "are fewer, or left out more often,", ", version": "is older"}
_MORE = ("make ", "rule ")
_MADE = {"__pycache__", ".terraform"}


def statements(checkout: Checkout) -> dict[str, str]:
    """Returns what counts, by where it stands, as digests."""
    heads = {
        file: _digest(
            [
                {key: value for key, value in workflow.items() if key != "jobs"},
                _DIRECTIVE.findall(checkout.text(f"{WORKFLOWS}/{file}")),
            ]
        )
        for file, workflow in checkout.workflows.items()
    }
    trusted = _trusted(checkout)
    jobs = {f"{job.file} / {job.name}": _digest(_job(job, job in trusted)) for job in checkout.jobs}
    actions = {step.action for step in checkout.steps}
    tools = tomllib.loads(checkout.text("pyproject.toml"))["tool"]
    lint = tools["ruff"]["lint"]
    told = {
        "pytest": {**tools["pytest"]["ini_options"], "testpaths": None},
        "coverage": [tools["coverage"], tools.get("diff_cover")],
        "ruff": [
            {**tools["ruff"], "lint": None},
            {**lint, "per-file-ignores": None},
            {path: off for path, off in lint.get("per-file-ignores", {}).items() if "*" in path},
        ],
        "mypy": [
            {**tools["mypy"], "modules": None, "mypy_path": None, "overrides": None},
            [o for o in tools["mypy"]["overrides"] if "ignore_errors" in o],
        ],
        "uv": tools.get("uv"),
    }
    settings = {f"pyproject.toml / {tool}": _digest(said) for tool, said in told.items()}
    return {
        **heads,
        **jobs,
        "actions": _digest(sorted(actions)),
        **settings,
        ROLLOUT: _digest(_steps(checkout)),
        **dict(_recipes(checkout)),
        **dict(_files(checkout)),
        **dict(_rules(checkout)),
        **dict(_versions(checkout)),
        **dict(_tests(checkout, tools["pytest"]["ini_options"]["testpaths"])),
    }


def differences(checkout: Checkout) -> Iterator[str]:
    """Returns a line for everything that is not as it was reviewed."""
    if (checkout.root / FILE).is_symlink():
        yield f"{FILE} is a link, and what it leads to may be somebody else's"
    reviewed: Mapping[str, str] = json.loads(checkout.text(FILE) or "{}")
    found = statements(checkout)
    for where in sorted(reviewed.keys() | found.keys()):
        if where not in found:
            yield f"{where} is gone, or has no rights any more"
        elif less := next((less for kind, less in _LEAST.items() if where.endswith(kind)), ""):
            if found[where] < str(reviewed.get(where, "")):
                yield f"{where} {less} than was reviewed"
        elif where not in reviewed:
            if not where.startswith(_MORE):
                yield f"{where} is new, and nobody reviewed it"
        elif reviewed[where] != found[where]:
            yield f"{where} is not what was reviewed"
    for path in Repository(checkout.root).tracked(*DECIDED["made"]):
        yield f"{path} is tracked, and would run in the place of what is installed"


def write(checkout: Checkout) -> str:
    """Returns the file's text for the checkout as it is."""
    return json.dumps(statements(checkout), indent=2, sort_keys=True) + "\n"


def _job(job: Job, trusted: bool) -> Mapping[str, Any]:
    """What counts of a job; where it is not trusted, neither its targets nor how often it runs."""
    steps = [{key: value for key, value in step.raw.items() if key != "name"} for step in job.steps]
    if trusted:
        return {**job.raw, "steps": steps}
    made = [{**step, "run": _TARGETS.sub("", str(step.get("run")))} for step in steps]
    return {**job.raw, "steps": made, "strategy": None}


def _trusted(checkout: Checkout) -> list[Job]:
    """Every job but those that neither have rights nor judge."""
    return [job for job in checkout.jobs if job.file not in DECIDED["idle"] or _has_rights(job)]


def _has_rights(job: Job) -> bool:
    permissions = job.raw.get("permissions")
    writes = not isinstance(permissions, dict) or "write" in permissions.values()
    hosted = re.fullmatch(r"ubuntu-[\d.]+", str(job.raw.get("runs-on", "")))
    knows = "secrets." in str(job.raw) or not {"environment", "uses"}.isdisjoint(job.raw)
    return writes or not hosted or knows


def _steps(checkout: Checkout) -> Mapping[str, Any]:
    """The way of a release: the Rollout without its pods, which policies and rehearsals judge."""
    spec: Mapping[str, Any] = (checkout.load(ROLLOUT) or {}).get("spec") or {}
    return {key: value for key, value in spec.items() if key not in {"replicas", "template"}}


def _recipes(checkout: Checkout) -> Iterator[tuple[str, str]]:
    """What `make` does where a job calls it, with whatever that needs in turn."""
    text = checkout.text("Makefile").replace("\\\n", " ")
    for name, value in re.findall(r"^(\w+) :=(.*)$", text, re.MULTILINE):
        text = text.replace(f"$({name})", value)
    rules = {
        target: (needs, recipe)
        for targets, needs, recipe in _RULE.findall(text)
        for target in targets.split()
    }
    # What holds for every recipe: the shell, the path, what else is read.
    other = [line for line in _RULE.sub("", text).splitlines() if line.strip()]
    yield "make", _digest([line for line in other if not line.startswith(("#", ".PHONY"))])
    called = [target for step in checkout.steps for target in _MAKE.findall(step.run)]
    # Of a matrix too, whose values a step makes by a variable.
    called += re.findall(r"'([a-z-]+)'", str([job.raw.get("strategy") for job in checkout.jobs]))
    found: dict[str, str] = {}
    while called:
        target = called.pop()
        if target in rules and target not in found:
            needs, recipe = rules[target]
            found[target] = _digest([sorted(needs.split()), recipe])
            called += [*needs.split(), *" ".join(_SUBMAKE.findall(recipe)).split()]
    yield from ((f"make {target}", digest) for target, digest in found.items())


def _files(checkout: Checkout) -> Iterator[tuple[str, str]]:
    called = {script for step in checkout.steps for script in _SCRIPT.findall(step.run)}
    for pattern in sorted({*DECIDED["files"], *DECIDED["absent"], *called}):
        for path, file in _found(checkout, pattern):
            # A link may lead out of what is reviewed.
            link = str(file.readlink()) if file.is_symlink() else ""
            text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
            yield path, _whole(link + text, markdown=path.endswith(".md"))
    lines: dict[str, list[str]] = {}
    for pattern, form in DECIDED["lines"].items():
        for path, _ in _found(checkout, pattern):
            lines.setdefault(path, []).extend(_matches(form, checkout.text(path)))
    yield from ((f"{path}, some lines", _digest(found)) for path, found in lines.items() if found)


def _rules(checkout: Checkout) -> Iterator[tuple[str, str]]:
    """Each rule of Prometheus, by its name, wherever it stands."""
    rules: dict[str, list[str]] = {}
    for pattern in DECIDED["rules"]:
        for path, _ in _found(checkout, pattern):
            for name, digest in _judged(checkout.text(path)):
                rules.setdefault(f"rule {name}", []).append(digest)
    yield from ((rule, " ".join(digests)) for rule, digests in rules.items())


def _versions(checkout: Checkout) -> Iterator[tuple[str, str]]:
    """Versions that only grow, each part as text of one length."""
    for pattern, form in DECIDED["versions"].items():
        for path, _ in _found(checkout, pattern):
            for version in _matches(form, checkout.text(path)):
                yield f"{path}, version", ".".join(f"{int(n):05}" for n in version.split("."))


def _tests(checkout: Checkout, run: Iterable[str]) -> Iterator[tuple[str, str]]:
    """How many tests run of each file, as text of one length, which compares as numbers do."""
    folders = tuple(f"{path}/" for path in run)
    yield "pyproject.toml, tests", f"{len(folders):04}"  # other folders of them
    for pattern in DECIDED["tests"]:
        for path, file in _found(checkout, pattern):
            if file.suffix == ".hcl" or file.name.startswith("test_"):
                text = checkout.text(path)
                runs = file.suffix == ".hcl" or path.startswith(folders)
                count = runs * max(0, len(_matches(_TEST, text)) - len(_matches(_SKIP, text)))
                yield f"{path}, tests", f"{count:04}"


def _found(checkout: Checkout, pattern: str) -> Iterator[tuple[str, Path]]:
    for file in sorted(checkout.root.glob(pattern)):
        path = file.relative_to(checkout.root)
        if (
            not file.is_dir()
            and not _MADE & {*path.parts}
            and path.parts[0] not in {".venv", "out"}
        ):
            yield str(path), file


# A checkout's texts, which are the same in most of those that tests make.
@cache
def _whole(text: str, *, markdown: bool) -> str:
    return _digest(text if markdown else _COMMENT.sub("", text))


@cache
def _matches(form: str, text: str) -> tuple[str, ...]:
    return tuple(re.findall(form, _COMMENT.sub("", text), re.MULTILINE))


@cache
def _judged(text: str) -> tuple[tuple[str, str], ...]:
    """The rules of Prometheus in a file, without what people read of them."""
    found = [d.get("spec", d).get("groups", []) for d in documents(text) if isinstance(d, dict)]
    return tuple(
        (
            str(rule.get("alert", rule.get("record"))),
            _digest([{**group, "rules": None}, {**rule, "annotations": None}]),
        )
        for groups in found
        for group in groups
        for rule in group.get("rules", [])
    )


def _digest(value: Any) -> str:
    text = json.dumps(_essence(value), sort_keys=True, default=str)
    return hashlib.sha256(_VERSION.sub("@", text).encode()).hexdigest()[:16]


def _essence(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): None if _usual(k, v) else _essence(v) for k, v in value.items()}
    return [_essence(item) for item in value] if isinstance(value, list) else value


def _usual(key: Any, value: Any) -> bool:
    """Whether it is an amount that nobody minds."""
    least, most = DECIDED["usual"].get(key, (1, 0))
    return isinstance(value, int) and least <= value <= most
