"""Flask with less work a request: bodies go to the server whole, and each host is read once."""

from __future__ import annotations

from typing import Any

from flask import Flask, Request
from werkzeug.routing import MapAdapter

from gridos.api.answers import Response

# A service has few names; what is full, by names that somebody makes up, is begun anew.
MAX_HOSTS = 100


class Application(Flask):
    """What `create_app` makes."""

    response_class = Response

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # By what an environ says of the host: an adapter that was made for it.
        self.bound: dict[tuple[Any, ...], MapAdapter] = {}

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """What finds a request's rule: as Flask's, which checks and encodes the host each time.

        A host that is none is not kept: Flask refuses it, each time.
        """
        environ = request.environ if request is not None else {}
        path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
        if not path or not (path.isascii() and query.isascii()) or "HTTP_UPGRADE" in environ:
            return super().create_url_adapter(request)
        host = (
            environ.get("HTTP_HOST"),
            environ.get("SERVER_NAME"),
            environ.get("SERVER_PORT"),
            environ.get("SCRIPT_NAME"),
            environ.get("wsgi.url_scheme"),
        )
        known = self.bound.get(host)
        if known is None:
            made = super().create_url_adapter(request)
            if made is not None:
                if len(self.bound) >= MAX_HOSTS:
                    self.bound = {}
                self.bound[host] = made
            return made
        return MapAdapter(
            known.map,
            known.server_name,
            known.script_name,
            known.subdomain,
            known.url_scheme,
            path,
            environ["REQUEST_METHOD"],
            query,
        )
