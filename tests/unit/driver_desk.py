"""What the driver's tests act on: a desk in this process, whose book is a list, and its agent."""

from __future__ import annotations

from pydantic import BaseModel

from deputize import Call, CallDeclined, Connector, Event, EventData, Outcome, agent
from deputize.automation import Automation

worker = agent("worker", concurrent_max=1000)
connector = Connector("desk", version="1")


class Note(BaseModel):
    item: str
    length: int


class Ask(EventData, type="test.ask"):
    item: str = "i"


@connector.operation(effect="write", repeatable=True)
async def write(call: Call, item: str, text: str = "") -> Note:
    if item.startswith("no"):
        raise CallDeclined("the desk does not want it")
    return Note(item=item, length=len(text))


@connector.operation(effect="write", repeatable=True)
async def file(call: Call, item: str, text: str = "") -> Note:
    return Note(item=item, length=len(text))


@connector.operation(effect="read")
async def read(call: Call, item: str) -> Note:
    return Note(item=item, length=len(item))


async def quiet(event: Event[Ask]) -> Outcome:
    """A handler for runs that are never stepped."""
    return Outcome("done")


def line_of(automation: Automation, mark: str = "# here") -> str:
    """`file:line` of the marked line in an automation's source."""
    import inspect

    lines, first = inspect.getsourcelines(automation.handler)
    offset = next(n for n, line in enumerate(lines) if line.rstrip().endswith(mark))
    return f"{inspect.getsourcefile(automation.handler)}:{first + offset}"
