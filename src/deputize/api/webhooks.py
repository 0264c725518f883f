"""Webhooks: what a service sends, once its signature is proved."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize.api.body import decode_json, read_body
from deputize.api.here import Here
from deputize.api.log import complain
from deputize.api.problem import Problem, answer
from deputize.api.who import OPEN
from deputize.errors import BadEvent

router = APIRouter(prefix="/v1/webhooks", dependencies=[OPEN])


@router.post("/{name}", status_code=202)
async def accept_webhook(request: Request, system: Here, name: str) -> Response:
    """Turn a signed payload into events. 401 without details for what is not signed as it must be."""
    webhook = system.project.webhooks.get(name)
    if webhook is None:
        raise Problem(404, f"there is no webhook {name!r}; GET /v1/sources lists them")
    body = await read_body(request)
    verifier, now_us = webhook.verifier, system.time.now_us()
    secret = system.secrets.resolve(verifier.secret).reveal()
    if not verifier.check(dict(request.headers), body, secret, now_us / 1e6):
        raise Problem(401, "not accepted")
    try:
        # Secrets go only now: what was signed is the body as it came.
        occurrences = webhook.read(decode_json(system.secrets.scrub(body)), now_us)
        for occurrence in occurrences:
            system.kernel.intake.check_outside(occurrence)
    except BadEvent as error:
        complain(system, "a webhook's payload could not be read", webhook=name, reason=str(error))
        raise Problem(422, f"webhook {name} cannot read this payload; the process's log says why") from None
    arrivals = await system.kernel.intake.accept(occurrences)
    new = sum(not arrival.duplicate for arrival in arrivals)
    return answer(system, {"events": len(arrivals), "new": new}, 202)
