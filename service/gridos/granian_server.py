"""The service under granian instead of gunicorn: `GRIDOS_SERVER=granian gridos serve`.

About twice as fast on one core. What it lacks: gunicorn's hooks, so no count of worker exits, no
drain period and no limit to how slowly a body may arrive (keep a gateway in front), and a worker
that dies is started again without the container's end. The CPU fault is started all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from gridos import create_app, injection, logs, management
from gridos.config import ConfigurationError, read
from gridos.storage import pool

# What granian has read before it asks the application, and so can leave behind.
MAX_REST_BYTES = 4096


def load() -> Any:
    """The application, made in the worker."""
    settings = read()
    app = create_app(settings)
    pool.open_pool(app)
    management.serve(app, management.bind(settings))
    return closing(app)


def closing(application: WSGIApplication) -> WSGIApplication:
    """The application, whose answer says that nothing follows where granian will close.

    It closes a connection on which more of a body was left than lies in its buffer, and would have
    said before that the connection stays.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length <= MAX_REST_BYTES and "HTTP_TRANSFER_ENCODING" not in environ:
            return application(environ, start_response)
        body = environ["wsgi.input"] = Counted(environ["wsgi.input"])

        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            if not length or body.taken < length:
                headers.append(("Connection", "close"))
            return start_response(status, headers, error)

        return application(environ, start)

    return answer


class Counted:
    """A body that counts what was taken of it."""

    def __init__(self, body: IO[bytes]) -> None:
        self._body = body
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        """The next piece."""
        piece = self._body.read(size)
        self.taken += len(piece)
        return piece


def main() -> None:
    """Serves until it is told to stop."""
    try:
        from granian import Granian  # noqa: PLC0415 — an extra
        from granian.constants import Interfaces  # noqa: PLC0415 — same
    except ModuleNotFoundError:
        raise ConfigurationError("granian is not installed — install gridos[granian]") from None
    settings = read()
    if found := settings.faults.named(*injection.OUTSIDE, *injection.BEYOND):
        word = found[0].name
        raise ConfigurationError(
            f"GRIDOS_FAULTS: granian cannot {word} — set GRIDOS_SERVER=gunicorn"
        )
    burner = injection.start_burner(settings)
    server = Granian(
        "gridos",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=pool.THREADS["granian"],
        # As long as gunicorn's: the rest of a pod's grace period is the preStop's.
        workers_kill_timeout=25,
        log_dictconfig=logs.configuration(settings),
        log_access=False,
        websockets=False,
    )
    try:
        server.serve(target_loader=load, wrap_loader=False)
    finally:
        if burner is not None:
            burner.kill()
