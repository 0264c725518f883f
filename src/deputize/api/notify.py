"""Telling people: how the channels stand, and the links in what was sent."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from deputize.api.here import Here
from deputize.api.problem import Problem, answer
from deputize.api.show import show_channel
from deputize.api.who import READS
from deputize.notify.links import BadLink
from deputize.store.protocol import CardRow, Tx

router = APIRouter(prefix="/v1", dependencies=[READS])


@router.get("/channels")
async def list_channels(system: Here) -> Response:
    """By what people are told, who is told by what, and what went wrong last."""
    settings, directory = system.project.settings.notify, system.kernel.parts.force.directory
    people = settings.reached(directory) if settings is not None else {}
    shown = [show_channel(one) for one in system.notifier.standing()]
    return answer(system, {"channels": shown, "people": {name: list(by) for name, by in people.items()}})


@router.get("/links/{token}")
async def open_link(request: Request, system: Here, token: str) -> Response:
    """Use up a link of a message: it opens a card, and answers nothing.

    403 for one that was not made here or is another person's, 410 for one that is over.
    """
    try:
        link = system.links.read(token, system.time.now_us())
        speaks = _speaks(request)
        if speaks and speaks != link.person:
            raise Problem(403, f"this link is {link.person}'s, and not {speaks}'s")

        def use(tx: Tx) -> CardRow:
            return system.links.use(tx, link, token)

        card = await system.store.write(use)
    except BadLink as error:
        raise Problem(403 if error.forged else 410, str(error)) from None
    return answer(system, {"card": card.id, "seq": card.seq, "kind": card.kind, "person": link.person})


def _speaks(request: Request) -> str:
    """The person whose token was sent; empty where it is nobody's in particular."""
    speaker: Any = getattr(request.state, "speaker", None)
    return str(getattr(speaker, "name", ""))
