"""`observe up`: the service under gentle load, watched by the real thing, while one looks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from canary.errors import UsageError
from canary.rehearse import config, programs
from canary.runtime import processes
from canary.runtime.prometheus import QueryError
from observe import dashboards, http_stub, page, queries, ranges
from observe.page import Head
from observe.ranges import Series, Span
from observe.stack import Stack
from observe.world import REHEARSAL, World

SHOWN_S = 300.0
STEP_S = 5.0
RENDER_S = 5.0
RATE = 20.0
# Whoever forgets it finds their machine quiet in the morning.
TIMEOUT_S = 8 * 3600.0


def look(folder: Path, port: int, seconds: float, faults: str) -> None:
    """Runs until Ctrl-C, or for so many seconds; the page is at the port.

    Raises:
        UsageError: if the port is taken, or the faults are none.
        MachineError: if a part does not come up.
    """
    programs.check_faults(config.read(REHEARSAL).faults, [faults] if faults else [])
    if not processes.port_is_free(port):
        raise UsageError(f"port {port} on 127.0.0.1 is occupied", "choose another with --port")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "index.html"
    with World(folder / "world", canaries=1, rate=RATE) as world:
        world.start(world.canaries, faults)
        with Stack(folder / "stack", world.jobs()) as stack, _pages(folder, port):
            _say(world, stack, port)
            _follow(world, stack, file, min(seconds, TIMEOUT_S))


def ask(port: int, span: Span, query: str, legend: str) -> Sequence[Series]:
    """A panel's query over a span; nothing where Prometheus cannot answer it."""
    try:
        return ranges.ask(port, queries.filled(query, rate="30s"), legend, span)
    except QueryError:
        return ()


def _follow(world: World, stack: Stack, file: Path, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        world.tick()
        now = time.time()
        span = Span(now - SHOWN_S, now, STEP_S)
        asking = partial(ask, stack.prometheus.port, span)
        fresh = file.with_suffix(".new")
        text = page.render(_head(stack, now), dashboards.ALL, asking, span)
        fresh.write_text(text, encoding="utf-8")
        fresh.rename(file)
        time.sleep(RENDER_S)


def _head(stack: Stack, now: float) -> Head:
    firing = [a["labels"]["alertname"] for a in stack.alertmanager.alerts()]
    names = ", ".join(sorted(set(firing))) or "none"
    return Head(
        title="GridOS, live on this machine",
        text=f"The last {SHOWN_S / 60:.0f} minutes until {page.clock(now)}. Alerts: {names}.",
        links=[
            ("Prometheus", f"http://127.0.0.1:{stack.prometheus.port}/alerts"),
            ("Alertmanager", f"http://127.0.0.1:{stack.alertmanager.port}"),
        ],
        reload_s=int(RENDER_S),
    )


def _say(world: World, stack: Stack, port: int) -> None:
    for name, url in (
        ("the page", f"http://127.0.0.1:{port}"),
        ("the service", f"{world.gateway.url}/v1/feeders"),
        ("Prometheus", f"http://127.0.0.1:{stack.prometheus.port}"),
        ("Alertmanager", f"http://127.0.0.1:{stack.alertmanager.port}"),
    ):
        print(f"{name:<14} {url}", flush=True)  # noqa: T201 — this is what one came for
    print("Ctrl-C ends everything", flush=True)  # noqa: T201 — same


@contextmanager
def _pages(folder: Path, port: int) -> Iterator[None]:
    """Serves a folder on a loopback port."""
    server = http_stub.Server(partial(_Quiet, directory=str(folder)), port)
    try:
        yield
    finally:
        server.stop()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — http.server's name
        """Says nothing."""
