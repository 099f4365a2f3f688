"""A person at the cluster, who types the runbooks' commands as the pages have them."""

import re
from pathlib import Path

from acceptance.cluster import Cluster
from canary.errors import MachineError

# What `timeout` ends with where a command went on by itself.
WENT_ON = 124
# Beside whatever else the machine does.
PATIENCE_S = 120
# Where the API server of Argo CD listens, without TLS and without a login.
ARGO_CD = 8082
_NAME = re.compile(r"\b[A-Z]+\b")
_SCRIPT = """
timeout "$1" bash -o pipefail -c "$2"
code=$?
[ $code -eq "$3" ] || { echo "it ended with $code and not with $3" >&2; exit 1; }
"""


class Person:
    """Types in the cluster's network, signed in to Kubernetes and to Argo CD."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self._cluster = cluster
        argo_cd = [f"ARGOCD_SERVER=127.0.0.1:{ARGO_CD}", "ARGOCD_OPTS=--plaintext"]
        self._shell = ["env", f"HOME={home}", "USER=ada", *argo_cd, "bash", "-c", _SCRIPT, "sh"]

    def types(
        self, command: str, *, ends: int = 0, within_s: int = PATIENCE_S, **names: str
    ) -> str:
        """What a command says that ends so; `names` stand for its words in capitals.

        Raises:
            MachineError: if it ends otherwise, with what it says then.
        """
        typed = _NAME.sub(lambda found: names.get(found[0], found[0]), command)
        try:
            return self._cluster.run("run", *self._shell, str(within_s), typed, str(ends))
        except MachineError as said:
            raise MachineError(f"{typed}: {said}") from said

    def can(self, command: str, *, ends: int = 0) -> bool:
        """Whether a command ends so."""
        try:
            self.types(command, ends=ends)
        except MachineError:
            return False
        return True
