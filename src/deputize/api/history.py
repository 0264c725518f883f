"""The history: all that was recorded, searched, or told as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from deputize.api.exporting import export
from deputize.api.here import Before, Here, Limit
from deputize.api.problem import answer
from deputize.api.searching import found_of, wanted_of
from deputize.api.who import READS

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/history")
async def get_history(
    request: Request,
    system: Here,
    run: Annotated[str, Query(description="Its id, or `system`.")] = "",
    automation: Annotated[str, Query(description="Its name.")] = "",
    agent: Annotated[str, Query(description="Its name.")] = "",
    operation: Annotated[str, Query(description="Its name, or that of its connection.")] = "",
    resource: Annotated[str, Query(description="As `charge:ch_1`.")] = "",
    person: Annotated[str, Query(description="Their name.")] = "",
    text: Annotated[str, Query(description="Somewhere in what was recorded.")] = "",
    since: Annotated[str, Query(alias="from", description="ISO 8601.")] = "",
    until: Annotated[str, Query(alias="to", description="ISO 8601.")] = "",
    before: Before = None,
    limit: Limit = 50,
    format: Annotated[
        Literal["json", "ndjson", "csv"], Query(description="All of it as a stream, but for JSON.")
    ] = "json",
) -> Response:
    """What was recorded, newest first.

    Of a run (`system` for what is about no run), an automation, an agent,
    an operation (or all of a connection), a resource, a person, with a text in it, and `from` and `to` a time
    (ISO 8601; in the project's time zone where it names none).

    It looks back for a moment only, as far as `searched_to`: where `next` is not null, go on `before` that.
    As `ndjson` or `csv` all that is found is told, as a stream.
    """
    wanted = wanted_of(request.query_params)
    if format != "json":
        return export(request.app.state.exports, system, wanted, format)
    return answer(system, await found_of(system, wanted, before, limit))
