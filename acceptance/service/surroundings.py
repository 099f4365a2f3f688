"""What is the matter around the database: a full disc, a network that is cut, a new password.

As in `outages`, with a world of its own for each. The first two are made with the means of the
kernel, a small file system and packets that are dropped in a network namespace of our own; both
need root.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
from psycopg import conninfo

from acceptance.during import during
from acceptance.service.outages import ROLE, Outcome, meet
from acceptance.services import WRITABLE, Service
from canary.runtime import database as postgres
from canary.runtime import processes, scratch

DISC_MB = 64
_PIECE = 1 << 20
# linux/sched.h
_NEW_NETWORK = 0x40000000


def fill_disc(folder: Path) -> Outcome:
    """Tables on a small file system, of which somebody else takes the rest."""
    with (
        scratch.folder("disc", open_to_all=True) as disc,
        _mounted(disc),
        postgres.server() as server,
    ):
        with psycopg.connect(server.url, autocommit=True) as owner:
            owner.execute(f"CREATE TABLESPACE small LOCATION '{disc}'")
            owner.execute("ALTER SYSTEM SET default_tablespace = 'small'")
            owner.execute("SELECT pg_reload_conf()")
        with _pod(folder, "full", {"GRIDOS_DATABASE_URL": server.url}) as pod:
            return meet(pod, "has a full disc", _full(disc), 10.0)


def cut_network(folder: Path) -> Outcome:
    """Packets between pod and database vanish, without a word to either."""
    with _own_network():
        port = processes.free_port()
        listening = {"listen_addresses": "127.0.0.1", "port": str(port)}
        with postgres.server(listening) as server:
            url = conninfo.make_conninfo(server.url, host="127.0.0.1", port=port)
            with _pod(folder, "cut", {"GRIDOS_DATABASE_URL": url}) as pod:
                return meet(pod, "is cut off by the network", _cut(port), 20.0)


def rotate_password(folder: Path) -> Outcome:
    """The password changes, sessions end, and only later is the new one in the mounted secret."""
    mounted = folder / "mounted"
    mounted.mkdir()
    with scratch.folder("hba", open_to_all=True) as shared:
        rules = shared / "pg_hba.conf"
        rules.write_text(f"local all {ROLE} scram-sha-256\nlocal all all trust\n", "utf-8")
        rules.chmod(0o644)
        with postgres.server({"hba_file": str(rules)}) as server:
            with psycopg.connect(server.url, autocommit=True) as owner:
                owner.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD 'first'")
            secret = mounted / "database-url"
            secret.write_text(_login(server.url, "first"), "utf-8")
            with _pod(folder, "rotated", {"GRIDOS_SECRETS_DIR": str(mounted)}) as pod:
                rotated = _rotated(server.url, secret)
                return meet(pod, "has a new password", rotated, 10.0)


@contextmanager
def _pod(folder: Path, name: str, variables: dict[str, str]) -> Iterator[Service]:
    with Service(folder, {**WRITABLE, **variables}, name) as pod:
        pod.run("migrate", "seed")
        yield pod.start().await_ready()


def _mounted(folder: Path) -> AbstractContextManager[None]:
    owner = pwd.getpwnam(postgres.UNPRIVILEGED)
    size = f"size={DISC_MB}m,uid={owner.pw_uid},gid={owner.pw_gid},mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    unmount = ["umount", "--lazy", str(folder)]
    return during(
        partial(processes.run, mount, check=True), partial(processes.run, unmount, check=True)
    )


@contextmanager
def _full(disc: Path) -> Iterator[None]:
    rest = disc / "rest"
    try:
        with rest.open("wb", buffering=0) as taken, suppress(OSError):
            for size in (_PIECE, 4096):
                with suppress(OSError):
                    while taken.write(bytes(size)) == size:
                        pass
        yield
    finally:
        rest.unlink()


@contextmanager
def _own_network() -> Iterator[None]:
    """A network namespace for this thread, and for whatever it starts."""
    kernel = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        _check(kernel.unshare(_NEW_NETWORK))
        try:
            processes.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            _check(kernel.setns(before.fileno(), _NEW_NETWORK))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _cut(port: int) -> AbstractContextManager[None]:
    def change(how: str) -> None:
        for side in ("--dport", "--sport"):
            rule = ["INPUT", "-p", "tcp", side, str(port), "-j", "DROP"]
            processes.run(["iptables", "-w", how, *rule], check=True)

    return during(partial(change, "-A"), partial(change, "-D"))


@contextmanager
def _rotated(url: str, secret: Path) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"ALTER ROLE {ROLE} PASSWORD 'second'")
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
    try:
        yield
    finally:
        secret.write_text(_login(url, "second"), "utf-8")


def _login(url: str, password: str) -> str:
    return conninfo.make_conninfo(url, user=ROLE, password=password)
