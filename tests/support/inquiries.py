"""A desk whose payments can be rehearsed and verified, for the tests of both."""

from __future__ import annotations

from pathlib import Path

from tests.support.desk import Desk
from tests.support.project import PERMIT, write_project

PEOPLE = """
[people.maya]
roles = ["finance"]
[people.kim]
roles = ["finance"]
[keepers]
default = "maya"
"""

AUDIT = """
from deputize import Call, Connector, Intent, Verification, agree, cannot_tell, disagree
connector = Connector("audit", version="1")

@connector.operation(effect="read", timeout_s=0.4, attempts_max=2, price_usd_micros={price})
async def is_due(call: Call, intent: Intent) -> Verification:
    owed = (await call.get(f"/owed/{{intent.args['account']}}")).json()
    if "minor" not in owed:
        return cannot_tell("nothing is known of it")
    if intent.args["amount"]["minor"] > owed["minor"]:
        return disagree("more than is owed", owed=owed["minor"])
    return agree(owed=owed["minor"])
"""

SETTLES = """

class Paid(BaseModel):
    item: str
    status: str = "paid"

@connector.operation(effect="read", **QUICK)
async def account(call: Call, account: str) -> Paid:
    return Paid.model_validate((await call.get(f"/accounts/{account}")).json())

async def foretell(call: Call, account: str, amount: Money) -> Paid:
    answer = await call.get(f"/foretold/{account}", params={"minor": str(amount.minor)})
    return Paid.model_validate(answer.json())

async def find_settled(call: Call, account: str, amount: Money) -> Paid | None:
    found = (await call.get(f"/keys/{call.key}")).json()["found"]
    return None if found is None else Paid.model_validate(found)

@connector.operation(effect="write", risk="money", resource="account:{account}", lookup=find_settled,
                     lookup_conclusive=True, rehearse=foretell, before=account, **KEYED)
async def settle(call: Call, account: str, amount: Money) -> Paid:
    return Paid.model_validate((await call.post("/items", json={"item": account})).json())
"""

PAYS = """
@automation(on=Ask, agent=worker)
async def pays(event: Event[Ask]) -> Outcome:
    paid = await attempt(desk.pay(account=event.data.item, amount=Money(100 * event.data.n, "EUR"))
                         .because("the secret thoughts of an agent"))
    return done(type(paid).__name__)
"""

SETTLING = """
@automation(on=Ask, agent=worker)
async def settles(event: Event[Ask]) -> Outcome:
    paid = await attempt(desk.settle(account=event.data.item, amount=Money(100 * event.data.n, "EUR"))
                         .expecting(status="paid"))
    return done(type(paid).__name__)
"""

TAKES = """
@automation(on=Ask, agent=worker)
async def takes(event: Event[Ask]) -> Outcome:
    await desk.take(item=event.data.item)
    return done("taken")
"""

MAY_VERIFY = """
[[rule]]
title = "The auditor may look"
operation = "audit.*"
agent = "auditor"
permit = true
"""

VERIFIED = (
    PERMIT
    + MAY_VERIFY
    + """
[[rule]]
title = "Payments are checked against the books"
operation = "desk.pay"
verify_with = "audit.is_due"
by = "auditor"
"""
)

REHEARSED = (
    PERMIT
    + """
[[rule]]
title = "What is settled is rehearsed"
operation = "desk.settle"
rehearse = true
"""
)


def taken_back_by(operation: str) -> str:
    """An operation `take` of the desk that is undone by another, which takes an account and an amount."""
    return f"""

from deputize import undone_by

def back(args: dict, result: Item) -> dict:
    return {{"account": args["item"], "amount": Money(500, "EUR")}}

@connector.operation(effect="write", undo=undone_by({operation}, back), **KEYED)
async def take(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={{"item": item}})).json())
"""


def inquired_project(
    root: Path,
    desk: Desk,
    rules: str = VERIFIED,
    *,
    automations: str = PAYS,
    people: str = PEOPLE,
    price: int = 0,
    connector: str = "",
    agents: str = 'worker = agent("worker")\nauditor = agent("auditor")',
) -> Path:
    """A project at `root`; its auditor reads the same desk by another connection."""
    more = f'[connectors.audit]\nbase = "{desk.base}"\n'
    write_project(
        root,
        desk.base,
        automations,
        rules=rules,
        toml=more + people,
        connector=SETTLES + connector,
        agents=agents,
    )
    (root / "connectors" / "audit.py").write_text(AUDIT.format(price=price))
    return root
