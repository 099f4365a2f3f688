"""Every flow between every two ends, judged by us and by cyclonus, which wrote its own evaluator.

No network is needed: both read the rendered NetworkPolicies.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from acceptance.cluster import ROOT
from acceptance.conformance.flows import ENDS, End, Flow, Pod, declared
from canary.errors import MachineError
from canary.runtime import processes
from policies import objects

PORTS = (22, 53, 80, 443, 5432, 8000, 8001, 8080, 9090, 9901)
# A pod has an address too, and no policy of ours speaks of this range.
POD_IP = "10.244.0.9"
ANSWER = re.compile(r"IS ALLOWED\?\s*\|\s*(TRUE|FALSE)")


def all_flows(rendered: Sequence[objects.Object]) -> list[Flow]:
    """Each end asking each on each port; two that are both outside are nobody's business here."""
    ends: list[End] = [*declared(rendered), *ENDS]
    return [
        Flow(source, target, port, protocol)
        for source, target, port, protocol in product(ends, ends, PORTS, ("TCP", "UDP"))
        if isinstance(source, Pod) or isinstance(target, Pod)
    ]


def ask_cyclonus(rendered: Sequence[objects.Object], flows: Sequence[Flow]) -> list[bool]:
    """What cyclonus says to each flow.

    Raises:
        MachineError: if it cannot be had.
    """
    found = processes.run([ROOT / "ci/tool", "cyclonus"], stdout=subprocess.PIPE, text=True)
    if found.returncode != 0:
        raise MachineError("cyclonus is not available", "see what ci/tool says above")
    with tempfile.TemporaryDirectory() as folder:
        policies = Path(folder) / "policies"
        policies.mkdir()
        # It reads one policy of a file.
        for policy in objects.of(rendered, "NetworkPolicy"):
            name = f"{objects.namespace(policy)}-{policy['metadata']['name']}.yaml"
            (policies / name).write_text(json.dumps(policy))
        traffic = Path(folder) / "traffic.json"
        traffic.write_text(json.dumps([_traffic(flow) for flow in flows]))
        command = [found.stdout.strip(), "analyze", "--mode", "query-traffic"]
        command += ["--policy-path", str(policies), "--traffic-path", str(traffic)]
        said = processes.run(command, capture_output=True, text=True, check=True).stdout
    return [answer == "TRUE" for answer in ANSWER.findall(said)]


def _traffic(flow: Flow) -> dict[str, Any]:
    named = flow.target.ports if isinstance(flow.target, Pod) else {}
    return {
        "Source": _peer(flow.source),
        "Destination": _peer(flow.target),
        "Protocol": flow.protocol,
        "ResolvedPort": flow.port,
        "ResolvedPortName": next((n for n, port in named.items() if port == flow.port), ""),
    }


def _peer(end: End) -> dict[str, Any]:
    if not isinstance(end, Pod):
        return {"IP": end.ip}
    labels = {"kubernetes.io/metadata.name": end.namespace}
    inside = {"Namespace": end.namespace, "NamespaceLabels": labels, "PodLabels": dict(end.labels)}
    return {"IP": POD_IP, "Internal": inside}
