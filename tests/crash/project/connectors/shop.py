"""Orders: reading one, a change that may be repeated, and one that has neither key nor look-up."""

from pydantic import BaseModel

from deputize import Call, Connector, Money

connector = Connector("shop", version="1")


class Order(BaseModel):
    id: str
    email: str
    charge: str
    total: Money


class Changed(BaseModel):
    id: str


@connector.operation(effect="read", timeout_s=0.5)
async def get_order(call: Call, order_id: str) -> Order:
    return Order.model_validate((await call.get(f"/orders/{order_id}")).json())


@connector.operation(
    effect="write", resource="order:{order_id}", timeout_s=0.4, settle_s=0.3, repeatable=True
)
async def hold_order(call: Call, order_id: str) -> Changed:
    """The same as setting a value: twice is the same as once."""
    answer = await call.post(f"/orders/{order_id}/hold", json={"reason": "to be looked at"})
    return Changed(id=answer.json()["id"])


@connector.operation(effect="write", resource="order:{order_id}", timeout_s=0.4, settle_s=0.3)
async def open_return(call: Call, order_id: str) -> Changed:
    """Every call opens one, and nobody can be asked: a doubt is for a person."""
    answer = await call.post("/returns", json={"order_id": order_id, "reason": "too small"})
    return Changed(id=answer.json()["id"])
