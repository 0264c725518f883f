"""Every answer that a test gets is held to what `/openapi.json` says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
from pydantic import ValidationError

from deputize.api.describing import describe
from deputize.api.describing_routes import ROUTES
from deputize.api.shapes.problems import Problem

STREAMS = ("text/event-stream", "application/x-ndjson", "text/csv")
PAGES = ("text/html", "text/css", "text/javascript", "image/svg+xml", "")
WHOLE_PATHS = ("path", "card")
"""Parameters that hold slashes."""


@dataclass(frozen=True)
class Known:
    """One operation of the description."""

    method: str
    path: re.Pattern[str]
    id: str
    statuses: frozenset[str]


@cache
def description() -> dict[str, Any]:
    """The description of the API."""
    return describe()


@cache
def operations() -> tuple[Known, ...]:
    found = []
    for path, methods in description()["paths"].items():
        for method, told in methods.items():
            pattern = re.sub(
                r"\\\{(\w+)\\\}", lambda m: ".+" if m[1] in WHOLE_PATHS else "[^/]+", re.escape(path)
            )
            statuses = frozenset(told["responses"])
            found.append(Known(method.upper(), re.compile(pattern), told["operationId"], statuses))
    return tuple(found)


async def conforms(answer: httpx2.Response) -> None:
    """Raises `AssertionError` for an answer that the description does not have."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind in STREAMS or (answer.status_code == 400 and kind == "text/plain"):
        return  # a stream goes on; and uvicorn itself answers what is no HTTP
    await answer.aread()
    request = answer.request
    path = request.url.path
    known = next((k for k in operations() if k.method == request.method and k.path.fullmatch(path)), None)
    where = f"{request.method} {path} → {answer.status_code} {answer.text[:500]}"
    if known is None and kind in PAGES:
        return  # a page, or a way to one
    if answer.status_code >= 400:
        assert kind == "application/problem+json", where
        Problem.model_validate_json(answer.content)
    if known is None:
        assert answer.status_code in (401, 403, 404, 405, 421, 503) or path == "/openapi.json", where
        return
    assert str(answer.status_code) in known.statuses, f"not described: {where}"
    success = ROUTES[known.id].answers.get(answer.status_code)
    if success is not None:
        assert kind in (success.media, *success.also), where
        if success.shape is not None and kind == success.media:
            try:
                success.shape.model_validate_json(answer.content)
            except ValidationError as error:
                raise AssertionError(f"{where}: {error}") from None
