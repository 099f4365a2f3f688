"""The commands of the documents, typed line by line into a fresh clone."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from acceptance.documents import NEEDS, ROOT, TIMEOUT_S, blocks, commands, entered, marked, typed
from acceptance.git import git
from canary.runtime import processes
from canary.runtime.waiting import wait_until

PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/gates.md",
    "docs/reference/lint.md",
    "docs/reference/rehearsal.md",
    "docs/reference/pages.md",
    "canary/README.md",
    "ci/README.md",
    "observability/README.md",
    "policies/README.md",
    "loadtest/README.md",
    "docs/reference/loadtest.md",
    "docs/azure.md",
    "docs/pipeline.md",
)
# Of the other pages: the test that reads their commands and runs them.
READ_BY = {
    "docs/make-it-yours.md": "acceptance/adopt/test_adopt.py",
    "docs/reference/in-ci.md": "acceptance/foreign/test_empty_home.py",
    "docs/your-service.md": "acceptance/foreign/test_empty_home.py",
    "loadtest/openarrivals/README.md": "acceptance/load/test_readme.py",
    "service/README.md": "service/tests/test_readme.py",
}
# These are tests themselves: CI runs them, or a person who has the cluster that they need.
TESTS = re.compile(r"make (?:setup )?(?:lint|test|accept-)|\S+ -m acceptance ")
# Commands of these change what is tracked, as is their purpose.
CHANGES = {"docs/pipeline.md"}
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
SERVES = re.compile(r"WEB=1|canary ui|make (?:observe|serve)")
# Of these the one that the commands after it need.
STAYS = "make serve"
# Needed on each page that has it.
AGAIN = re.compile(rf"cd |{STAYS}$")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/?\S*")
KEY = re.compile(r"keys\.keys: (\S+)")


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
    """That of a person with a virtual environment and uv, and what CI sets."""
    venv = tmp_path_factory.mktemp("venv") / "venv"
    processes.run([sys.executable, "-m", "venv", str(venv)], check=True)
    path = os.pathsep.join([str(venv / "bin"), os.environ["PATH"], str(ROOT / ".venv/bin")])
    given = {"REPO": "owner/name", "HOST": "http://127.0.0.1:8000"}
    return {**os.environ, **given, "PATH": path, "GITHUB_STEP_SUMMARY": str(venv / "summary")}


@pytest.fixture(scope="module")
def done():
    """The commands that were typed already, on the page or on one before it."""
    return set()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_does_what_it_says(
    page, clone, environment, done, measured, tmp_path
):
    folder = clone
    with ExitStack() as beside:
        for line in commands(page):
            if TESTS.match(line) or (line in done and not AGAIN.match(line)):
                continue
            done.add(line)
            wanted = next((code for words, code in CODES if re.search(words, line)), 0)
            if line == STAYS:
                log = beside.enter_context(serving(line, clone, environment, tmp_path / "serves"))
                assert wait_until(lambda text=log.read_text: KEY.search(text()), timeout_s=60)
                (clone / "key.txt").write_text(KEY.search(log.read_text())[1])
            elif SERVES.search(line):
                with serving(line, clone, environment, tmp_path / "log") as log:
                    # As a browser that keeps the cookie which the key in the address is exchanged for.
                    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
                    with browser.open(ADDRESS.search(log.read_text())[0], timeout=60) as answer:
                        assert b"<html" in answer.read()
                measured(f"{page}: {line}", "shows its page, and Ctrl-C ends it")
            else:
                ended = typed(with_names_that_are_there(line, clone), folder, environment)
                said = ended.stdout + ended.stderr
                measured(f"{page}: {line}", f"exit {ended.returncode}")
                assert (ended.returncode, "Traceback" in said) == (wanted, False), said
                folder = entered(line, folder)
    if page in CHANGES:
        git(clone, "reset", "--quiet", "--hard")
    assert subprocess.run(["git", "-C", clone, "diff", "--quiet"], check=False).returncode == 0


@contextmanager
def serving(line, clone, environment, log):
    """The log of a command that has printed its address, and that Ctrl-C ends."""
    with log.open("w") as sink:
        served = subprocess.Popen(
            ["bash", "-c", line], cwd=clone, env=environment, stdout=sink, stderr=sink,
            start_new_session=True,
        )  # fmt: skip
    try:
        assert wait_until(lambda: ADDRESS.search(log.read_text()), timeout_s=TIMEOUT_S)
        yield log
    finally:
        os.killpg(served.pid, signal.SIGINT)
        served.wait(TIMEOUT_S)
    # The shell's own, or make's.
    assert served.returncode in (130, 2, -signal.SIGINT), log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def with_names_that_are_there(line, clone):
    """A command with the ids of runs of this clone, and its key, in place of the page's."""
    if (clone / "key.txt").exists():
        line = line.replace("THE-KEY", (clone / "key.txt").read_text())
    for kind, theirs in (
        ("rehearsals", r"(?<=latest )2\d+"),
        ("loadtest", r"(?<=loadtest/)[AB]\b"),
    ):
        runs = sorted(path.name for path in (clone / "out" / kind).glob("2*") if path.is_dir())
        line = re.sub(theirs, runs[0], line) if runs else line
    return line


def pages():
    """Every page of the repository, but for the runbooks, whose commands are listed there."""
    listed = git(ROOT, "ls-files", "*.md").split()
    return [page for page in listed if not page.startswith("docs/runbooks/")]


@pytest.mark.quick
def test_every_command_of_a_page_is_typed_or_is_a_test_itself_or_says_what_it_needs():
    plain = {page for page in pages() if any(not TESTS.match(one) for one in commands(page))}
    assert plain == {*PAGES, *READ_BY}
    for page, test in READ_BY.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8"), test


@pytest.mark.quick
def test_what_says_that_it_needs_something_calls_it():
    for page in pages():
        for block in blocks(page):
            for command, mark in marked(block):
                known = [program for need, program in NEEDS.items() if need in mark]
                assert bool(known) == bool(mark), (page, mark)
                # A block is marked as a whole, for what one of its commands calls.
                assert all(re.search(program, block) for program in known), (page, command)


@pytest.mark.quick
def test_a_test_that_a_page_names_is_there():
    for command in sorted({one for page in pages() for one in commands(page) if TESTS.match(one)}):
        only_named = re.sub(r"^make", "make --dry-run", command)
        if only_named == command:
            only_named += " --collect-only"
        ended = typed(only_named, ROOT, os.environ)
        assert ended.returncode == 0, ended.stdout + ended.stderr
