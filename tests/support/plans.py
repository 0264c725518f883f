"""A desk that pays what it owes by a plan in a file, which people may be asked for whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deputize.store.protocol import CardRow
from tests.support.desk import Desk
from tests.support.project import PERMIT, write_project
from tests.support.running import Running

CONNECTOR = """
class Debt(BaseModel):
    account: str
    amount: Money

@connector.operation(effect="read", **QUICK)
async def owed(call: Call, item: str) -> Debt:
    return Debt.model_validate((await call.get(f"/items/{item}")).json())

@connector.operation(effect="write", risk="money", resource="account:{account}", **KEYED)
async def give(call: Call, account: str, amount: Money) -> Debt:
    await call.post("/items", json={"item": account})
    return Debt(account=account, amount=amount)
"""
"""`give` can be derived: what it answers is what it is asked with."""

PEOPLE = """
[people.maya]
roles = ["finance"]
[people.kim]
roles = ["finance"]
[people.ines]
"""

PAYS = """\
on: desk.due
agent: worker
event: {item: text, others: list of text}
approve: {by: finance, within: 2 hours}
goal: Pay what is owed
steps:
  - id: debt
    operation: desk.owed
    arguments: {item: $event.item}
  - id: paid
    operation: desk.give
    arguments: {account: $step.debt.account, amount: $step.debt.amount}
    why: it is due
  - id: told
    operation: desk.put
    arguments: {item: $step.paid.account}
  - id: others
    each: $event.others
    operation: desk.give
    arguments: {account: $each, amount: {minor: 7000, currency: EUR}}
end: paid
"""

ASKS = (
    PERMIT
    + """
[[rule]]
title = "More than 50 euros waits for a person"
operation = "desk.give"
ask_above = { amount = "50.00 EUR" }
ask = "finance"
within = "4 hours"
"""
)

MORE = """
[[rule]]
title = "More than 90 euros waits for Ines"
operation = "desk.give"
ask_above = { amount = "90.00 EUR" }
ask = "ines"
"""


def owes(desk: Desk, minor: int, item: str = "a", account: str = "x") -> None:
    """What the desk's service says of a debt."""
    desk.pages[f"/items/{item}"] = {"account": account, "amount": {"minor": minor, "currency": "EUR"}}


def project(
    root: Path, desk: Desk, *, plan: str = PAYS, rules: str = ASKS, people: str = PEOPLE, code: str = ""
) -> Path:
    """A project with the plan in a file."""
    made = write_project(root, desk.base, code, rules=rules, toml=people)
    connector = made / "connectors" / "desk.py"
    connector.write_text(connector.read_text() + CONNECTOR)
    if plan:
        (made / "automations" / "pays.plan.yaml").write_text(plan)
    return made


async def due(app: Running, item: str = "a", others: tuple[str, ...] = ()) -> str:
    """An event that something is due; its run."""
    return await app.send(type="desk.due", item=item, others=list(others))


async def approve(app: Running, card: CardRow, person: str = "maya") -> str:
    """A person approves a card."""
    said: str = await app.kernel.approving.approve(card.id, binding=card.body["binding"], person=person)
    return said


def intents(app: Running, run: str) -> list[dict[str, Any]]:
    """What started, in order."""
    return [dict(entry.body) for entry in app.entries(run, "intent") if entry.body is not None]
