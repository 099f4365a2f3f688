"""Makes .venv, or brings it up to date: pip installs uv, by hash, and uv the locked requirements.

    python3 ci/install.py rehearse    # what a rehearsal and the gates need
    python3 ci/install.py dev         # that, and what tests and lint need

It runs before anything is installed, so on the standard library alone. What is there already
stays: .venv grows from `rehearse` to `dev` and never shrinks. Its last act is to write
`.venv/installed`, which says what is in it. An attempt that failed or was interrupted leaves no
such file, and the next one begins from nothing, with the downloads still in uv's cache.
"""

import ast
import fcntl
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
INSTALLED = VENV / "installed"
# How uv reaches the packages, for those who call it later (canary.runtime.packages reads it too).
INDEX = VENV / "index.json"
# Each holds all of the one before it.
SETS = ("rehearse", "dev")
OLDEST = (3, 11)
LOCKED = ("--require-hashes", "--no-deps")
# The checkout's own code runs from where it is: its folders on Python's path, and its programs.
FOLDERS = (".", "service", "loadtest", "observability", "ci")
PROGRAMS = {
    "canary": "canary.cli",
    "gridos": "gridos.cli",
    "loadtest": "loadtesting.cli",
    "observe": "observe.cli",
    "pipeline": "pipeline.cli",
    "policies": "policies.cli",
}
# Begun by a shell, since the path of .venv may hold a space or be too long for a first line.
PROGRAM = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from canary.start import start

sys.exit(start("{name}", "{module}", "make setup"))
"""
# What pip is told in its files and variables, and what uv calls the same.
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
# A person's settings of pip for other occasions, which would make it refuse this one.
UNDISTURBED = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_ROOT_USER_ACTION": "ignore"}


class SetupError(Exception):
    """.venv cannot be made; the text says why and what to do."""


def main(arguments: list[str]) -> int:
    """Exits with 0 when .venv holds what was asked for, 4 when it cannot be made."""
    try:
        install(arguments[0])
    except SetupError as error:
        _say(str(error))
        return 4
    except OSError as error:
        _say(f"{error.strerror}: {error.filename}")
        return 4
    except KeyboardInterrupt:
        _say("interrupted; the next run begins anew with what is downloaded")
        return 130
    return 0


def install(wanted: str) -> None:
    """Leaves .venv with the wanted set, or a larger one that it held before."""
    folder = os.open(ROOT, os.O_RDONLY)
    # pip and uv hold the lock too: if this is killed, the next run waits for what it left running.
    os.set_inheritable(folder, True)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("another one is at work on .venv, waiting for it")
        fcntl.flock(folder, fcntl.LOCK_EX)
    began = time.monotonic()
    held = _held()
    chosen = max(wanted, held.get("requirements", wanted), key=SETS.index)
    if held == _contents(chosen):
        return
    INSTALLED.unlink(missing_ok=True)
    if not held:
        _begin()
    _fill(chosen)
    # One that is cut off is none: it is not JSON.
    INSTALLED.write_text(json.dumps(_contents(chosen)), encoding="utf-8")
    _say(f".venv is ready after {time.monotonic() - began:.0f} s")


def _held() -> dict[str, str]:
    """What .venv says that it holds; nothing if it is unfinished or of another Python."""
    try:
        held: dict[str, str] = json.loads(INSTALLED.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    there = os.path.realpath(BIN / "python")
    # Whoever names a Python means it; without a name, the one that is there will do.
    meant = _interpreter() if os.environ.get("PYTHON") else there
    usable = held.get("requirements") in SETS and (BIN / "uv").is_file()
    return held if usable and held.get("python") == there == meant else {}


def _contents(chosen: str) -> dict[str, str]:
    read = hashlib.sha256()
    for file in (f"requirements/{chosen}.txt", "ci/install.py"):
        read.update((ROOT / file).read_bytes())
    # The programs hold the folder's path.
    read.update(str(ROOT).encode())
    python = os.path.realpath(BIN / "python")
    return {"requirements": chosen, "python": python, "digest": read.hexdigest()}


def _interpreter() -> str:
    """The Python that runs this, or the one behind it if that is itself one of a .venv."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _begin() -> None:
    """An environment that holds uv, and what brought it."""
    if sys.version_info < OLDEST:
        version = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(
            f"this is Python {version}, 3.11 or newer is needed: make PYTHON=python3.12 …"
        )
    _say("fetching uv from its wheel")
    # A .venv that is a link to another is emptied and stays the link.
    _run([_interpreter(), "-m", "venv", "--clear", "--without-pip", str(VENV)], {})
    fetched = VENV / "bootstrap"
    pip = _pip(fetched / "pip")
    into = ("--target", str(fetched / "uv"), "-r", "requirements/uv.txt")
    wheel = ("--quiet", "--disable-pip-version-check", "--only-binary", ":all:")
    _run([*pip, "install", *wheel, *LOCKED, *into], UNDISTURBED)
    INDEX.touch(mode=0o600)  # an index's address may hold a password
    INDEX.write_text(json.dumps(_index(pip)), encoding="utf-8")
    (fetched / "uv" / "bin" / "uv").replace(BIN / "uv")
    shutil.rmtree(fetched)


def _pip(folder: Path) -> list[str]:
    """The pip of this Python, or else that of an environment that only fetches uv."""
    own = [_interpreter(), "-m", "pip"]
    if _works([*own, "--version"]):
        return own
    if not _works([_interpreter(), "-m", "venv", str(folder)]):
        raise SetupError("neither pip nor venv is here: sudo apt-get install python3-venv")
    return [str(folder / "bin" / "python"), "-m", "pip"]


def _index(pip: list[str]) -> dict[str, str]:
    """How pip reaches its packages, in uv's variables."""
    said = subprocess.run(
        [*pip, "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    # One a line, as section.name='value'. What is said later counts more: variables over files.
    given: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for name, value in re.findall(rf"(?m)^{section}\.([a-z-]+)=(.+)$", said):
            if name in SETTINGS:
                given[SETTINGS[name]] = " ".join(ast.literal_eval(value).split())
    if "UV_FIND_LINKS" in given:
        given["UV_FIND_LINKS"] = given["UV_FIND_LINKS"].replace(" ", ",")
    # pip's own is the list of authorities that Python has; uv brings another unless told.
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        given["UV_SYSTEM_CERTS"] = "true"
    return given


def _fill(chosen: str) -> None:
    lock = f"requirements/{chosen}.txt"
    number = sum("==" in line for line in (ROOT / lock).read_text(encoding="utf-8").splitlines())
    _say(f"installing the {number} packages of {lock} into .venv")
    # The person's own variables before those taken from pip.
    taken: dict[str, str] = json.loads(INDEX.read_text(encoding="utf-8"))
    reach = {name: value for name, value in taken.items() if name not in os.environ}
    shown = () if sys.stderr.isatty() else ("--quiet",)
    uv = (str(BIN / "uv"), "pip", "install", "--python", str(BIN / "python"), *shown)
    _run([*uv, "--exact", *LOCKED, "-r", lock], {**reach, "UV_PYTHON_DOWNLOADS": "never"})
    _link()


def _link() -> None:
    """The checkout's folders on the path of .venv, and its programs in .venv/bin."""
    (packages,) = VENV.glob("lib/python*/site-packages")
    folders = (str((ROOT / folder).resolve()) for folder in FOLDERS)
    (packages / "checkout.pth").write_text("\n".join(folders) + "\n", encoding="utf-8")
    for name, module in PROGRAMS.items():
        file = BIN / name
        text = PROGRAM.format(python=BIN / "python", name=name, module=module)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT).returncode == 0


def _run(command: list[str], environment: dict[str, str]) -> None:
    variables = {**os.environ, **environment}
    done = subprocess.run(command, check=False, cwd=ROOT, env=variables, close_fds=False)
    if done.returncode != 0:
        program = command[2] if command[1] == "-m" else Path(command[0]).name
        raise SetupError(
            f"{program} ended with {done.returncode}, for the reason above; put it right and"
            " run this again: it begins anew with what is downloaded"
        )


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
