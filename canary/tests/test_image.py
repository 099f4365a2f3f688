"""The image of the program holds all that it imports; nothing here builds it."""

import os
import shutil
import subprocess
import sys


def test_what_the_image_is_made_of_is_not_ignored_and_runs_where_no_checkout_is(root, tmp_path):
    file = root / "canary/Dockerfile"
    ignored = file.with_name(f"{file.name}.dockerignore").read_text().splitlines()
    steps = [line.split()[1:] for line in file.read_text().splitlines() if line[:5] == "COPY "]
    assert steps
    for source, target in steps:
        assert f"!{source}" in ignored
        there = tmp_path / target.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        if (root / source).is_dir():
            without = shutil.ignore_patterns("__pycache__", "tests")
            shutil.copytree(root / source, there, symlinks=True, ignore=without)
        else:
            shutil.copy(root / source, there)
    done = subprocess.run(
        [sys.executable, "-m", "canary", "rehearse", "--help"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "app")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
