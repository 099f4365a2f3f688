"""A chart that Helm does not render."""

import pytest

from canary.errors import UsageError
from canary.runtime import helm


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("image.tag is required,\nuse --set", "name files of values with `helm` in rehearsal.yaml"),
        ("run `helm dependency build`: missing: redis", "run helm dependency build "),
    ],
)
def test_what_helm_refuses_is_one_line_with_what_to_do(said, remedy, tmp_path, monkeypatch):
    (tmp_path / "helm").write_text(f"#!/bin/sh\ncat >&2 <<'END'\nError: {said}\nEND\nexit 1\n")
    (tmp_path / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UsageError) as refused:
        helm.template(tmp_path)
    assert refused.value.cause == f"helm refuses {tmp_path}: {' '.join(said.split())}"
    assert refused.value.remedy.startswith(remedy)
