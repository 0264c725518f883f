"""The shop service: orders, customers, products, returns and replacements."""

import json
import sqlite3
from datetime import timedelta

from fastapi import FastAPI, Response

from deputize.town.service import Effecting, asked, foreseen, service_app
from deputize.town.wire import (
    Customer,
    Item,
    Money,
    Order,
    Orders,
    Problem,
    Product,
    Reason,
    Replacement,
    ReplacementAsk,
    Replacements,
    Return,
    ReturnAsk,
    Returns,
    seconds,
)
from deputize.town.world import Effect, World

DAY_S = timedelta(days=1).total_seconds()
# From which states an order may come into each state that a caller can ask for.
COMES_FROM = {
    "released": ("placed", "held"),
    "held": ("placed",),
    "cancelled": ("placed", "held", "released"),
}


def shop_app(world: World) -> FastAPI:
    """The application that serves the shop."""
    app = service_app("shop", "Orders, customers, products, returns and replacements")
    _orders(app, world)
    _returns(app, world)
    _previews(app, world)
    return app


def _orders(app: FastAPI, world: World) -> None:
    @app.get("/orders/{order_id}", operation_id="get_order")
    async def get_order(order_id: str) -> Order:
        return order(world, order_id)

    @app.get("/orders", operation_id="list_orders")
    async def list_orders(customer: str) -> Orders:
        found = world.find("orders", {"customer": customer}, newest_first=True)
        return Orders(orders=[_order(world, row) for row in found])

    @app.get("/customers/{customer_id}", operation_id="get_customer")
    async def get_customer(customer_id: str) -> Customer:
        return customer(world, customer_id)

    @app.get("/products/{sku}", operation_id="get_product")
    async def get_product(sku: str) -> Product:
        return product(world, sku)

    @app.post("/orders/{order_id}/release", operation_id="release_order", response_model=Order)
    async def release_order(order_id: str, doing: Effecting) -> Response:
        return doing(lambda: change_status(world, order_id, "released", None, doing.key))

    @app.post("/orders/{order_id}/hold", operation_id="hold_order", response_model=Order)
    async def hold_order(order_id: str, body: Reason, doing: Effecting) -> Response:
        return doing(lambda: change_status(world, order_id, "held", body.reason, doing.key))

    @app.post("/orders/{order_id}/cancel", operation_id="cancel_order", response_model=Order)
    async def cancel_order(order_id: str, body: Reason, doing: Effecting) -> Response:
        return doing(lambda: change_status(world, order_id, "cancelled", body.reason, doing.key))


def _returns(app: FastAPI, world: World) -> None:
    @app.post("/returns", operation_id="open_return", response_model=Return)
    async def open_return(body: ReturnAsk, doing: Effecting) -> Response:
        return doing(lambda: make_return(world, body, doing.key))

    @app.get("/returns", operation_id="find_returns")
    async def find_returns(order_id: str | None = None, key: str | None = None) -> Returns:
        found = world.find("returns", {"order_id": order_id, "key": key})
        return Returns(returns=[_return(row) for row in found])

    @app.post("/replacements", operation_id="send_replacement", response_model=Replacement)
    async def send_replacement(body: ReplacementAsk, doing: Effecting) -> Response:
        return doing(lambda: make_replacement(world, body, doing.key))

    @app.get("/replacements", operation_id="find_replacements")
    async def find_replacements(order_id: str | None = None, key: str | None = None) -> Replacements:
        found = world.find("replacements", {"order_id": order_id, "key": key})
        return Replacements(replacements=[_replacement(row) for row in found])


def _previews(app: FastAPI, world: World) -> None:
    """What would come of each change now; what would be new has an id that is nobody's."""

    @app.get("/orders/{order_id}/release/preview", operation_id="preview_release", response_model=Order)
    async def preview_release(order_id: str) -> Response:
        return foreseen(world, lambda: change_status(world, order_id, "released", None, None))

    @app.get("/orders/{order_id}/hold/preview", operation_id="preview_hold", response_model=Order)
    async def preview_hold(order_id: str, reason: str) -> Response:
        why = asked(Reason, reason=reason).reason
        return foreseen(world, lambda: change_status(world, order_id, "held", why, None))

    @app.get("/orders/{order_id}/cancel/preview", operation_id="preview_cancel", response_model=Order)
    async def preview_cancel(order_id: str, reason: str) -> Response:
        why = asked(Reason, reason=reason).reason
        return foreseen(world, lambda: change_status(world, order_id, "cancelled", why, None))

    @app.get("/returns/preview", operation_id="preview_return", response_model=Return)
    async def preview_return(order_id: str, reason: str) -> Response:
        ask = asked(ReturnAsk, order_id=order_id, reason=reason)
        return foreseen(world, lambda: make_return(world, ask, None))

    @app.get("/replacements/preview", operation_id="preview_replacement", response_model=Replacement)
    async def preview_replacement(order_id: str, skus: str) -> Response:
        """`skus` has commas between them."""
        ask = asked(ReplacementAsk, order_id=order_id, skus=skus.split(",") if skus else [])
        return foreseen(world, lambda: make_replacement(world, ask, None))


def order(world: World, order_id: str) -> Order:
    """An order as it is now. Raises `Problem` (404)."""
    row = world.db.execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()
    if row is None:
        raise Problem(404, "no-such-order", f"there is no order {order_id}")
    return _order(world, row)


def customer(world: World, customer_id: str) -> Customer:
    """A customer and the number of their orders. Raises `Problem` (404)."""
    row = world.db.execute(
        "SELECT *, (SELECT count(*) FROM orders WHERE customer = customers.id) AS orders_count"
        " FROM customers WHERE id = ?",
        (customer_id,),
    ).fetchone()
    if row is None:
        raise Problem(404, "no-such-customer", f"there is no customer {customer_id}")
    return Customer(**dict(row))


def product(world: World, sku: str) -> Product:
    """A product and its stock. Raises `Problem` (404)."""
    row = world.db.execute("SELECT * FROM products WHERE sku = ?", (sku,)).fetchone()
    if row is None:
        raise Problem(404, "no-such-product", f"there is no product {sku}")
    price = Money(minor=row["price_minor"], currency=row["currency"])
    return Product(sku=row["sku"], name=row["name"], price=price, stock=row["stock"])


def change_status(world: World, order_id: str, to: str, reason: str | None, key: str | None) -> Effect:
    """Release, hold or cancel an order. Raises `Problem` when its state does not allow it."""
    before = order(world, order_id)
    if before.status not in COMES_FROM[to]:
        raise Problem(409, "wrong-status", f"{order_id} is {before.status} and cannot become {to}")
    world.db.execute(
        "UPDATE orders SET status = ?, status_reason = ?, status_key = ? WHERE id = ?",
        (to, reason, key, order_id),
    )
    return Effect(order(world, order_id), resource=order_id)


def make_return(world: World, ask: ReturnAsk, key: str | None) -> Effect:
    """Open a return for a delivered order; every call opens one. Raises `Problem`."""
    _delivered(world, ask.order_id)
    row = world.db.execute(
        "INSERT INTO returns (order_id, reason, key, created_at) VALUES (?,?,?,?) RETURNING *",
        (ask.order_id, ask.reason, key, world.now()),
    ).fetchone()
    return Effect(_return(row), resource=ask.order_id, new=True)


def make_replacement(world: World, ask: ReplacementAsk, key: str | None) -> Effect:
    """Send one piece of each sku again, from stock. Raises `Problem`, also when one is out of stock."""
    bought = {item.sku for item in _delivered(world, ask.order_id).items}
    strange = [sku for sku in ask.skus if sku not in bought]
    if strange:
        raise Problem(422, "not-in-order", f"{ask.order_id} has no {', '.join(strange)}")
    short = [sku for sku in ask.skus if product(world, sku).stock < ask.skus.count(sku)]
    if short:
        raise Problem(409, "out-of-stock", f"there is not enough of {', '.join(sorted(set(short)))}")
    for sku in ask.skus:
        world.db.execute("UPDATE products SET stock = stock - 1 WHERE sku = ?", (sku,))
    row = world.db.execute(
        "INSERT INTO replacements (order_id, skus, key, created_at) VALUES (?,?,?,?) RETURNING *",
        (ask.order_id, json.dumps(ask.skus), key, world.now()),
    ).fetchone()
    return Effect(_replacement(row), resource=ask.order_id, new=True)


def _delivered(world: World, order_id: str) -> Order:
    found = order(world, order_id)
    if found.status != "delivered":
        raise Problem(409, "not-delivered", f"{order_id} is {found.status}")
    return found


def _order(world: World, row: sqlite3.Row) -> Order:
    email = world.db.execute("SELECT email FROM customers WHERE id = ?", (row["customer"],)).fetchone()[0]
    items = [
        Item(
            sku=sku,
            name=product(world, sku).name,
            qty=qty,
            price=Money(minor=minor, currency=row["currency"]),
        )
        for sku, qty, minor in json.loads(row["items"])
    ]
    delivered = row["delivered_at"]
    return Order(
        id=row["id"],
        customer=row["customer"],
        email=email,
        charge=row["charge"],
        total=Money(minor=row["total_minor"], currency=row["currency"]),
        items=items,
        status=row["status"],
        status_key=row["status_key"],
        status_reason=row["status_reason"],
        placed_at=row["placed_at"],
        delivered_at=delivered,
        days_since_delivery=None if delivered is None else int((world.now_s() - seconds(delivered)) // DAY_S),
        ship_country=row["ship_country"],
        bill_country=row["bill_country"],
        tracking=row["tracking"],
    )


def _return(row: sqlite3.Row) -> Return:
    return Return(
        id=f"ret-{row['seq']:06}",
        order_id=row["order_id"],
        reason=row["reason"],
        status="open",
        key=row["key"],
        created_at=row["created_at"],
    )


def _replacement(row: sqlite3.Row) -> Replacement:
    return Replacement(
        id=f"rep-{row['seq']:06}",
        order_id=row["order_id"],
        skus=json.loads(row["skus"]),
        status="sent",
        key=row["key"],
        created_at=row["created_at"],
    )
