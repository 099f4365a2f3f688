"""A chart of Helm → its manifests, by the `helm` that is on the path."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from canary import yamls
from canary.errors import MachineError, UsageError
from canary.runtime import processes
from canary.yamls import Document

TIMEOUT_S = 120.0


def template(chart: Path, values: Sequence[Path]) -> list[Document]:
    """The objects that a chart makes of some values.

    Raises:
        UsageError: if the chart objects to them.
        MachineError: if there is no helm here, or it does not end.
    """
    helm = shutil.which("helm")
    if helm is None:
        remedy = "go install helm.sh/helm/v3/cmd/helm@v3.19.2, or pipe what it prints to -"
        raise MachineError("there is no helm here", remedy)
    command = [helm, "template", str(chart), *(f"--values={file}" for file in values)]
    try:
        done = processes.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise MachineError(f"helm took longer than {TIMEOUT_S:g} s", "run it yourself") from None
    if done.returncode:
        said = next(iter(str(done.stderr).strip().splitlines()), "nothing")
        raise UsageError(f"helm refuses {chart}: {said}", "see helm template")
    loaded = yamls.load(f"{chart} (rendered)", str(done.stdout))
    objects = (document for document in loaded if isinstance(document.body, dict))
    return [item for document in objects for item in yamls.items(document)]
