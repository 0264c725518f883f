"""`/openapi.json`: what there is under this address, with what can be sent, every answer, and examples.

Paths and parameters are those of the routes themselves; bodies and answers are in `shapes/`; what any route
of its kind can answer is said here, once. It is made when somebody first asks.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from deputize.api.here import Here
from deputize.api.problem import answer
from deputize.api.who import READS

router = APIRouter(dependencies=[READS])


@router.get("/openapi.json", include_in_schema=False)
async def get_description(request: Request, system: Here) -> Response:
    """This description, in OpenAPI 3.1."""
    app: FastAPI = request.app
    if app.openapi_schema is None:
        app.openapi_schema = await asyncio.to_thread(describe)
    return answer(system, app.openapi_schema)


def describe() -> dict[str, Any]:
    """The description of the API as plain data; of pages that stand beside it nothing."""
    # Imported when it is asked for: a process that nobody asks does without.
    from fastapi.openapi.utils import get_openapi

    from deputize.api.app import ROUTES
    from deputize.api.describing_routes import TAGS, Describing

    app = FastAPI(generate_unique_id_function=lambda route: route.name)
    for module in ROUTES:
        app.include_router(module.router)
    found = get_openapi(
        title="Deputize",
        version="1",
        openapi_version="3.1.0",
        summary="An operating layer for ongoing AI work.",
        description=_ABOUT,
        routes=app.routes,
        tags=[{"name": name, "description": about} for name, about in TAGS.items()],
    )
    describing = Describing()
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            operation["summary"] = _summary(operation["description"])
            describing.tell(operation, method, path)
    found["components"] = describing.components()
    return found


_ABOUT = """
Everything that the command line and the console do is here. Where the address is this machine's alone,
reading and sending events needs nobody; where it is not, every request has a token. What decides needs a
person's token.

**Errors** are problem details (RFC 9457): `detail` says what is wrong and what to do. **Lists** answer
`next`, to go on with as `after` (or `before`); null at the end. **Reads** have a strong `ETag`: sent back as
`If-None-Match` they answer 304 while nothing has changed. **Writes** take an `Idempotency-Key`: the same
request with the same key is carried out once within 24 hours, and answered alike. `GET /v1/stream` tells what
happens as it happens.
""".strip()


def _summary(told: str) -> str:
    """The first sentence of a route's docstring, without the form of what it takes or answers."""
    first = re.split(r"(?<=\.)\s", " ".join(told.split()), maxsplit=1)[0]
    return re.sub(r"( \(`\{[^)]*\)|:? `\{.*|\.$)", "", first)
