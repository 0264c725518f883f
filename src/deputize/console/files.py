"""What comes with the pages: the style, our script, and the libraries they use. Nothing is from elsewhere."""

from __future__ import annotations

import gzip
from functools import cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deputize.api.problem import Problem
from deputize.console.rendering import HERE

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
KEPT = "public, max-age=31536000, immutable"
"""The address of a file says what is in it (`rendering.asset`), so a browser may keep it for good."""


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in names():
        raise Problem(404, f"there is no file {name!r} here")
    plain, small = _read(name)
    headers = {
        "Vary": "Accept-Encoding",
        "Cache-Control": KEPT if "v" in request.query_params else "no-cache",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        plain, headers["Content-Encoding"] = small, "gzip"
    return Response(plain, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])


@cache
def names() -> frozenset[str]:
    """The files that there are."""
    return frozenset(path.name for path in (HERE / "static").iterdir() if path.suffix[1:] in _TYPES)


@cache
def _read(name: str) -> tuple[bytes, bytes]:
    plain = (HERE / "static" / name).read_bytes()
    return plain, gzip.compress(plain, 9, mtime=0)


vars(_file)["act"] = "open"
ROUTES = [Route("/static/{name}", _file, methods=["GET"])]
