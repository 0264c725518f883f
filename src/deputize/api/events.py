"""Events: `POST /v1/events` takes CloudEvents in, and they are durable when it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from deputize.api.binary import binary_event, is_binary, is_json
from deputize.api.body import decode_json, read_body
from deputize.api.here import After, Here, Limit, Name
from deputize.api.problem import Problem, answer
from deputize.api.show import show_event
from deputize.api.who import READS, Sender
from deputize.clock import parse_time
from deputize.errors import BadEvent
from deputize.event import Occurrence, parse_cloudevent
from deputize.kernel.intake import Arrival
from deputize.store.rows import EventState
from deputize.suggest import did_you_mean
from deputize.system import System

BATCH_MAX = 1_000
BATCH = "application/cloudevents-batch+json"
STRUCTURED = ("application/cloudevents+json", "application/json")

State = Annotated[EventState | Literal[""], Query(description="Only those in this state.")]

router = APIRouter(prefix="/v1/events")


@router.post("", status_code=202)
async def accept_events(request: Request, system: Here, speaker: Sender) -> Response:
    """Take events in: one (structured or binary mode) or a batch, all or nothing.

    Whoever sends one by a token of their own is a requester of all that its runs ask for.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    binary = is_binary(request.headers)
    if not (is_json(kind) if binary else kind == BATCH or kind in STRUCTURED):
        data = "application/json for the data of an event in binary mode, " if binary else ""
        raise Problem(415, f"send {data}{STRUCTURED[0]} for one event or {BATCH} for several")
    # Secrets go before anything else reads it, so that what a run sees is what its replay sees.
    body = system.secrets.scrub(await read_body(request))
    value = binary_event(request.headers, body, system.secrets.scrub) if binary else decode_json(body)
    occurrences = _occurrences(system, value, speaker.name, batch=kind == BATCH)
    for occurrence in occurrences:
        _check(system, occurrence)
    arrivals = await system.kernel.intake.accept(occurrences)
    accepted = _accepted(system, occurrences, arrivals)
    # Not in a batch, which may be a flood of one mistake.
    if kind != BATCH and not accepted[0]["runs"]:
        accepted[0] |= _hint(system, occurrences[0].type)
    return answer(system, {"accepted": accepted}, 202)


@router.get("", dependencies=[READS])
async def list_events(
    system: Here, after: After = 0, limit: Limit = 100, state: State = "", type: Name = ""
) -> Response:
    """Kept events in the order of their arrival; `state=unanswered` for those that nothing answers."""
    rows = system.store.read(lambda view: view.events(after=after, limit=limit, state=state, type=type))
    following = rows[-1].seq if len(rows) == limit else None
    return answer(system, {"events": [show_event(row) for row in rows], "next": following})


@router.get("/{seq}", dependencies=[READS])
async def get_event(system: Here, seq: int) -> Response:
    """One event."""
    row = system.store.read(lambda view: view.event(seq)) if 0 < seq < 2**63 else None
    if row is None:
        raise Problem(404, f"there is no event {seq}; GET /v1/events lists them")
    return answer(system, show_event(row))


def _occurrences(system: System, value: Any, sender: str, *, batch: bool) -> list[Occurrence]:
    if not batch:
        if isinstance(value, list):
            raise Problem(400, f"this is a batch; send it as {BATCH}")
        return [_occurrence(system, value, sender, "")]
    if not isinstance(value, list):
        raise Problem(400, f"a batch is a JSON array of events; send one event as {STRUCTURED[0]}")
    if not 1 <= len(value) <= BATCH_MAX:
        raise Problem(400, f"a batch holds 1 to {BATCH_MAX:,} events, and this has {len(value):,}; split it")
    return [_occurrence(system, one, sender, f"event {i} of the batch: ") for i, one in enumerate(value)]


def _occurrence(system: System, value: Any, sender: str, where: str) -> Occurrence:
    try:
        found = parse_cloudevent(value, received_us=system.time.now_us(), parse_time=parse_time)
        return replace(found, sender=sender) if sender else found
    except BadEvent as error:
        raise Problem(400, f"{where}{error}") from None


def _check(system: System, occurrence: Occurrence) -> None:
    try:
        system.kernel.intake.check_outside(occurrence)
    except BadEvent as error:
        field = str(error).partition(f"{occurrence.type}: ")[2].partition(":")[0]
        raise Problem(422, str(error), field=field) from None


def _accepted(
    system: System, occurrences: Sequence[Occurrence], arrivals: Sequence[Arrival]
) -> list[dict[str, Any]]:
    return [
        {
            "id": occurrence.id,
            "source": occurrence.source,
            "seq": arrival.seq or None,
            "duplicate": arrival.duplicate,
            "runs": _runs(system, occurrence, arrival),
        }
        for occurrence, arrival in zip(occurrences, arrivals, strict=True)
    ]


def _hint(system: System, event_type: str) -> dict[str, str]:
    """For a type that no automation is on: the nearest that one is on, as the end of a sentence."""
    known = {automation.on.event_type for automation in system.project.automations.values()}
    return {} if event_type in known else {"hint": did_you_mean(event_type, known)}


def _runs(system: System, occurrence: Occurrence, arrival: Arrival) -> list[str]:
    """The runs that an event began (a duplicate: at its first coming), also those behind another."""
    names = system.kernel.intake.run_ids(occurrence.type, occurrence.source, occurrence.id)
    if not arrival.duplicate:
        return names
    return system.store.read(lambda view: [name for name in names if view.run(name) is not None])
