"""How every program ends when it is used wrongly: its code, one line, no traceback, nothing left.

Most are called within this process, which takes no second each; signals, pipes and encodings need
real ones.
"""

import contextlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import psutil
import pytest

from canary.runtime import documents, processes
from canary.runtime import program as ending
from canary.runtime.waiting import wait_until
from canary.start import start
from canary.tests.machine import lives

MAINS = {
    "canary": "canary.cli",
    "loadtest": "loadtesting.cli",
    "observe": "observe.cli",
    "policies": "policies.cli",
    "acceptance": "acceptance.__main__",
    "pipeline": "pipeline.cli",
    "gridos": "gridos.cli",
}
HUGE = "9" * 5000
OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(9)
)
BIN = Path(sys.executable).parent

# What no reader of manifests may stumble over: name → content, and what is said of it.
MANIFESTS = {
    "bytes": (b"\x00\x01\x02", "line 1"),
    "latin-1": (f"{OBJECT}data:\n  a: caf\xe9\n".encode("latin-1"), "line 6 is not UTF-8"),
    "utf-16": (OBJECT.encode("utf-16"), "line 1 is not UTF-8"),
    "nul": (f"{OBJECT}data: {{a: '\0'}}\n".encode(), "line 5"),
    "integer": (f"{OBJECT}data: {HUGE}\n".encode(), "line 5"),
    "infinite": (f"{OBJECT}data: .inf\n".encode(), ".inf is not a finite number"),
    "deep": (f"{OBJECT}data: {'[' * 3000}\n".encode(), "line 5"),
    "bomb": ((OBJECT + BOMB).encode(), "stands for more than"),
    "circle": (f"{OBJECT}data: &a [*a]\n".encode(), "line 5"),
    "twice": (f"{OBJECT}kind: Secret\n".encode(), "line 5"),
    "tag": (f"{OBJECT}data: !!python/name:os.system x\n".encode(), "line 5"),
    "binary": (f"{OBJECT}data: !!binary '~'\n".encode(), "line 5"),
    "list": (b"- 1\n- 2\n", "contains list, not an object"),
    "text": (b"hello\n", "contains str, not an object"),
    "torn": (b"a: [1, 2\n", "is not YAML"),
}
KUSTOMIZATIONS = {
    "itself": ("resources: [.]\n", "includes itself"),
    "parent": ("resources: [../parent]\n", "includes itself"),
    "number": ("resources: 1\n", "resources is not what Kustomize knows"),
    "numbers": ("resources: [1]\n", "resources is not what Kustomize knows"),
    "gone": ("resources: [none.yaml]\n", "does not exist"),
    "namespace": ("namespace: {a: b}\nresources: []\n", "namespace is not what Kustomize knows"),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder of what nobody should have to read."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, (content, _) in MANIFESTS.items():
        (folder / f"{name}.yaml").write_bytes(content)
    for name, (content, _) in KUSTOMIZATIONS.items():
        (folder / name).mkdir()
        (folder / name / "kustomization.yaml").write_text(content)
    (folder / "empty").mkdir()
    (folder / "empty.yaml").touch()
    (folder / "null.yaml").write_text("null\n---\n")
    (folder / "folder.yaml").mkdir()
    (folder / "dangling.yaml").symlink_to("nowhere")
    os.mkfifo(folder / "fifo.yaml")
    (folder / "date.yaml").write_text(f"{OBJECT}data:\n  a: 9999-99-99\n")
    (folder / "number.json").write_text(HUGE)
    (folder / "torn.json").write_text('{"a": ')
    (folder / "deep.json").write_text("[" * 100_000)
    with tarfile.open(folder / "outside.tar.gz", "w:gz") as archive:
        for name in ("../outside", "result.json"):
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"{}"))
    with tarfile.open(folder / "links.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("result.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    return folder


@pytest.fixture
def call(root, monkeypatch, capfd, hostile):
    """Runs a program within this process; returns its code and what it said."""

    def run(name, *words, within=root, given=b""):
        monkeypatch.chdir(within)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        before = children()
        arguments = [str(word).replace("{hostile}", str(hostile)) for word in words]
        try:
            code = import_module(MAINS[name]).main(arguments)
        except SystemExit as ended:
            code = ended.code
        assert not children(but_of=before)
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


def children(but_of=frozenset()):
    """This process's, but for what others began: a server that ran before may start a worker at any time."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        # Any of them may end while it is looked at; the guardian ends with us.
        with contextlib.suppress(psutil.NoSuchProcess):
            running = child.status() != psutil.STATUS_ZOMBIE
            if (
                running
                and "guardian.py" not in " ".join(child.cmdline())
                and not but_of & {child, *child.parents()}
            ):
                found.add(child)
    return found


def assert_one_line(name, ended, code, words):
    got, out, err = ended
    assert got == code, err
    assert err.startswith((f"{name}: ", f"{name} ")), err
    assert err.count("\n") == 1, err
    assert words in err
    assert "Traceback" not in out + err


READERS = [
    ("canary", "rehearse", "--manifests"),
    ("canary", "lint"),
    ("canary", "power"),
    ("loadtest", "profiles", "--manifests"),
    ("policies",),
]
UNREADABLE = [
    *((f"{name}.yaml", words) for name, (_, words) in MANIFESTS.items()),
    *((name, words) for name, (_, words) in KUSTOMIZATIONS.items()),
    ("dangling.yaml", "does not exist"),
    ("fifo.yaml", "is not a file"),
    ("none.yaml", "does not exist"),
]


@pytest.mark.parametrize(("file", "words"), UNREADABLE, ids=[file for file, _ in UNREADABLE])
@pytest.mark.parametrize("reader", READERS, ids=" ".join)
def test_a_manifest_that_cannot_be_read_is_one_line_with_its_file(call, reader, file, words):
    assert_one_line(reader[0], call(*reader, f"{{hostile}}/{file}"), 2, words)


HOLLOW = ["empty", "empty.yaml", "null.yaml", "date.yaml", "folder.yaml"]


@pytest.mark.parametrize("file", HOLLOW)
@pytest.mark.parametrize("reader", READERS[:3], ids=" ".join)
def test_manifests_without_a_rollout_are_one_line(call, reader, file):
    assert_one_line(reader[0], call(*reader, f"{{hostile}}/{file}"), 2, file)


TAKEN = "{taken}"
# Gates that power is quick to follow.
MARGINS = "canary/tests/power/margins.yaml"
HOST = ("--host", "http://127.0.0.1:9")
PIPELINE_RELEASE = ("--source", "x", "--digest", "y", "--version", "z")
WRONG = [
    # -- options that are none, or that mean nothing beside each other
    ("canary", ("rehearse", "--nonsense"), 2, "unrecognized arguments: --nonsense"),
    ("canary", ("rehearse", "--fau", "errors=3%"), 2, "unrecognized arguments"),
    ("canary", ("rehearse", "errors=3%"), 2, "unrecognized arguments"),
    ("canary", ("rehearse", "--context", "prod"), 2, "--context is for a cluster"),
    ("canary", ("rehearse", "--url", "http://x"), 2, "--url is for a cluster"),
    ("canary", ("rehearse", "--image", "x:1"), 2, "--image is for a cluster"),
    ("canary", ("rehearse", "--target", "cluster", "--rules", "x"), 2, "--rules is not possible on a cluster"),
    ("canary", ("rehearse", "--target", "cluster", "--stable", "x"), 2, "--stable is not possible"),
    ("canary", ("rehearse", "--target", "cluster", "--without", "prometheus"), 2, "--without prometheus"),
    ("canary", ("rehearse", "--event", "sleep@5s"), 2, "'sleep' is not an event"),
    ("canary", ("rehearse", "--event", "abort@step=99"), 2, "the Rollout has no step 99"),
    ("canary", ("rehearse", "--event", "undo@5s", "--event", "release@1s"), 2, "one by one"),
    ("canary", ("rehearse", "--target", "cluster", "--event", "abort@5s"), 2, "--event is not possible on"),
    ("canary", ("rehearse", "--promote", "soon"), 2, "'soon' is neither never nor such as after=10s"),
    ("canary", ("rehearse", "--promote", "after=soon"), 2, '"soon" is not a duration'),
    ("canary", ("rehearse", "--target", "moon"), 2, "invalid choice: 'moon'"),
    ("canary", ("rehearse", "--rate", "5", "--without", "traffic"), 2, "--rate contradicts"),
    ("canary", ("rehearse", "--keep", "few"), 2, "'few' is not a whole number"),
    ("canary", ("runs", "--out", "{hostile}", "--compare", "a", "b"), 2, "no run of"),
    ("canary", ("runs", "--prune", "-1"), 2, "'-1' is not a whole number"),
    ("canary", ("runs", "--prune", "1", "--compare", "a", "b"), 2, "not allowed with"),
    ("canary", ("replay", "x", "--fault", "errors=3%"), 2, "--fault errors=3% — see canary replay --help"),
    ("canary", ("replay", "x", "--rate", "5"), 2, "unrecognized arguments: --rate"),
    ("canary", ("replay", "x", "--record", "y"), 2, "unrecognized arguments: --record"),
    ("canary", ("serve", "--fault", "errors=3%"), 2, "unrecognized arguments"),
    ("loadtest", ("run", "smoke"), 2, "--host"),
    ("canary", (), 2, "required: COMMAND"),
    ("canary", ("dance",), 2, "'dance'"),
    ("canary", ("lint", "-o", "xml"), 2, "'xml'"),
    ("observe", (), 2, "required: command"),
    ("policies", (), 2, "name a kustomization"),
    ("acceptance", ("everything",), 2, "'everything'"),
    ("pipeline", (), 2, "required: command"),
    ("gridos", ("dance",), 2, "'dance'"),
    # -- values of options
    ("canary", ("rehearse", "--fault", "nope"), 2, "'nope' is not a fault"),
    ("canary", ("rehearse", "--fault", ""), 2, "--fault is empty"),
    ("canary", ("rehearse", "--fault", "database-down=2s", "--target", "cluster"), 2, "on a cluster"),
    ("canary", ("rehearse", "--fault", "--x"), 2, "--fault"),
    ("canary", ("rehearse", "--fault=--x"), 2, "'--x' is not a fault"),
    ("observe", ("up", "--fault", "nope"), 2, "'nope' is not a fault"),
    ("gridos", ("faults", "nope"), 2, "'nope' is not a fault"),
    ("canary", ("simulate", "--fault", "nope"), 2, "prometheus-gone, label-missing"),
    ("canary", ("rehearse", "--rate", HUGE), 2, "--rate"),
    ("canary", ("rehearse", "--target", "cluster", "--url", "http://u:secret@h"), 2, "a user name"),
    ("loadtest", ("run", "smoke", "--host", "http://u:secret@h"), 2, "a user name"),
    ("loadtest", ("run", "smoke", "--host", "h", "--prometheus", "http://u@h"), 2, "a user name"),
    ("canary", ("rehearse", "--rate", "fast"), 2, "'fast'"),
    *(
        ("canary", ("rehearse", option, number), 2, f"{number} is not above 0")
        for option in ("--rate", "--time-scale")
        for number in ("nan", "0", "-1", "inf")
    ),
    ("canary", ("power", "--rate", "0"), 2, "0 is not above 0"),
    ("canary", ("power", "--rollout", "other"), 2, "contains no canary Rollout"),
    ("canary", ("power", "deploy/base", "--manifests", "deploy/base"), 2, "not allowed with argument"),
    ("canary", ("mutate", "--only", "no such mutant"), 2, "no mutant is called 'no such mutant'"),
    ("canary", ("rehearse", "--arg", "window"), 2, "'window' is not NAME=VALUE"),
    ("canary", ("rehearse", "--arg", "nobody=1"), 2, "'nobody'"),
    ("canary", ("rehearse", "--arg", "window=soon"), 2, "soon"),
    ("canary", ("rehearse", "--stable", "no-such-branch"), 2, "no-such-branch"),
    ("canary", ("rehearse", "--stable", "a\0b"), 2, "'a\\x00b'"),
    ("canary", ("rehearse", "--candidate", "-x"), 2, "--candidate"),
    ("canary", ("rehearse", "--candidate", ""), 2, "'' is not a git reference"),
    ("canary", ("rehearse", "--stable", ""), 2, "'' is not a git reference"),
    ("canary", ("rehearse", "--stable=--help"), 2, "'--help' is not a git reference"),
    ("canary", ("rehearse", "--candidate", "x" * 5000), 2, "xxx"),
    ("loadtest", ("run", "smoke", *HOST, "--users", HUGE), 2, "--users"),
    ("loadtest", ("run", "smoke", *HOST, "--max-queue-time", "nan"), 2, "--max-queue-time"),
    ("loadtest", ("profiles", "--pair", "5%,1%"), 2, "not a pair"),
    ("loadtest", ("profiles", "--pair", "nan,1%"), 2, "not a pair"),
    ("loadtest", ("run", "smoke", "--host", "nonsense"), 2, "nonsense"),
    ("loadtest", ("run", "smoke", "--host", "http://127.0.0.1:99999"), 2, "99999"),
    ("loadtest", ("run", "smoke", "--host", "http://[::1"), 2, "[::1"),
    ("canary", ("power", "--releases", HUGE), 2, "--releases"),
    ("canary", ("design", "--detect", "errors=2"), 2, "expected a share"),
    ("observe", ("up", "--seconds", "nan"), 2, "nan is not above 0"),
    ("pipeline", ("pin", "--environment", "dev", *PIPELINE_RELEASE), 2, "'z' is not a version"),
    # -- ports
    *(
        (name, (*command, "--port", port), 2, words)
        for name, command in (("canary", ("rehearse",)), ("canary", ("serve",)), ("observe", ("up",)))
        for port, words in (
            ("99999", "'99999' is not a port"),
            ("0", "'0' is not a port"),
            ("-1", "--port"),
            (HUGE, "--port"),
            ("http", "'http' is not a port"),
        )
    ),
    ("canary", ("serve", "--port", TAKEN), 2, "is occupied — choose another with --port"),
    ("canary", ("ui", "--port", TAKEN), 2, "is occupied"),
    ("observe", ("up", "--port", TAKEN), 2, "is occupied"),
    ("loadtest", ("run", "smoke", *HOST, "--metrics-port", "99999"), 2, "is not a port"),
    # -- files to read
    ("canary", ("rehearse", "--config", "{hostile}/none.yaml"), 2, "does not exist — name a rehearsal.yaml with --config"),
    ("canary", ("rehearse", "--config", "{hostile}/list.yaml"), 2, "list.yaml"),
    ("canary", ("rehearse", "--config", "{hostile}/empty.yaml"), 2, "contains 0 documents"),
    ("canary", ("rehearse", "--config", "{hostile}/integer.yaml"), 2, "line 5"),
    ("canary", ("rehearse", "--config", ""), 2, "'' is not a path"),
    ("canary", ("rehearse", "--rules", "/nonexistent"), 2, "/nonexistent contains no rule file"),
    ("canary", ("rehearse", "--rules", "{hostile}/empty"), 2, "contains no rule file"),
    ("canary", ("replay", "{hostile}/none"), 2, "is not a recording"),
    ("canary", ("replay", "{hostile}/empty"), 2, "is not a recording"),
    ("canary", ("replay", "{hostile}/torn.json"), 2, "is not a recording"),
    ("canary", ("replay", "{hostile}/outside.tar.gz"), 2, "is not a recording"),
    ("canary", ("replay", "{hostile}/links.tar.gz"), 2, "is not a recording"),
    ("canary", ("lint", "--contract", "{hostile}/none"), 2, "cannot be read"),
    ("canary", ("lint", "--contract", "{hostile}/latin-1.yaml"), 2, "cannot be read"),
    ("canary", ("lint", "--contract", "http://127.0.0.1:99999"), 2, "cannot be read"),
    ("canary", ("lint", "canary/rehearse/locustfile.py"), 2, "locustfile.py"),
    ("canary", ("lint", "docs"), 2, "docs"),
    # nothing judges it, so that nothing need be simulated
    ("canary", ("simulate", "canary/tests/power/ungated.yaml"), 2, "has no gate to simulate"),
    ("canary", ("power", "--rehearsal", "no/such.json"), 2, "not a result"),
    ("canary", ("power", "--rehearsal", "{hostile}/number.json"), 2, "not a result"),
    ("canary", ("power", "--rehearsal", "{hostile}/deep.json"), 2, "not a result"),
    ("loadtest", ("compare", "{hostile}/torn.json", "{hostile}/torn.json"), 2, "torn.json"),
    ("loadtest", ("compare", "{hostile}/deep.json", "{hostile}/deep.json"), 2, "deep.json"),
    ("loadtest", ("profiles", "--config", "{hostile}/list.yaml"), 2, "list.yaml"),
    # -- files to write
    ("canary", ("power", MARGINS, "--releases", "20", "--html", "/proc/none/x.html"), 2, "/proc/none"),
    ("canary", ("power", MARGINS, "--releases", "20", "--html", "{hostile}/empty"), 2, "name a file"),
    ("canary", ("power", MARGINS, "--releases", "20", "--svg", "/proc/x.svg"), 2, "/proc/x.svg"),
    ("canary", ("rehearse", "--out", "/proc/x"), 2, "/proc/x"),
    ("canary", ("rehearse", "--out", "{hostile}/text.yaml/x"), 2, "name one below a folder"),
    ("observe", ("up", "--out", "/proc/x"), 2, "/proc/x"),
]  # fmt: skip


@pytest.fixture(scope="module")
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield str(server.getsockname()[1])


def _id(row):
    return f"{row[0]} {' '.join(row[1])}".encode("unicode_escape").decode()[:70]


@pytest.mark.parametrize("row", WRONG, ids=_id)
def test_a_wrong_usage_is_one_line_and_its_code(call, taken, row):
    name, arguments, code, words = row
    arguments = [taken if word == TAKEN else word for word in arguments]
    assert_one_line(name, call(name, *arguments), code, words)


@pytest.mark.parametrize("content", [content for content, _ in MANIFESTS.values()], ids=MANIFESTS)
def test_a_stream_that_cannot_be_read_is_one_line(call, content):
    assert_one_line("canary", call("canary", "lint", "-", given=content), 2, "standard input")


@pytest.mark.parametrize(
    "content", [b"\xff", HUGE.encode(), b"[" * 5000, b"[1]", b"null", b"{}", b"", b"- 1\n"]
)
def test_an_event_for_the_pipeline_that_cannot_be_read_is_one_line(
    call, content, tmp_path, monkeypatch
):
    (tmp_path / "event.json").write_bytes(content)
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    ended = call("pipeline", "comment", str(tmp_path / "result.json"))
    assert_one_line("pipeline", ended, 2, "GITHUB_EVENT_PATH is not the event of a run")


# ------------------------------------------------------------------------ the program as a whole


@pytest.mark.parametrize("name", MAINS)
def test_every_program_says_its_version(call, root, name):
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    assert call(name, "--version") == (0, f"{name} {version}\n", "")


@pytest.mark.parametrize("folder", ["deploy/base", "docs", "service/gridos/api"])
def test_a_program_works_from_any_folder_of_the_checkout(call, root, folder):
    within = root / folder
    assert call("canary", "lint", within=within)[0] == 0
    assert call("loadtest", "profiles", within=within)[0] == 0
    assert call("observe", "generate", "--check", within=within)[0] == 0
    assert call("pipeline", "version", within=within)[0] == 0
    assert_one_line(
        "canary", call("canary", "rehearse", "--fault", "x", within=within), 2, "is not a fault"
    )
    assert Path.cwd() == within


def test_a_given_path_is_taken_from_where_the_user_stands(call, root):
    code, out, _ = call("canary", "lint", "power/design.yaml", within=root / "canary/tests")
    assert code == 1
    assert "canary/tests/power/design.yaml: Rollout/gridos" in out


def test_outside_of_a_checkout_what_is_missing_is_said_with_its_option(call, tmp_path):
    for ended, name, option in (
        (call("canary", "rehearse", within=tmp_path), "canary", "--config"),
        (call("canary", "lint", within=tmp_path), "canary", "name a folder with manifests"),
        (call("loadtest", "profiles", within=tmp_path), "loadtest", "does not exist"),
    ):
        assert_one_line(name, ended, 2, option)
    assert list(tmp_path.iterdir()) == []


def test_the_module_needs_nothing_that_would_have_to_be_installed(root):
    """The pipeline's jobs hold tokens and have the standard library and a checkout."""
    code = "import sys, canary.runtime.program as p; print(*{m.partition('.')[0] for m in sys.modules})"
    whole = f"import sys; sys.path.insert(0, {str(root)!r}); {code}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", whole], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= {*sys.stdlib_module_names, "canary", "__main__"}


# ---------------------------------------------------------------------------- the module by itself


class Told(Exception):
    exit_code = 3


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (Told("nothing\nwas measured"), 3, "nothing was measured"),
        (RecursionError("too deep"), 4, "RecursionError: too deep — please report"),
        (MemoryError(), 4, "MemoryError"),
        (ValueError("x" * 10_000), 4, "please report"),
        (OSError(28, "No space left on device", "/x/y"), 4, "/x/y: No space left on device — free"),
        (OSError(13, "Permission denied", "/x/y"), 4, "please report"),
        (OSError(13, "Permission denied", "/given/y"), 2, "give yourself the right"),
        (OSError(30, "Read-only file system", "/given/y"), 2, "that can be written"),
        (OSError(2, "No such file or directory", "/given"), 2, "name one that exists"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(32, "Broken pipe"), 4, "please report"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_failure_has_one_line_and_its_code(
    capfd, tmp_path, monkeypatch, failure, code, words
):
    def body(_):
        raise failure

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert ending.run("it", body, ["--out=/given"]) == code
    err = capfd.readouterr().err
    assert (err.startswith("it: "), err.count("\n"), "Traceback" in err) == (True, 1, False)
    assert words in err
    logs = [file.read_text() for file in tmp_path.iterdir()]
    assert len(logs) == ("please report" in err)
    assert all("Traceback" in log for log in logs)


def test_what_must_be_done_whole_is_not_disturbed_by_a_signal(capfd):
    done = []

    def body(_):
        with ending.undisturbed():
            signal.raise_signal(signal.SIGTERM)
            done.append("whole")
        done.append("never")

    assert ending.run("it", body, []) == 130
    assert done == ["whole"]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_a_program_and_no_other_disturbs_its_end(capfd, first):
    done = []

    def body(_):
        try:
            signal.raise_signal(first)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.raise_signal(number)
            done.append("torn down")
        return 0

    before = [signal.getsignal(number) for number in ending.ENDING]
    assert ending.run("it", body, []) == 130
    assert done == ["torn down"]
    assert [signal.getsignal(number) for number in ending.ENDING] == before


def test_a_signal_that_comes_where_python_drops_what_is_raised_ends_a_program_all_the_same():
    class Dropping:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def body(_):
        Dropping()
        threading.Event().wait(30)
        return 0

    assert ending.run("it", body, []) == 130


def test_a_signal_ends_what_threads_run_and_what_waits_for_one_of_them():
    begun = []

    def work(seconds):
        begun.append(seconds)
        processes.run(["sleep", seconds])

    def body(_):
        with ending.threads(1) as pool:
            for seconds in ("60", "61"):
                pool.submit(work, seconds)
            wait_until(lambda: begun, 30)
            signal.raise_signal(signal.SIGTERM)
        return 0

    assert ending.run("it", body, []) == 130
    assert begun == ["60"]


CLASS = """
class Interrupting:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt

class Made:
    made = Interrupting()
"""


def test_an_interruption_while_a_class_is_made_ends_a_program_that_begins(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "made_of_classes.py").write_text(CLASS)
    monkeypatch.syspath_prepend(tmp_path)
    assert start("it", "made_of_classes", "") == 130
    assert capsys.readouterr().err == "it: interrupted\n"


# ------------------------------------------------------------------------------- real processes


def shell(root, command, **variables):
    return subprocess.run(
        ["bash", "-c", command],
        cwd=root, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **variables},
    )  # fmt: skip


def test_an_output_that_nobody_reads_any_more_is_no_failure_to_tell_of(root):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [BIN / "canary", "lint", "-o", "json"],
        cwd=root, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_output_that_is_full_is_the_machines_fault(root):
    done = shell(root, "canary lint --list-rules > /dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "the output: No space left on device — free some space" in done.stderr
    assert shell(root, "canary --help > /dev/full").returncode == 4
    assert shell(root, "canary dance 2> /dev/full").returncode == 2


def test_an_encoding_without_our_characters_is_written_with_escapes(root):
    done = shell(
        root, "canary lint --list-rules; canary rehearse --arg window", PYTHONIOENCODING="ascii"
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "\\u2014" in done.stderr
    assert done.stdout.isascii()


def test_a_closed_output_is_no_failure(root):
    assert shell(root, "canary lint >&-").stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "command",
    [
        ("canary", "simulate", "canary/tests/power/margins.yaml", "--releases", "20"),
        ("observe", "up", "--seconds", "60"),
    ],
    ids=["canary", "observe"],
)
def test_a_signal_ends_a_program_with_130_and_leaves_nothing(root, tmp_path, command, number):
    if command[0] == "observe":
        command = (*command, "--out", str(tmp_path))
    started = subprocess.Popen(
        [BIN / command[0], *command[1:]],
        cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process = psutil.Process(started.pid)
    assert wait_until(lambda: begun(process), timeout_s=60)
    children = process.children(recursive=True)
    started.send_signal(number)
    _, err = started.communicate(timeout=60)
    # What another test's killed run left, this one removes and says so.
    said = [line for line in err.splitlines() if not line.startswith("removed ")]
    assert (started.returncode, said) == (130, [f"{command[0]}: interrupted"])
    assert wait_until(lambda: not any(map(lives, children)), timeout_s=60)


def begun(process):
    """Whether it has started a program, beside the guardian that ends what it leaves."""
    for child in process.children(recursive=True):
        # It may have ended since, or not begun its program yet.
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.exe() != process.exe():
                return True
    return False


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path):
    from canary.commands.rehearse import _make

    @dataclass(frozen=True)
    class What:
        id: str

    made = [_make(tmp_path / "runs", What("20261128T171805Z-healthy"))[1].name for _ in range(3)]
    assert made == [f"20261128T171805Z-healthy{end}" for end in ("", "-2", "-3")]


# ----------------------------------------------------------------------- anything in place of anything

NONSENSE = [None, 1, "x", "", [], {}, -1, 10**30, "9" * 5000, "x" * 10_000, [None], [[]], {"a": {}}]
SEEDS = range(2)


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


def with_nonsense(value, path, nonsense):
    copied = json.loads(json.dumps(value))
    spot = copied
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = nonsense
    return copied


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "command",
    [("canary", "replay", "{hostile}/empty", "--manifests"), ("canary", "lint"), ("policies",)],
    ids=" ".join,
)
def test_nonsense_anywhere_in_a_manifest_is_never_a_fault_of_ours(
    call, root, tmp_path, command, seed
):
    bodies = [found.body for found in documents.read(root / "deploy/base")]
    chance = random.Random(seed)
    for number in range(8):
        path = chance.choice([p for p in places(bodies) if len(p) > 1])
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(with_nonsense(bodies, path, chance.choice(NONSENSE))))
        code, _, err = call(*command, file)
        assert code in (0, 1, 2), (path, err)
        assert "Traceback" not in err
