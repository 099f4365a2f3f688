"""A chart of Helm → its manifests, by the `helm` that is on the path.

The release is called as the chart is, unless it is given a name: no object's name is random.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from canary import yamls
from canary.errors import MachineError, UsageError
from canary.runtime import processes
from canary.yamls import Document, mapping, scalar

CHART = "Chart.yaml"
TIMEOUT_S = 120.0
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class Release:
    """What a chart is rendered with: its values' files, a name and a namespace."""

    values: Sequence[Path] = ()
    name: str = ""
    namespace: str = ""


DEFAULT = Release()


def is_chart(folder: Path) -> bool:
    """Whether a folder is a chart."""
    return (folder / CHART).is_file()


def template(chart: Path, release: Release = DEFAULT) -> list[Document]:
    """The objects that a chart makes.

    Raises:
        UsageError: if the chart objects to them.
        MachineError: if helm is not on PATH, or it does not end.
    """
    helm = shutil.which("helm")
    if helm is None:
        remedy = "go install helm.sh/helm/v3/cmd/helm@v3.19.2, or pipe what it prints to -"
        raise MachineError("helm is not on PATH", remedy)
    command = [helm, "template", *filter(None, [release.name or _name(chart)]), str(chart)]
    command += [f"--values={file}" for file in release.values]
    command += [f"--namespace={release.namespace}"] if release.namespace else []
    try:
        done = processes.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise MachineError(f"helm took longer than {TIMEOUT_S:g} s", "run it yourself") from None
    if done.returncode:
        said = " ".join(str(done.stderr).split()).removeprefix("Error: ")[:_MOST_CHARACTERS]
        values = "name files of values with `helm` in rehearsal.yaml, or what helm template prints"
        missing = f"run helm dependency build {chart}"
        raise UsageError(
            f"helm refuses {chart}: {said}", missing if "dependency build" in said else values
        )
    loaded = yamls.load(f"{chart} (rendered)", str(done.stdout))
    objects = (document for document in loaded if isinstance(document.body, dict))
    found = [item for document in objects for item in yamls.items(document)]
    if release.namespace:
        for one in found:  # as helm install would put them there
            own = mapping(one.body.get("metadata"))
            one.body["metadata"] = {"namespace": release.namespace, **own}
    return found


def _name(chart: Path) -> str:
    if not is_chart(chart):
        return ""  # a packed one, whose name helm knows
    return next(
        (scalar(mapping(found.body).get("name")) for found in yamls.read(chart / CHART)), ""
    )
