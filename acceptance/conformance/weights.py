"""A router's data plane for the test cluster: the gateway shares users as the controller wrote.

`python -m acceptance.conformance.weights` runs in the cluster's network until it is ended, and no
longer than a test may last. Real are the controller, its canary Ingress and the gateway's Envoy;
what stands in for ingress-nginx is that the weight is copied, once a second.
"""

import contextlib
import time
import urllib.request

from acceptance import cluster
from canary.errors import MachineError
from canary.runtime.kubectl import Kubectl, connect

SPACE, INGRESS = "gridos", "gridos-edge-canary"
ANNOTATION = "nginx.ingress.kubernetes.io/canary-weight"


def copy(kubectl: Kubectl, told: str) -> str:
    """Tells Envoy the weight that the Ingress has, if it is another than was told.

    Raises:
        MachineError: if there is no such Ingress yet, or no gateway.
        OSError: if the gateway does not answer.
    """
    found = str(kubectl.one(SPACE, "ingress", INGRESS)["metadata"]["annotations"][ANNOTATION])
    if found != told:
        gateway = kubectl.one(SPACE, "service", "gateway")["spec"]["clusterIP"]
        address = f"http://{gateway}:9901/runtime_modify?canary.weight={found}"
        urllib.request.urlopen(urllib.request.Request(address, method="POST"), timeout=5).close()
    return found


def main() -> None:
    """Copies it until the time is over."""
    kubectl, told = connect(None), ""
    end = time.monotonic() + 4 * cluster.LONG_S
    while time.monotonic() < end:
        with contextlib.suppress(MachineError, OSError, KeyError):
            told = copy(kubectl, told)
        time.sleep(1)


if __name__ == "__main__":
    main()
