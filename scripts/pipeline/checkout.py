"""A checkout, as the controls read it: its workflows, jobs, steps and overlays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.errors import PipelineError

WORKFLOWS = ".github/workflows"


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


class Checkout:
    """The files of a checkout."""

    def __init__(self, root: Path) -> None:
        """Takes the folder."""
        self.root = root

    def text(self, path: str) -> str:
        """Returns a file's text, empty where there is none."""
        file = self.root / path
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    def workflow(self, name: str) -> str:
        """Returns a workflow's text, empty where there is none."""
        return self.text(f"{WORKFLOWS}/{name}")

    def load(self, path: str) -> Any:
        """Returns a YAML file."""
        return YAML(typ="safe").load(self.text(path))

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
        """Every step of every job."""
        return [step for job in self.jobs for step in job.steps]

    def overlays(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every environment's kustomization, by its path."""
        for environment in ("dev", "staging", "production"):
            path = f"deploy/overlays/{environment}/kustomization.yaml"
            if (self.root / path).exists():
                yield path, self.load(path)

    def manifests(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every object under deploy/, by its file's path."""
        for file in sorted((self.root / "deploy").glob("**/*.yaml")):
            path = str(file.relative_to(self.root))
            for document in YAML(typ="safe").load_all(self.text(path)):
                if isinstance(document, dict):
                    yield path, document
