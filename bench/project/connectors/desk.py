"""Five operations of one desk; `write` is the one that is measured, a no-op in this process."""

from pydantic import BaseModel

from deputize import Call, Connector, Money

connector = Connector("desk", version="1")


class Note(BaseModel):
    id: str


@connector.operation(
    effect="write",
    risk="money",
    resource="item:{item}",
    timeout_s=0.5,
    settle_s=0.5,
    repeatable=True,
)
async def write(call: Call, item: str, customer: str, amount: Money) -> Note:
    return Note(id=call.key)


@connector.operation(
    effect="write",
    risk="money",
    resource="item:{item}",
    timeout_s=0.5,
    settle_s=0.5,
    repeatable=True,
)
async def file(call: Call, item: str, customer: str, amount: Money) -> Note:
    return Note(id=call.key)


@connector.operation(
    effect="write",
    risk="money",
    resource="item:{item}",
    timeout_s=0.5,
    settle_s=0.5,
    repeatable=True,
)
async def mark(call: Call, item: str, customer: str, amount: Money) -> Note:
    return Note(id=call.key)


@connector.operation(
    effect="write",
    risk="money",
    resource="item:{item}",
    timeout_s=0.5,
    settle_s=0.5,
    repeatable=True,
)
async def sort(call: Call, item: str, customer: str, amount: Money) -> Note:
    return Note(id=call.key)


@connector.operation(
    effect="write",
    risk="money",
    resource="item:{item}",
    timeout_s=0.5,
    settle_s=0.5,
    repeatable=True,
)
async def ship(call: Call, item: str, customer: str, amount: Money) -> Note:
    return Note(id=call.key)
