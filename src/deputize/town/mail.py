"""The mail service: send a message from a template, and look into the outbox."""

import json
import sqlite3
from typing import Any

from fastapi import FastAPI, Response

from deputize.town.service import Effecting, asked, foreseen, service_app
from deputize.town.wire import Message, MessageAsk, Messages
from deputize.town.world import Effect, World


def mail_app(world: World) -> FastAPI:
    """The application that sends messages and serves the outbox."""
    app = service_app("mail", "Messages from templates, and the outbox")

    @app.post("/messages", operation_id="send", response_model=Message)
    async def send(body: MessageAsk, doing: Effecting) -> Response:
        return doing(lambda: send_message(world, body, doing.key))

    @app.get("/messages", operation_id="find_messages")
    async def find_messages(
        to: str | None = None, reference: str | None = None, key: str | None = None
    ) -> Messages:
        found = world.find("messages", {"address": to, "reference": reference, "key": key})
        return Messages(messages=[_message(row) for row in found])

    @app.get("/messages/preview", operation_id="preview_send", response_model=Message)
    async def preview_send(
        to: str, template: str, data: str = "{}", reference: str | None = None
    ) -> Response:
        """What would come of this message now; its id is no message's. `data` is JSON."""
        ask = asked(MessageAsk, to=to, template=template, data=_json(data), reference=reference)
        return foreseen(world, lambda: send_message(world, ask, None))

    return app


def _json(text: str) -> Any:
    """The value of JSON text; what is none stays text, and is declined as that."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def send_message(world: World, ask: MessageAsk, key: str | None) -> Effect:
    """Put a message into the outbox; every call sends one."""
    row = world.db.execute(
        "INSERT INTO messages (address, template, data, reference, key, created_at)"
        " VALUES (?,?,?,?,?,?) RETURNING *",
        (ask.to, ask.template, json.dumps(ask.data), ask.reference, key, world.now()),
    ).fetchone()
    return Effect(_message(row), resource=ask.to, reference=ask.reference, new=True)


def _message(row: sqlite3.Row) -> Message:
    return Message(
        id=f"msg-{row['seq']:06}",
        to=row["address"],
        template=row["template"],
        data=json.loads(row["data"]),
        status="sent",
        reference=row["reference"],
        key=row["key"],
        created_at=row["created_at"],
    )
