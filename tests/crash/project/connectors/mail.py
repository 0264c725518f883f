"""Messages: found if they were sent; not finding one proves nothing."""

from pydantic import BaseModel

from deputize import Call, Connector, undone_by

connector = Connector("mail", version="1")


class Message(BaseModel):
    id: str


async def find_message(call: Call, to: str, template: str) -> Message | None:
    found = (await call.get("/messages", params={"key": call.key})).json()["messages"]
    return Message(id=found[0]["id"]) if found else None


@connector.operation(
    effect="write",
    risk="message",
    resource="mailbox:{to}",
    timeout_s=0.4,
    settle_s=0.3,
    lookup=find_message,
)
async def send(call: Call, to: str, template: str) -> Message:
    return Message(id=(await call.post("/messages", json={"to": to, "template": template})).json()["id"])


async def find_word(call: Call, to: str) -> Message | None:
    return await find_message(call, to, "")


SURE = {"risk": "message", "timeout_s": 0.4, "settle_s": 0.3, "lookup": find_word, "lookup_conclusive": True}


@connector.operation(effect="write", resource="mailbox:{to}", **SURE)
async def retract(call: Call, to: str) -> Message:
    return await send.function(call, to, "retracted")


@connector.operation(
    effect="write",
    resource="mailbox:{to}",
    undo=undone_by(retract, lambda args, sent: {"to": args["to"]}),
    **SURE,
)
async def announce(call: Call, to: str) -> Message:
    return await send.function(call, to, "announced")


UNSURE = {**SURE, "lookup_conclusive": False}


@connector.operation(effect="write", resource="mailbox:{to}", **UNSURE)
async def disinvite(call: Call, to: str) -> Message:
    """Not finding it proves nothing: a doubt about it is for a person."""
    return await send.function(call, to, "disinvited")


@connector.operation(
    effect="write",
    resource="mailbox:{to}",
    undo=undone_by(disinvite, lambda args, sent: {"to": args["to"]}),
    **SURE,
)
async def invite(call: Call, to: str) -> Message:
    return await send.function(call, to, "invited")
