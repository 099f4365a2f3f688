"""What has rights, or judges what merges, is what was reviewed: `.github/trusted.json`.

Each workflow's head, each job that judges or could do harm and each file that says who may do what
is written down there as a digest, so that no loosening passes without a line of that file in the
same change, which CODEOWNERS has the security team approve. `pipeline controls --accept` writes it
anew.

What is no loosening does not count: comments that only people read, versions of actions (which are
pinned by another control, and moved weekly), the base image's digest, time limits and how long
artifacts are kept.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.checkout import Checkout, Job
from pipeline.repository import Repository

FILE = ".github/trusted.json"
# Who may do what, what decides it, and what checks it.
FILES = (
    ".dockerignore",
    ".github/CODEOWNERS",
    ".github/actionlint.yaml",
    ".github/actions/**/*",
    ".github/dependabot.yaml",
    ".github/environments.json",
    ".github/rulesets/*.json",
    ".github/zizmor.yaml",
    ".hadolint.yaml",
    ".yamllint*",
    "Dockerfile",
    "deploy/admission/*.yaml",
    "deploy/argocd/application-*.yaml",
    "deploy/argocd/kustomization.yaml",
    "deploy/argocd/notifications.yaml",
    "deploy/argocd/platform/admission.yaml",
    "deploy/argocd/platform/kyverno*.yaml",
    "deploy/argocd/project-*.yaml",
    "deploy/base/namespace.yaml",
    "infra/terraform/bootstrap/*.tf",
    "infra/terraform/runners/*",
    "infra/terraform/scripts/create_role",
    "infra/terraform/scripts/plan_policies.py",
    "infra/terraform/scripts/role.sql",
    "ci/pipeline/**/*",
    "ci/run-pipeline",
    # What jobs that hold a key run beside them; a module here would go before a library's.
    "*.py*",
    "*/__init__.*",
    "canary/runtime/__init__.*",
    "canary/runtime/program*",
    "ci/*.py*",
    "ci/*/__init__.*",
    "service/gridos/program.py",
)
# Of what else is installed where keys are, the names; and of each environment, whom Azure believes
# and what its runners start from.
LINES = {
    "requirements/pipeline.txt": r"^[\w.-]+(?===)",
    "requirements/uv.txt": r"^[\w.-]+(?===)",
    "infra/terraform/bootstrap/*.tfvars": r"^.*_subject *=.*$",
    "infra/terraform/environments/*.tfvars": r"^.*(?:_subjects|image) *=.*$",
}
# Nothing merges or ships by what their jobs say.
IDLE = {"nightly.yaml"}
# What a tool would read before what is there, or beside it.
ABSENT = (
    ".containerignore",
    ".coveragerc",
    ".gitattributes",
    ".github/**/.gitattributes",
    ".github/actionlint.yml",
    ".github/dependabot.yml",
    ".github/zizmor.yml",
    ".gitleaks*",
    ".hadolint.yml",
    ".ruff.toml",
    ".shellcheckrc",
    ".trivyignore*",
    "*.dockerignore",
    "*.so",
    "*/sitecustomize*",
    "*/usercustomize*",
    "Containerfile",
    "GNUmakefile",
    "canary/runtime/*/__init__.*",
    "ci/*.so",
    "makefile",
    "mypy.ini",
    "pytest.ini",
    "ruff.toml",
    "setup.cfg",
    "tox.ini",
    "uv.toml",
    "zizmor.y*ml",
)
# What is made where it is used, and never comes with a commit.
MADE = (".venv", "out", ":(glob)**/__pycache__/**")
# A comment that tells a tool what to do, such as the frontend that builds, or what not to find.
_TOLD = (
    r"#(?:!|.*\b(?:syntax|escape|check|hadolint|shellcheck|zizmor|trivy|checkov|noqa)\b *[=:[ ])"
)
_DIRECTIVE = re.compile(rf"{_TOLD}.*")
# Whole lines only: what follows a # elsewhere may be a part of something that runs.
_COMMENT = re.compile(rf"^[ \t]*(?!{_TOLD})#.*\n", re.MULTILINE)
_VERSION = re.compile(r"@(?:sha256:[0-9a-f]{64}|[0-9a-f]{40})\b")
_SCRIPT = re.compile(r"(?<![\w/])ci/[\w-]+(?![\w/.-])")
_MAKE = re.compile(r"\bmake ([a-z-]+)")
_SUBMAKE = re.compile(r"\$\(MAKE\)(.*)")
_RULE = re.compile(r"^([a-z][a-z -]*):([^#\n=]*)(?:#.*)?\n((?:\t.*\n)*)", re.MULTILINE)
_UNMINDED = {"timeout-minutes", "retention-days"}


def statements(checkout: Checkout) -> dict[str, str]:
    """Returns what counts, by where it stands, as digests."""
    heads = {
        file: _digest(
            [
                {key: value for key, value in workflow.items() if key != "jobs"},
                _DIRECTIVE.findall(checkout.workflow(file)),
            ]
        )
        for file, workflow in checkout.workflows.items()
    }
    jobs = {f"{job.file} / {job.name}": _digest(job.raw) for job in _trusted(checkout)}
    tools = tomllib.loads(checkout.text("pyproject.toml"))["tool"]
    told = {
        "pytest": {**tools["pytest"]["ini_options"], "testpaths": None},
        "coverage": tools["coverage"],
        "ruff": [tools["ruff"]["lint"].get(key) for key in ("select", "ignore")],
        "mypy": tools["mypy"].get("strict"),
        "uv": tools.get("uv"),
    }
    settings = {f"pyproject.toml / {tool}": _digest(said) for tool, said in told.items()}
    return {**heads, **jobs, **settings, **dict(_recipes(checkout)), **dict(_files(checkout))}


def differences(checkout: Checkout) -> Iterator[str]:
    """Returns a line for everything that is not as it was reviewed."""
    reviewed: Mapping[str, str] = json.loads(checkout.text(FILE) or "{}")
    found = statements(checkout)
    for where in sorted(reviewed.keys() | found.keys()):
        if where not in found:
            yield f"{where} is gone, or has no rights any more"
        elif where not in reviewed:
            yield f"{where} is new, and nobody reviewed it"
        elif reviewed[where] != found[where]:
            yield f"{where} is not what was reviewed"
    for path in Repository(checkout.root).tracked(*MADE):
        yield f"{path} is tracked, and would run in the place of what is installed"


def write(checkout: Checkout) -> str:
    """Returns the file's text for the checkout as it is."""
    return json.dumps(statements(checkout), indent=2, sort_keys=True) + "\n"


def _trusted(checkout: Checkout) -> list[Job]:
    """Every job but those that neither have rights nor judge."""
    return [job for job in checkout.jobs if job.file not in IDLE or _has_rights(job)]


def _has_rights(job: Job) -> bool:
    permissions = job.raw.get("permissions")
    writes = not isinstance(permissions, dict) or "write" in permissions.values()
    hosted = re.fullmatch(r"ubuntu-[\d.]+", str(job.raw.get("runs-on", "")))
    knows = "secrets." in str(job.raw) or not {"environment", "uses"}.isdisjoint(job.raw)
    return writes or not hosted or knows


def _recipes(checkout: Checkout) -> Iterator[tuple[str, str]]:
    """What `make` does where such a job calls it, with whatever that needs in turn."""
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
    called = [t for job in _trusted(checkout) for s in job.steps for t in _MAKE.findall(s.run)]
    found: dict[str, str] = {}
    while called:
        target = called.pop()
        if target in rules and target not in found:
            needs, recipe = rules[target]
            found[target] = _digest([sorted(needs.split()), recipe])
            called += [*needs.split(), *" ".join(_SUBMAKE.findall(recipe)).split()]
    yield from ((f"make {target}", digest) for target, digest in found.items())


def _files(checkout: Checkout) -> Iterator[tuple[str, str]]:
    steps = [*(s for job in _trusted(checkout) for s in job.steps), *checkout.actions]
    called = {script for step in steps for script in _SCRIPT.findall(step.run)}
    for pattern in sorted({*FILES, *ABSENT, *called}):
        for file in sorted(checkout.root.glob(pattern)):
            path = str(file.relative_to(checkout.root))
            if file.is_file() and file.parent.name != "__pycache__":
                text = file.read_text(encoding="utf-8", errors="replace")
                yield path, _digest(_COMMENT.sub("", text))
    for pattern, form in LINES.items():
        for file in sorted(checkout.root.glob(pattern)):
            path = str(file.relative_to(checkout.root))
            lines = re.findall(form, checkout.text(path), re.MULTILINE)
            yield f"{path}, some lines", _digest(lines)


def _digest(value: Any) -> str:
    text = json.dumps(_essence(value), sort_keys=True, default=str)
    return hashlib.sha256(_VERSION.sub("@", text).encode()).hexdigest()[:16]


def _essence(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _essence(v) for k, v in value.items() if k not in _UNMINDED}
    return [_essence(item) for item in value] if isinstance(value, list) else value
