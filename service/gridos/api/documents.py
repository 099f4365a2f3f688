"""The OpenAPI document and its page, for people and tools; no other route needs what they load."""

from __future__ import annotations

from importlib.resources import files

from flask import Blueprint, Response, current_app, json, jsonify, redirect, request
from werkzeug.wrappers import Response as Redirect

blueprint = Blueprint("documents", __name__, url_prefix="/v1")


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
def show_page(filename: str = "") -> Response:
    """The page and its parts, as flask-openapi3 has them."""
    del filename
    from gridos.api import specification  # noqa: PLC0415 — costs more than a whole start

    app = specification.documented(current_app.extensions["settings"].version)
    # A copy, because a request leaves itself in its environ, and this one's is still to be counted.
    return current_app.make_response(Response.from_app(app.wsgi_app, dict(request.environ)))
