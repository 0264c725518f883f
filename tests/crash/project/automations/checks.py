"""What is rehearsed and verified before it starts."""

from agents import desk
from connectors import payments

from deputize import Event, EventData, Money, Outcome, attempt, automation, done


class Check(EventData, type="crash.check"):
    charge: str
    wants: str = ""
    amount: int = 2_000


@automation(on=Check, agent=desk)
async def checks(event: Event[Check]) -> Outcome:
    amount = Money(event.data.amount, "EUR")
    refund = await attempt(payments.refund(charge=event.data.charge, amount=amount).because(event.data.wants))
    return done("refunded" if isinstance(refund, payments.Refund) else type(refund).__name__.lower())
