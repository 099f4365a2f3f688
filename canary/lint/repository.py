"""A repository of anything → the objects in it that gates are made of, and what was passed over.

A folder holds files that are no manifests, templates of Helm, patches and other teams' mistakes. A
document is parsed only if it names a kind that matters here, so that the rest costs no time and
stops nothing. Kustomizations are rendered; what lies below them is not read a second time.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from canary import yamls
from canary.argo import scalers
from canary.errors import RehearsalError, UsageError
from canary.runtime import documents
from canary.yamls import Document, listed, mapping

# Folders of tools, which hold other people's files.
_TOOLS = {".git", ".tox", ".venv", ".terraform", "__pycache__", "node_modules", "venv"}

_KIND = re.compile(r"""\bkind["']?\s*:\s*["']?(\w+)""")
_TOP_KIND = re.compile(r"""^["']?kind["']?\s*:\s*["']?(\w+)""", re.MULTILINE)
# Of the Prometheus operator, of Google's managed Prometheus, and of VictoriaMetrics.
MONITORS = (
    "PodMonitor", "ServiceMonitor", "PodMonitoring", "ClusterPodMonitoring", "VMPodScrape",
    "VMServiceScrape",
)  # fmt: skip
_GATES = {"Rollout", "AnalysisTemplate", "ClusterAnalysisTemplate"}
# What the rules ask beside the gates, and what is named as not judged.
_BESIDE = {
    "AnalysisRun", "Canary", "Experiment", "PrometheusRule", *MONITORS, *scalers.KINDS,
}  # fmt: skip
_RECORD = re.compile(r"""^\s*(- )?["']?record["']?\s*:""", re.MULTILINE)
# `{{` that is no placeholder of Argo's own.
_TEMPLATED = re.compile(r"\{\{(?!-?\s*(args|inputs|templates)\.)")
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_WRITTEN_OUT = re.compile(r"[\n{\0]")
_LISTS = ("resources", "bases", "components")


@dataclass(frozen=True)
class PassedOver:
    """Something not judged: where, why, and what to do; `broken` if it might hold gates."""

    place: str
    reason: str
    remedy: str = ""
    broken: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" + (f" — {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Reading:
    """The objects of some paths, what was passed over by name, and how many files by number."""

    documents: tuple[Document, ...]
    passed_over: tuple[PassedOver, ...] = ()
    others: int = 0


def read(paths: Iterable[str]) -> Reading:
    """Every object in the paths that matters to a gate.

    Files, standard input and kustomizations that are named must be readable; folders may hold
    anything.

    Raises:
        UsageError: if a path is missing, or a named one cannot be read.
    """
    readings = [_read(path) for path in paths]
    return Reading(
        tuple(document for reading in readings for document in reading.documents),
        tuple(dict.fromkeys(passed for reading in readings for passed in reading.passed_over)),
        sum(reading.others for reading in readings),
    )


def _read(path: str) -> Reading:
    folder = Path(path)
    if path == "-" or not folder.is_dir() or documents.kustomization_in(folder):
        return Reading(tuple(documents.read_all([path])))
    return _Folder(folder).read()


@dataclass
class _Folder:
    """One folder, read."""

    root: Path
    passed_over: list[PassedOver] = field(default_factory=list)
    held: dict[Path, str] = field(default_factory=dict)
    kustomizations: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def read(self) -> Reading:
        files = list(self._files())
        for file in files:
            self._find(file)
        rendered, covered = self._rendered()
        patches = {file for folder in self.kustomizations for file in self._patches(folder)}
        found = [
            document
            for file, text in self.held.items()
            if file.resolve() not in covered | patches
            for document in self._documents(file, text)
        ]
        others = len(files) - len(self.held) - len(self.kustomizations)
        return Reading((*found, *rendered), tuple(self.passed_over), others)

    def _files(self) -> Iterator[Path]:
        for folder, below, names in os.walk(self.root):
            below[:] = sorted(set(below) - _TOOLS)
            for name in sorted(names):
                file = Path(folder, name)
                if name in documents.KUSTOMIZATION_NAMES or name.endswith((".yaml", ".yml")):
                    yield file

    def _find(self, file: Path) -> None:
        """Keeps a file that holds what matters, with everything else in it left blank."""
        try:
            raw = file.read_bytes() if file.is_file() else b""
        except OSError as failed:
            self._pass(file, f"it cannot be read: {failed.strerror}", broken=True)
            return
        if file.name in documents.KUSTOMIZATION_NAMES:
            self._read_kustomization(file)
        elif text := _relevant(raw.decode("utf-8-sig", errors="surrogateescape")):
            self.held[file] = text

    def _read_kustomization(self, file: Path) -> None:
        try:
            body = next((d.body for d in yamls.read(file)), None)
        except UsageError:
            body = None  # a template of one, or a broken one: its files are read as they are
        self.kustomizations[file.parent.resolve()] = dict(mapping(body))

    def _documents(self, file: Path, text: str) -> list[Document]:
        """The objects of a file; what cannot be read is passed over by name."""
        if any(_is_gate(part) and _TEMPLATED.search(part) for part in _parts(text)):
            self._pass(*_chart(file))
            return []
        try:
            text.encode()
            loaded = yamls.load(str(file), text)
        except UnicodeEncodeError:
            self._pass(file, "it is not UTF-8", broken=_is_gate(text))
            return []
        except UsageError as wrong:
            said = str(wrong).removeprefix(f"{file} ").partition(" — ")[0]
            self._pass(file, said, broken=_is_gate(text))
            return []
        if any(isinstance(document.body, list) for document in loaded):
            self._pass(file, "it holds a list, such as a JSON patch, and not an object")
        objects = (document for document in loaded if isinstance(document.body, dict))
        return [item for document in objects for item in yamls.items(document)]

    def _rendered(self) -> tuple[list[Document], set[Path]]:
        """What the kustomizations that nobody lists make of files with gates, and those files."""
        below = {(f / one).resolve() for f in self.kustomizations for one in self._listed(f)}
        found: list[Document] = []
        covered: set[Path] = set()
        gates = {file.resolve() for file, text in self.held.items() if _is_gate(text)}
        for folder, body in self.kustomizations.items():
            reached = self._reached(folder, set())
            if folder in below or body.get("kind") == "Component" or not reached & gates:
                continue
            if wrong := self._remote(reached | {folder}):
                self._pass(
                    folder, f"it lists {wrong}, which is not here", _build(self._shown(folder))
                )
                continue
            try:
                found += documents.read(self._shown(folder))
                covered |= reached
            except (RehearsalError, subprocess.SubprocessError) as failed:
                said = str(failed).splitlines()[0]
                self._pass(folder, f"it cannot be rendered: {said}", _build(self._shown(folder)))
        return found, covered

    def _reached(self, folder: Path, seen: set[Path]) -> set[Path]:
        """The files and folders that a kustomization takes in."""
        listed_here = {(folder / one).resolve() for one in self._listed(folder)}
        for there in listed_here | self._patches(folder):
            if there not in seen:
                seen.add(there)
                if there in self.kustomizations:
                    self._reached(there, seen)
        return seen

    def _remote(self, reached: set[Path]) -> str:
        """What one of the folders lists that is no file here."""
        return next(
            (
                one
                for folder in sorted(reached & set(self.kustomizations))
                for one in self._listed(folder)
                if not (folder / one).exists()
            ),
            "",
        )

    def _listed(self, folder: Path) -> list[str]:
        body = self.kustomizations[folder]
        return [one for key in _LISTS for one in listed(body.get(key)) if isinstance(one, str)]

    def _patches(self, folder: Path) -> set[Path]:
        body = self.kustomizations[folder]
        named = [
            mapping(one).get("path") if isinstance(one, dict) else one
            for key in ("patches", "patchesStrategicMerge", "patchesJson6902")
            for one in listed(body.get(key))
        ]
        # A patch of old may be written out in place of its file.
        files = (one for one in named if isinstance(one, str) and not _WRITTEN_OUT.search(one))
        return {(folder / one).resolve() for one in files}

    def _shown(self, folder: Path) -> Path:
        """A folder by the name that the user gave its root."""
        return self.root / folder.relative_to(self.root.resolve())

    def _pass(self, place: Path, reason: str, remedy: str = "", *, broken: bool = False) -> None:
        root = self.root.resolve()
        shown = self._shown(place) if place.is_relative_to(root) else place
        passed = PassedOver(str(shown), reason, remedy, broken)
        if passed not in self.passed_over:
            self.passed_over.append(passed)


def _parts(text: str) -> list[str]:
    starts = [0, *(found.start() for found in _SEPARATOR.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(starts)]


def _relevant(text: str) -> str:
    """A text whose documents of no matter are blank lines; nothing if all are."""
    if not _matters(text):
        return ""
    parts = _parts(text)
    kept = [_matters(part) for part in parts]
    blank = ("---" * part.startswith("---") + "\n" * part.count("\n") for part in parts)
    pairs = zip(parts, kept, blank, strict=True)
    return "".join(part if keep else empty for part, keep, empty in pairs) if any(kept) else ""


def _matters(text: str) -> bool:
    """Whether a document may be of a kind that matters; a CRD only defines one, at length."""
    if not _SEPARATOR.search(text, 3) and _TOP_KIND.findall(text) == ["CustomResourceDefinition"]:
        return False
    rules = "groups:" in text and _RECORD.search(text)
    return bool(set(_KIND.findall(text)) & (_GATES | _BESIDE) or rules)


def _is_gate(text: str) -> bool:
    """Whether an object may be a gate, and does not only name one, as an Application may."""
    of_its_own = {found[1] for found in _TOP_KIND.finditer(text)}
    return bool(set(_KIND.findall(text)) & _GATES) and (
        not of_its_own or bool(of_its_own & (_GATES | {"List"}))
    )


def _build(folder: Path) -> str:
    return f"kubectl kustomize {folder} | canary lint -"


def _chart(file: Path) -> tuple[Path, str, str]:
    """What to say of a template: the chart that it is of, if it is of one."""
    chart = next((f for f in file.parents if (f / "Chart.yaml").is_file()), None)
    remedy = f"helm template {chart} | canary lint -" if chart else "render it first"
    return (
        chart or file,
        "templates of Helm or of another tool become manifests once they are rendered",
        remedy,
    )
