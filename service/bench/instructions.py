"""Instructions a request, counted by valgrind: exact to a few per mille on however busy a machine.

The request goes through gunicorn's own parser, environ and response over a socket pair, without
its poller and threads. The count is the difference of two runs, so that starting up cancels out.
What is not seen is the kernel's part, so the shares shown for watching are on the high side.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from typing import Any

FEW, MANY = 100, 600
REQUEST = (
    b"GET /hello HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n"
    b"X-Request-ID: 5f3a\r\nConnection: keep-alive\r\n\r\n"
)


def available() -> bool:
    """Whether valgrind is there."""
    return shutil.which("valgrind") is not None


def count(contestant: str) -> float:
    """Instructions a request of `bench.apps`'s contestant."""
    return (_run(contestant, MANY) - _run(contestant, FEW)) / (MANY - FEW)


def _run(contestant: str, requests: int) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "bench.instructions", contestant, str(requests)]
    # The order in sets and dictionaries differs from run to run, and with it the work done.
    variables = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if found is None:
        raise RuntimeError(f"valgrind counted nothing: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def serve(app: Any, requests: int) -> None:
    """Answers the same request so many times, in this process."""
    from gunicorn.config import Config  # noqa: PLC0415 — only the counted process needs it
    from gunicorn.http import get_parser, wsgi  # noqa: PLC0415

    config = Config()
    client, server = socket.socketpair()
    address = ("127.0.0.1", 1)
    for _ in range(requests):
        client.sendall(REQUEST)
        parser = get_parser(config, server, address)
        response, environ = wsgi.create(next(parser), server, address, address, config)
        body = app(environ, response.start_response)
        for part in body:
            response.write(part)
        response.close()
        if hasattr(body, "close"):
            body.close()
        client.recv(65536)


if __name__ == "__main__":
    from bench import apps

    serve(getattr(apps, sys.argv[1]), int(sys.argv[2]))
