"""The mail service: send a message from a template, and look into the outbox."""

import json
import sqlite3

from fastapi import FastAPI, Response

from deputize.town.service import Effecting, service_app
from deputize.town.wire import Message, MessageAsk, Messages, Problem
from deputize.town.world import Effect, World

FOUND_MAX = 200


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
        return found_messages(world, to, reference, key)

    return app


def send_message(world: World, ask: MessageAsk, key: str | None) -> Effect:
    """Put a message into the outbox; every call sends one."""
    row = world.db.execute(
        "INSERT INTO messages (address, template, data, reference, key, created_at)"
        " VALUES (?,?,?,?,?,?) RETURNING *",
        (ask.to, ask.template, json.dumps(ask.data), ask.reference, key, world.now()),
    ).fetchone()
    return Effect(_message(row), resource=ask.to, reference=ask.reference)


def found_messages(world: World, to: str | None, reference: str | None, key: str | None) -> Messages:
    """The first messages that fit all that is given. Raises `Problem` (400) when nothing is."""
    if to is None and reference is None and key is None:
        raise Problem(400, "no-filter", "give a recipient, a reference or a key")
    rows = world.db.execute(
        "SELECT * FROM messages WHERE (?1 IS NULL OR address = ?1) AND (?2 IS NULL OR reference = ?2)"
        " AND (?3 IS NULL OR key = ?3) ORDER BY seq LIMIT ?4",
        (to, reference, key, FOUND_MAX),
    )
    return Messages(messages=[_message(row) for row in rows])


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
