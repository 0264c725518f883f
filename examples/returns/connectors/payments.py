"""Payments: what was charged, and giving it back."""

from typing import Literal

from pydantic import BaseModel

from deputize import Call, Connector, Money, hours

connector = Connector("payments", version="2026-08-27")


class Charge(BaseModel):
    id: str
    amount: Money
    refunded: Money


class Refund(BaseModel):
    id: str
    charge: str
    amount: Money
    status: Literal["succeeded", "pending", "failed"]


class Refunds(BaseModel):
    refunds: list[Refund]


@connector.operation(effect="read", timeout_s=3)
async def get_charge(call: Call, charge: str) -> Charge:
    return Charge.model_validate_json((await call.get(f"/charges/{charge}")).body)


async def find_refund(call: Call, charge: str, amount: Money, customer: str, reference: str) -> Refund | None:
    """The search by key sees every refund at once, so finding nothing is proof that there was none."""
    found = Refunds.model_validate_json(
        (await call.get("/refunds", params={"charge": charge, "key": call.key})).body
    )
    return found.refunds[0] if found.refunds else None


async def foretell_refund(call: Call, charge: str, amount: Money, customer: str, reference: str) -> Refund:
    """What would come of it now, by the same code that decides in earnest."""
    asked = {"charge": charge, "amount_minor": str(amount.minor), "currency": amount.currency}
    answer = await call.get("/refunds/preview", params=asked | {"reference": reference})
    return Refund.model_validate_json(answer.body)


@connector.operation(
    effect="write",
    risk="money",
    resource="charge:{charge}",
    timeout_s=3,
    settle_s=2,
    key_valid=hours(24),
    lookup=find_refund,
    lookup_conclusive=True,
    rehearse=foretell_refund,
    before=get_charge,
)
async def refund(call: Call, charge: str, amount: Money, customer: str, reference: str) -> Refund:
    """Give money back. `customer` is not sent: our rules count by it."""
    answer = await call.post(
        "/refunds",
        json={
            "charge": charge,
            "amount": {"minor": amount.minor, "currency": amount.currency},
            "reference": reference,
        },
    )
    return Refund.model_validate_json(answer.body)
