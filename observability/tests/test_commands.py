"""Every command of a runbook is run, or its list says what it needs; what can be run here is run."""

import ast
import json
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml
from observe import http_stub, promtool, runbooks

from acceptance import documents
from acceptance.git import git
from canary.runtime import binaries, database
from canary.runtime.waiting import wait_until

FOLDER = Path(__file__).parents[2] / "docs/runbooks"
RUN, CI, DRILLED, READ, TYPED, AZURE = (
    "Run as they stand",
    "Run by CI",
    "Needs a cluster: a drill runs it",
    "Needs a cluster: a drill types it and reads the output",
    runbooks.TYPED,
    "Needs Azure",
)
# What AKS and its add-on for the vault bring, and nothing else does.
NEEDS_AZURE = (
    r"az |curl -sSv? https://|kubectl .*secretproviderclasspodstatus|kubectl -n kube-system "
)
# Nobody listens there.
CLOSED = """\
apiVersion: v1
kind: Config
current-context: closed
clusters: [{name: closed, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: closed, context: {cluster: closed, user: nobody}}]
users: [{name: nobody, user: {}}]
"""
TIMEOUT_S = 60


LIST = (FOLDER / "commands.md").read_text(encoding="utf-8")


def parts():
    """The list's sections: mark → its text."""
    (_, *marked) = runbooks.sections(LIST)
    return dict(marked)


def listed(mark):
    return runbooks.listed(LIST, mark)


def pages():
    """Page → its text, the list and the folder's own page left out."""
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in sorted(FOLDER.glob("*.md"))
        if file.name not in ("README.md", "commands.md")
    }


def beginning(words):
    """The one command under the first mark that begins so."""
    (command,) = (one for one in listed(RUN) if one.startswith(words))
    return command


def run(command, folder, *programs, **variables):
    """Runs a command as a person would type it, with programs that may not be on PATH."""
    folders = (*(str(program.parent) for program in programs), "/usr/local/bin:/usr/bin:/bin")
    return documents.typed(
        command, folder, {"PATH": ":".join(folders), "HOME": str(folder), **variables}
    )


def test_every_command_of_a_page_is_listed_once_and_nothing_else_is():
    assert set(parts()) == {RUN, CI, DRILLED, READ, TYPED, AZURE}
    marked = [command for mark in parts() for command in listed(mark)]
    assert len(marked) == len(set(marked))
    assert set(marked) == {one for text in pages().values() for one in runbooks.commands(text)}


def test_each_command_that_the_list_says_to_be_run_here_is_named_by_a_test():
    named = [
        node.value
        for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]
    run_here = [one for one in listed(RUN) if any(one.startswith(words) for words in named)]
    assert run_here == listed(RUN)


def test_a_command_in_a_block_or_in_a_sentence_is_found_and_a_mere_name_is_not():
    text = """# `git log` in a heading\n\nRun `kubectl get\npods`, unlike `kubectl`.\n
```sh
a b   # why
c \\
  d
```
```promql\nup\n```\n"""
    assert list(runbooks.commands(text)) == ["a b", "c d", "kubectl get pods"]


def test_only_commands_of_azure_are_marked_so():
    assert [command for command in listed(AZURE) if not re.match(NEEDS_AZURE, command)] == []


def test_each_step_of_a_page_that_needs_azure_says_so():
    assert [
        (name, step)
        for name, text in pages().items()
        for section in re.split(r"^## ", text, flags=re.MULTILINE)
        if "Every step needs Azure" not in section
        for step in re.split(r"\n\n|\n(?=\d\. )", section)
        if set(runbooks.commands(step)) & set(listed(AZURE)) and "needs Azure" not in step
    ] == []


def test_a_drill_that_the_list_names_exists_and_has_the_commands_verb(root):
    for drill, command in of_files(root, DRILLED):
        (verb,) = re.findall(r"(?:rollouts|^kubectl(?= patch| annotate)) (\w+)", command)
        assert verb in strings(drill), command


def test_what_ci_runs_is_named_by_the_file_that_the_list_says(root):
    for text, command in of_files(root, CI):
        assert command.partition(" -")[0].split()[-1] in text, command


def test_a_command_whose_output_a_drill_reads_stands_in_the_drill_word_for_word(root):
    for drill, command in of_files(root, READ):
        assert command in strings(drill)


def strings(drill):
    """Every string of a drill's code, or of its data."""
    try:
        nodes = [*ast.walk(ast.parse(drill))]
    except SyntaxError:
        return [e.value for e in yaml.parse(drill) if isinstance(e, yaml.ScalarEvent)]
    return [node.value for node in nodes if isinstance(node, ast.Constant)]


def of_files(root, mark):
    """Each command under a mark with the text of the file that the list names before it."""
    block = re.compile(r"^`([\w./-]+)`[^`]*```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = [
        ((root / file).read_text(encoding="utf-8"), command)
        for file, commands in block.findall(parts()[mark])
        for command in commands.splitlines()
    ]
    assert [command for _, command in found] == listed(mark)
    return found


def test_the_other_programs_that_the_list_names_exist(root):
    for file in re.findall(r"`([\w./]+/[\w.]+)`", LIST):
        assert (root / file).is_file(), file


def test_the_configuration_of_alertmanager_is_checked_as_its_page_says(root, amtool_or_skip):
    done = run(beginning("amtool check-config"), root, amtool_or_skip)
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stderr


def test_the_generated_rules_are_checked_as_their_page_says(root):
    done = run(beginning("promtool check rules"), root, promtool.debian().program)
    assert (done.returncode, "SUCCESS" in done.stdout) == (0, True), done.stderr


def test_keys_are_made_as_their_page_says(root):
    for command in listed(RUN):
        if command.startswith("gridos key"):
            done = run(command, root, Path(sys.executable))
            assert (done.returncode, done.stdout != "") == (0, True), done.stderr


def test_a_release_is_rolled_back_without_github_as_its_page_says(tmp_path):
    clone, branch = tmp_path / "clone", "environments/production"
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    git(tmp_path, "clone", "--quiet", "remote.git", "clone")
    for release in ("1", "2"):
        (clone / "release").write_text(release)
        git(clone, "add", "release")
        git(clone, "commit", "--quiet", "--message", f"Release {release}")
    git(clone, "push", "--quiet", "origin", f"HEAD:{branch}")
    names = {f"GIT_{who}_{what}": "ada@example.com" for who in ("AUTHOR", "COMMITTER")
             for what in ("NAME", "EMAIL")}  # fmt: skip
    for command in (beginning("git fetch"), beginning("git revert")):
        done = run(command, clone, **names)
        assert done.returncode == 0, done.stderr
    git(clone, "fetch", "--quiet", "origin")
    assert git(clone, "show", f"origin/{branch}:release") == "1"


# What gh asks on its way to a workflow and to its last run, by the ends of their addresses.
WORKFLOW = {"id": 1, "name": "rollback", "state": "active"}
LAST = {"id": 7, "workflow_id": 1, "status": "completed", "conclusion": "success"}
GITHUB = {
    "/graphql": {"data": {"repository": {"defaultBranchRef": {"name": "main"}}}},
    "/actions/workflows/rollback.yaml": WORKFLOW,
    "/actions/workflows/1": WORKFLOW,
    "/actions/workflows/1/dispatches": {},
    "/actions/workflows/1/runs": {"total_count": 1, "workflow_runs": [LAST]},
    "/actions/runs/7": LAST,
}


@pytest.fixture
def typed_with_gh(tmp_path, or_skip):
    """Runs a command of gh; returns what it said, and what GitHub was sent, by path."""
    gh = or_skip(binaries.program, "gh")
    sent = {}

    def github(request):
        """Asked through a proxy; what it is sent is kept."""
        path = urlsplit(request.path).path
        sent[path] = http_stub.sent(request)
        (answer,) = (body for end, body in GITHUB.items() if path.endswith(end))
        return (200, json.dumps(answer).encode()) if answer else (204, b"")

    server = http_stub.Server(http_stub.answering(github))
    known = {"GH_HOST": "github.localhost", "GH_REPO": "github.localhost/example/gridos"}
    known |= {"GH_TOKEN": "t", "HTTP_PROXY": f"http://127.0.0.1:{server.port}"}
    yield lambda command: (run(command, tmp_path, gh, **known), sent)
    server.stop()


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_the_rollback_is_asked_for_as_its_page_says(root, typed_with_gh, environment):
    words = "ENVIRONMENT" if environment != "production" else environment
    asked = beginning(f"gh workflow run rollback.yaml --field environment={words}")
    done, sent = typed_with_gh(asked.replace("ENVIRONMENT", environment))
    assert done.returncode == 0, done.stderr
    (body,) = (json.loads(body) for path, body in sent.items() if path.endswith("/dispatches"))
    assert body == {"ref": "main", "inputs": {"environment": environment}}
    workflow = yaml.safe_load((root / ".github/workflows/rollback.yaml").read_text("utf-8"))
    takes = workflow[True]["workflow_dispatch"]["inputs"]  # YAML's `on`
    assert environment in takes["environment"]["options"]
    assert {name for name, one in takes.items() if one.get("required")} == {"environment"}


def test_the_rollback_is_watched_as_its_page_says(typed_with_gh):
    done, _ = typed_with_gh(beginning("gh run watch"))
    assert (done.returncode, "completed with 'success'" in done.stdout) == (0, True), done.stderr


def test_the_session_that_holds_a_lock_is_found_and_ended_as_its_page_says():
    with (
        database.running() as url,
        psycopg.connect(url) as holder,
        psycopg.connect(url, autocommit=True) as person,
        ThreadPoolExecutor(1) as others,
    ):
        person.execute("CREATE TABLE held (id int)")
        holder.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        waits = others.submit(_count, url)
        sessions, end = beginning("SELECT pid, state"), beginning("SELECT pg_terminate_backend")

        def waiting():
            return [row for row in person.execute(sessions) if row[2] == "Lock"]

        assert wait_until(waiting, TIMEOUT_S)
        ((pid, _, _, age, _),) = [
            row for row in person.execute(sessions) if row[1] == "idle in transaction"
        ]
        assert (pid, age is not None) == (holder.info.backend_pid, True)
        person.execute(end.replace("PID", str(pid)))
        assert waits.result(TIMEOUT_S) == 0
        holder.close()


def _count(url):
    with psycopg.connect(url) as session:
        return session.execute("SELECT count(*) FROM held").fetchone()[0]


def test_kubectl_understands_the_words_of_every_command_that_a_drill_types(tmp_path):
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl on PATH")
    (tmp_path / "config").write_text(CLOSED)
    own = [c for c in listed(READ) + listed(TYPED) if re.match("kubectl (?!argo )", c)]
    assert len(own) > 20

    def refused(command):
        typed = command.partition(" | ")[0]
        done = run(typed, tmp_path, Path(shutil.which("kubectl")), KUBECONFIG="config")
        return "" if "connection refused" in done.stderr else f"{command}: {done.stderr}"

    with ThreadPoolExecutor(2) as pool:
        assert [said for said in pool.map(refused, own) if said] == []


def test_lines_that_are_searched_are_all_of_them():
    """With a selector kubectl prints ten lines of each pod, unless it is told how many."""
    asked = [c for c in listed(READ) + listed(TYPED) if re.search(r" logs -l ", c)]
    assert len(asked) > 2
    assert [command for command in asked if "--tail=" not in command] == []
