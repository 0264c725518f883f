"""Where is my order? The answer, from the order itself."""

from agents import help_desk
from connectors import mail, shop
from connectors.shop import Order

from deputize import Declined, Event, EventData, Outcome, attempt, automation, done


class MessageReceived(EventData, type="shop.message.received"):
    customer: str
    email: str
    text: str
    order_id: str | None = None


@automation(on=MessageReceived, agent=help_desk, key="customer:{customer}")
async def where_is_my_order(event: Event[MessageReceived]) -> Outcome:
    order = await find_order(event.data)
    if order is None:
        await mail.send(to=event.data.email, template="which-order", about=event.data.customer)
        return done("unknown-order")
    details = {"status": order.status, "tracking": order.tracking or ""}
    await mail.send(to=event.data.email, template="order-status", about=order.id, details=details)
    return done("answered", status=order.status)


async def find_order(message: MessageReceived) -> Order | None:
    """The order that a message is about: the one it names, else the customer's latest."""
    if message.order_id is None:
        orders = (await shop.list_orders(customer=message.customer)).orders
        return orders[0] if orders else None
    order = await attempt(shop.get_order(order_id=message.order_id))
    if isinstance(order, Declined):
        return None
    if isinstance(order, Order):
        return order
    raise order
