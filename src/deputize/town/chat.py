"""The chat: takes what is posted to a webhook in Slack's format; the posts are read at the hall."""

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.responses import PlainTextResponse

from deputize.town.service import service_app
from deputize.town.world import World

TEXT_CHARS_MAX = 40_000
"""Slack cuts a message off there."""


def chat_app(world: World) -> FastAPI:
    """The application behind the chat's port. The last part of the path is the webhook's secret."""
    app = service_app("chat", "Incoming webhooks in Slack's format")

    @app.post("/services/{team}/{hook}/{secret}", operation_id="post", response_class=PlainTextResponse)
    async def post(request: Request, team: str, hook: str, secret: str) -> Response:
        try:
            body: Any = json.loads(await request.body())
        except ValueError:
            return PlainTextResponse("invalid_payload", 400)
        text = body.get("text") if isinstance(body, dict) else None
        if not isinstance(text, str) or not text.strip():
            return PlainTextResponse("no_text", 400)
        keep_post(world, hook, text, request.scope["state"]["ask"].request_hash)
        return PlainTextResponse("ok")

    return app


def keep_post(world: World, hook: str, text: str, request_hash: str) -> None:
    """Keep one post; a post that comes twice is kept, and booked, twice."""
    with world.transaction():
        world.db.execute(
            "INSERT INTO posts (at, hook, text) VALUES (?,?,?)", (world.now(), hook, text[:TEXT_CHARS_MAX])
        )
        world.db.execute(
            "INSERT INTO book (at, service, operation, resource, request_hash) VALUES (?,'chat','post',?,?)",
            (world.now(), hook, request_hash),
        )
