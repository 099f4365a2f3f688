"""Small HTTP servers that stand in for others, each in threads of its own."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from werkzeug import Request, Response
from werkzeug.serving import BaseWSGIServer, make_server

# A line for each request is nobody's.
logging.getLogger("werkzeug").setLevel(logging.WARNING)


@contextmanager
def answering(
    answer: Callable[[Request], Response], host: str = "127.0.0.1"
) -> Iterator[BaseWSGIServer]:
    """A server on a free port that answers until the block ends."""
    server = make_server(host, 0, Request.application(answer), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
