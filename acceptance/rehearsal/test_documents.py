"""The commands of the documents, typed line by line into a fresh clone."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from acceptance.git import git
from canary.runtime import processes
from canary.runtime.waiting import wait_until

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 900
PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/gates.md",
    "docs/reference/lint.md",
    "docs/reference/rehearsal.md",
    "docs/reference/pages.md",
    "canary/README.md",
    "ci/README.md",
)
# Of the other pages: what runs the same programs, mostly with other words, or what they need that
# is not here. Their commands are not typed as they stand.
ELSEWHERE = {
    "CONTRIBUTING.md": ".ci/run",
    "acceptance/README.md": "the tests themselves",
    "docs/azure.md": "Azure",
    "docs/day-2.md": "Azure",
    "docs/install.md": "kind",
    "docs/make-it-yours.md": "acceptance/adopt/test_adopt.py",
    "docs/pipeline.md": "a registry and GitHub",
    "docs/reference/in-ci.md": "docker; and acceptance/foreign/test_empty_home.py",
    "docs/reference/loadtest.md": "acceptance/load/test_cluster.py",
    "docs/runbooks": "observability/tests/test_commands.py",
    "docs/your-service.md": "acceptance/foreign/test_empty_home.py",
    "infra/terraform/README.md": "Azure; and infra/terraform/tests",
    "loadtest/README.md": "acceptance/load/test_profiles.py",
    "loadtest/openarrivals/README.md": "loadtest/tests/openarrivals/test_locust.py",
    "observability/README.md": "acceptance/observability and acceptance/web/test_web.py",
    "service/README.md": "service/tests/test_readme.py",
}
# How a command ends that does not end with 0; make turns every code but 0 into 2.
CODES = (
    (r"FAULT=", 2),
    (r"@before|@step=8\b", 1),
    (r"traffic=0@", 3),
    (r"lint path/to/|lint \. -o json", 1),
    # Here are several teams' Rollouts.
    (r"canary init$", 2),
)
# Goes on until it is interrupted, once it has printed its address.
SERVES = re.compile(r"WEB=1|canary ui|make observe")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S*")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"\s+#.*")


def commands(page):
    """The commands of a page in order, but for those that are CI's own jobs."""
    for block in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        for line in _COMMENT.sub("", block.replace("\\\n", " ")).splitlines():
            if line.strip() and not re.match(r"make (test|lint)\b", line):
                yield line


def untyped(page):
    """Those that no page before has too."""
    before = {line for other in PAGES[: PAGES.index(page)] for line in commands(other)}
    return [line for line in commands(page) if line not in before]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone as a newcomer has it, with what the pages take for granted: names of theirs."""
    folder = tmp_path_factory.mktemp("newcomer") / "gridos"
    git(ROOT, "clone", "--quiet", str(ROOT), str(folder))
    git(folder, "switch", "--quiet", "-C", "main")
    shop = ROOT / "canary/tests/rehearse/shop"
    shutil.copytree(shop, folder / "my")
    for theirs in ("path/to/manifests", "apps"):
        shutil.copytree(shop / "manifests", folder / theirs)
    git(folder, "add", "my", "path", "apps")
    git(folder, "commit", "--quiet", "--message", "Add manifests of our own")
    git(folder, "branch", "my-branch")
    git(folder, "tag", "v1.2")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """That of a person with a virtual environment and uv."""
    venv = tmp_path_factory.mktemp("venv") / "venv"
    processes.run([sys.executable, "-m", "venv", str(venv)], check=True)
    path = os.pathsep.join([str(venv / "bin"), os.environ["PATH"], str(ROOT / ".venv/bin")])
    return {**os.environ, "PATH": path}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_does_what_it_says(page, clone, environment, measured, tmp_path):
    for line in untyped(page):
        type_in = interrupt if SERVES.search(line) else run
        code, said = type_in(with_a_run_that_is_there(line, clone), clone, environment, tmp_path)
        measured(f"{page}: {line}", f"exit {code}")
        assert "Traceback" not in said, said
        expected = next((code for words, code in CODES if re.search(words, line)), 0)
        assert code == expected, said
    assert subprocess.run(["git", "-C", clone, "diff", "--quiet"], check=False).returncode == 0


def run(line, clone, environment, _folder):
    done = processes.run(
        ["bash", "-c", line], cwd=clone, env=environment, capture_output=True, text=True,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def interrupt(line, clone, environment, folder):
    """Opens the address that a command prints, and then presses Ctrl-C."""
    log = folder / "log"
    with log.open("w") as sink:
        served = subprocess.Popen(
            ["bash", "-c", line], cwd=clone, env=environment, stdout=sink, stderr=sink,
            start_new_session=True,
        )  # fmt: skip
    try:
        assert wait_until(lambda: ADDRESS.search(log.read_text()), timeout_s=TIMEOUT_S)
        # As a browser that keeps the cookie which the key in the address is exchanged for.
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(ADDRESS.search(log.read_text())[0], timeout=60) as answer:
            assert b"<html" in answer.read()
    finally:
        os.killpg(served.pid, signal.SIGINT)
        served.wait(TIMEOUT_S)
    # The shell's own, or make's.
    assert served.returncode in (130, 2, -signal.SIGINT), log.read_text()
    return (2 if "FAULT=" in line else 0), log.read_text()


def with_a_run_that_is_there(line, clone):
    """A command with the id of a run of this clone in place of the page's."""
    runs = sorted(path.name for path in (clone / "out/rehearsals").glob("2*") if path.is_dir())
    return re.sub(r"(?<=latest )2\d+", runs[0], line) if runs else line


@pytest.mark.quick
def test_each_page_with_commands_is_typed_or_says_what_it_needs_or_what_runs_its_programs():
    listed = git(ROOT, "ls-files", "*.md").split()
    blocks = {page for page in listed if _BLOCK.search((ROOT / page).read_text("utf-8"))}
    apart = {page: next((e for e in ELSEWHERE if page.startswith(e)), None) for page in blocks}
    assert {page for page, where in apart.items() if not where} == set(PAGES)
    assert set(apart.values()) - {None} == set(ELSEWHERE)
    for who in ELSEWHERE.values():
        assert all((ROOT / file).exists() for file in re.findall(r"[\w./]+/[\w.]+", who)), who
