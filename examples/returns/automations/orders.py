"""Order triage: every new order is released, held for a person, or cancelled and paid back."""

from agents import order_desk
from automations._giving_back import give_back
from connectors import mail, shop
from pydantic import BaseModel

from deputize import Event, EventData, Money, Outcome, automation, done, together


class OrderPlaced(EventData, type="shop.order.placed"):
    order_id: str


class Params(BaseModel):
    abroad_above: Money = Money.parse("300.00 EUR")
    new_customer_above: Money = Money.parse("500.00 EUR")
    new_customer_days: int = 30


@automation(on=OrderPlaced, agent=order_desk, key="order:{order_id}")
async def triage_order(event: Event[OrderPlaced], params: Params) -> Outcome:
    order = await shop.get_order(order_id=event.data.order_id)
    if order.status != "placed":
        return done("nothing-to-do", status=order.status)

    products = await together(*[shop.get_product(sku=item.sku) for item in order.items])
    if any(product.stock < item.qty for product, item in zip(products, order.items, strict=True)):
        await shop.cancel_order(order_id=order.id, reason="sold out").because("an item is sold out")
        await give_back(order, why="the order was cancelled: an item is sold out")
        await mail.send(to=order.email, template="out-of-stock", about=order.id)
        return done("cancelled")

    if order.ship_country != order.bill_country and order.total > params.abroad_above:
        reason = f"goes to {order.ship_country}, and the bill to {order.bill_country}"
        await shop.hold_order(order_id=order.id, reason=reason).because(reason)
        return done("held")

    if order.total > params.new_customer_above:
        customer = await shop.get_customer(customer=order.customer)
        known_days = (event.time - customer.since).days
        if known_days < params.new_customer_days:
            reason = f"a large first order: customer for {known_days} days"
            await shop.hold_order(order_id=order.id, reason=reason).because(reason)
            return done("held")

    await shop.release_order(order_id=order.id).because("nothing speaks against it")
    return done("released")
