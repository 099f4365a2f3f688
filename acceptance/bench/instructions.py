"""Instructions a request, counted by valgrind: exact to a few per mille on however busy a machine.

The request goes through gunicorn's own parser, environ and response over a socket pair, without
its poller and threads; `NAME@worker` through the response of the service's own worker instead. The
count is the difference of two children, forked from one process that has loaded and warmed up: two
processes of their own start up by some 30 million instructions more or less. It depends by some per
mille on where things lie in memory, so it is the mean over several seeds of Python's hashes. What
is not seen is the kernel's part, so the shares shown for watching are on the high side.
"""

import gc
import os
import re
import socket
import statistics
import sys
from typing import Any

from acceptance.calling import quietly

FEW, MANY = 100, 600
SEEDS = ("1", "2", "3")
REQUEST = (
    b"GET /hello HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n"
    b"X-Request-ID: 5f3a\r\nConnection: keep-alive\r\n\r\n"
)


def count(contestant: str) -> float:
    """Instructions a request of a contestant, after an @ by which response if not as usual."""
    return statistics.mean(_count(contestant, seed) for seed in SEEDS)


def _count(contestant: str, seed: str) -> float:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "acceptance.bench.instructions", contestant]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = quietly(*command, env=environment)
    found = re.findall(r"I\s+refs:\s+([\d,]+)", done.stderr)
    # Each process says at its end what it has run, its parent's part included.
    if len(found) != 3:
        raise RuntimeError(f"valgrind did not count three processes: {done.stderr[-500:]}")
    few, many, _ = (int(number.replace(",", "")) for number in found)
    return (many - few) / (MANY - FEW)


def compare(app: Any, response: Any = None) -> None:
    """Answers few requests in one child of this process, and many in another."""
    serve(app, FEW, response)
    # A collection of all that was loaded costs as much as hundreds of requests; whether one falls
    # into a short run is chance, and a server of days hardly has one.
    gc.collect()
    gc.freeze()
    for requests in (FEW, MANY):
        child = os.fork()
        if not child:
            serve(app, requests, response)
            os._exit(0)
        os.waitpid(child, 0)


def serve(app: Any, requests: int, kind: Any = None) -> None:
    """Answers the same request so many times, in this process, by a kind of response."""
    from gunicorn.config import Config  # noqa: PLC0415 — only the counted process needs it
    from gunicorn.http import get_parser, wsgi  # noqa: PLC0415 — same

    config = Config()
    client, server = socket.socketpair()
    address = ("127.0.0.1", 1)
    for _ in range(requests):
        client.sendall(REQUEST)
        parser = get_parser(config, server, address)
        response, environ = wsgi.create(next(parser), server, address, address, config, kind)
        body = app(environ, response.start_response)
        for part in body:
            response.write(part)
        response.close()
        if hasattr(body, "close"):
            body.close()
        client.recv(65536)


if __name__ == "__main__":
    from gridos.responses import Response

    from acceptance.bench import apps

    contestant, _, server = sys.argv[1].partition("@")
    compare(getattr(apps, contestant), Response if server == "worker" else None)
