"""For people: the OpenAPI document with its page, and the map of the grid, which asks this API."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from flask import (
    Blueprint,
    Response,
    current_app,
    json,
    jsonify,
    redirect,
    request,
    send_from_directory,
)
from werkzeug.wrappers import Response as Redirect

blueprint = Blueprint("documents", __name__, url_prefix="/v1")
front = Blueprint("front", __name__)
MAP = Path(__file__).parents[1] / "map"
# The map runs the scripts beside it, asks this service, and nothing else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blueprint.before_request
def ignore_unknown_ranges() -> None:
    """A range in units that are not bytes is ignored (RFC 9110, 14.2); werkzeug refuses it."""
    unit, _, _ = request.headers.get("Range", "bytes").partition("=")
    if unit.strip().lower() != "bytes":
        del request.environ["HTTP_RANGE"]


@front.get("/")
def redirect_to_map() -> Redirect:
    """What a person sees who opens the service's address."""
    return redirect("/v1/map")


@blueprint.get("/map")
def show_map() -> Response:
    """The grid now: the one-line diagram of a feeder, with its loads and voltages."""
    page = send_from_directory(MAP, "index.html", max_age=0)
    page.headers["Content-Security-Policy"] = POLICY
    page.headers["X-Content-Type-Options"] = "nosniff"
    return page


@blueprint.get("/map/<filename>")
def show_part_of_map(filename: str) -> Response:
    """The map's scripts and styles."""
    return send_from_directory(MAP, filename, max_age=3600)


@blueprint.get("/docs")
def redirect_to_page() -> Redirect:
    """The document as a page to read and to try."""
    return redirect("/v1/swagger")


@blueprint.get("/openapi.json")
def get_document() -> Response:
    """The document as it was made for this release (`gridos.api.specification`)."""
    document = json.loads((files("gridos") / "data" / "openapi.json").read_bytes())
    document["info"]["version"] = current_app.extensions["settings"].version
    return jsonify(document)


@blueprint.get("/")
@blueprint.get("/swagger")
@blueprint.get("/swagger/<path:filename>")
@blueprint.get("/static/<path:filename>")
@blueprint.get("/oauth2-redirect.html")
def show_page(**_: str) -> Response:
    """The page and its parts, as flask-openapi3 has them."""
    from gridos.api import specification  # noqa: PLC0415 — costs more than a whole start

    app = specification.documented(current_app.extensions["settings"].version)
    # A copy, because a request leaves itself in its environ, and this one's is still to be counted.
    return current_app.make_response(Response.from_app(app.wsgi_app, dict(request.environ)))
