"""A real web application firewall on loopback: nginx, ModSecurity and the OWASP Core Rule Set.

It stands in for Azure's: the Default Rule Set descends from the Core Rule Set that runs here and
keeps its rule numbers, its anomaly scores and its threshold, but it is not the same code. What
policy it enforces is read from Terraform; see `policy`.
"""

import getpass
import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from acceptance import debian
from acceptance.edge import policy, wire
from canary.runtime import processes

PACKAGES = ("nginx", "libnginx-mod-http-modsecurity", "modsecurity-crs")

# Carries a request's number into the firewall's log, so that what matched can be told by request.
PROBE_HEADER = "X-Probe"

# Tells an answer of the service's from one of the firewall's: only the former asked the service.
UPSTREAM_HEADER = "X-Upstream-Status"

# Where things are in the packages.
NGINX, MODULES = "usr/sbin/nginx", "usr/lib/nginx/modules"
# The Core Rule Set, with its own settings, untouched: paranoia level 1, threshold 5.
RULES, SETTINGS = "usr/share/modsecurity-crs/rules", "etc/modsecurity/crs/crs-setup.conf"
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 — it is no HTML
)


def programs() -> debian.Unpacked:
    """The packages, unpacked.

    Raises:
        MachineError: They are not there and cannot be had; says how to get them.
    """
    return debian.unpacked("firewall", PACKAGES, NGINX)


def reached(answer: wire.Answer) -> bool:
    """Whether the service behind it was asked at all."""
    return UPSTREAM_HEADER in answer.headers


def directives(
    wanted: policy.Policy, found: debian.Unpacked, audit_log: Path, *, prevention: bool = True
) -> str:
    """ModSecurity's configuration for a policy; without `prevention` it only watches.

    What matched is written to `audit_log`.
    """
    return TEMPLATES.get_template("modsecurity.conf.j2").render(
        prevention=prevention,
        limit_bytes=wanted.body_limit_bytes,
        audit_log=audit_log,
        includes=[found.root / SETTINGS, *sorted((found.root / RULES).glob("*.conf"))],
        exceptions=[one.directive for one in wanted.exceptions],
    )


class Firewall(processes.Program):
    """One nginx with one policy before one upstream; end it with `stop`."""

    def __init__(
        self, folder: Path, upstream_port: int, rules: str, found: debian.Unpacked
    ) -> None:
        self._folder = folder
        self._rules = rules
        self._found = found
        self._upstream_port = upstream_port
        self.port = processes.free_port()
        self.audit_log = folder / "audit.log"

    def start(self) -> None:
        """Starts it and waits until it listens.

        Raises:
            MachineError: It does not come up; says what it logged.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "modsecurity.conf").write_text(self._rules)
        (self._folder / "nginx.conf").write_text(self._server())
        log = self._folder / "nginx.log"
        command = [str(self._found.root / NGINX), "-p", str(self._folder), "-c", "nginx.conf"]
        command += ["-e", str(log)]
        child = processes.start("nginx", command, log, self._found.environment)
        self._begin(child, lambda: not processes.port_is_free(self.port))

    def matches(self) -> Mapping[str, tuple[str, ...]]:
        """The rules that each probed request matched, by the probe's number."""
        found: dict[str, tuple[str, ...]] = {}
        for line in self.audit_log.read_text(errors="replace").splitlines():
            transaction = json.loads(line)["transaction"]
            probe = transaction["request"]["headers"].get(PROBE_HEADER)
            if probe is not None:
                found[probe] = tuple(
                    sorted({message["details"]["ruleId"] for message in transaction["messages"]})
                )
        return found

    def _server(self) -> str:
        return TEMPLATES.get_template("nginx.conf.j2").render(
            modules=sorted((self._found.root / MODULES).glob("*.so")),
            user=getpass.getuser(),
            folder=self._folder,
            port=self.port,
            upstream_port=self._upstream_port,
            upstream_header=UPSTREAM_HEADER,
        )
