from pydantic import BaseModel

from deputize import Call, Connector, Money, hours

connector = Connector("payments", version="1")


class Refund(BaseModel):
    id: str
    status: str


class Balance(BaseModel):
    amount: Money


@connector.operation(
    effect="write", risk="money", resource="charge:{charge}", key_valid=hours(24), repeatable=True
)
async def refund(call: Call, charge: str, amount: Money, note: str = "") -> Refund:
    return Refund(id=f"re_{charge}", status="succeeded")


@connector.operation(effect="read")
async def balance(call: Call, account: str) -> Balance:
    return Balance(amount=Money(100, "EUR"))
