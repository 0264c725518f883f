"""Mail: messages from templates."""

import json
from typing import Literal

from pydantic import BaseModel

from deputize import Call, Connector, hours

connector = Connector("mail", version="2026-08-27")

Template = Literal[
    "already-refunded",
    "cancelled",
    "how-did-we-do",
    "order-status",
    "out-of-stock",
    "photo-please",
    "refunded",
    "replacement-sent",
    "too-late",
    "we-will-call",
    "which-order",
]


class Message(BaseModel):
    id: str
    status: Literal["sent", "queued"]


class Messages(BaseModel):
    messages: list[Message]


async def find_message(
    call: Call, to: str, template: Template, about: str, details: dict[str, str] | None = None
) -> Message | None:
    """The outbox shows every message at once, so finding nothing is proof that there was none."""
    found = Messages.model_validate_json((await call.get("/messages", params={"key": call.key})).body)
    return found.messages[0] if found.messages else None


async def foretell_message(
    call: Call, to: str, template: Template, about: str, details: dict[str, str] | None = None
) -> Message:
    """What would come of it now; nothing is sent."""
    asked = {"to": to, "template": template, "reference": about, "data": json.dumps(details or {})}
    return Message.model_validate_json((await call.get("/messages/preview", params=asked)).body)


@connector.operation(
    effect="write",
    risk="message",
    timeout_s=3,
    settle_s=2,
    key_valid=hours(24),
    lookup=find_message,
    lookup_conclusive=True,
    rehearse=foretell_message,
)
async def send(
    call: Call, to: str, template: Template, about: str, details: dict[str, str] | None = None
) -> Message:
    """Send `template` to an address. `about` is the order (or else the customer) that it concerns."""
    answer = await call.post(
        "/messages", json={"to": to, "template": template, "reference": about, "data": details or {}}
    )
    return Message.model_validate_json(answer.body)
