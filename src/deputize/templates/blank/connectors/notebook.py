"""A notebook: what this project can do so far. It writes into this process and nowhere else.

A connector for a real service looks the same; its operations use `call.post("/path", json=…)`.
"""

from pydantic import BaseModel

from deputize import Call, Connector

connector = Connector("notebook", version="1")


class Note(BaseModel):
    """The answer, as far as automations rely on it."""

    id: str
    text: str


@connector.operation(effect="write", resource="page:{page}", repeatable=True)
async def write(call: Call, page: str, text: str) -> Note:
    """Write a line on a page. Writing the same line again changes nothing."""
    return Note(id=call.key, text=text)
