"""A checkout, as the controls read it: its workflows, jobs, steps and overlays."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError

WORKFLOWS = ".github/workflows"
# What was decided about rights, as data.
DECIDED: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("decided.toml").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Step:
    """A step of a job, and where it stands."""

    where: str
    raw: Mapping[str, Any]

    @property
    def action(self) -> str:
        """What it uses, without the version; empty for a `run`."""
        return str(self.raw.get("uses", "")).partition("@")[0]

    @property
    def run(self) -> str:
        """Its script."""
        return str(self.raw.get("run", ""))

    @property
    def given(self) -> Mapping[str, Any]:
        """Its inputs."""
        found: Mapping[str, Any] = self.raw.get("with") or {}
        return found


@dataclass(frozen=True)
class Job:
    """A job, and the workflow it belongs to."""

    file: str
    name: str
    raw: Mapping[str, Any]
    events: tuple[str, ...]

    def __str__(self) -> str:
        """Where it stands."""
        return f"{self.file}, job {self.name}"

    @property
    def title(self) -> str:
        """What its check is called on GitHub."""
        return str(self.raw.get("name", self.name))

    @property
    def needs(self) -> list[str]:
        """The jobs that must end well before it starts."""
        needs = self.raw.get("needs", [])
        return [needs] if isinstance(needs, str) else list(needs)

    @property
    def steps(self) -> list[Step]:
        """Its steps; none where it calls another workflow."""
        return [Step(str(self), step) for step in self.raw.get("steps", [])]

    @property
    def actions(self) -> set[str]:
        """What its steps use."""
        return {step.action for step in self.steps}


@cache
def documents(text: str) -> tuple[Any, ...]:
    """The documents of a text, which several controls read, and tests in many checkouts."""
    try:
        return tuple(YAML(typ="safe").load_all(text))
    except (YAMLError, ValueError) as cause:
        raise PipelineError(f"a file is not YAML: {' '.join(str(cause).split())}") from None


class Checkout:
    """The files of a checkout."""

    def __init__(self, root: Path) -> None:
        """Takes the folder."""
        self.root = root

    def text(self, path: str) -> str:
        """Returns a file's text, empty where there is none."""
        file = self.root / path
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    def load(self, path: str) -> Any:
        """Returns a YAML file."""
        found = documents(self.text(path))
        return found[0] if found else None

    @cached_property
    def workflows(self) -> dict[str, Mapping[str, Any]]:
        """Every workflow by its file's name.

        Raises:
            PipelineError: There is none.
        """
        files = sorted((self.root / WORKFLOWS).glob("*.y*ml"))
        if not files:
            raise PipelineError(f"{self.root} has no {WORKFLOWS}: run this in the checkout")
        return {file.name: self.load(f"{WORKFLOWS}/{file.name}") for file in files}

    @property
    def jobs(self) -> list[Job]:
        """Every job of every workflow."""
        return [
            Job(file, name, raw, tuple(workflow.get("on") or ()))
            for file, workflow in self.workflows.items()
            for name, raw in workflow["jobs"].items()
        ]

    @property
    def steps(self) -> list[Step]:
        """Every step of every job, and of every action of ours that jobs use."""
        return [*(step for job in self.jobs for step in job.steps), *self.actions]

    @property
    def actions(self) -> list[Step]:
        """Every step of the actions of ours."""
        ours = sorted((self.root / ".github/actions").glob("*/action.y*ml"))
        paths = [str(file.relative_to(self.root)) for file in ours]
        return [Step(path, step) for path in paths for step in self.load(path)["runs"]["steps"]]

    def manifests(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every object under deploy/, by its file's path."""
        for file in sorted((self.root / "deploy").glob("**/*.yaml")):
            path = str(file.relative_to(self.root))
            for document in documents(self.text(path)):
                if isinstance(document, dict):
                    yield path, document
