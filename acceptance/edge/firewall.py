"""A real web application firewall on loopback: nginx, ModSecurity and the OWASP Core Rule Set.

It stands in for Azure's: the Default Rule Set descends from the Core Rule Set that runs here and
keeps its rule numbers, its anomaly scores and its threshold, but it is not the same code. What
policy it enforces is read from Terraform; see `policy`.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from pathlib import Path

from acceptance import debian
from acceptance.edge import policy, wire
from canary.errors import MachineError
from canary.runtime import processes
from canary.runtime.waiting import wait_until

PACKAGES = ("nginx", "libnginx-mod-http-modsecurity", "modsecurity-crs")

# Carries a request's number into the firewall's log, so that what matched can be told by request.
PROBE_HEADER = "X-Probe"

# Tells an answer of the service's from one of the firewall's: only the former asked the service.
UPSTREAM_HEADER = "X-Upstream-Status"

# Where things are in the packages.
NGINX, MODULES = "usr/sbin/nginx", "usr/lib/nginx/modules"
# The Core Rule Set, with its own settings, untouched: paranoia level 1, threshold 5.
RULES, SETTINGS = "usr/share/modsecurity-crs/rules", "etc/modsecurity/crs/crs-setup.conf"


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
    """ModSecurity's configuration for a policy.

    Args:
        wanted: What Terraform says.
        found: The unpacked packages.
        audit_log: Where the firewall writes what matched.
        prevention: False only watches, to show that prevention is what blocks.
    """
    lines = [
        f"SecRuleEngine {'On' if prevention else 'DetectionOnly'}",
        "SecRequestBodyAccess On",
        f"SecRequestBodyLimit {wanted.body_limit_bytes}",
        f"SecRequestBodyNoFilesLimit {wanted.body_limit_bytes}",
        "SecRequestBodyLimitAction Reject",
        # Azure does not look into responses.
        "SecResponseBodyAccess Off",
        'SecRule REQUEST_HEADERS:Content-Type "^application/json"'
        ' "id:1000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"',
        'SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml"'
        ' "id:1001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"',
        # The two of Azure's group General that the Core Rule Set leaves to the engine's settings.
        'SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,deny,status:403,'
        "msg:'The body is not what its type says'\"",
        'SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,log,deny,status:403,'
        "msg:'The parts of the body are not well formed'\"",
        "SecAuditEngine On",
        "SecAuditLogType Serial",
        "SecAuditLogFormat JSON",
        "SecAuditLogParts ABHZ",
        f"SecAuditLog {audit_log}",
        f"Include {found.root / SETTINGS}",
        *(f"Include {file}" for file in sorted((found.root / RULES).glob("*.conf"))),
        *(one.directive for one in wanted.exceptions),
    ]
    return "\n".join(lines) + "\n"


class Firewall:
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
        self._child: processes.Child | None = None

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
        self._child = child
        listening = wait_until(
            lambda: not processes.port_is_free(self.port),
            timeout_s=30,
            give_up=lambda: not child.running,
        )
        if not listening:
            raise MachineError(f"nginx did not start: {child.tail()}", "see its log")

    def stop(self) -> None:
        """Ends it."""
        if self._child is not None:
            self._child.stop(grace_s=3)

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
        # The toolkit that others build on comes first.
        modules = "\n".join(
            f"load_module {module};" for module in sorted((self._found.root / MODULES).glob("*.so"))
        )
        temporary = "\n".join(
            f"  {kind}_temp_path {self._folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""
{modules}
daemon off;
user {getpass.getuser()};
worker_processes 1;
pid {self._folder}/nginx.pid;
error_log {self._folder}/error.log warn;
events {{ }}
http {{
  access_log off;
{temporary}
  modsecurity on;
  modsecurity_rules_file {self._folder}/modsecurity.conf;
  server {{
    listen 127.0.0.1:{self.port};
    # The policy's limit decides, not the server's.
    client_max_body_size 0;
    location / {{
      proxy_pass http://127.0.0.1:{self._upstream_port};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      add_header {UPSTREAM_HEADER} $upstream_status always;
      proxy_set_header Host $http_host;
    }}
  }}
}}
"""
