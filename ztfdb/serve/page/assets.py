"""The page's files, and how they are sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ztfdb.serve.errors import ServiceError, as_text, tell
from ztfdb.serve.params import shown
from ztfdb.serve.service import request_id

HOME = "index.html"
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The page runs only its own scripts and contacts only this service; ``blob:`` is for saving the plot to a file."""


@dataclass(frozen=True)
class Asset:
    """One file of the page.

    Attributes
    ----------
    content : bytes
    media_type : str
    etag : str
        SHA-256 of the content, quoted.
    """

    content: bytes
    media_type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """Return the page's files by name; they are read once."""
    made = {}
    for file in resources.files(__package__).joinpath("static").iterdir():
        kind = file.name.rpartition(".")[2]
        if kind in TYPES:
            content = file.read_bytes()
            made[file.name] = Asset(content, TYPES[kind], f'"{hashlib.sha256(content).hexdigest()}"')
    return made


@cache
def home(prefix: str) -> Asset:
    """Return the page itself; its links to other files include the prefix, so it works without a trailing slash."""
    asset = assets()[HOME]
    content = asset.content.replace(b'"page/', f'"{escape(prefix)}/page/'.encode())
    return Asset(content, asset.media_type, f'"{hashlib.sha256(content).hexdigest()}"')


async def send(request: Request) -> Response:
    """Send a file of the page, or 304 if the browser has it already."""
    name = request.path_params.get("name", HOME)
    prefix = request.scope.get("root_path", "")
    asset = home(prefix) if name == HOME and prefix else assets().get(name)
    if asset is None:
        return as_text(request, tell(ServiceError(f"the page has no file {shown(name)}", 404), request_id(request)))
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache", "etag": asset.etag}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    return Response(asset.content, 200, headers, asset.media_type)


def routes() -> list[BaseRoute]:
    """Return the routes of the page."""
    return [Route("/", send), Route("/page/{name}", send)]
