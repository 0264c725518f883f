"""Small projects for tests: a desk with every kind of contract, and automations written by the test."""

from __future__ import annotations

from pathlib import Path

DESK = '''
from datetime import timedelta
from pydantic import BaseModel
from deputize import Call, Connector, Money
connector = Connector("desk", version="{version}")
class Item(BaseModel):
    item: str
    key: str
async def find(call: Call, item: str, **more) -> Item | None:
    found = (await call.get(f"/keys/{{call.key}}")).json()["found"]
    return None if found is None else Item.model_validate(found)
QUICK = dict(timeout_s=0.4, settle_s={settle_s}, attempts_max=3)
KEYED = dict(key_valid=timedelta(hours=24), **QUICK)

@connector.operation(effect="write", resource="item:{{item}}", lookup=find, lookup_conclusive=True, **KEYED)
async def write(call: Call, item: str) -> Item:
    return Item.model_validate((await call.post("/items", json={{"item": item}})).json())

@connector.operation(effect="write", lookup=find, **QUICK)
async def hint(call: Call, item: str) -> Item:
    """Its look-up can find, and proves nothing by finding nothing; it has no key."""
    return Item.model_validate((await call.post("/items", json={{"item": item}})).json())

@connector.operation(effect="write", **KEYED)
async def keyed(call: Call, item: str) -> Item:
    """A key and no look-up."""
    return Item.model_validate((await call.post("/items", json={{"item": item}})).json())

@connector.operation(effect="write", **QUICK)
async def plain(call: Call, item: str) -> Item:
    """Neither a key nor a look-up."""
    return Item.model_validate((await call.post("/plain", json={{"item": item}})).json())

@connector.operation(effect="write", repeatable=True, **QUICK)
async def put(call: Call, item: str) -> Item:
    return Item.model_validate((await call.put(f"/items/{{item}}", json={{"item": item}})).json())

@connector.operation(effect="read", **QUICK)
async def read(call: Call, item: str) -> Item:
    return Item.model_validate((await call.get(f"/items/{{item}}")).json())

@connector.operation(effect="read", price_usd_micros=1000, **QUICK)
async def think(call: Call, item: str) -> Item:
    return Item.model_validate((await call.get(f"/items/{{item}}")).json())

@connector.operation(effect="write", risk="money", resource="account:{{account}}", lookup=find_pay,
                     lookup_conclusive=True, **KEYED)
async def pay(call: Call, account: str, amount: Money) -> Item:
    return Item.model_validate((await call.post("/items", json={{"item": account}})).json())

@connector.operation(effect="write", resource=("item:{{a}}", "item:{{b}}"), **KEYED)
async def both(call: Call, a: str, b: str) -> Item:
    return Item.model_validate((await call.post("/items", json={{"item": a + b}})).json())
'''.replace(
    "async def find(",
    "async def find_pay(call: Call, account: str, amount: Money) -> Item | None:\n"
    "    return await find(call, account)\nasync def find(",
)

HEAD = """
from deputize import *
from deputize import EventData, Event, Outcome, Money
from agents import *
from connectors import desk
class Ask(EventData, type="test.ask"):
    item: str = "i"
    n: int = 0
class Word(EventData, type="test.word"):
    item: str = "i"
    text: str = ""
"""

PERMIT = """
[[rule]]
title = "All may be done"
operation = "desk.*"
permit = true
"""


def write_project(
    root: Path,
    base: str,
    automations: str,
    *,
    agents: str = 'worker = agent("worker")',
    rules: str = PERMIT,
    toml: str = "",
    desk: str = "concurrent_max = 200",
    zone: str = "UTC",
    version: str = "1",
    settle_s: float = 0.2,
    connector: str = "",
) -> Path:
    """Write (or write anew) a project whose desk is at `base`; its ledger is left as it is."""
    for room in ("connectors", "automations", "rules"):
        (root / room).mkdir(parents=True, exist_ok=True)
    (root / "deputize.toml").write_text(
        f'[project]\nname = "test"\ntimezone = "{zone}"\n\n'
        f'[connectors.desk]\nbase = "{base}"\n{desk}\n\n{toml}\n'
    )
    (root / "agents.py").write_text(f"from deputize import agent, budget\n{agents}\n")
    (root / "connectors" / "desk.py").write_text(DESK.format(version=version, settle_s=settle_s) + connector)
    (root / "automations" / "work.py").write_text(HEAD + automations)
    (root / "rules" / "rules.toml").write_text(rules)
    return root
