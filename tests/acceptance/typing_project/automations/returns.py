"""Everything that automations do, as the checkers should accept it."""

from agents import clerk
from connectors import payments
from pydantic import BaseModel

from deputize import (
    ActionError,
    Event,
    EventData,
    Money,
    Outcome,
    attempt,
    automation,
    days,
    done,
    gave_up,
    new_id,
    now,
    random,
    seconds,
    send,
    sleep,
    together,
    wait_for,
)


class ReturnRequested(EventData, type="shop.return.requested"):
    charge: str
    amount: Money


class ParcelArrived(EventData, type="shop.parcel.arrived"):
    charge: str
    weight_g: int


class Refunded(EventData, type="shop.refunded"):
    refund: str


class Params(BaseModel):
    window_days: int = 30


@automation(on=ReturnRequested, agent=clerk, key="charge:{charge}")
async def handle_return(event: Event[ReturnRequested], params: Params) -> Outcome:
    charge = event.data.charge
    parcel = await wait_for(ParcelArrived, matching={"charge": charge}, within=days(params.window_days))
    if parcel.data.weight_g < 10:
        return gave_up("empty parcel", at=now().isoformat(), id=new_id(), dice=random().random())
    before, other = await together(payments.balance(account="a"), attempt(payments.balance(account="b")))
    if isinstance(other, ActionError):
        return gave_up(other.reason)
    if before.amount.minor + other.amount.minor == 0:
        await sleep(seconds(1))
    refund = await (
        payments.refund(charge=charge, amount=event.data.amount)
        .because("returned in time")
        .expecting(status="succeeded")
    )
    sent = await send(Refunded(refund=refund.id))
    tried = await attempt(payments.refund(charge, Money(1, "EUR"), note=sent.id))
    return done("refunded" if isinstance(tried, payments.Refund) else "refunded once")


@automation(on=Refunded, agent=clerk)
async def count_refund(event: Event[Refunded]) -> Outcome:
    one, two, three, four, five = await together(
        payments.balance(account="1"),
        payments.refund(charge=event.data.refund, amount=Money(1, "EUR")),
        payments.balance(account="3"),
        payments.balance(account="4"),
        payments.refund(charge="5", amount=Money(1, "EUR")),
    )
    many = await together(*[payments.balance(account=str(n)) for n in range(10)])
    minor = one.amount.minor + three.amount.minor + four.amount.minor + many[0].amount.minor
    return done("counted", ids=[two.id, five.id], minor=minor)
