"""Damaged goods: a photo first, then a replacement from stock, or the money back."""

from agents import returns_desk
from automations._giving_back import give_back
from connectors import mail, shop

from deputize import Event, EventData, Outcome, attempt, automation, done


class DamageReported(EventData, type="shop.damage.reported"):
    order_id: str
    sku: str
    description: str
    photo: str | None = None


@automation(on=DamageReported, agent=returns_desk, key="order:{order_id}")
async def handle_damage(event: Event[DamageReported]) -> Outcome:
    order = await shop.get_order(order_id=event.data.order_id)
    if event.data.photo is None:
        await mail.send(to=order.email, template="photo-please", about=order.id)
        return done("asked-for-photo")

    product = await shop.get_product(sku=event.data.sku)
    if product.stock > 0:
        await shop.send_replacement(order_id=order.id, skus=[product.sku]).because(event.data.description)
        await mail.send(to=order.email, template="replacement-sent", about=order.id)
        # A rule keeps this one to the day; at night the customer is simply not asked.
        await attempt(mail.send(to=order.email, template="how-did-we-do", about=order.id))
        return done("replaced")

    refund = await give_back(order, why=f"damaged and sold out: {event.data.description}")
    if refund is None:
        return done("over-limit")
    await mail.send(to=order.email, template="refunded", about=order.id, details={"refund": refund.id})
    return done("refunded", refund=refund.id)
