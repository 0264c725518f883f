"""Giving a customer their money back, where the rules allow it."""

from connectors import mail, payments
from connectors.payments import Refund
from connectors.shop import Order

from deputize import ActionError, Expired, Refused, attempt


async def give_back(order: Order, *, why: str) -> Refund | None:
    """Refund an order in full. Where a rule or a person forbids that, or nobody answers in time, the customer
    learns that a person will call."""
    refund = await attempt(
        payments.refund(charge=order.charge, amount=order.total, customer=order.customer, reference=order.id)
        .because(why)
        .expecting(status="succeeded")
    )
    if isinstance(refund, Refused | Expired):
        await mail.send(to=order.email, template="we-will-call", about=order.id).because(refund.reason)
        return None
    if isinstance(refund, ActionError):
        raise refund
    return refund
