"""Returns: money back within the window, and a clear word to the customer otherwise."""

from agents import returns_desk
from automations._giving_back import give_back
from connectors import mail, payments, shop
from pydantic import BaseModel

from deputize import Event, EventData, Outcome, automation, done


class ReturnRequested(EventData, type="shop.return.requested"):
    order_id: str
    reason: str = ""


class Params(BaseModel):
    window_days: int = 30


@automation(on=ReturnRequested, agent=returns_desk, key="order:{order_id}")
async def handle_return(event: Event[ReturnRequested], params: Params) -> Outcome:
    order = await shop.get_order(order_id=event.data.order_id)
    if order.days_since_delivery is None:
        return done("not-delivered", status=order.status)

    charge = await payments.get_charge(charge=order.charge)
    if charge.refunded.minor > 0:
        await mail.send(to=order.email, template="already-refunded", about=order.id)
        return done("already-refunded")

    if order.days_since_delivery > params.window_days:
        await mail.send(to=order.email, template="too-late", about=order.id).because(
            f"delivered {order.days_since_delivery} days ago; the window is {params.window_days}"
        )
        return done("declined")

    refund = await give_back(order, why=f"returned in time: {event.data.reason or 'no reason given'}")
    if refund is None:
        return done("over-limit")
    await mail.send(to=order.email, template="refunded", about=order.id, details={"refund": refund.id})
    return done("refunded", refund=refund.id)
