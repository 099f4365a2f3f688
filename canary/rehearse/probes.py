"""What a kubelet's probes ask of a container, asked of a port on this machine.

A command and gRPC's health protocol are not carried out: they pass once the port accepts
connections, and the manifests' reading says so.
"""

import socket
import ssl
import urllib.request

from canary.argo.objects import HttpGet, Probe

LOCALHOST = "127.0.0.1"


def passes(probe: Probe, port: int) -> bool:
    """Whether a container answers a probe now."""
    if probe.http_get is not None:
        return _answers(probe.http_get, port, probe.timeout_seconds)
    try:
        with socket.create_connection((LOCALHOST, port), timeout=probe.timeout_seconds):
            return True
    except OSError:
        return False


def _answers(asked: HttpGet, port: int, timeout_s: float) -> bool:
    headers = {header.name: header.value for header in asked.http_headers}
    url = f"{asked.scheme.lower()}://{LOCALHOST}:{port}{asked.path}"
    # A kubelet does not verify a certificate.
    context = ssl._create_unverified_context() if asked.scheme == "HTTPS" else None  # noqa: S323, SLF001
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout_s, context=context) as answer:
            return bool(answer.status // 100 in (2, 3))
    except (OSError, ValueError):
        return False
