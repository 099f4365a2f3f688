"""Kubernetes' API server with its etcd on the loopback, without a node: admission needs none.

The programs are looked for on PATH and where the test cluster builds them.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from acceptance.calling import quietly
from acceptance.things import listed
from canary.errors import MachineError
from canary.runtime import processes
from canary.runtime.waiting import wait_until

KIT = Path("~/.cache/gridos-cluster/bin").expanduser()
NEEDED = ("kube-apiserver", "etcd", "kubectl", "openssl")
# Beside other work.
READY_TIMEOUT_S = 180.0


def find(name: str) -> str | None:
    """Where a program is."""
    return shutil.which(name, path=f"{os.environ['PATH']}:{KIT}")


def missing(*more: str) -> list[str]:
    """Which of the programs that are needed are not there."""
    return [name for name in (*NEEDED, *more) if find(name) is None]


@dataclass(frozen=True)
class ApiServer:
    """A server that answers, and who administers it."""

    url: str
    kubeconfig: Path

    def run(self, *arguments: str, given: str | None = None) -> CompletedProcess[str]:
        """Runs kubectl on it, whatever its outcome."""
        kubectl = (str(find("kubectl")), f"--kubeconfig={self.kubeconfig}")
        return quietly(*kubectl, *arguments, input=given, timeout=60)

    def apply(self, *bodies: Mapping[str, Any]) -> None:
        """Makes objects, on the server's side since some are too large for an annotation.

        Raises:
            MachineError: if one is refused, with the server's words.
        """
        self.apply_files("-", given=listed(bodies))

    def apply_files(self, path: Path | str, given: str | None = None) -> None:
        """The same, of a file or a folder of them."""
        done = self.run("apply", "--server-side", "-f", str(path), given=given)
        if done.returncode != 0:
            raise MachineError(f"the API server refuses: {done.stderr.strip()}")

    def set_status(self, kind: str, name: str, status: Mapping[str, Any], namespace: str) -> None:
        """Says of an object what its controller would."""
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        self.run("patch", kind, name, f"--namespace={namespace}", *patch).check_returncode()

    def get(self, *arguments: str) -> dict[str, Any] | None:
        """An object, or a list of them; None if it is not there."""
        done = self.run("get", *arguments, "-o", "json")
        found: dict[str, Any] | None = json.loads(done.stdout) if done.returncode == 0 else None
        return found


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[ApiServer]:
    """A server in a folder of its own, until the block ends.

    Raises:
        MachineError: if it does not answer, with the end of its log.
    """
    client, peer, port = (processes.free_port() for _ in range(3))
    key = folder / "sa.key"
    processes.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text("token,admin,admin,system:masters\n", encoding="utf-8")
    etcd = f"http://127.0.0.1:{client}"
    url = f"https://127.0.0.1:{port}"
    children = []
    try:
        for name, given in (
            ("etcd", _etcd(folder, etcd, peer)),
            ("kube-apiserver", [*_apiserver(folder, etcd, port, key), *options]),
        ):
            command = [str(find(name)), *given]
            children.append(processes.start(name, command, folder / f"{name}.log"))
        server = ApiServer(url, _kubeconfig(folder, url))
        if not wait_until(lambda: server.run("get", "--raw", "/readyz").returncode == 0,
                          READY_TIMEOUT_S, every_s=0.5):  # fmt: skip
            raise MachineError(f"kube-apiserver is not ready: {children[-1].tail()}")
        yield server
    finally:
        for child in reversed(children):
            child.stop(grace_s=60)


def _etcd(folder: Path, url: str, peer: int) -> Sequence[str]:
    clients = [f"--listen-client-urls={url}", f"--advertise-client-urls={url}"]
    peers = f"--listen-peer-urls=http://127.0.0.1:{peer}"
    return [
        f"--data-dir={folder / 'etcd'}",
        *clients,
        peers,
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def _apiserver(folder: Path, etcd: str, port: int, key: Path) -> Sequence[str]:
    return [
        f"--etcd-servers={etcd}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={folder}",
        "--service-cluster-ip-range=10.99.0.0/24",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--disable-admission-plugins=ServiceAccount",
    ]


def _kubeconfig(folder: Path, url: str) -> Path:
    file = folder / "kubeconfig"
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "admin",
        "clusters": [{"name": "it", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "admin", "user": {"token": "token"}}],
        "contexts": [{"name": "admin", "context": {"cluster": "it", "user": "admin"}}],
    }
    file.write_text(json.dumps(body), encoding="utf-8")
    return file
