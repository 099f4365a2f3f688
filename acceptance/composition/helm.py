"""Helm: a chart pulled, or taken from a folder, and rendered with our values."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from acceptance.calling import quietly
from acceptance.composition.charts import Chart
from canary.errors import MachineError

KUBERNETES = "1.35"
REMEDY = "go install helm.sh/helm/v3/cmd/helm@v3.19.2"


class Refused(Exception):
    """The chart's own templates object to our values, in their words."""


def render(chart: Chart, folder: Path | None) -> list[Mapping[str, Any]]:
    """The objects of a chart with our values, its CustomResourceDefinitions included.

    Args:
        chart: What to render.
        folder: Where charts lie unpacked, each below its own name; without it they are pulled.

    Raises:
        Refused: if the chart objects to our values.
        MachineError: if there is no Helm, or the chart cannot be had.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = (folder / chart.name) if folder else _pulled(chart, Path(scratch))
        _check_version(chart, place)
        command = ["template", chart.release, str(place), "--namespace", chart.namespace]
        command += ["--kube-version", KUBERNETES, "--include-crds"]
        for number, values in enumerate(chart.values):
            file = Path(scratch) / f"values-{number}.yaml"
            file.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
            command += ["--values", str(file)]
        text = _run(chart, command)
        return [*_parsed(text), *_crds_beside(place)]


def _pulled(chart: Chart, scratch: Path) -> Path:
    oci = chart.repository.startswith("oci://")
    named = (
        [f"{chart.repository}/{chart.name}"] if oci else [chart.name, "--repo", chart.repository]
    )
    _run(chart, ["pull", *named, "--version", chart.version, "--untar", "--untardir", str(scratch)])
    return scratch / chart.name


def _check_version(chart: Chart, place: Path) -> None:
    file = place / "Chart.yaml"
    found = yaml.safe_load(file.read_text("utf-8"))["version"] if file.is_file() else "none"
    if str(found) != chart.version:
        raise MachineError(
            f"{place} holds version {found} of {chart.name} and {chart.version} is pinned",
            "unpack that version there, or pull it by leaving out --charts",
        )


def _crds_beside(place: Path) -> Iterator[Mapping[str, Any]]:
    """CRDs that a project generates into its released chart and keeps elsewhere in its sources."""
    for file in sorted((place / "released-crds").glob("*.yaml")):
        yield from _parsed(file.read_text("utf-8"))


def _run(chart: Chart, arguments: list[str]) -> str:
    program = shutil.which("helm")
    if program is None:
        raise MachineError("helm is not on PATH", REMEDY)
    done = quietly(program, *arguments)
    if done.returncode == 0:
        return str(done.stdout)
    said = str(done.stderr).strip().splitlines()[0].removeprefix("Error: ")
    if arguments[0] == "template":
        raise Refused(said.rpartition("): ")[2])
    raise MachineError(f"helm cannot pull {chart.name} {chart.version}: {said}", "is it reachable?")


class _Loader(yaml.SafeLoader):
    """YAML 1.1 gives `=` a type of its own; in a CustomResourceDefinition's enum it is a text."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


def _parsed(text: str) -> list[Mapping[str, Any]]:
    return [body for body in yaml.load_all(text, _Loader) if body]
