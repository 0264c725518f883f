"""The shop: orders, customers and stock.

The models hold what our automations read, and nothing else: a field that the shop adds is no concern of
ours, and one that it takes away or changes is found at once.
"""

from typing import Literal

from pydantic import AwareDatetime, BaseModel

from deputize import Call, Connector, Money, hours

connector = Connector("shop", version="2026-08-27")

# What the shop says when an order is not in a state that allows it: no, and not "nobody knows".
NO = frozenset({400, 404, 409, 422})


class Item(BaseModel):
    sku: str
    qty: int


class Order(BaseModel):
    id: str
    customer: str
    email: str
    charge: str
    total: Money
    items: list[Item]
    status: Literal["placed", "released", "held", "cancelled", "shipped", "delivered"]
    status_key: str | None
    days_since_delivery: int | None
    ship_country: str
    bill_country: str
    tracking: str | None


class Orders(BaseModel):
    orders: list[Order]


class Customer(BaseModel):
    id: str
    since: AwareDatetime


class Product(BaseModel):
    sku: str
    stock: int


class Replacement(BaseModel):
    id: str
    skus: list[str]


class Replacements(BaseModel):
    replacements: list[Replacement]


@connector.operation(effect="read", timeout_s=3)
async def get_order(call: Call, order_id: str) -> Order:
    return Order.model_validate_json((await call.get(f"/orders/{order_id}")).body)


@connector.operation(effect="read", risk="personal", timeout_s=3)
async def list_orders(call: Call, customer: str) -> Orders:
    """A customer's orders, the newest first."""
    return Orders.model_validate_json((await call.get("/orders", params={"customer": customer})).body)


@connector.operation(effect="read", risk="personal", timeout_s=3)
async def get_customer(call: Call, customer: str) -> Customer:
    return Customer.model_validate_json((await call.get(f"/customers/{customer}")).body)


@connector.operation(effect="read", timeout_s=3)
async def get_product(call: Call, sku: str) -> Product:
    return Product.model_validate_json((await call.get(f"/products/{sku}")).body)


async def find_change(call: Call, order_id: str, reason: str = "") -> Order | None:
    """The order, if its last change of status was the one in doubt. The shop keeps no earlier ones, so
    finding nothing proves nothing: then the change is asked for again, with the same key."""
    order = Order.model_validate_json((await call.get(f"/orders/{order_id}")).body)
    return order if order.status_key == call.key else None


async def foretell_release(call: Call, order_id: str) -> Order:
    """The order as it would be; the shop declines here what it would decline in earnest."""
    return Order.model_validate_json((await call.get(f"/orders/{order_id}/release/preview")).body)


async def foretell_hold(call: Call, order_id: str, reason: str) -> Order:
    answer = await call.get(f"/orders/{order_id}/hold/preview", params={"reason": reason})
    return Order.model_validate_json(answer.body)


async def foretell_cancel(call: Call, order_id: str, reason: str) -> Order:
    answer = await call.get(f"/orders/{order_id}/cancel/preview", params={"reason": reason})
    return Order.model_validate_json(answer.body)


@connector.operation(
    effect="write",
    resource="order:{order_id}",
    timeout_s=3,
    settle_s=2,
    key_valid=hours(24),
    lookup=find_change,
    declined=NO,
    rehearse=foretell_release,
    before=get_order,
)
async def release_order(call: Call, order_id: str) -> Order:
    """Let an order go to the warehouse."""
    return Order.model_validate_json((await call.post(f"/orders/{order_id}/release")).body)


@connector.operation(
    effect="write",
    resource="order:{order_id}",
    timeout_s=3,
    settle_s=2,
    key_valid=hours(24),
    lookup=find_change,
    declined=NO,
    rehearse=foretell_hold,
    before=get_order,
)
async def hold_order(call: Call, order_id: str, reason: str) -> Order:
    """Keep an order back until a person has looked at it."""
    answer = await call.post(f"/orders/{order_id}/hold", json={"reason": reason})
    return Order.model_validate_json(answer.body)


@connector.operation(
    effect="write",
    risk="irreversible",
    resource="order:{order_id}",
    timeout_s=3,
    settle_s=2,
    key_valid=hours(24),
    lookup=find_change,
    declined=NO,
    rehearse=foretell_cancel,
    before=get_order,
)
async def cancel_order(call: Call, order_id: str, reason: str) -> Order:
    answer = await call.post(f"/orders/{order_id}/cancel", json={"reason": reason})
    return Order.model_validate_json(answer.body)


async def find_replacement(call: Call, order_id: str, skus: list[str]) -> Replacement | None:
    """The shop's search by key sees every replacement at once, so finding nothing is proof."""
    found = Replacements.model_validate_json(
        (await call.get("/replacements", params={"order_id": order_id, "key": call.key})).body
    )
    return found.replacements[0] if found.replacements else None


async def foretell_replacement(call: Call, order_id: str, skus: list[str]) -> Replacement:
    asked = {"order_id": order_id, "skus": ",".join(skus)}
    return Replacement.model_validate_json((await call.get("/replacements/preview", params=asked)).body)


@connector.operation(
    effect="write",
    risk="irreversible",
    resource="order:{order_id}",
    timeout_s=3,
    settle_s=2,
    key_valid=hours(24),
    lookup=find_replacement,
    lookup_conclusive=True,
    declined=NO,
    rehearse=foretell_replacement,
    before=get_order,
)
async def send_replacement(call: Call, order_id: str, skus: list[str]) -> Replacement:
    """Send one piece of each of these goods again, from stock."""
    answer = await call.post("/replacements", json={"order_id": order_id, "skus": skus})
    return Replacement.model_validate_json(answer.body)
