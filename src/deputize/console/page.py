"""One request for a page: who asks, what they sent, and how it is shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from deputize.access import Act
from deputize.api.body import read_body
from deputize.api.problem import Problem
from deputize.api.session import LOGIN
from deputize.api.who import NeedsLogin, Speaker, allow, still_in, way_back
from deputize.clock import iso
from deputize.console.rendering import render
from deputize.system import System

FORM_FIELDS_MAX = 200
HTML = "text/html; charset=utf-8"
VISITORS = ("person", "local", "project")
"""Who is shown what is inside; everybody else has to come in first."""

PRIVATE = {"Cache-Control": "no-store"}
"""A page is not kept by a browser: what was answered in the meantime must not come back from there."""


@dataclass
class Page:
    """A request by somebody, and the system that it is about."""

    request: Request
    system: System
    speaker: Speaker
    form: Mapping[str, str] = field(default_factory=dict)

    def query(self, name: str, default: str = "") -> str:
        """A part of the query; the last where it is given several times."""
        return self.request.query_params.get(name, default)

    def number(self, name: str, default: int = 0) -> int:
        """A part of the query that is a whole number, not below 0. Raises `Problem` 422."""
        text = self.query(name) or str(default)
        if not text.isdecimal() or len(text) > 18:
            raise Problem(422, f"{name} must be a whole number, and not {text[:40]!r}", field=name)
        return int(text)

    def shown(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page."""
        zone, now = self.system.project.settings.zone, self.system.time.now_us()
        frame: dict[str, Any] = {
            "project": self.system.project.settings.name,
            "speaker": self.speaker,
            "path": self.request.url.path,
            "now": iso(now),
            "inside": self.speaker.kind in VISITORS,
            "stops": [],
            "waiting": 0,
        }
        if self.speaker.kind in VISITORS:
            frame["stops"] = sorted(self.system.kernel.parts.stops.scopes.items())
            frame["waiting"] = self.system.store.read(lambda view: view.open_cards())
        # Places in code are told from the project's folder: where that is, is nobody's business here.
        text = render(template, zone, now, frame | values).replace(
            f"{self.system.project.settings.root}/", ""
        )
        return Response(self.system.secrets.scrub(text.encode()), status, PRIVATE, media_type=HTML)

    def go(self, path: str) -> Response:
        """On to another page, after an act."""
        path = quote(path, safe=":/%#?=@[]!$&'()*+,;")
        if "hx-request" in self.request.headers:
            return Response(status_code=200, headers=PRIVATE | {"HX-Redirect": path})
        return RedirectResponse(path, 303, headers=PRIVATE)


Handler = Callable[[Page], Awaitable[Response]]


def get(path: str, handler: Handler, act: Act | None = "read") -> Route:
    """A page that shows; open to all with `act` None."""

    async def endpoint(request: Request) -> Response:
        if (stranger := visiting(request, act)) is not None:
            return stranger
        return await handler(Page(request, request.app.state.system, request.state.speaker))

    vars(endpoint)["act"] = act or "open"
    return Route(path, endpoint, methods=["GET"])


def post(path: str, handler: Handler, act: Act | None) -> Route:
    """A form that acts; open to all with `act` None."""

    async def endpoint(request: Request) -> Response:
        if (stranger := visiting(request, act)) is not None:
            return stranger
        form = form_of(await read_body(request))
        still_in(request)
        return await handler(Page(request, request.app.state.system, request.state.speaker, form))

    vars(endpoint)["act"] = act or "open"
    return Route(path, endpoint, methods=["POST"])


def visiting(request: Request, act: Act | None) -> Response | None:
    """The way to the log-in for whoever has to come in first, else None. Raises `Problem` 403 where their
    role may not do this."""
    speaker: Speaker = request.state.speaker
    if act is None:
        return None
    if speaker.kind not in VISITORS:
        return login_first(request)
    allow(request.app.state.system, speaker, act)
    return None


def login_first(request: Request) -> Response:
    """On to the log-in, and from there back to here."""
    path = f"{LOGIN}?next={quote(way_back(NeedsLogin(request).back), safe='')}"
    if "hx-request" in request.headers:
        # What was written stays where it is: the script says that one is out, and changes nothing.
        return Response("come in again", 401, PRIVATE, media_type="text/plain")
    return RedirectResponse(path, 303, headers=PRIVATE)


def form_of(body: bytes) -> dict[str, str]:
    """The fields of a form. Raises `Problem` 400 for what is none, and 422 for a field given twice."""
    try:
        fields = parse_qs(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=FORM_FIELDS_MAX,
        )
    except ValueError:
        raise Problem(400, "this is no form of ours: open the page again, and send it from there") from None
    for name, values in fields.items():
        if len(values) > 1:
            raise Problem(422, f"{name[:40]} was sent {len(values)} times", field=name[:40])
    return {name: values[0] for name, values in fields.items()}
