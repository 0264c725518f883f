"""Refunds: one with a key and a conclusive look-up, one whose key is good for a moment only."""

from pydantic import BaseModel

from deputize import Call, Connector, Money, hours, seconds

connector = Connector("payments", version="1")


class Refund(BaseModel):
    id: str


class Charge(BaseModel):
    id: str
    refunded: Money


async def find_refund(call: Call, charge: str, amount: Money) -> Refund | None:
    found = (await call.get("/refunds", params={"key": call.key})).json()["refunds"]
    return Refund(id=found[0]["id"]) if found else None


@connector.operation(effect="read", timeout_s=0.5)
async def get_charge(call: Call, charge: str) -> Charge:
    return Charge.model_validate((await call.get(f"/charges/{charge}")).json())


async def foretell_refund(call: Call, charge: str, amount: Money) -> Refund:
    asked = {"charge": charge, "amount_minor": str(amount.minor), "currency": amount.currency}
    return Refund(id=(await call.get("/refunds/preview", params=asked)).json()["id"])


@connector.operation(
    effect="write",
    risk="money",
    resource="charge:{charge}",
    timeout_s=0.4,
    settle_s=0.3,
    key_valid=hours(24),
    lookup=find_refund,
    lookup_conclusive=True,
    rehearse=foretell_refund,
    before=get_charge,
)
async def refund(call: Call, charge: str, amount: Money) -> Refund:
    return await _refund(call, charge, amount)


@connector.operation(
    effect="write",
    risk="money",
    resource="charge:{charge}",
    timeout_s=0.4,
    settle_s=0.3,
    key_valid=hours(24),
)
async def refund_by_key(call: Call, charge: str, amount: Money) -> Refund:
    """Without a look-up: a doubt is repeated with the same key."""
    return await _refund(call, charge, amount)


@connector.operation(
    effect="write",
    risk="money",
    resource="charge:{charge}",
    timeout_s=0.4,
    settle_s=0.3,
    key_valid=seconds(1),
    key_margin=seconds(0.1),
)
async def refund_briefly(call: Call, charge: str, amount: Money) -> Refund:
    """Its key is forgotten before a doubt may be repeated."""
    return await _refund(call, charge, amount)


async def _refund(call: Call, charge: str, amount: Money) -> Refund:
    body = {"charge": charge, "amount": {"minor": amount.minor, "currency": amount.currency}}
    return Refund(id=(await call.post("/refunds", json=body)).json()["id"])
